"""What ``biomedica demo`` adds around a run: the invented mirror before, the story after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import rich.box
import rich.console
import rich.table
import yaml

from biomedica_assets import test_sets
from biomedica_assets.commands.annotate import collect
from biomedica_assets.console import bar
from biomedica_assets.lib.annotate import consensus, draws, simulate
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.form import SETS
from biomedica_assets.lib.annotate.tally import current_model
from biomedica_assets.lib.annotate.tasks import draw_audit
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.demo import Truth, load_truth, write_mirror
from biomedica_assets.lib.demo.draw import KINDS
from biomedica_assets.lib.demo.pubmed import DemoPubmed, write_pubmed
from biomedica_assets.lib.demo.score import score_extraction, score_pubmed
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.overview import overview
from biomedica_assets.lib.tables import ANNOTATIONS, CLUSTERS, FIGURE_LABELS, IMAGES, RETRIEVAL_SCORES, ZERO_SHOT_SCORES
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dagster as dg

    from biomedica_assets.automation.planner import Planner

SETTINGS: dict[str, Any] = {
    "encoder": "texture",  # needs no weights
    "clusters": 60,
    "training_profile": "demo",
    "device": "cpu",
    "held_out": 0.2,  # so few articles need a larger share than millions do
    "loader_workers": 1,
}
"""Settings of the demo that differ from the defaults."""

PUBMED = "source_pubmed"
"""Folder of the invented PubMed, in the layout of NLM's server, below the data directory."""

AUDITED_PER_LABEL = 10
VALIDATION = 0.125
"""Share of the articles that are not held out, for validation."""

REAL_IMAGES = Path(__file__).resolve().parents[3] / "shared" / "eval_images"
"""Two small sets of real labelled images beside the repository, read where they lie; not part of the project."""

REAL_SUITE = "eval_images"


