"""Pass a release on to a Hugging Face dataset repository; a dry run unless told otherwise, and never a doubtful one.

Before a byte leaves, the release is hashed again, and the licence and the state of every sample are looked up once more
in the tables that travel with it: what is published cannot be taken back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

from biomedica_assets.lib import licenses
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import FOLDER, scan
from biomedica_assets.lib.release.hub import Plan, Repository, check_name
from biomedica_assets.lib.release.hub_answers import Tell, silent
from biomedica_assets.lib.release.manifest import ReleaseFile
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.tables import ARTICLES, FIGURES, PUBMED_RECORDS, SHARDS, SOURCES

_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """What was, or would be, uploaded.

    Attributes:
        repo: name of the repository.
        files: all files of the release.
        bytes: of all of them.
        address: of the commit; None for a dry run.
        sent: files that the repository lacked; of a dry run, empty.
        removed: paths that were taken away, in that order.
        withdrawn: path -> withdrawn articles in it, of those that were taken away.
    """

    repo: str
    files: tuple[ReleaseFile, ...]
    bytes: int
    address: str | None
    sent: tuple[ReleaseFile, ...] = ()
    removed: tuple[str, ...] = ()
    withdrawn: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict[str, tuple[str, ...]])


def upload(
    release: Path,
    repo: str,
    *,
    dry_run: bool = True,
    private: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress = SILENT,
    tell: Tell = silent,
) -> Upload:
    """Make a dataset repository hold a release: exactly the files that its manifest names, and the manifest.

    What is there with the same digest is not sent again, so an upload that was interrupted goes on where it ended, and
    a second one of the same release changes nothing. Files of an earlier release that the manifest does not name are
    taken away in the same commit, those with withdrawn articles first.

    Args:
        release: folder of the release.
        repo: ``name`` or ``organisation/name``.
        dry_run: check everything and send nothing; the Hub is not asked.
        private: whether the repository is private; one that is there must be what is said here.
        token: access token; None takes ``HF_TOKEN``, or the one that ``hf auth login`` stored.
        endpoint: other hub than huggingface.co.
        progress: counts files that are hashed, then bytes that are sent.
        tell: told when the Hub makes us wait.

    Raises:
        PermanentFailure: a check on name, manifest, licence or retraction fails; nothing was sent.
        HubRefusal: the Hub says no, in one line; nothing that readers see has changed.
    """
    check_name(repo)
    there = None
    if not dry_run:
        there = Repository(repo, endpoint=endpoint, token=token, tell=tell)
        there.check(private=private)
    if problems := refusals(release, progress):
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise PermanentFailure(f"{release} is not uploaded:\n  {shown}{more}\nBuild the release again and upload that.")
    manifest = manifests.load(release)
    files = (*manifest.files, manifests.entry(release, release / manifests.NAME, "manifest"))
    size = sum(file.bytes for file in files)
    if there is None:
        return Upload(repo, files, size, None)
    there.make(private=private)
    plan = there.plan(release, files)
    withdrawn = _withdrawn(there, plan, release)
    first = sorted(withdrawn)
    address = there.commit(
        release, plan, first, f"{manifest.name} {manifest.version}",
        f"Inventory {manifest.inventory['snapshot']}, key {manifest.key}", progress,
    )  # fmt: skip
    removed = (*first, *(path for path in plan.remove if path not in withdrawn))
    return Upload(there.repo, files, size, address, plan.send, removed, withdrawn)


def _withdrawn(there: Repository, plan: Plan, release: Path) -> dict[str, tuple[str, ...]]:
    """Which of the shards to be taken away hold which withdrawn articles, by the table of the release they are from."""
    going = [path for path in plan.remove if path.endswith(".tar")]
    if not going:
        return {}
    arrow: Any = pq
    gone = pl.read_csv(release / "TOMBSTONES.csv", schema={"article_id": pl.String(), "reason": pl.String()})
    articles = gone["article_id"].implode()
    found: dict[str, tuple[str, ...]] = {}
    tables = tuple(f"{FOLDER}/{table.name}/" for table in (SHARDS, SOURCES))
    for path in sorted(path for path in there.files() if path.startswith(tables)):
        with there.open(path, plan.head) as handle:
            columns = pl.DataFrame(arrow.read_table(handle, columns=["shard", "article_id"]))
        rows = columns.filter(pl.col("shard").is_in(going), pl.col("article_id").is_in(articles)).unique()
        for (shard,), part in rows.sort("shard", "article_id").group_by("shard", maintain_order=True):
            found[str(shard)] = tuple(part["article_id"])
    return found


def refusals(release: Path, progress: Progress = SILENT) -> list[str]:
    """Why a release must not be passed on, one sentence each; empty if nothing speaks against it."""
    found = [f"manifest: {difference}" for difference in verify(release, progress)]
    if found:
        # Tables that are not those of the manifest prove nothing.
        return found
    return [sentence for check in _CHECKS for sentence in check(release)]


def _licences(release: Path) -> list[str]:
    rules = manifests.load(release).rules
    codes = licenses.codes_of(tuple(rules["license_groups"]))
    allowed = [code for code in codes if rules["no_derivatives"] or not code.endswith("ND")]
    figures = scan(release, FIGURES).select("figure_id", pl.col("license_code").alias("figure_code"))
    articles = scan(release, ARTICLES).select("article_id", pl.col("license_code").alias("article_code"))
    samples = (
        scan(release, SHARDS).join(figures, on="figure_id", how="left").join(articles, on="article_id", how="left")
    )
    bad = samples.filter(
        ~pl.col("figure_code").is_in(allowed).fill_null(value=False)
        | ~pl.col("article_code").is_in(allowed).fill_null(value=False)
        | ~pl.col("license_group").is_in(rules["license_groups"])
    )
    return [
        f"licence: sample {key} of {article} has licence {code or 'unknown'}"
        for key, article, code in bad.select("sample_key", "article_id", "figure_code").collect().iter_rows()
    ]


def _retractions(release: Path) -> list[str]:
    tombs = pl.read_csv(release / "TOMBSTONES.csv", schema={"article_id": pl.String(), "reason": pl.String()})
    named = scan(release, ARTICLES).filter("is_retracted").select("article_id").collect()
    pubmed = scan(release, PUBMED_RECORDS).filter("is_retracted").select("article_id").collect()
    gone = pl.concat([tombs.select("article_id"), named, pubmed])["article_id"].unique()
    samples = scan(release, SHARDS).filter(pl.col("article_id").is_in(gone.implode())).collect()
    return [
        f"retraction: sample {key} is of {article}, which is retracted or withdrawn"
        for key, article in samples.select("sample_key", "article_id").iter_rows()
    ]


def _attribution(release: Path) -> list[str]:
    named = pl.read_csv(release / "ATTRIBUTION.csv", columns=["article_id"])["article_id"]
    missing = scan(release, SHARDS).filter(~pl.col("article_id").is_in(named.implode())).select("article_id").collect()
    return [f"attribution: {article} is not in ATTRIBUTION.csv" for article in missing["article_id"].unique().sort()]


_CHECKS: tuple[Callable[[Path], list[str]], ...] = (_licences, _retractions, _attribution)
