"""What each source of labels is worth and what all are together, on a demo whose truth is known, with 0, 50, 200 votes.

Takes images, text labels, vectors and clusters of a data directory that ``make demo`` made. Of N votes of simulated
people with known error rates, half go to clusters, the largest first, half to single images. Scored are images that
nobody judged alone. A source and the combination are compared on the images of which that source says something (its
coverage), then all on all images: F1 of concepts likelier than not, and the Brier score over all concepts of the level
that the truth knows (mean over images and concepts; a concept that is not named has probability 0).

    python benchmarks/label_sources.py [DATA] [--seeds 5]
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.commands.showcase import image_truth
from biomedica_assets.lib.annotate import consensus, simulate
from biomedica_assets.lib.annotate.labels import propagate
from biomedica_assets.lib.annotate.sources import claims, combine, model, trust
from biomedica_assets.lib.annotate.tally import votes_frame
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of
from biomedica_assets.lib.tables import ANNOTATIONS, CLUSTERS, EMBEDDINGS, IMAGES, TEXT_LABELS

TAXONOMY = load()


class Demo:
    """What is read once."""

    def __init__(self, root: Path) -> None:
        lake = Lake(root)
        self.truth = image_truth(lake, load_truth(root / "demo_truth.json"), TAXONOMY)
        known = self.truth["media_id"].implode()
        media = lake.scan(IMAGES).select("media_id", "figure_id", "article_id").sort("media_id").collect()
        self.media = media.filter(pl.col("media_id").is_in(known))
        self.text = claims.of_text_frame(self.media.select("media_id", "figure_id"), lake.scan(TEXT_LABELS).collect())
        self.clusters = lake.scan(CLUSTERS).drop("chunk").collect()
        found: dict[str, np.ndarray] = {}
        for chunk in lake.partitions(EMBEDDINGS):
            vectors = vectors_of(lake, EMBEDDINGS, chunk).map()
            rows = lake.read_lazy(EMBEDDINGS, chunk).select("media_id", "row").collect()
            found |= {media_id: np.array(vectors[row]) for media_id, row in rows.iter_rows()}
        self.vectors = found


def cast(demo: Demo, n: int, seed: int) -> tuple[pl.DataFrame, set[str]]:
    """``n`` votes as ``expert_votes``, and the images that were judged alone."""
    right = simulate.cluster_truth(demo.clusters, demo.truth)
    sizes = dict(demo.clusters.group_by("cluster").len().iter_rows())
    order = sorted(right, key=lambda cluster: (-sizes[cluster], cluster))
    asked = [(who, cluster) for who in simulate.THREE for cluster in order][: n // 2]
    digest = str(demo.clusters["model"][0])
    votes = []
    for who in simulate.THREE:
        mine = {cluster: right[cluster] for other, cluster in asked if other is who}
        votes += simulate.vote_on_clusters(mine, [who], digest, TAXONOMY, seed=seed)
    place = {m: hashlib.sha256(f"{seed}:{m}".encode()).hexdigest() for m in demo.media["media_id"]}
    drawn = set(sorted(place, key=lambda m: place[m])[: n - n // 2])
    votes += simulate.vote_on_images(demo.truth, drawn, simulate.THREE[1], digest, TAXONOMY, seed=seed)
    return votes_frame([(vote, "active") for vote in votes]), drawn


def told(demo: Demo, votes: pl.DataFrame) -> pl.DataFrame:
    """``label_claims`` of text, votes and, learnt from them, the model."""
    digest = str(demo.clusters["model"][0])
    settled = consensus.consensus(votes, digest, rules=consensus.Rules(min_votes=1), taxonomy=TAXONOMY)
    settled = settled if settled.height else ANNOTATIONS.empty()
    said = pl.concat([demo.text, claims.propagated_claims(propagate(demo.clusters, settled, {}))])
    people = trust.verdicts_of_people(votes, TAXONOMY).select(
        "media_id", concept_id=pl.col("concept_id").fill_null("none"), source=pl.lit("person"), symbol=pl.lit("yes")
    )
    articles = demo.media.select("media_id", "article_id")
    known = pl.concat([claims.upward(said, TAXONOMY), people]).join(articles, on="media_id")
    known = known.with_columns(simulated=pl.lit(value=True))
    taught = model.targets(known, TAXONOMY)
    vectors = np.stack([demo.vectors[m] for m in taught.media_ids]).astype(np.float32)
    learnt, _ = model.fit(vectors, taught, TAXONOMY)
    every = demo.media.filter(pl.col("media_id").is_in(list(demo.vectors)))
    vectors = np.stack([demo.vectors[m] for m in every["media_id"]]).astype(np.float32)
    p = model.answers(learnt, vectors, every["article_id"].to_list(), TAXONOMY)
    found = claims.model_claims(model.long(every["media_id"].to_list(), learnt.concepts, p))
    return pl.concat(
        [known, found.join(articles, on="media_id").with_columns(simulated=pl.lit(value=True)).select(known.columns)]
    )


def scored(said: pl.DataFrame, truth: pl.DataFrame, media_ids: Sequence[str], question: str) -> tuple[float, float]:
    """F1 and Brier score of probabilities (media_id, concept_id, p) on images."""
    concepts = sorted({c for row in truth[question] for c in row})
    at, column = {m: n for n, m in enumerate(media_ids)}, {c: n for n, c in enumerate(concepts)}
    p, y = np.zeros((len(media_ids), len(concepts) + 1)), np.zeros((len(media_ids), len(concepts) + 1))
    extra = 0
    for media_id, concept, value in said.select("media_id", "concept_id", "p").iter_rows():
        if media_id in at and concept in column:
            p[at[media_id], column[concept]] = value
        elif media_id in at:
            extra += value > combine.LEAST
    for media_id, shown in truth.select("media_id", question).iter_rows():
        for concept in shown if media_id in at else ():
            y[at[media_id], column[concept]] = 1
    named = p > combine.LEAST
    right, n_said, n_true = float((named * y).sum()), float(named.sum()) + extra, float(y.sum())
    f1 = 2 * right / (n_said + n_true) if n_said + n_true else 0.0
    return f1, float(((p - y) ** 2)[:, :-1].mean())


def one(demo: Demo, n: int, seed: int) -> list[dict[str, object]]:
    """Scores of every source and the combination with ``n`` votes."""
    votes, drawn = cast(demo, n, seed)
    known = told(demo, votes)
    candidates, sources, _ = trust.judged_items(known, TAXONOMY)
    fitted = trust.as_trust(trust.estimate(candidates, sources))
    rest = [m for m in demo.media["media_id"] if m not in drawn]
    together = combine.capped(candidates.with_columns(combine.probabilities(candidates, sources, fitted)), TAXONOMY)
    rows: list[dict[str, object]] = []
    for question, level in (("global", "top"), ("local", "narrower")):
        all_together = together.filter(level=level)
        for source in [*sources, combine.COMBINED]:
            if source == combine.COMBINED:
                mine, covered = all_together, rest
            else:
                alone = candidates.with_columns(combine.probabilities(candidates, [source], fitted))
                alone = alone.filter(pl.col(source).is_not_null())
                heard = set(alone["media_id"])
                covered = [m for m in rest if m in heard]
                mine = combine.capped(alone, TAXONOMY).filter(combine.names(source), level=level)
            f1, brier = scored(mine, demo.truth, covered, question)
            f1_all, brier_all = scored(mine, demo.truth, rest, question)
            f1_both, brier_both = scored(all_together, demo.truth, covered, question)
            rows.append(
                {"votes": n, "question": question, "source": source, "coverage": len(covered) / len(rest)}
                | {"f1": f1, "brier": brier, "f1_combined": f1_both, "brier_combined": brier_both}
                | {"f1_all": f1_all, "brier_all": brier_all}
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("data/demo"), help="what `make demo` made")
    parser.add_argument("--seeds", type=int, default=5, help="draws of votes; their means are printed")
    parser.add_argument("--votes", type=int, nargs="+", default=[0, 50, 200])
    args = parser.parse_args()
    if not (args.data / "demo_truth.json").exists():
        print(f"There is no demo at {args.data}; `make demo` makes one.")
        return
    demo = Demo(args.data)
    print(f"{demo.media.height} images of {demo.media['article_id'].n_unique()} invented articles, {args.seeds} draws")
    rows = [row for n in args.votes for seed in range(args.seeds if n else 1) for row in one(demo, n, seed)]
    mean = pl.DataFrame(rows).group_by("votes", "question", "source", maintain_order=True).mean()
    print(f"{'':42}{'on what the source covers':^38}{'on all images':^16}")
    print(
        f"{'votes':>5} {'question':<9}{'source':<12}{'coverage':>9}"
        f"{'F1':>9}{'combined':>9}{'Brier':>9}{'combined':>9}{'F1':>9}{'Brier':>9}"
    )
    for row in mean.iter_rows(named=True):
        print(
            f"{row['votes']:>5} {row['question']:<9}{row['source']:<12}{row['coverage']:>9.3f}{row['f1']:>9.3f}"
            f"{row['f1_combined']:>9.3f}{row['brier']:>9.4f}{row['brier_combined']:>9.4f}{row['f1_all']:>9.3f}"
            f"{row['brier_all']:>9.4f}"
        )


if __name__ == "__main__":
    main()
