"""What each source's word is worth: the sample of claims, the model fitted on it, and the sources held against people.

Chunk -> shelf -> whole: ``label_claims`` samples the claims of a shelf, ``label_trust`` fits one model on all samples,
and ``source_leaderboard`` holds each source, and all together, against what people said of single images.
"""

from __future__ import annotations

import hashlib
import importlib
import time
from typing import Any

import numpy as np
import polars as pl

from biomedica_assets.lib.annotate.consensus import Rules, settle
from biomedica_assets.lib.annotate.sources import weigh
from biomedica_assets.lib.annotate.sources.claims import MODEL, VOTES, gather, model_claims, symbols_of, trust_of
from biomedica_assets.lib.annotate.sources.combine import (
    COMBINED,
    LEVELS,
    Trust,
    answers,
    believed,
    capped,
    items,
    names,
    probabilities,
)
from biomedica_assets.lib.annotate.tally import read_votes
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy, load
from biomedica_assets.lib.chunks import shelf_of_chunk
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CLUSTERS,
    IMAGES,
    LABEL_CLAIMS,
    LABEL_MODEL,
    LABEL_TRUST,
    MODEL_LABELS,
    RELEASED_LABELS,
    SOURCE_LEADERBOARD,
    TEXT_LABELS,
    Table,
)

VERSION = "4"
PERSON = "person"
SAMPLE = 5_000  # images of a shelf; 25 shelves give 125 000, with which a table's cells are known to within 1 %
LEAST_SHARED = 200  # candidates of which two sources speak; below, agreement says nothing and what is believed stands
LEAST_JUDGED = 30  # candidates that people judged from which one source alone is counted
BELIEF = 20.0  # pseudo-counts a symbol where people judged images
BLIND = 0.25  # share of the candidates as pseudo-counts where nobody did: two sources cannot tell who errs
BEFORE = "before_votes"
"""Row of the leaderboard: what is known without any vote."""
WEIGHT = "weight"
"""Symbol of the row that says how much of a source's word counts beside the others."""
READS: tuple[Table, ...] = (TEXT_LABELS, CLUSTERS, RELEASED_LABELS)


