"""What a model says of images: logistic regressions over vectors of pictures, taught by people, text and others.

Belongs here: the targets made of the other sources' claims, the fit, its calibration, its answers. Reading and writing
is ``model_stage``.

Articles fall into ``FOLDS`` parts. There is one model per part, taught by the articles of the others, and an image is
answered by the model that saw no article of its part: what the model says of an image is never an echo of what the text
or people said of the same image, so the combination of sources may count it as a voice of its own, people's verdicts
score it fairly, and its calibration is that of articles it has not seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from biomedica_assets.lib.annotate.sources.combine import capped, probabilities
from biomedica_assets.lib.annotate.sources.trust import as_trust, estimate, judged_items
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy

VERSION = "1"
FOLDS = 5
LEAST_IMAGES = 12  # images of a concept, and articles without it, below which nothing is learnt of it
LEAST_ARTICLES = 5  # articles that show it: with fewer, a part of the articles would often hold all of them
DIMENSIONS = 128  # principal components of the vectors that are kept
STRENGTH = 0.03  # inverse of the penalty on the weights (scikit-learn's C)
JUDGED = 4.0  # weight of an image that people judged, against one of which other sources speak
CALIBRATE = 30  # judged images from which they alone calibrate
Floats = npt.NDArray[np.float32]
_TINY = 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class Targets:
    """What is taught.

    Attributes:
        media_ids: images, in order.
        article_ids: their articles.
        concepts: concepts that can be learnt, wider ones first.
        wanted: images x concepts, float32 in 0..1: probability that the image shows the concept; NaN where nobody says.
        judged: images, bool: people said it.
    """

    media_ids: list[str]
    article_ids: list[str]
    concepts: list[str]
    wanted: Floats
    judged: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class LabelModel:
    """One regression per part of the articles and concept, over scaled principal components.

    Attributes:
        concepts: what it answers, in order.
        mean: dimension, float32, of the vectors.
        components: kept x dimension, float32, rows scaled to unit variance of the projection.
        weights: FOLDS x concepts x kept, float32.
        offsets: FOLDS x concepts, float32; minus infinity is never met, a concept that a part could not learn is NaN.
        slope: concepts, float32: calibration, logit = slope x raw + shift.
        shift: concepts, float32.
    """

    concepts: list[str]
    mean: Floats
    components: Floats
    weights: Floats
    offsets: Floats
    slope: Floats
    shift: Floats


def fold_of(article_id: str) -> int:
    """The part of an article: a function of its id, so that further articles move none."""
    return rank_of(article_id) % FOLDS


def rank_of(name: str) -> int:
    """The place of a name in an order that looks drawn and is the same everywhere, 64 bits."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")


def targets(claims: pl.DataFrame, taxonomy: Taxonomy) -> Targets:
    """What the sources together say of the images of ``label_claims``; what people said holds.

    Of an image that people judged, everything is known. Of another, a top concept is known where the sources find any
    top concept likely, and a narrower one where they do not find the one above it likely, or say which of those below
    it the image shows.

    Args:
        claims: ``label_claims``.
        taxonomy: the vocabulary.
    """
    claims = claims.filter(pl.col("source") != "model")
    candidates, sources, people = judged_items(claims, taxonomy)
    trust = as_trust(estimate(candidates, sources))
    said = capped(candidates.with_columns(probabilities(candidates, sources, trust)), taxonomy)
    articles = claims.select("media_id", "article_id").unique("media_id").sort("media_id")
    media_ids = articles["media_id"].to_list()
    row_of = {media_id: n for n, media_id in enumerate(media_ids)}
    every = sorted(c for c in {*said["concept_id"], *people["concept_id"]} if c in taxonomy)
    every = [c for c in every if taxonomy.get(c).axis == "kind"]
    every.sort(key=lambda c: (len(taxonomy.lineage(c)), c))
    column_of = {concept: n for n, concept in enumerate(every)}
    wanted = np.full((len(media_ids), len(every)), np.nan, dtype=np.float32)
    for media_id, concept, p in said.select("media_id", "concept_id", "p").iter_rows():
        if concept in column_of:
            wanted[row_of[media_id], column_of[concept]] = p
    judged = np.zeros(len(media_ids), dtype=bool)
    judged[[row_of[media_id] for media_id in people["media_id"].unique()]] = True
    _fill(wanted, judged, every, taxonomy)
    wanted[judged] = 0.0
    for media_id, concept in people.select("media_id", "concept_id").iter_rows():
        if concept in column_of:
            wanted[row_of[media_id], column_of[concept]] = 1.0
    article_ids = articles["article_id"].to_list()
    kept = _learnable(wanted, np.array(article_ids, dtype=object))
    rows = np.flatnonzero(judged | ~np.isnan(wanted).all(axis=1))
    return Targets(
        [media_ids[n] for n in rows], [article_ids[n] for n in rows], [every[n] for n in kept],
        wanted[rows][:, kept], judged[rows],
    )  # fmt: skip


