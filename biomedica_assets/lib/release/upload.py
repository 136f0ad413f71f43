"""Pass a release on to a Hugging Face dataset repository; a dry run unless told otherwise, and never a doubtful one.

Before a byte leaves, the release is hashed again, and the licence and the state of every sample are looked up once more
in the tables that travel with it: what is published cannot be taken back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib import licenses
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import ReleaseFile
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.tables import ARTICLES, FIGURES, PUBMED_RECORDS, SHARDS

_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """What was, or would be, uploaded; ``address`` is None for a dry run."""

    repo: str
    files: tuple[ReleaseFile, ...]
    bytes: int
    address: str | None


def upload(
    release: Path,
    repo: str,
    *,
    dry_run: bool = True,
    private: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
    progress: Progress = SILENT,
) -> Upload:
    """Check a release and upload it as one dataset repository.

    ``huggingface_hub.upload_folder`` sends it: since version 2 it does what ``upload_large_folder`` did (hashes while
    it sends, commits in parts, resumes when called again).

    Args:
        release: folder of the release.
        repo: ``name`` or ``organisation/name``.
        dry_run: check everything and send nothing.
        private: whether a repository made by this call is private.
        token: access token; None takes the one that ``hf auth login`` stored.
        endpoint: other hub than huggingface.co.
        progress: counts files that are hashed.

    Raises:
        PermanentFailure: a check on manifest, licence or retraction fails; nothing was sent.
    """
    if problems := refusals(release, progress):
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise PermanentFailure(f"{release} is not uploaded:\n  {shown}{more}\nBuild the release again and upload that.")
    manifest = manifests.load(release)
    files = (*manifest.files, manifests.entry(release, release / manifests.NAME, "manifest"))
    address = None
    if not dry_run:
        import huggingface_hub

        api: Any = huggingface_hub.HfApi(endpoint=endpoint, token=token)
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=release,
            commit_message=f"{manifest.name} {manifest.version}",
            commit_description=f"Inventory {manifest.inventory['snapshot']}, key {manifest.key}",
        )
        address = str(commit.commit_url)
    return Upload(repo, files, sum(file.bytes for file in files), address)


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
