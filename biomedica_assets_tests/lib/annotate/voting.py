"""Votes for tests, short to write."""

from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.annotate.votes import Vote, read_vote
from biomedica_assets_tests.lib.annotate.synthetic import MODEL

BAR = {"panel_type": "panel-single", "global": ["kind-plot"], "local": ["kind-bar-plot"], "content": []}
LINE = BAR | {"local": ["kind-line-plot"]}
MICRO = {
    "panel_type": "panel-multiple",
    "global": ["kind-microscopy"],
    "local": ["kind-confocal-microscopy"],
    "content": [],
}
CANT_TELL = {"cant_tell": True}


def record(vote_id: str, annotator: str, cluster: int | None, answer: dict | None, **changes: object) -> dict:
    plain = {
        "vote_id": f"vote-{vote_id}",
        "annotator": annotator,
        "source": "human",
        "task": "label",
        "cluster": cluster,
        "media_id": None,
        "cluster_model": MODEL,
        "answer": answer,
        "withdraws": None,
        "seconds": 2.5,
        "time": "2026-01-02T03:04:05.000+00:00",
        "taxonomy_version": "1.0.0",
        "guideline_version": "1.0.0",
    }
    return plain | changes


def vote(vote_id: str, annotator: str, cluster: int | None, answer: dict | None, **changes: object) -> Vote:
    return read_vote(record(vote_id, annotator, cluster, answer, **changes), load())