def invent(values: Settings, *, articles: int, seed: int) -> None:
    """Write the invented mirror; the same articles and seed give the same bytes, so a second time changes nothing."""
    with bar(rich.console.Console(stderr=True)) as progress:
        summary = write_mirror(Path(values.source_or_default), seed=seed, articles=articles, progress=progress)
    # So few articles need a larger share for validation than millions do.
    for name in definition.names():
        text = (definition.SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        splits = f"splits: {{validation: {VALIDATION}}}\n"
        atomic.write_bytes(values.data_dir / "recipes" / f"{name}.yaml", f"{text.rstrip()}\n{splits}".encode())
    place_real_images(values.data_dir, REAL_IMAGES)
    invent_pubmed(values)
    print(
        f"Invented {summary.articles} articles with {summary.figures} figures in {len(summary.chunks)} chunks: "
        f"{summary.root}"
    )


def invent_pubmed(values: Settings) -> DemoPubmed:
    """Write the PubMed of the invented articles, a few missing; again and the same bytes each time."""
    truth = load_truth(values.data_dir / "demo_truth.json")
    return write_pubmed(values.data_dir / PUBMED, truth, seed=truth.seed)


def place_real_images(data_dir: Path, images: Path) -> None:
    """Name the folder of the real test sets where it is present, and say so where it is not."""
    places = data_dir / "tasks" / test_sets.PLACES
    if not images.is_dir():
        print(f"No real test images at {images}: models are scored on held-out invented articles only.")
    elif not places.exists():
        atomic.write_bytes(places, yaml.safe_dump({REAL_SUITE: str(images)}).encode())


def steps(values: Settings, instance: dg.DagsterInstance, planner: Planner) -> Iterator[list[str] | None]:
    """What is made before each round of votes that simulated people give, then everything.

    Three annotators with known error rates label the clusters, an adjudicator who knows the truth settles what they
    dispute, an auditor judges single images. All of them are named ``simulated-…`` wherever they show.
    """
    lake, taxonomy = Lake(values.data_dir), load()
    box = BallotBox(lake.root, taxonomy)
    before_labels = set(planner.assets) - planner.descendants(["annotations", "annotator_agreement"])
    yield [*sorted(before_labels - {"duplicates", "evaluation_matches", "recipe"})]
    truth = image_truth(lake, load_truth(values.data_dir / "demo_truth.json"), taxonomy)
    write_kinds(lake, load_truth(values.data_dir / "demo_truth.json"))
    right = simulate.cluster_truth(lake.scan(CLUSTERS).collect(), truth)
    simulate.cast(
        box, simulate.vote_on_clusters(right, simulate.THREE, current_model(lake)[0], taxonomy, seed=values.seed)
    )
    collect(values, instance)
    yield ["annotations"]
    disputed = consensus.open_questions(lake.read(ANNOTATIONS, None))["cluster"].unique().to_list()
    simulate.cast(box, simulate.rule_on_disputes(right, disputed, current_model(lake)[0], taxonomy, seed=values.seed))
    collect(values, instance)
    yield [
        "annotations",
        "label_verdicts",
        "audited_labels",
        "label_audit",
        "label_calibration",
        "label_corrections",
        "label_claims",
        "label_trust",
        "figure_labels",
    ]
    drawn = _audited(lake, values.seed)
    auditor = simulate.Simulated("simulated-auditor", 0.0, 0.0)
    votes = simulate.vote_on_images(truth, drawn, auditor, current_model(lake)[0], taxonomy, seed=values.seed)
    simulate.cast(box, votes)
    collect(values, instance)
    yield None


def _audited(lake: Lake, seed: int) -> list[str]:
    """Images that the auditor judges: drawn once, since the labels they are drawn from follow the auditor's votes."""
    recorded = draws.inclusion_of(lake.root)
    known = set(lake.scan(IMAGES).select("media_id").collect()["media_id"])
    return sorted(recorded) if recorded and set(recorded) <= known else draw_audit(lake, AUDITED_PER_LABEL, seed)


def image_truth(lake: Lake, truth: Truth, taxonomy: Taxonomy) -> pl.DataFrame:
    """Right answers for every image of the lake whose invention is known: media_id and one column per question."""
    known = truth.by_key()
    rows = [
        {"media_id": media_id, **simulate.truth_of([names_of(p.kind) for p in known[key].panels], taxonomy)}
        for media_id, key in lake.scan(IMAGES).select("media_id", "key").collect().iter_rows()
        if key in known
    ]
    listed = {name: pl.List(pl.String) for name in SETS}
    schema = {"media_id": pl.String, "panel_type": pl.String, "panel_subtype": pl.String, **listed}
    return pl.DataFrame(rows, schema=schema, orient="row")


def write_kinds(lake: Lake, truth: Truth) -> None:
    """The held-out task of the demo: which visual kind an image was drawn as, for images of one kind."""
    kinds = {image.key: image.kind for image in truth.images if image.kind in KINDS}
    rows = [
        (media_id, kinds[key])
        for media_id, key in lake.scan(IMAGES).select("media_id", "key").sort("media_id").collect().iter_rows()
        if key in kinds
    ]
    captions = {kind: [KINDS[kind].title] for kind in sorted({kind for _, kind in rows})}
    folder = lake.root / "tasks" / "held_out"
    said = yaml.safe_dump({"title": "Visual kind as drawn", "captions": captions}, sort_keys=True)
    atomic.write_bytes(folder / "drawn_kind.yaml", said.encode())
    lines = ["media_id,label", *(f"{media_id},{kind}" for media_id, kind in rows)]
    atomic.write_bytes(folder / "drawn_kind.csv", ("\n".join(lines) + "\n").encode())


def names_of(kind: str) -> tuple[str, str]:
    """Global and local concept of a visual kind, in BIOMEDICA's words."""
    return KINDS[kind].global_concept, KINDS[kind].local_concept


def tell(values: Settings) -> None:
    """Print what was made, what was left out and why, how well it was extracted, and what to do next."""
    console, lake = rich.console.Console(), Lake(values.data_dir)
    table = rich.table.Table("asset", "partitions", "rows", "left out, and why", "MB")
    for line in overview(lake):
        why = ", ".join(f"{n:,} {reason}" for reason, n in sorted(line.rejects.items(), key=lambda item: -item[1]))
        table.add_row(line.asset, f"{line.partitions:,}", f"{line.rows:,}", why, f"{line.bytes / 1e6:,.1f}")
    console.print(table)
    truth = load_truth(values.data_dir / "demo_truth.json")
    scores = rich.table.Table("extraction against what was invented", "expected", "found", "recall", "precision")
    extracted = score_extraction(lake, truth) | score_pubmed(lake, truth, invent_pubmed(values))
    for what, score in extracted.items():
        scores.add_row(what, f"{score.expected:,}", f"{score.found:,}", f"{score.recall:.4f}", f"{score.precision:.4f}")
    console.print(scores)
    console.print(_labels(lake, truth))
    for part in _scores(lake):
        console.print(part)
    console.print(
        "\nNext:\n"
        "  [bold]make ui[/]  shows the graph, the checks and the pictures of every partition\n"
        f"  [bold]biomedica sql --data-dir {values.data_dir} 'from figures limit 5'[/]\n"
        "  [bold]biomedica run --data-dir data/mine --source s3://pmc-oa-opendata --chunk PMC011-0600[/]  a real chunk",
        highlight=False,
    )


def _labels(lake: Lake, truth: Truth) -> rich.table.Table:
    """Cluster purity, and precision and recall of the labels that simulated annotators led to."""
    taxonomy = load()
    right = image_truth(lake, truth, taxonomy)
    kinds = {image.key: image.kind for image in truth.images}
    keys = dict(lake.scan(IMAGES).select("media_id", "key").collect().iter_rows())
    rows = lake.scan(CLUSTERS).select("media_id", "cluster").collect()
    drawn = rows.with_columns(kind=pl.col("media_id").replace_strict({m: kinds.get(k) for m, k in keys.items()}))
    counted = drawn.drop_nulls().group_by("cluster", "kind").len()
    largest = counted.group_by("cluster").agg(pl.col("len").max())["len"].to_list()
    purity = sum(largest) / max(1, sum(counted["len"].to_list()))
    table = rich.table.Table(
        "question", "all: precision", "recall", "confidence 0.8: precision", "recall",
        title=f"labels from simulated annotators; purity of the clusters {purity:.3f}",
    )  # fmt: skip
    labels = lake.scan(FIGURE_LABELS).collect()
    every, strict = simulate.score(labels, right), simulate.score(labels, right, threshold=0.8)
    for one, two in zip(every.to_dicts(), strict.to_dicts(), strict=True):
        if one["n_true"]:
            shares = (one["precision"], one["recall"], two["precision"], two["recall"])
            table.add_row(one["question"], *("-" if share is None else f"{share:.3f}" for share in shares))
    return table


def _scores(lake: Lake) -> Iterator[rich.table.Table | str]:
    """Base, trained and interpolated weights of each recipe on articles that were held out, and on real images."""
    frames = [lake.scan(ZERO_SHOT_SCORES).collect(), lake.scan(RETRIEVAL_SCORES).collect()]
    scored = pl.concat(frames, how="diagonal").filter(pl.col("status") == "scored")
    drawn = (pl.col("task") == "drawn_kind") & (pl.col("metric") == "accuracy")
    searched = (pl.col("task") == "held_out_retrieval") & pl.col("primary")
    yield _board(scored.filter(drawn | searched), "articles held out from training (kinds as drawn, not as labelled)")
    real = scored.filter(pl.col("primary") & (pl.col("suite") == REAL_SUITE))
    if real.is_empty():
        yield "No real test images were scored; `biomedica tasks --how` says what there is to get."
    else:
        yield _board(real, "real images; training saw only drawings, so chance is what to expect")


def _board(scores: pl.DataFrame, title: str) -> rich.table.Table:
    """Models against tasks, in percent with the 95 % interval; chance may differ from recipe to recipe."""
    scores = scores.with_columns(column=pl.concat_str("task", "direction", separator="\n", ignore_nulls=True))
    shown = scores.group_by("column", "metric", maintain_order=True).agg(
        pl.col("n").min().alias("fewest"), pl.col("n").max().alias("most"),
        pl.col("chance").min().alias("low"), pl.col("chance").max().alias("high"),
    ).sort("column")  # fmt: skip
    heads = [
        f"{c['column'].replace('_', ' ')}\n{c['metric'].replace('_', ' ')}\nn {_span(c['fewest'], c['most'], ',')}\n"
        f"chance {_span(100 * c['low'], 100 * c['high'], '.1f')} %"
        for c in shown.to_dicts()
    ]
    table = rich.table.Table("model", *heads, title=title, box=rich.box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for (model,), rows in scores.sort("model").group_by("model", maintain_order=True):
        found = {row["column"]: row for row in rows.to_dicts()}
        cells = [
            f"{100 * r['value']:.1f} ({100 * r['low']:.0f}-{100 * r['high']:.0f})" if (r := found.get(c)) else "-"
            for c in shown["column"]
        ]
        table.add_row(str(model), *cells)
    return table


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}}" if f"{low:{form}}" == f"{high:{form}}" else f"{low:{form}} to {high:{form}}"
