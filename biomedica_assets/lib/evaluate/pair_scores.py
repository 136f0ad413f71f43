"""How well pictures fit their captions: the cosine of both, by a CLIP model that is set.

Belongs here: the stage of ``pair_scores``. What recipes do with a score is ``lib.select``'s.
A caption longer than the model's context is judged by its beginning, as the model's tokenizer cuts it.
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.encoder import Encoder
from biomedica_assets.lib.evaluate.features import encoded
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PAIR_SCORES

VERSION = "1"
_DECIMALS = 4  # further ones depend on how a batch was cut


def score_pairs(
    lake: Lake,
    chunk: str,
    encoder: Encoder | None,
    *,
    recorded: dict[str, str],
    batch_size: int = 64,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Fill one partition of ``pair_scores``: a row per image whose figure has a caption.

    Args:
        lake: reads ``images``, the files that it names, and ``captions``.
        chunk: partition key.
        encoder: the model; None scores nothing, and the table is empty.
        recorded: what the manifest says of the model.
        batch_size: images per forward pass.
        threads: decoding threads; None for one per core, at least two.
        progress: told of each batch.

    Returns:
        Report; items are pairs, rejects images that cannot be read or decoded.

    Raises:
        StoreError: ``images`` or ``captions`` of the chunk does not exist.
    """
    began = time.monotonic()
    inputs = lake.inputs((IMAGES, chunk), (CAPTIONS, chunk))
    pairs = _pairs(lake, chunk) if encoder is not None else _pairs(lake, chunk).head(0)
    rows: list[dict[str, object]] = []
    rejects: list[Reject] = []
    if encoder is not None and pairs.height:
        texts = pairs["caption"].unique(maintain_order=True)
        of_text = dict(zip(texts, encoder.texts(texts.to_list()), strict=True))
        named = ((row["media_id"], lake.root / row["path"]) for row in pairs.iter_rows(named=True))
        found = encoded(named, encoder, batch_size, threads, pairs.height, progress)
        for row, (media_id, vector) in zip(pairs.iter_rows(named=True), found, strict=True):
            if isinstance(vector, Reject):
                left_out = Reject(row["article_id"], PAIR_SCORES.name, vector.reason, vector.message, media_id)
                rejects.append(left_out)
                continue
            cosine = round(float(np.dot(vector, of_text[row["caption"]])), _DECIMALS)
            rows.append(
                {
                    "media_id": media_id,
                    "score": cosine,
                    "model": encoder.spec.name,
                    "model_digest": encoder.digest,
                }
            )
    frame = PAIR_SCORES.frame(rows)
    manifest = lake.publish(
        PAIR_SCORES,
        chunk,
        frame,
        code_version=VERSION,
        inputs=inputs,
        config=recorded,
        rejects=rejects,
        n_in=pairs.height,
        n_out=frame.height,
    )
    return Report(
        asset=PAIR_SCORES.name,
        partition=chunk,
        data_version=manifest.data_version,
        rows=frame.height,
        n_in=pairs.height,
        n_out=frame.height,
        rejects=manifest.rejects,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={"model": encoder.spec.name if encoder else "none is set"}
        | {name: float(np.quantile(frame["score"], q)) for name, q in _QUANTILES.items() if frame.height},
        preview=tuple(frame.head(8).iter_rows(named=True)),
    )


_QUANTILES = {"score_p10": 0.1, "score_median": 0.5, "score_p90": 0.9}


def _pairs(lake: Lake, chunk: str) -> pl.DataFrame:
    """media_id, article_id, path, caption: images whose figure has a caption, by id."""
    captions = lake.read_lazy(CAPTIONS, chunk).select("figure_id", "caption")
    captions = captions.filter(pl.col("caption").str.strip_chars() != "")
    images = lake.read_lazy(IMAGES, chunk).select("media_id", "figure_id", "article_id", "path")
    pairs = images.join(captions, on="figure_id").select("media_id", "article_id", "path", "caption")
    return pairs.sort("media_id").collect()