def _fill(wanted: Floats, judged: npt.NDArray[np.bool_], concepts: list[str], taxonomy: Taxonomy) -> None:
    """Zeros for what an image does not show; nothing for images of which the sources find nothing likely."""
    tops = np.array([taxonomy.get(c).broader is None for c in concepts], dtype=bool)
    likely = (np.nan_to_num(wanted) > 0.5) & tops
    wanted[~judged & ~likely.any(axis=1)] = np.nan
    known = likely.any(axis=1)
    for n, concept in enumerate(concepts):
        missing = known & np.isnan(wanted[:, n])
        if tops[n]:
            wanted[missing, n] = 0.0
            continue
        top = concepts.index(taxonomy.top(concept))
        beside = [m for m, c in enumerate(concepts) if not tops[m] and taxonomy.top(c) == taxonomy.top(concept)]
        settled = (np.nan_to_num(wanted[:, beside]) > 0.5).any(axis=1)
        wanted[missing & (~likely[:, top] | settled), n] = 0.0


def _learnable(wanted: Floats, articles: npt.NDArray[Any]) -> list[int]:
    """Columns of concepts that enough images of enough articles show, and enough do not."""
    kept: list[int] = []
    for n in range(wanted.shape[1]):
        yes, no = wanted[:, n] > 0.5, wanted[:, n] <= 0.5
        enough = int(yes.sum()) >= LEAST_IMAGES and len(set(articles[yes])) >= LEAST_ARTICLES
        if enough and len(set(articles[no])) >= LEAST_IMAGES:
            kept.append(n)
    return kept


def fit(vectors: Floats, taught: Targets, taxonomy: Taxonomy) -> tuple[LabelModel, Floats]:
    """Teach the models of all parts and calibrate their answers on the articles that each has not seen.

    Args:
        vectors: images x dimension, float32, in the order of ``taught.media_ids``.
        taught: from ``targets``; at least one concept.
        taxonomy: the vocabulary.

    Returns:
        The model, and its calibrated answers to the same images, images x concepts, float32 (NaN where the part's
        model could not learn the concept): those of articles that it has not seen.
    """
    decomposition: Any = importlib.import_module("sklearn.decomposition")
    with one_thread():
        mean = vectors.mean(axis=0)
        kept = min(DIMENSIONS, *vectors.shape)
        pca = decomposition.PCA(kept, svd_solver="full").fit(vectors - mean)
        scale = np.sqrt(np.maximum(pca.explained_variance_, _TINY))
        # Whitening alone would lift the last components, which are noise, to the weight of the first.
        scale = np.maximum(scale, 0.05 * scale[0])
        components = (pca.components_ / scale[:, None]).astype(np.float32)
        points = ((vectors - mean) @ components.T).astype(np.float32)
        folds = np.array([fold_of(article) for article in taught.article_ids])
        n = len(taught.concepts)
        weights = np.zeros((FOLDS, n, kept), dtype=np.float32)
        offsets = np.full((FOLDS, n), np.nan, dtype=np.float32)
        importance = np.where(taught.judged, JUDGED, 1.0)
        for fold in range(FOLDS):
            for column in range(n):
                wanted = taught.wanted[:, column]
                rows = np.flatnonzero((folds != fold) & ~np.isnan(wanted))
                found = _regression(points[rows], wanted[rows], importance[rows], STRENGTH)
                if found is not None:
                    weights[fold, column], offsets[fold, column] = found
        blank = np.ones(n, dtype=np.float32)
        raw = LabelModel(taught.concepts, mean.astype(np.float32), components, weights, offsets, blank, 0 * blank)
        logits = _logits(raw, points, folds)
        slope, shift = _calibration(logits, taught, taxonomy)
    model = dataclasses.replace(raw, slope=slope, shift=shift)
    return model, _sigmoid(logits * slope + shift)


