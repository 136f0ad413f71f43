"""The mirror itself: drafts every article of the plan and lays its files out under the bucket's keys."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biomedica_assets.lib import chunks
from biomedica_assets.lib.demo import frame
from biomedica_assets.lib.demo.constructs import CONSTRUCTS
from biomedica_assets.lib.demo.draft import Draft, Original
from biomedica_assets.lib.demo.inventory import FIRST_DATE, metadata_bytes, publish_inventory, url_of, write_metadata
from biomedica_assets.lib.demo.plan import Plan, plans
from biomedica_assets.lib.demo.truth import Truth, TruthArticle, TruthReject, write_truth
from biomedica_assets.lib.errors import PermanentFailure, RejectReason, StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track

README = "Invented articles in the layout of pmc-oa-opendata. Nobody and nothing in them is real.\n"


@dataclasses.dataclass(frozen=True, slots=True)
class DemoSummary:
    """What was written.

    Attributes:
        root: the mirror.
        truth_path: the side file with what is true of it.
        articles: article versions.
        chunks: chunk keys at span 20 000.
        figures: ``fig`` elements.
        images: image files of figures and other graphics that can be had.
        bytes: size of the mirror.
        rejects: items that have to be refused, by reason.
        kinds: images per visual kind.
    """

    root: Path
    truth_path: Path
    articles: int
    chunks: tuple[str, ...]
    figures: int
    images: int
    bytes: int
    rejects: Mapping[str, int]
    kinds: Mapping[str, int]


def write_mirror(
    root: Path, *, seed: int = 0, articles: int = 200, truth_path: Path | None = None, progress: Progress = SILENT
) -> DemoSummary:
    """Write a complete mirror, its inventory, and the truth about it. Equal arguments give equal bytes.

    Args:
        root: folder of the mirror; it must not exist, be empty, or hold an earlier demo, which is replaced.
        seed: of everything random.
        articles: article versions; at least ``plan.MINIMUM``.
        truth_path: the truth's file; ``demo_truth.json`` beside ``root`` by default, never inside it.
        progress: told about each article.

    Raises:
        PermanentFailure: the folder holds something else.
        StoreError: the disk is full, fails, or may not be written.
        ValueError: too few articles.
    """
    todo = plans(seed, articles)
    truth_path = truth_path or root.parent / "demo_truth.json"
    try:
        return _write_mirror(root, todo, seed, truth_path, progress)
    except OSError as error:
        raise StoreError(
            f"cannot write the invented mirror {root}: {error.strerror or error}. Free space or fix the permissions "
            "and run again: it is written anew from its seed."
        ) from error


def _write_mirror(root: Path, todo: Sequence[Plan], seed: int, truth_path: Path, progress: Progress) -> DemoSummary:
    _clear(root)
    done: list[TruthArticle] = []
    truth = Truth(seed, (), (), ())
    pool: list[Original] = []
    for plan in track(todo, progress, "draw invented articles", len(todo), "articles"):
        draft, article = write_article(root, plan, seed, pool)
        done.append(article)
        rejects = (*truth.rejects, *draft.rejects)
        # An article that is left out gives no images: nothing is known to be there to find.
        images = truth.images + (tuple(draft.images) if article.selected and article.parsed else ())
        truth = dataclasses.replace(truth, images=images, rejects=rejects)
        if article.selected and article.parsed and len(pool) < 64:
            pool += draft.originals
    truth = dataclasses.replace(
        truth, articles=tuple(sorted(done, key=lambda a: chunks.parse_article_id(a.article_id)))
    )
    publish_inventory(root, FIRST_DATE)
    write_truth(truth_path, truth)
    return DemoSummary(
        root=root,
        truth_path=truth_path,
        articles=len(done),
        chunks=tuple(sorted({chunks.chunk_of(plan.pmcid, 20_000) for plan in todo})),
        figures=sum(len(article.figures) for article in done),
        images=len(truth.images),
        bytes=sum(path.stat().st_size for path in root.rglob("*") if path.is_file()),
        rejects=dict(sorted(Counter(str(reject.reason) for reject in truth.rejects).items())),
        kinds=dict(sorted(Counter(image.kind for image in truth.images).items())),
    )


def write_article(root: Path, plan: Plan, seed: int, pool: list[Original]) -> tuple[Draft, TruthArticle]:
    """Draft one article version and write its files; returns the draft and what is true of the article."""
    draft = Draft(plan, seed, pool)
    facts = frame.write_front(draft)
    frame.write_body(draft)
    for name in plan.constructs:
        CONSTRUCTS[name](draft)
    frame.write_back(draft, facts)
    xml = frame.serialised(draft)
    if "malformed" in plan.faults:
        xml = xml.replace(b"</body>", b"", 1)
        draft.rejects = [TruthReject(plan.article_id, "articles", RejectReason.XML_MALFORMED)]
    folder = root / plan.article_id
    folder.mkdir(parents=True)
    text = "\n\n".join(" ".join("".join(p.itertext()).split()) for p in draft.body.iter("p"))
    (folder / f"{plan.article_id}.xml").write_bytes(xml)
    (folder / f"{plan.article_id}.txt").write_bytes(text.encode())
    for name, data in draft.media.items():
        if name not in draft.absent:
            (folder / name).write_bytes(data)
    body = metadata_bytes(_metadata(draft, facts, xml, text.encode()))
    if "json_broken" in plan.faults:
        body = body[: len(body) // 2]
        draft.rejects = [TruthReject(plan.article_id, "article_index", RejectReason.METADATA_INVALID)]
    if "xml_md5" in plan.faults:
        draft.rejects = [TruthReject(plan.article_id, "article_xml", RejectReason.CHECKSUM_MISMATCH)]
    write_metadata(root, plan.article_id, body)
    listed = "json_broken" not in plan.faults
    selected = listed and plan.left_out_because is None
    if listed and not selected:
        draft.rejects = []
    article = TruthArticle(
        article_id=plan.article_id,
        listed=listed,
        selected=selected,
        left_out_because=plan.left_out_because,
        parsed=selected and not plan.faults & {"malformed", "xml_md5"},
        constructs=plan.constructs,
        metadata=facts,
        figures=draft.figures(),
        others=draft.others(),
        mentions=draft.mentions(),
    )
    return draft, article


def _metadata(draft: Draft, facts: dict[str, Any], xml: bytes, text: bytes) -> dict[str, Any]:
    """The metadata record of the bucket for one article version."""
    plan = draft.plan
    wrong = hashlib.md5(b"something else", usedforsecurity=False).hexdigest()
    media = [
        url_of(draft.key(name), data, wrong if name in draft.wrong_md5 else None)
        for name, data in draft.media.items()
        if name not in draft.unlisted
    ]
    record: dict[str, Any] = {
        "pmcid": f"PMC{plan.pmcid}",
        "version": plan.version,
        "pmid": facts["pmid"],
        "doi": facts["doi"],
        "title": facts["title"],
        "citation": frame.citation_of(plan),
        "is_pmc_openaccess": "closed" not in plan.flags,
        "is_manuscript": "manuscript" in plan.flags,
        "is_historical_ocr": "ocr" in plan.flags,
        "is_retracted": "retracted" in plan.flags,
        "license_code": plan.licence.raw,
        "xml_url": url_of(draft.key(f"{plan.article_id}.xml"), xml, wrong if "xml_md5" in plan.faults else None),
        "text_url": url_of(draft.key(f"{plan.article_id}.txt"), text),
        "pdf_url": None,
        "media_urls": media,
    }
    if "manuscript" in plan.flags:
        record["mid"] = f"NIHMS{1_000_000 + plan.stream}"
    if "json_fields" in plan.faults:
        # Fields that the bucket's README does not promise: their absence must not lose the article.
        for name in ("pmid", "title", "citation", "text_url", "pdf_url", "is_historical_ocr", "is_manuscript"):
            del record[name]
        record["doi"] = None
    return record


def _clear(root: Path) -> None:
    """Make ``root`` a folder that holds its README alone; whatever is no demo mirror stays and raises.

    The README is the first to come and the last to stay, so what a killed run left is known for a demo mirror.
    """
    readme = root / "README.txt"
    names = sorted(path.name for path in root.iterdir()) if root.exists() else []
    found = readme.read_bytes() if readme.is_file() else b""
    if found == README.encode():
        for path in root.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != readme:
                path.unlink()
    elif not names or (names == [readme.name] and README.encode().startswith(found)):
        root.mkdir(parents=True, exist_ok=True)
        readme.write_bytes(README.encode())
    else:
        raise PermanentFailure(f"{root} holds something that is no demo mirror; name an empty or a new folder")
    root.mkdir(parents=True, exist_ok=True)