def verdicts_of_people(votes: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """What people said of single images: media_id, concept_id (wider ones included), simulated.

    Args:
        votes: ``expert_votes``.
        taxonomy: the vocabulary.

    Returns:
        One row per image and kind shown; an image that shows none of the vocabulary has a row with a null concept.
    """
    mine = votes.filter(pl.col("status") == "active", pl.col("task").is_in(["audit", "override"])).sort(
        "media_id", "vote_id"
    )
    rows: list[tuple[str, str | None, bool]] = []
    for (media_id,), group in mine.group_by("media_id", maintain_order=True):
        settled = settle(list(group.iter_rows(named=True)), Rules(min_votes=1), taxonomy)
        agreed = [settled[q].answer for q in ("global", "local") if q in settled and settled[q].status == "agreed"]
        if not agreed:
            continue
        simulated = bool((group["source"] == "simulated").any())
        shown = {above for answer in agreed for concept in answer for above in taxonomy.lineage(concept)}
        rows += [(str(media_id), concept, simulated) for concept in sorted(shown)] or [(str(media_id), None, simulated)]
    return pl.DataFrame(
        rows, schema={"media_id": pl.String, "concept_id": pl.String, "simulated": pl.Boolean}, orient="row"
    )


def stage_claims(lake: Lake, shelf: str) -> Report:
    """Publish ``label_claims`` of one shelf: claims on a sample of its images and on all that people judged."""
    began = time.perf_counter()
    taxonomy, (votes, votes_input) = load(), read_votes(lake)
    people = verdicts_of_people(votes, taxonomy)
    judged = set(people["media_id"])
    chunks = [c for c in lake.partitions(IMAGES) if shelf_of_chunk(c) == shelf]
    wanted: list[tuple[Table, str | None]] = [(IMAGES, c) for c in chunks]
    wanted += [(t, c) for t in READS for c in chunks if lake.manifest(t, c)]
    wanted += [(ANNOTATIONS, None)] if lake.manifest(ANNOTATIONS, None) else []
    inputs = lake.inputs(*wanted) | votes_input
    media = lake.scan(IMAGES, chunks).select("media_id", "article_id").collect()
    ranked = sorted(media["media_id"], key=lambda m: hashlib.blake2b(m.encode(), digest_size=8).digest())[:SAMPLE]
    drawn = media.filter(pl.col("media_id").is_in([*ranked, *judged]))
    voted = lake.read(ANNOTATIONS, None)["simulated"].any() if lake.manifest(ANNOTATIONS, None) else False
    parts = [
        gather(lake, chunk, taxonomy, without=(MODEL_LABELS,))
        .join(drawn, on="media_id")
        .with_columns(simulated=(pl.col("source") == "propagated") & bool(voted))
        for chunk in chunks
    ]
    said = people.join(drawn, on="media_id").with_columns(
        concept_id=pl.col("concept_id").fill_null("none"), source=pl.lit(PERSON), symbol=pl.lit("yes")
    )
    names = LABEL_CLAIMS.schema.names()
    frame = pl.concat([LABEL_CLAIMS.empty(), *(p.select(names) for p in parts), said.select(names)]).sort(
        LABEL_CLAIMS.key
    )
    return _publish(
        lake, LABEL_CLAIMS, shelf, frame, inputs, began, {"images": drawn.height, "judged": said["media_id"].n_unique()}
    )


def judged_items(claims: pl.DataFrame, taxonomy: Taxonomy) -> tuple[pl.DataFrame, list[str], pl.DataFrame]:
    """Candidates with what people said (column ``gold``: 1, 0, or null), the sources, and what people said."""
    people = claims.filter(pl.col("source") == PERSON)
    others = claims.filter(pl.col("source") != PERSON).select("media_id", "concept_id", "source", "symbol")
    sources = sorted(others["source"].unique())
    candidates = items(others, taxonomy)
    right = people.select("media_id", "concept_id").with_columns(_yes=pl.lit(1.0))
    seen = people.select("media_id").unique().with_columns(_seen=pl.lit(value=True))
    candidates = candidates.join(right, on=["media_id", "concept_id"], how="left").join(seen, on="media_id", how="left")
    gold = pl.when(pl.col("_seen")).then(pl.col("_yes").fill_null(0.0))
    return candidates.with_columns(gold=gold).drop("_yes", "_seen"), sources, people


def estimate(candidates: pl.DataFrame, sources: list[str]) -> pl.DataFrame:
    """Fit the model per level, in the schema of ``label_trust``.

    What people said holds fixed. Where neither they nor a second source say enough, what is believed beforehand stands.
    """
    rows: list[dict[str, object]] = []
    for level in LEVELS:
        mine = candidates.filter(level=level)
        heard, plain = answers(mine, sources), believed(sources).tables[level]
        gold = mine["gold"].cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        n_gold = int((~np.isnan(gold)).sum())
        spoken = np.stack([a >= 0 for a in heard.values()]).sum(axis=0) if heard else np.zeros(0, np.int64)
        counted = n_gold >= LEAST_JUDGED or int(np.count_nonzero(spoken > 1)) >= LEAST_SHARED
        strength = BELIEF if n_gold >= LEAST_JUDGED else max(BELIEF, BLIND * mine.height)
        weights: dict[str, float] = {}
        if counted and mine.height:
            concepts = mine["concept_id"].unique().sort().to_list()
            number = {concept: n for n, concept in enumerate(concepts)}
            # where people judged, theirs alone counts: what they did not judge would pull the fit towards itself
            keep = ~np.isnan(gold) if n_gold >= LEAST_JUDGED else np.ones(mine.height, dtype=bool)
            classes = mine["concept_id"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
            beliefs = {s: weigh.belief(list(trust_of(s).values()), strength) for s in sources}
            found = weigh.fit({s: a[keep] for s, a in heard.items()}, beliefs, classes=classes[keep], gold=gold[keep])
            tables = found.tables
            if n_gold >= LEAST_JUDGED:
                parts = np.array([_part(m) for m in mine["media_id"].to_numpy()[keep]], dtype=np.int64)
                said = {s: a[keep] for s, a in heard.items()}
                weights = weigh.independence(said, beliefs, gold[keep], classes=classes[keep], parts=parts)
            for concept, share in zip(concepts, found.prior, strict=False):
                row: dict[str, object] = {"level": level, "source": "prior", "symbol": concept, "estimated": True}
                n = int((classes[keep] == number[concept]).sum())
                rows.append(row | {"p_no": 1.0 - float(share), "p_yes": float(share), "n": n})
        else:
            tables = plain
        for source in sources:
            for n, symbol in enumerate(symbols_of(source)):
                row = {"level": level, "source": source, "symbol": symbol, "estimated": counted and bool(mine.height)}
                row |= {"p_no": float(tables[source][0, n]), "p_yes": float(tables[source][1, n])}
                rows.append(row | {"n": int((heard[source] == n).sum())})
            if source in weights:
                row = {"level": level, "source": source, "symbol": WEIGHT, "estimated": True, "n": n_gold}
                rows.append(row | {"p_no": 1.0 - weights[source], "p_yes": weights[source]})
    return LABEL_TRUST.frame(rows).sort(LABEL_TRUST.key)


def _part(media_id: str) -> int:
    return hashlib.blake2b(media_id.encode(), digest_size=8).digest()[0] % 5


def as_trust(frame: pl.DataFrame) -> Trust:
    """``label_trust`` as ``combine`` takes it."""
    tables: dict[str, dict[str, weigh.Floats]] = {level: {} for level in LEVELS}
    priors: dict[str, dict[str, float]] = {level: {} for level in LEVELS}
    weights: dict[str, dict[str, float]] = {level: {} for level in LEVELS}
    for (level, source), group in frame.group_by("level", "source", maintain_order=True):
        values = {symbol: (no, yes) for symbol, no, yes in group.select("symbol", "p_no", "p_yes").iter_rows()}
        if source == "prior":
            priors[str(level)] = {concept: yes for concept, (_, yes) in values.items()}
        elif set(symbols_of(str(source))) <= set(values):  # else it was written before a symbol was added
            ordered = [values[symbol] for symbol in symbols_of(str(source))]
            tables[str(level)][str(source)] = np.array(ordered, dtype=np.float64).T
            weights[str(level)][str(source)] = values.get(WEIGHT, (0.0, 1.0))[1]
    return Trust(tables, priors, weights)


def read_trust(lake: Lake) -> Trust:
    """What ``label_trust`` says; nothing where it is not there, so that what is believed beforehand stands."""
    if lake.manifest(LABEL_TRUST, None) is None:
        return Trust({}, {})
    return as_trust(lake.read(LABEL_TRUST, None))


def stage_trust(lake: Lake) -> Report:
    """Publish ``label_trust`` from the claims of all shelves."""
    began = time.perf_counter()
    claims, inputs = all_claims(lake)
    candidates, sources, _ = judged_items(claims, load())
    frame = estimate(candidates, sources)
    metrics = {
        "candidates": candidates.height,
        "judged_candidates": int(candidates["gold"].is_not_null().sum()),
        "sources": ", ".join(sources) or "none",
        "estimated": bool(frame["estimated"].any()),
    }
    return _publish(lake, LABEL_TRUST, None, frame, inputs, began, metrics)


def leaderboard(claims: pl.DataFrame, taxonomy: Taxonomy, *, folds: int = 5) -> pl.DataFrame:
    """Each source and their combination against people, in the schema of ``source_leaderboard``.

    ``before_votes`` is what text and released labels say together, as believed before anybody voted. The combination is
    scored on articles that its trust was not fitted on: ``folds`` parts, by article.

    Args:
        claims: ``label_claims``.
        taxonomy: the vocabulary.
        folds: parts.
    """
    candidates, sources, people = judged_items(claims, taxonomy)
    judged = people["media_id"].unique()
    if not len(judged) or not sources:
        return SOURCE_LEADERBOARD.empty()
    articles = claims.select("media_id", "article_id").unique("media_id")
    part = articles.with_columns(
        fold=pl.Series([int(hashlib.sha256(a.encode()).hexdigest(), 16) % folds for a in articles["article_id"]])
    ).select("media_id", "fold")
    candidates = candidates.join(part, on="media_id", how="left", maintain_order="left")
    scored: list[pl.DataFrame] = []
    for fold in range(folds):
        test = candidates.filter(pl.col("fold") == fold, pl.col("gold").is_not_null())
        if not test.height:
            continue
        hidden = candidates.with_columns(gold=pl.when(pl.col("fold") != fold).then("gold"))
        trust = as_trust(estimate(hidden, sources))
        together = capped(test.with_columns(probabilities(test, sources, trust)), taxonomy)
        scored.append(together.select("media_id", "concept_id", "level", "gold", "p", source=pl.lit(COMBINED)))
        unvoted = [source for source in sources if source not in {VOTES, MODEL}]
        if unvoted:
            guess = test.filter(pl.any_horizontal(names(source) for source in unvoted))
            before = capped(guess.with_columns(probabilities(guess, unvoted, believed(unvoted))), taxonomy)
            scored.append(before.select("media_id", "concept_id", "level", "gold", "p", source=pl.lit(BEFORE)))
        for source in sources:
            alone = test.with_columns(probabilities(test, [source], trust)).filter(pl.col(source).is_not_null())
            named = pl.when(names(source)).then("p").otherwise(pl.min_horizontal("p", pl.lit(0.5, pl.Float32)))
            scored.append(
                alone.select("media_id", "concept_id", "level", "gold", named.alias("p"), source=pl.lit(source))
            )
    every = pl.concat(scored) if scored else pl.DataFrame()
    return _board(every, people, taxonomy, [*sources, BEFORE, COMBINED])


def _board(every: pl.DataFrame, people: pl.DataFrame, taxonomy: Taxonomy, sources: list[str]) -> pl.DataFrame:
    proportion: Any = importlib.import_module("statsmodels.stats.proportion")
    n_judged, simulated = people["media_id"].n_unique(), bool(people["simulated"].any())
    shown = people.filter(pl.col("concept_id") != "none")
    rows: list[dict[str, object]] = []
    for source in sources:
        mine = every.filter(source=source) if every.height else every
        heard = mine["media_id"].n_unique() if mine.height else 0
        for question, level in zip(("global", "local"), LEVELS, strict=True):
            level_true = shown.filter(
                [(taxonomy.get(c).broader is None) == (level == "top") for c in shown["concept_id"]]
            )
            here = mine.filter(level=level) if mine.height else mine
            concepts = sorted({*(here["concept_id"] if here.height else ()), *level_true["concept_id"]})
            for concept in ("all", *concepts):
                some = here if concept == "all" or not here.height else here.filter(concept_id=concept)
                n_true = (level_true if concept == "all" else level_true.filter(concept_id=concept)).height
                said = some.filter(pl.col("p") > 0.5) if some.height else some
                n, right = said.height, int(said["gold"].sum()) if said.height else 0
                low, high = proportion.proportion_confint(right, n, alpha=0.05, method="wilson") if n else (None, None)
                row: dict[str, object] = {"source": source, "question": question, "concept_id": concept, "n": n}
                row |= {"n_correct": right, "n_true": n_true, "precision": right / n if n else None}
                row |= {"low": low, "high": high, "recall": right / n_true if n_true else None}
                row["brier"] = float(((some["p"] - some["gold"]) ** 2).mean()) if some.height else None  # pyright: ignore
                row |= {"coverage": heard / n_judged, "simulated": simulated}
                rows.append(row)
    return SOURCE_LEADERBOARD.frame(rows).sort(SOURCE_LEADERBOARD.key)


def stage_leaderboard(lake: Lake) -> Report:
    """Publish ``source_leaderboard``, with a plot of precision and recall by source."""
    from biomedica_assets.lib.annotate.sources.plots import sources_plot

    began = time.perf_counter()
    claims, inputs = all_claims(lake)
    frame = leaderboard(claims, load())
    whole = frame.filter(pl.col("concept_id") == "all")
    metrics = {f"precision_{s}_{q}": p for s, q, p in whole.select("source", "question", "precision").iter_rows()}
    pictures = (sources_plot(whole),) if whole.height else ()
    return _publish(lake, SOURCE_LEADERBOARD, None, frame, inputs, began, metrics, pictures)


def all_claims(lake: Lake) -> tuple[pl.DataFrame, dict[str, str]]:
    """The samples of all shelves with what the label model says of them, and their entries for a manifest.

    The model's answers are those of the part that has not seen the image's article, so its claims can be scored.
    """
    shelves = lake.partitions(LABEL_CLAIMS)
    taught = lake.manifest(LABEL_MODEL, None) is not None
    inputs = lake.inputs(*((LABEL_CLAIMS, shelf) for shelf in shelves), *([(LABEL_MODEL, None)] if taught else ()))
    claims = lake.scan(LABEL_CLAIMS, shelves).drop("shelf").collect()
    if not taught:
        return claims, inputs
    known = claims.select("media_id", "article_id").unique()
    said = model_claims(lake.read(LABEL_MODEL, None).select("media_id", "concept_id", "probability"))
    simulated = bool(claims["simulated"].any())  # one model for all: what any vote taught it stands behind every answer
    said = said.join(known, on="media_id").with_columns(simulated=pl.lit(simulated))
    return pl.concat([claims, said.select(claims.columns)]), inputs


def _publish(
    lake: Lake,
    table: Table,
    partition: str | None,
    frame: pl.DataFrame,
    inputs: dict[str, str],
    began: float,
    metrics: Any,
    pictures: Any = (),
) -> Report:
    n = frame.height
    manifest = lake.publish(
        table, partition, frame, code_version=VERSION, inputs=inputs, config={"taxonomy_version": load().version},
        n_in=n, n_out=n,
    )  # fmt: skip
    return Report(
        asset=table.name,
        partition=partition,
        data_version=manifest.data_version,
        rows=n,
        n_in=n,
        n_out=n,
        bytes_written=manifest.bytes,
        seconds=time.perf_counter() - began,
        metrics=metrics,
        preview=tuple(frame.head(12).iter_rows(named=True)),
        pictures=pictures,
    )