def _regression(
    points: Floats, wanted: Floats, importance: npt.NDArray[np.float64], strength: float
) -> tuple[Floats, float] | None:
    """Weights and offset of a logistic regression on probabilities: each image stands for yes and no by its share."""
    yes = wanted * importance
    no = (1.0 - wanted) * importance
    if yes.sum() < 1.0 or no.sum() < 1.0:
        return None
    linear: Any = importlib.import_module("sklearn.linear_model")
    ones, zeros = np.flatnonzero(yes > _TINY), np.flatnonzero(no > _TINY)
    fitted = linear.LogisticRegression(C=strength, max_iter=200, tol=1e-4).fit(
        np.concatenate([points[ones], points[zeros]]),
        np.concatenate([np.ones(len(ones)), np.zeros(len(zeros))]),
        sample_weight=np.concatenate([yes[ones], no[zeros]]),
    )
    return fitted.coef_[0].astype(np.float32), float(fitted.intercept_[0])


def _calibration(logits: Floats, taught: Targets, taxonomy: Taxonomy) -> tuple[Floats, Floats]:
    """Slope and shift per concept, one pair a level (Platt 1999, with probabilities as targets)."""
    n = len(taught.concepts)
    slope, shift = np.ones(n, dtype=np.float32), np.zeros(n, dtype=np.float32)
    enough = int(taught.judged.sum()) >= CALIBRATE
    known = ~np.isnan(taught.wanted) & ~np.isnan(logits) & (taught.judged[:, None] if enough else True)
    tops = np.array([taxonomy.get(c).broader is None for c in taught.concepts], dtype=bool)
    for columns in (np.flatnonzero(tops), np.flatnonzero(~tops)):
        here = known[:, columns]
        wanted = taught.wanted[:, columns][here]
        found = _regression(logits[:, columns][here][:, None], wanted, np.ones(len(wanted)), 1e3)
        if found is not None and found[0][0] > 0:
            slope[columns], shift[columns] = found[0][0], found[1]
    return slope, shift


def answers(model: LabelModel, vectors: Floats, article_ids: Sequence[str], taxonomy: Taxonomy) -> Floats:
    """Probability of each concept for images, each by the model of its part; no narrower one surer than what is above.

    Args:
        model: it.
        vectors: images x dimension, float32.
        article_ids: their articles.
        taxonomy: the vocabulary.

    Returns:
        images x concepts, float32 in 0..1; 0 where the part's model could not learn the concept.
    """
    with one_thread():
        points = ((vectors - model.mean) @ model.components.T).astype(np.float32)
        folds = np.array([fold_of(article) for article in article_ids], dtype=np.int64)
        return ordered(_sigmoid(_logits(model, points, folds) * model.slope + model.shift), model.concepts, taxonomy)


def ordered(p: Floats, concepts: Sequence[str], taxonomy: Taxonomy) -> Floats:
    """Probabilities (images x concepts, NaN counts as 0), narrower ones at most as high as what is above them."""
    p = np.nan_to_num(p)
    at = {concept: n for n, concept in enumerate(concepts)}
    for concept in sorted(concepts, key=lambda c: len(taxonomy.lineage(c))):
        for above in taxonomy.lineage(concept):
            # what is above and could not be learnt has fewer images than what is below only where sources err
            if above != concept:
                p[:, at[concept]] = np.minimum(p[:, at[concept]], p[:, at[above]] if above in at else 0.0)
    return p


def _logits(model: LabelModel, points: Floats, folds: npt.NDArray[np.int64]) -> Floats:
    found = np.empty((len(points), len(model.concepts)), dtype=np.float32)
    for fold in range(FOLDS):
        rows = folds == fold
        found[rows] = points[rows] @ model.weights[fold].T + model.offsets[fold]
    return found


def _sigmoid(logits: Floats) -> Floats:
    return (1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


@contextmanager
def one_thread() -> Generator[None]:
    """Let BLAS and OpenMP use one thread meanwhile: the order of their sums must not depend on the machine."""
    threads: Any = importlib.import_module("threadpoolctl")
    with threads.threadpool_limits(1):
        yield


def long(media_ids: Sequence[str], concepts: Sequence[str], p: Floats) -> pl.DataFrame:
    """Probabilities (images x concepts) as rows: media_id, concept_id, probability (f32)."""
    return pl.DataFrame(
        {
            "media_id": np.repeat(np.array(media_ids, dtype=object), len(concepts)).tolist(),
            "concept_id": list(concepts) * len(media_ids),
            "probability": p.reshape(-1),
        },
        schema={"media_id": pl.String, "concept_id": pl.String, "probability": pl.Float32},
    )
