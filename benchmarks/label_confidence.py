"""Whether the confidence of labels tells right from wrong ones, with and without what their neighbours say.

On the demo and on drawn figures, whose truth is known: labels of clusters after votes of simulated people. AUROC
(does a right label have a higher confidence than a wrong one?) and Brier score (mean squared error of the
confidence), before any audit, for: sureness (agreement x purity x margin), fit (share of the ten nearest images with
the same label), their product, and the mean that ``labels.propagate`` takes. Then the misfits: how many labels of
kind they mark, and how many of these and of the others are wrong. Last, figure_labels as they are in DATA, of images
at which nobody looked.

    python benchmarks/label_confidence.py [DATA] [--figures 900] [--seeds 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from annotation_loop import CHUNK, draw
from sklearn.metrics import roc_auc_score

from biomedica_assets.commands.showcase import image_truth
from biomedica_assets.lib.annotate import consensus, simulate
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.form import QUESTIONS, SETS
from biomedica_assets.lib.annotate.labels import HUMAN, propagate
from biomedica_assets.lib.annotate.tally import collect_votes, current_model
from biomedica_assets.lib.annotate.taxonomy.model import load, stage_taxonomy
from biomedica_assets.lib.cluster import FitSettings, assign_chunk, fit_clusters
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo import load_truth
from biomedica_assets.lib.embed import embed_chunk, find_neighbours, open_encoder, shelve
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ANNOTATIONS, CLUSTERS, FIGURE_LABELS, NEIGHBOURS

Values = npt.NDArray[np.float64]
SCORES: dict[str, Callable[[Values, Values], Values]] = {
    "sureness": lambda sure, _: sure,
    "fit": lambda _, fit: fit,
    "product": lambda sure, fit: sure * fit,
    "mean, 1:3": lambda sure, fit: (sure + 3 * fit) / 4,
}


def pairs(labels: pl.DataFrame, truth: pl.DataFrame, question: str, confidence: str) -> pl.DataFrame:
    """media_id, concept, right, confidence, misfit: one row per label whose truth is known."""
    joined = labels.join(truth, on="media_id", suffix="_true").drop_nulls([question, f"{question}_true"])
    right = pl.col("concept") == pl.col(f"{question}_true")
    if question in SETS:
        right = pl.col(f"{question}_true").list.contains(pl.col("concept"))
    rows = joined.with_columns(concept=pl.col(question))
    rows = rows.explode("concept", keep_nulls=False, empty_as_null=False) if question in SETS else rows
    return rows.select("media_id", "concept", "misfit", right=right, confidence=f"{question}_{confidence}")


def measured(
    clusters: pl.DataFrame, annotations: pl.DataFrame, neighbours: pl.DataFrame, truth: pl.DataFrame
) -> list[dict[str, object]]:
    """AUROC and Brier of each score by question, and what misfits are worth."""
    sure = propagate(clusters, annotations, {})
    fitted = propagate(clusters, annotations, {}, neighbours)
    rows: list[dict[str, object]] = []
    for question in QUESTIONS:
        one, two = (pairs(f, truth, question, "raw") for f in (sure, fitted))
        if one.height < 2 or one["right"].all() or not one["right"].any():
            continue
        right, mean = one["right"].to_numpy().astype(float), two["confidence"].to_numpy()
        alone = one["confidence"].to_numpy()
        fit = np.clip((4 * mean - alone) / 3, 0, 1)
        for name, score in SCORES.items():
            value = score(alone, fit)
            brier = float(((value - right) ** 2).mean())
            row = {"question": question, "score": name, "auroc": roc_auc_score(right, value), "brier": brier}
            rows.append(row | {"labels": len(right), "right": right.mean()})
        if question in {"global", "local"}:
            odd = two["misfit"].fill_null(value=False).to_numpy()
            row = {"question": question, "score": "misfits", "labels": int(odd.sum()), "right": right[odd].mean()}
            rows.append(row | {"others_right": right[~odd].mean()})
    return rows


def drawn(figures: int, clusters: int, seed: int) -> list[dict[str, object]]:
    """The same on drawn figures, one an article."""
    taxonomy, engine = load(), LocalEngine("threads")
    with tempfile.TemporaryDirectory() as temporary:
        lake = Lake(Path(temporary))
        truth = draw(lake, figures, seed)
        embed_chunk(lake, CHUNK, encoder=open_encoder("texture"), engine=engine)
        shelve(lake, CHUNK[:6])
        find_neighbours(lake, CHUNK)
        fit_clusters(lake, engine=engine, settings=FitSettings(k=clusters, points_per_cluster=1, seed=seed))
        assign_chunk(lake, CHUNK, engine=engine)
        stage_taxonomy(lake)
        box, (model, _) = BallotBox(lake.root, taxonomy), current_model(lake)
        right = simulate.cluster_truth(lake.read(CLUSTERS, CHUNK), truth)
        simulate.cast(box, simulate.vote_on_clusters(right, simulate.THREE, model, taxonomy, seed=seed))
        collect_votes(lake)
        consensus.stage_annotations(lake)
        disputed = consensus.open_questions(lake.read(ANNOTATIONS, None))["cluster"].unique().to_list()
        simulate.cast(box, simulate.rule_on_disputes(right, disputed, model, taxonomy, seed=seed))
        collect_votes(lake)
        consensus.stage_annotations(lake)
        read = (lake.read(CLUSTERS, CHUNK), lake.read(ANNOTATIONS, None), lake.read(NEIGHBOURS, CHUNK))
        return measured(*read, truth)


def show(title: str, rows: list[dict[str, object]]) -> None:
    """Means over the rounds."""
    mean = pl.DataFrame(rows, infer_schema_length=None).group_by("question", "score", maintain_order=True).mean()
    print(f"\n{title}\n{'question':<12}{'score':<12}{'labels':>8}{'right':>8}{'AUROC':>8}{'Brier':>8}")
    for row in mean.iter_rows(named=True):
        line = f"{row['question']:<12}{row['score']:<12}{row['labels']:>8.0f}{row['right']:>8.3f}"
        if row["score"] == "misfits":
            print(f"{line}   of the others {row['others_right']:.3f} are right")
        else:
            print(f"{line}{row['auroc']:>8.3f}{row['brier']:>8.3f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("data/demo"), help="what `make demo` made")
    parser.add_argument("--figures", type=int, default=900)
    parser.add_argument("--clusters", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3, help="rounds of drawn figures; their means are printed")
    args = parser.parse_args()
    rows = [row for seed in range(args.seeds) for row in drawn(args.figures, args.clusters, seed)]
    show(f"{args.figures} drawn figures in {args.clusters} clusters, {args.seeds} rounds", rows)
    if not (args.data / "demo_truth.json").exists():
        print(f"There is no demo at {args.data}; `make demo` makes one.")
        return
    lake = Lake(args.data)
    truth = image_truth(lake, load_truth(args.data / "demo_truth.json"), load())
    frames = [lake.scan(table).collect() for table in (CLUSTERS, NEIGHBOURS)]
    show("the demo", measured(frames[0], lake.read(ANNOTATIONS, None), frames[1], truth))
    labels = lake.scan(FIGURE_LABELS).collect()
    print(f"\nfigure_labels, nobody looked\n{'question':<12}{'labels':>8}{'right':>8}{'AUROC':>8}{'Brier':>8}")
    for question in QUESTIONS:
        unseen = labels.filter(pl.col(f"{question}_provenance") != HUMAN)
        one = pairs(unseen, truth, question, "confidence")
        right, value = one["right"].to_numpy().astype(float), one["confidence"].to_numpy()
        if len(right) and 0 < right.mean() < 1:
            brier = ((value - right) ** 2).mean()
            print(f"{question:<12}{len(right):>8}{right.mean():>8.3f}{roc_auc_score(right, value):>8.3f}{brier:>8.3f}")


if __name__ == "__main__":
    main()
