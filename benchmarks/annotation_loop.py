"""What labels are worth: the whole annotation loop on drawn figures whose truth is known, against a plain copy.

Draws figures (every fifth compound), embeds and clusters them with the stages of the library, lets three simulated
annotators with known error rates vote, settles disputes, looks for panels, propagates, audits with a fourth simulated
person, calibrates. Peer: BIOMEDICA's way, the commonest vote of the cluster copied to every member, without doubt.

    python benchmarks/annotation_loop.py [--figures 900] [--clusters 60] [--threshold 0.8]
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate import audit, consensus, draws, panels, simulate
from biomedica_assets.lib.annotate.agreement import stage_agreement
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.form import SETS
from biomedica_assets.lib.annotate.sources.stage import stage_labels
from biomedica_assets.lib.annotate.tally import collect_votes, current_model
from biomedica_assets.lib.annotate.taxonomy.model import load, stage_taxonomy
from biomedica_assets.lib.cluster import FitSettings, assign_chunk, fit_clusters
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo.art import Art, any_art, encoded
from biomedica_assets.lib.demo.draw import KINDS
from biomedica_assets.lib.embed import embed_chunk, find_neighbours, open_encoder, shelve
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ANNOTATIONS, CAPTIONS, CLUSTERS, FIGURE_LABELS, IMAGES, PANELS, Table

CHUNK = "PMC001-0000"
TRUTH = {
    "media_id": pl.String,
    "panel_type": pl.String,
    "panel_subtype": pl.String,
    **dict.fromkeys(SETS, pl.List(pl.String)),
}


def publish(lake: Lake, table: Table, rows: list[dict[str, object]]) -> None:
    """Publish a chunk that came from nowhere."""
    frame = table.frame(rows)
    lake.publish(table, CHUNK, frame, code_version="b", inputs={}, config={}, n_in=frame.height, n_out=frame.height)


def draw(lake: Lake, count: int, seed: int) -> pl.DataFrame:
    """Publish ``images`` and ``captions`` of drawn figures; returns their truth."""
    rng = np.random.default_rng(seed)
    images: list[dict[str, object]] = []
    captions: list[dict[str, object]] = []
    truth: list[dict[str, object]] = []
    for number in range(count):
        art: Art = any_art(rng)
        media, data = f"m{number:05d}", encoded(art.image, "jpg")
        path = lake.root / "mirror" / f"{media}.jpg"
        atomic.write_bytes(path, data)
        shared = {"figure_id": f"f{number:05d}", "article_id": f"PMC{1_000_001 + number}.1"}
        width, height = art.image.size
        sha = hashlib.sha256(data).hexdigest()
        images.append(
            {**shared, "media_id": media, "position": 0, "href": path.name, "key": path.name, "match": "exact"}
            | {"path": lake.path_below(path), "format": "jpeg", "width": width, "height": height, "mode": "RGB"}
            | {"n_frames": 1, "bytes": len(data), "md5": sha[:32], "sha256": sha, "pixel_hash": sha, "phash": 0}
            | {"license_group": "other"}
        )
        text = "\n".join((art.title, *art.paragraphs))
        said = {"caption": text, "caption_reading": text, "xml": "<caption/>", "source": "caption"}
        captions.append({**shared, **said, "inherited": False, "n_chars": len(text)})
        names = [(KINDS[p.kind].global_concept, KINDS[p.kind].local_concept) for p in art.panels]
        truth.append({"media_id": media, **simulate.truth_of(names, load())})
    publish(lake, IMAGES, images)
    publish(lake, CAPTIONS, captions)
    return pl.DataFrame(truth, schema=TRUTH, orient="row")


def copied(lake: Lake, truth: pl.DataFrame, model: str, seed: int) -> pl.DataFrame:
    """The peer: commonest vote per question, ties to the first, copied to every member with full confidence."""
    assignments = lake.read(CLUSTERS, CHUNK)
    votes = simulate.vote_on_clusters(
        simulate.cluster_truth(assignments, truth), simulate.THREE, model, load(), seed=seed
    )
    given: dict[int, list[dict[str, object]]] = {}
    for vote in votes:
        if vote.answer and not vote.answer.cant_tell and vote.cluster is not None:
            given.setdefault(vote.cluster, []).append(vote.answer.as_json())
    rows: list[dict[str, object]] = []
    for media, cluster in assignments.select("media_id", "cluster").iter_rows():
        row: dict[str, object] = {"media_id": media, "cluster": cluster}
        for question in ("panel_type", "panel_subtype", *SETS):
            counted = Counter(str(answer[question]) for answer in given.get(cluster, ()))
            chosen = counted.most_common(1)[0][0] if counted else None
            row[question] = next((a[question] for a in given.get(cluster, ()) if str(a[question]) == chosen), None)
            row[f"{question}_confidence"] = 1.0
        rows.append(row)
    schema = {name: dtype for name, dtype in FIGURE_LABELS.schema.items() if name in rows[0]}
    return pl.DataFrame(rows, schema=schema, orient="row")


def show(title: str, scored: Sequence[tuple[str, pl.DataFrame]]) -> None:
    """Precision and recall per question of several labellings, and the ratio of each precision to the first one's."""
    print(f"\n{title}\n{'question':<12}" + "".join(f"{name:>34}" for name, _ in scored))
    for question in ("panel_type", "global", "local", "content"):
        cells: list[str] = []
        base = 0.0
        for _, frame in scored:
            row = frame.filter(question=question).row(0, named=True)
            precision, recall = row["precision"] or 0.0, row["recall"] or 0.0
            base = base or precision
            cells.append(f"{f'p {precision:.3f} r {recall:.3f} x{precision / base:.2f}':>34}" if base else f"{'-':>34}")
        print(f"{question:<12}" + "".join(cells))


