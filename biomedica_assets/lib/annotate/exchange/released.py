"""Votes as a release carries them: the table ``expert_votes`` under pseudonyms, back into vote files."""

from __future__ import annotations

from typing import Any

import polars as pl

from biomedica_assets.lib.annotate.exchange import Imported, Intake
from biomedica_assets.lib.annotate.form import SETS, SINGLE_CHOICE
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy

_PLAIN = (
    "vote_id", "annotator", "source", "task", "cluster", "media_id", "cluster_model", "seconds", "time",
    "taxonomy_version", "guideline_version",
)  # fmt: skip


def import_rows(rows: pl.DataFrame, taxonomy: Taxonomy) -> Imported:
    """Votes from rows of ``expert_votes``; what is no valid vote becomes a reject."""
    intake = Intake("expert_votes", taxonomy)
    for row in rows.iter_rows(named=True):
        intake.take(str(row["vote_id"]), lambda row=row: _record(row))
    return intake.done()


def _record(row: dict[str, Any]) -> dict[str, Any]:
    answer = {name: row[name] for name in (*SINGLE_CHOICE, *SETS, "mixed", "cant_tell", "comment")}
    return {**{name: row[name] for name in _PLAIN}, "answer": answer}
