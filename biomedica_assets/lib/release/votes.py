"""Votes as a release carries them: those that count, with nothing in them that tells who gave them.

Belongs here: pseudonyms. The rules:

* Annotators become ``human-1``, ``simulated-2`` …, numbered by a digest of what each of them voted, never by name: a
  list of who took part, sorted or not, leads to nobody. The numbers are those of one release; another may number
  otherwise.
* Ids of votes are made anew: importers and simulations make theirs of names.
* Comments, time spent and time of day are left out.

Doing it twice changes nothing, so that a rebuild, which begins with votes under pseudonyms, ends with the same.
"""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import ANNOTATIONS, EXPERT_VOTES

_DAY = len("2026-11-21")


def released(lake: Lake) -> tuple[pl.DataFrame, dict[str, str]]:
    """The votes that count, and how their ids are called in the release; nothing if nobody voted."""
    if not lake.manifest(EXPERT_VOTES, None):
        return EXPERT_VOTES.empty(), {}
    votes = lake.read(EXPERT_VOTES, None).filter(status="active").with_columns(
        pl.lit(None, pl.String()).alias("comment"),
        pl.lit(None, pl.Float32()).alias("seconds"),
        pl.col("time").str.slice(0, _DAY),
    )  # fmt: skip
    said = votes.drop("vote_id", "annotator").rows()
    marked = votes.select("source", "annotator", "vote_id").with_columns(
        said=pl.Series([digest(repr(s)) for s in said], dtype=pl.String())
    )
    people = marked.group_by("source", "annotator").agg(pl.col("said").sort())
    # Whoever voted alike in all cannot be told apart, whichever of them comes first.
    people = people.with_columns(all=pl.col("said").list.join("")).sort("source", "all", "annotator")
    digits = len(str(people.height))
    called = {row: f"{row[0]}-{n:0{digits}}" for n, row in enumerate(people.select("source", "annotator").rows(), 1)}
    names = [called[row] for row in marked.select("source", "annotator").iter_rows()]
    ids = [f"vote-{digest(name, what)}" for name, what in zip(names, marked["said"], strict=True)]
    found = votes.with_columns(annotator=pl.Series(names, dtype=pl.String()), vote_id=pl.Series(ids, dtype=pl.String()))
    found = found.select(EXPERT_VOTES.schema.names()).sort("vote_id")
    return found, dict(zip(votes["vote_id"], ids, strict=True))


def renamed(rows: pl.DataFrame, ids: dict[str, str]) -> pl.DataFrame:
    """Rows of ``annotations`` with the votes they rest on called as in the release, in the order of those names."""
    names = pl.col("votes").list.eval(pl.element().replace(ids).sort())
    return rows.with_columns(names).select(ANNOTATIONS.schema.names())
