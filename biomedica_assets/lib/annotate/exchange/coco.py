"""COCO: votes on single images as annotations of a COCO file (images, categories, annotations), and back.

A category is a concept by its id, an annotation one concept of one vote over the whole image, with the narrowest
concepts alone: what is above them follows. Who votes, and the rest of the vote, stands in ``attributes``, where CVAT
and others keep what COCO has no field for. COCO knows images, so votes on clusters cannot go this way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.exchange import Imported, Intake, stable_id
from biomedica_assets.lib.annotate.form import QUESTIONS, SETS, Answer, guideline
from biomedica_assets.lib.annotate.plain import as_list, as_object
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import IMAGE_TASKS, Vote
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import IMAGES

FLAGS = ("mixed", "cant_tell")
TIME = "1970-01-01T00:00:00.000+00:00"  # a file of another tool seldom says when
_KEPT = ("annotator", "vote_id", "source", "task", "time", "taxonomy_version", "guideline_version")
_COLUMNS = ("media_id", "path", "key", "width", "height")


def export_coco(lake: Lake, votes: Iterable[Vote], taxonomy: Taxonomy) -> tuple[str, int]:
    """Votes on single images as COCO JSON, and how many votes on clusters were left out.

    Args:
        lake: reads ``images``.
        votes: those that count.
        taxonomy: the vocabulary.
    """
    given = [vote for vote in votes if vote.answer is not None]
    mine = [vote for vote in given if vote.media_id is not None]
    ids = sorted({str(vote.media_id) for vote in mine})
    known = lake.scan(IMAGES).filter(pl.col("media_id").is_in(ids)).select(_COLUMNS).collect()
    rows = {row["media_id"]: row for row in known.iter_rows(named=True)}
    numbers = {media_id: number for number, media_id in enumerate(ids, 1)}
    images = [
        {
            "id": numbers[media_id],
            "file_name": rows[media_id]["path"] if media_id in rows else media_id,
            "width": rows[media_id]["width"] if media_id in rows else 0,
            "height": rows[media_id]["height"] if media_id in rows else 0,
            "media_id": media_id,
        }
        for media_id in ids
    ]
    names = [c.id for c in taxonomy.concepts.values() if not c.deprecated]
    names += [*sorted({c for vote in mine for c in _narrowest(vote.answer, taxonomy)} - {*names, *FLAGS}), *FLAGS]
    categories = [
        {"id": number, "name": name, "supercategory": "answer" if name in FLAGS else taxonomy.top(name)}
        for number, name in enumerate(names, 1)
    ]
    place = {category["name"]: category["id"] for category in categories}
    annotations: list[dict[str, Any]] = []
    for vote in mine:
        row, image = rows.get(str(vote.media_id), {}), numbers[str(vote.media_id)]
        box = [0, 0, row.get("width", 0), row.get("height", 0)]
        for name in _narrowest(vote.answer, taxonomy):
            one = {"id": len(annotations) + 1, "image_id": image, "category_id": place[name]}
            more = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "attributes": _attributes(vote)}
            annotations.append(one | more)
    info = {"description": "votes on images of biomedica_assets", "version": taxonomy.version}
    whole = {"info": info, "licenses": [], "images": images, "categories": categories, "annotations": annotations}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n", len(given) - len(mine)


def _narrowest(answer: Answer | None, taxonomy: Taxonomy) -> list[str]:
    """Concepts of an answer without those that follow from a narrower one, then its flags."""
    if answer is None:
        return []
    every = [concept for question in QUESTIONS for concept in answer.given(question)]
    implied = {taxonomy.top(concept) for concept in every if taxonomy.get(concept).broader and _has_top(concept)}
    flags = [flag for flag in FLAGS if getattr(answer, flag)]
    return [concept for concept in every if concept not in implied] + flags


def _has_top(concept_id: str) -> bool:
    return not concept_id.startswith("content-")  # the top of a concept of content is no answer of its own


def _attributes(vote: Vote) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(vote, name) for name in _KEPT}
    found |= {"seconds": vote.seconds} if vote.seconds is not None else {}
    answer = vote.answer
    found |= {"comment": answer.comment} if answer and answer.comment else {}
    none = [q for q in SETS if answer and answer.concepts.get(q) == ()]
    return found | ({"none": ",".join(none)} if none else {})


def import_coco(path: Path, taxonomy: Taxonomy, lake: Lake, *, annotator: str | None = None) -> Imported:
    """Read votes on images from COCO.

    Annotations of one image and one vote (or one person) are one vote. Categories are ids or names of concepts. An
    image is known by ``media_id``, else by its file name.

    Args:
        path: the file.
        taxonomy: the vocabulary.
        lake: reads ``images``.
        annotator: whose annotations they are that name nobody.

    Raises:
        PermanentFailure: the file is no COCO file.
    """
    try:
        raw = as_object(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise PermanentFailure(f"{path} cannot be read as COCO: {error}") from error
    parts = {name: as_list(raw.get(name)) if raw else None for name in ("images", "categories", "annotations")}
    if lacking := [name for name, part in parts.items() if part is None]:
        raise PermanentFailure(f"{path} is no COCO file: it has no list {lacking[0]!r}")
    images, categories, annotations = ([as_object(one) or {} for one in parts[name] or ()] for name in parts)
    media = _media(images, lake)
    names = {str(c.get("id")): str(c.get("name")) for c in categories}
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in annotations:
        said = as_object(one.get("attributes")) or {}
        groups.setdefault((str(one.get("image_id")), str(said.get("vote_id") or said.get("annotator"))), []).append(one)
    intake = Intake(path.name, taxonomy)
    for (image, _), group in groups.items():

        def record(image: str = image, group: list[Mapping[str, Any]] = group) -> dict[str, Any]:
            if image not in media:
                raise ValueError("the image is none of ours, by media_id or by file name")
            concepts = [names.get(str(one.get("category_id")), "") for one in group]
            return _record(media[image], concepts, group, taxonomy, annotator)

        intake.take(f"image {image}, annotation {group[0].get('id')}", record)
    return intake.done()


def _record(
    media_id: str,
    given: list[str],
    group: list[Mapping[str, Any]],
    taxonomy: Taxonomy,
    annotator: str | None,
) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for one in group:  # an annotation that was added in the tool lacks what the others carry
        said = {**(as_object(one.get("attributes")) or {}), **said}
    who = said.get("annotator") or annotator
    if not who:
        raise ValueError("the annotation does not say whose it is (attributes.annotator); give --annotator")
    if said.get("task", "override") not in IMAGE_TASKS:
        raise ValueError(f"task {said['task']!r} is none for an image")
    answer: dict[str, Any] = {flag: flag in given for flag in FLAGS} | {"comment": said.get("comment")}
    answer |= {question: [] for question in filter(None, str(said.get("none") or "").split(","))}
    for name in dict.fromkeys(given):
        if name not in FLAGS:
            _put(answer, concept_of(name, taxonomy), taxonomy)
    plain = {
        "vote_id": stable_id("coco", who, media_id),
        "annotator": who,
        "source": "human",
        "task": "override",
        "media_id": media_id,
        "answer": answer,
        "seconds": said.get("seconds"),
        "time": TIME,
        "taxonomy_version": taxonomy.version,
        "guideline_version": guideline().version,
    }
    return plain | {name: said[name] for name in _KEPT if said.get(name)}


def _put(answer: dict[str, Any], concept_id: str, taxonomy: Taxonomy) -> None:
    """Answer the questions that a concept answers, those of the wider one included."""
    axis, top = taxonomy.get(concept_id).axis, taxonomy.top(concept_id)
    if axis == "content":
        answer["content"] = [*(answer.get("content") or []), concept_id]
        return
    if axis == "panel":
        answer["panel_type"] = top
        if concept_id != top:
            answer["panel_subtype"] = concept_id
        return
    answer["global"] = sorted({*(answer.get("global") or []), top})
    if concept_id != top:
        answer["local"] = [*(answer.get("local") or []), concept_id]


def concept_of(name: str, taxonomy: Taxonomy) -> str:
    """Id of a concept by its id or preferred name.

    Raises:
        ValueError: there is none, or two axes share the name.
    """
    if name in taxonomy:
        return name
    found = [c.id for c in taxonomy.concepts.values() if c.label.casefold() == name.strip().casefold()]
    if len(found) != 1:
        raise ValueError(f"category {name[:80]!r} is {'no concept' if not found else 'more than one concept'}")
    return found[0]


def _media(images: list[dict[str, Any]], lake: Lake) -> dict[str, str]:
    """Number of an image in the file -> media_id, where ours has the same id or, being the only one, file name."""
    wanted = {str(one.get("id")): (one.get("media_id"), _base(one.get("file_name"))) for one in images}
    ids = [str(media_id) for media_id, _ in wanted.values() if media_id]
    files = [name for _, name in wanted.values() if name]
    base = pl.col("key").str.split("/").list.last()
    path = pl.col("path").str.split("/").list.last()
    rows = (
        lake.scan(IMAGES)
        .filter(pl.col("media_id").is_in(ids) | base.is_in(files) | path.is_in(files))
        .select("media_id", base=base, path=path)
        .collect()
    )
    known = set(rows["media_id"])
    by_name: dict[str, set[str]] = {}
    for media_id, *names in rows.iter_rows():
        for name in set(names):
            by_name.setdefault(name, set()).add(media_id)
    found: dict[str, str] = {}
    for number, (media_id, name) in wanted.items():
        same = by_name.get(name or "", set())
        if media_id and str(media_id) in known:
            found[number] = str(media_id)
        elif not media_id and len(same) == 1:
            found[number] = next(iter(same))
    return found


def _base(name: object) -> str | None:
    return PurePosixPath(str(name).replace("\\", "/")).name if name else None
