"""Votes as a table: the frame that consensus and agreement count, and the stage that publishes it.

``expert_votes`` is an external asset: people make it, so nothing materialises it but the arrival of votes. The stage
here writes the table from the vote files; equal files give an equal data version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from biomedica_assets.lib.annotate.ballots import BallotBox, votes_digest
from biomedica_assets.lib.annotate.draws import inclusion_of
from biomedica_assets.lib.annotate.form import QUESTIONS, SETS
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.votes import Vote
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CLUSTER_MODEL, EXPERT_VOTES

VERSION = "2"


def votes_frame(votes: list[tuple[Vote, str]], inclusion: Mapping[str, float] | None = None) -> pl.DataFrame:
    """Votes in the schema of ``expert_votes``, sorted by vote id.

    Args:
        votes: with their status (``BallotBox.with_status``).
        inclusion: media_id -> probability with which an image was drawn for the audit.
    """
    drawn = inclusion or {}
    rows: list[dict[str, object]] = []
    for vote, status in votes:
        row: dict[str, object] = {name: getattr(vote, name, None) for name in EXPERT_VOTES.schema}
        answer = vote.answer
        if answer is None:
            continue
        row |= {q: answer.one(q) if q not in SETS else None for q in QUESTIONS}
        row |= {q: list(answer.given(q)) for q in SETS if q in answer.concepts}
        row |= {"mixed": answer.mixed, "cant_tell": answer.cant_tell, "comment": answer.comment, "status": status}
        row |= {"inclusion": drawn.get(vote.media_id or "") if vote.task == "audit" else None}
        rows.append(row)
    return EXPERT_VOTES.frame(rows).sort("vote_id")


def read_votes(lake: Lake) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table ``expert_votes`` and its entry for a manifest; empty, and none, before anybody has voted."""
    if lake.manifest(EXPERT_VOTES, None) is None:
        return EXPERT_VOTES.empty(), {}
    inputs = lake.inputs((EXPERT_VOTES, None))
    return lake.read(EXPERT_VOTES, None), inputs


def current_model(lake: Lake) -> tuple[str, dict[str, str]]:
    """Digest of the cluster model that cluster numbers mean now, and its entry for a manifest.

    Raises:
        StoreError: ``cluster_model`` has not been materialised.
    """
    inputs = lake.inputs((CLUSTER_MODEL, None))
    models = lake.read(CLUSTER_MODEL, None)["model"].unique().to_list()
    if len(models) != 1:
        raise StoreError(f"cluster_model names {len(models)} models, expected one; materialise it again")
    return str(models[0]), inputs


def collect_votes(lake: Lake) -> Report:
    """Write the table ``expert_votes`` from the vote files; every line is a vote, a withdrawal or a reject.

    ``n_in`` counts lines (and a torn last one), ``n_out`` votes and withdrawals.
    """
    taxonomy = load()
    box = BallotBox(lake.root, taxonomy)
    frame = votes_frame(box.with_status(), inclusion_of(lake.root))
    rejects = box.rejects()
    n_out = len(box.votes())
    digest = votes_digest(lake.root)
    manifest = lake.publish(
        EXPERT_VOTES,
        None,
        frame,
        code_version=VERSION,
        inputs={},
        config={"taxonomy_version": taxonomy.version},
        rejects=rejects,
        n_in=n_out + len(rejects),
        n_out=n_out,
        metrics={"files_digest": digest},
    )
    active = frame.filter(pl.col("status") == "active")
    return Report(
        asset=EXPERT_VOTES.name,
        partition=None,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=manifest.n_in,
        n_out=n_out,
        rejects=Counter(str(r.reason) for r in rejects),
        bytes_written=manifest.bytes,
        metrics={
            "annotators": active["annotator"].n_unique(),
            "clusters": active["cluster"].drop_nulls().n_unique(),
            "active": active.height,
            "replaced_or_withdrawn": frame.height - active.height,
            "simulated_votes": active.filter(pl.col("source") == "simulated").height,
            "files_digest": digest,
        },
        preview=tuple(
            active.select("annotator", "source", "task", "cluster", "panel_type", "time").head(10).iter_rows(named=True)
        ),
    )