def main() -> None:
    """Run the loop and print its scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=int, default=900)
    parser.add_argument("--clusters", type=int, default=60)
    parser.add_argument("--threshold", type=float, default=0.8, help="lowest calibrated confidence that counts")
    parser.add_argument("--audit", type=int, default=15, help="audited images per label")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    taxonomy, engine = load(), LocalEngine("threads")
    with tempfile.TemporaryDirectory() as temporary:
        lake = Lake(Path(temporary))
        truth = draw(lake, args.figures, args.seed)
        embed_chunk(lake, CHUNK, encoder=open_encoder("texture"), engine=engine)
        shelve(lake, CHUNK[:6])
        find_neighbours(lake, CHUNK)
        fit_clusters(lake, engine=engine, settings=FitSettings(k=args.clusters, points_per_cluster=1, seed=args.seed))
        assign_chunk(lake, CHUNK, engine=engine)
        stage_taxonomy(lake)
        box, (model, _) = BallotBox(lake.root, taxonomy), current_model(lake)
        right = simulate.cluster_truth(lake.read(CLUSTERS, CHUNK), truth)
        simulate.cast(box, simulate.vote_on_clusters(right, simulate.THREE, model, taxonomy, seed=args.seed))
        collect_votes(lake)
        consensus.stage_annotations(lake)
        disputed = consensus.open_questions(lake.read(ANNOTATIONS, None))["cluster"].unique().to_list()
        simulate.cast(box, simulate.rule_on_disputes(right, disputed, model, taxonomy, seed=args.seed))
        collect_votes(lake)
        consensus.stage_annotations(lake)
        alphas = stage_agreement(lake, resamples=0).metrics
        panels.stage_panels(lake, CHUNK, engine)
        stage_labels(lake, CHUNK)
        print(f"{args.figures} drawn figures, {args.clusters} clusters, three simulated annotators, seed {args.seed}")
        print("alpha: " + ", ".join(f"{k.removeprefix('alpha_')} {v:.2f}" for k, v in alphas.items() if v is not None))
        print(f"{len(disputed)} clusters were disputed and settled; {sum(m for _, m in right.values())} are mixed")
        raw = lake.read(FIGURE_LABELS, CHUNK)
        lots = draws.draw([raw], args.audit, args.seed)
        draws.record(lake.root, lots)
        drawn = lots.images["media_id"].to_list()
        auditor = simulate.Simulated("simulated-auditor", 0.0, 0.0)
        simulate.cast(box, simulate.vote_on_images(truth, drawn, auditor, model, taxonomy, seed=args.seed))
        collect_votes(lake)
        audit.stage_verdicts(lake, CHUNK[:6])
        audit.stage_calibration(lake)
        audit.stage_corrections(lake)
        stage_labels(lake, CHUNK)
        # scored on images nobody audited: there the person's answer would have won
        rest = lake.read(FIGURE_LABELS, CHUNK).filter(~pl.col("media_id").is_in(drawn))
        peer = copied(lake, truth, model, args.seed).filter(~pl.col("media_id").is_in(drawn))
        print(f"{len(drawn)} images audited, {rest.height} scored")
        rivals = [("plain copy", simulate.score(peer, truth)), ("ours, all", simulate.score(rest, truth))]
        strict = simulate.score(rest, truth, threshold=args.threshold)
        show("labels", [*rivals, (f"ours, confidence >= {args.threshold}", strict)])
        seen = lake.read(PANELS, CHUNK).join(truth, on="media_id", suffix="_true")
        hits = seen.filter(pl.col("panel_type") == pl.col("panel_type_true")).height
        majority = max(seen["panel_type_true"].value_counts()["count"]) / seen.height
        print(f"\npanel detector: {hits / seen.height:.3f} right; always the commoner type: {majority:.3f}")


if __name__ == "__main__":
    main()
