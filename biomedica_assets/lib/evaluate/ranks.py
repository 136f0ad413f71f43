"""Exact ranks both ways in one pass, without ever holding the similarity matrix.

The rank of a query's counterpart is one plus the number of candidates whose similarity is at least as great: ties count
against the model. Tiles of the matrix product are counted and dropped; both directions are read off the same tile. A
float32 product depends on how it is tiled, so entries within ``NEAR`` of the true similarity are judged again in
float64: ranks depend neither on tile sizes nor on the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.evaluate.bootstrap import F64, I64
from biomedica_assets.lib.evaluate.encoder import F32

NEAR = 2e-6  # float32 dot products of unit vectors of 512 to 1,024 dimensions moved by up to 4e-7 between tilings
SAME = 1e-12  # float64 dot products of equal vectors differ by less, whatever the order of summation
ROWS, COLUMNS = 1024, 4096  # 16 MB tiles; 100,000 x 100,000 x 512 both ways took 61 s and 0.64 GB on two busy cores


@dataclasses.dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks of the right counterpart, from 1; ties count against the model.

    Attributes:
        image_to_text: of each image's best caption among all captions.
        text_to_image: of each text's image among all images.
        tied_images: images whose best caption shares its similarity with a wrong caption.
        tied_texts: texts whose image shares its similarity with a wrong image.
    """

    image_to_text: I64
    text_to_image: I64
    tied_images: NDArray[np.bool_]
    tied_texts: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class TileCounts:
    """What a tile (texts x images) says: clear cases as counts, unclear ones as places in the tile."""

    above_text: I64
    above_image: I64
    near_text: tuple[I64, I64]
    near_image: tuple[I64, I64]


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Float32 bounds around the true similarities: above ``high`` is clear, between the two is not."""

    text_high: F32
    text_low: F32
    image_high: F32
    image_low: F32


class Tiles(Protocol):
    """Computes and counts tiles somewhere."""

    def count(self, r: int, c: int, own: tuple[I64, I64]) -> TileCounts:
        """Count the tile whose first text is r and first image c; ``own`` are the places of counterparts in it."""
        ...


def exact_ranks(images: F32, texts: F32, image_of: I64, device: str = "cpu") -> Ranks:
    """Ranks in both directions.

    Args:
        images: n x d unit vectors.
        texts: m x d unit vectors.
        image_of: image of each text; every image has at least one text.
        device: where tiles are computed and counted: ``cpu``, or a torch device.

    Memory: the inputs, a tile and its mask per core, and some numbers per image and text. Captions of one image do not
    compete with each other.
    """
    images, texts = np.ascontiguousarray(images), np.ascontiguousarray(texts)
    own = _dots(texts, images, np.arange(len(texts)), image_of)
    best = np.full(len(images), -np.inf)
    np.maximum.at(best, image_of, own)
    bounds = [(x + e).astype(np.float32) for x in (own, best) for e in (NEAR, -NEAR)]
    limits = Limits(*bounds)
    tiles: Tiles = NumpyTiles(images, texts, limits) if device == "cpu" else TorchTiles(images, texts, limits, device)
    text_above, text_level = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    image_above, image_level = np.zeros(len(images), np.int64), np.zeros(len(images), np.int64)
    count_rows = partial(_count_rows, tiles, image_of, len(images))
    for r, counted in _in_threads(count_rows, range(0, len(texts), ROWS), threads=device == "cpu"):
        for c, found in counted:
            text_above[r : r + ROWS] += found.above_text
            image_above[c : c + COLUMNS] += found.above_image
            i, j = found.near_text
            _settle(text_above, text_level, r + i, _exact(texts, images, r, c, i, j) - own[r + i])
            i, j = found.near_image
            _settle(image_above, image_level, c + j, _exact(texts, images, r, c, i, j) - best[c + j])
    return Ranks(1 + image_above + image_level, 1 + text_above + text_level, image_level > 0, text_level > 0)


def _count_rows(tiles: Tiles, image_of: I64, n_images: int, r: int) -> list[tuple[int, TileCounts]]:
    """All tiles of one block of texts."""
    target = image_of[r : r + ROWS]
    counted: list[tuple[int, TileCounts]] = []
    for c in range(0, n_images, COLUMNS):
        inside = np.flatnonzero((target >= c) & (target < c + COLUMNS))
        counted.append((c, tiles.count(r, c, (inside, target[inside] - c))))
    return counted


def _in_threads(
    count: Callable[[int], list[tuple[int, TileCounts]]], blocks: Iterable[int], threads: bool
) -> Iterator[tuple[int, list[tuple[int, TileCounts]]]]:
    """Blocks of texts with their counts, in order.

    On the CPU each core multiplies and counts its own block: BLAS with one thread in each of them keeps the cores busy
    while others count, where BLAS on all cores would leave all but one idle in between.
    """
    limit: Any = importlib.import_module("threadpoolctl").threadpool_limits
    with limit(1, user_api="blas") if threads else contextlib.nullcontext():
        for r, counted in LocalEngine("threads" if threads else "serial").map_batches(count, blocks):
            if isinstance(counted, Exception):
                raise counted
            yield r, counted


class NumpyTiles:
    """Tiles on the CPU: BLAS into one buffer, comparisons into one mask, both per thread."""

    def __init__(self, images: F32, texts: F32, limits: Limits) -> None:
        self._images, self._texts, self._limits = images, texts, limits
        self._mine = threading.local()

    def count(self, r: int, c: int, own: tuple[I64, I64]) -> TileCounts:
        """See ``Tiles.count``."""
        left, right = self._texts[r : r + ROWS], self._images[c : c + COLUMNS]
        buffer, whole = self._buffers()
        tile = buffer[: len(left) * len(right)].reshape(len(left), len(right))
        np.matmul(left, right.T, out=tile)
        tile[own] = -np.inf
        mask = whole[: len(left), : len(right)]
        high, low = self._limits.text_high[r : r + ROWS, None], self._limits.text_low[r : r + ROWS, None]
        above_text = _row_counts(np.greater(tile, high, out=mask))
        unclear = np.flatnonzero(_row_counts(np.greater(tile, low, out=mask)) - above_text)
        i, j = np.nonzero(mask[unclear] & ~(tile[unclear] > high[unclear]))
        near_text = (unclear[i], j)
        high, low = self._limits.image_high[None, c : c + COLUMNS], self._limits.image_low[None, c : c + COLUMNS]
        above_image = _column_counts(np.greater(tile, high, out=mask))
        unclear = np.flatnonzero(_column_counts(np.greater(tile, low, out=mask)) - above_image)
        i, j = np.nonzero(mask[:, unclear] & ~(tile[:, unclear] > high[:, unclear]))
        return TileCounts(above_text, above_image, near_text, (i, unclear[j]))

    def _buffers(self) -> tuple[F32, NDArray[np.bool_]]:
        """A tile and a mask of this thread's own."""
        if not hasattr(self._mine, "tile"):
            self._mine.tile = np.empty(ROWS * COLUMNS, np.float32)
            self._mine.mask = np.empty((ROWS, COLUMNS), np.bool_)
        return self._mine.tile, self._mine.mask


class TorchTiles:
    """Tiles on a torch device; only counts and unclear places come back."""

    def __init__(self, images: F32, texts: F32, limits: Limits, device: str) -> None:
        torch: Any = importlib.import_module("torch")

        def there(array: NDArray[Any]) -> Any:
            return torch.from_numpy(array).to(device)

        self._there, self._images, self._texts = there, there(images), there(texts)
        self._text = (there(limits.text_high)[:, None], there(limits.text_low)[:, None])
        self._image = (there(limits.image_high)[None], there(limits.image_low)[None])

    def count(self, r: int, c: int, own: tuple[I64, I64]) -> TileCounts:
        """See ``Tiles.count``."""
        tile = self._texts[r : r + ROWS] @ self._images[c : c + COLUMNS].T
        tile[self._there(own[0]), self._there(own[1])] = float("-inf")
        above_text, near_text = self._side(tile, *(x[r : r + ROWS] for x in self._text), axis=1)
        above_image, near_image = self._side(tile, *(x[:, c : c + COLUMNS] for x in self._image), axis=0)
        return TileCounts(above_text, above_image, near_text, near_image)

    @staticmethod
    def _side(tile: Any, high: Any, low: Any, axis: int) -> tuple[I64, tuple[I64, I64]]:
        clear = tile > high
        i, j = ((tile > low) & ~clear).nonzero(as_tuple=True)
        return clear.sum(axis).cpu().numpy(), (i.cpu().numpy(), j.cpu().numpy())


def _exact(texts: F32, images: F32, r: int, c: int, i: I64, j: I64) -> F64:
    """Float64 similarities of places in a tile; of a collapsed model that is most of the tile: one product pays."""
    if i.size > ROWS * COLUMNS // 32:
        block = texts[r : r + ROWS].astype(np.float64)
        return (block @ images[c : c + COLUMNS].astype(np.float64).T)[i, j]
    return _dots(texts, images, r + i, c + j)


def _settle(above: I64, level: I64, at: I64, difference: F64) -> None:
    above += np.bincount(at[difference > SAME], minlength=above.size)
    level += np.bincount(at[np.abs(difference) <= SAME], minlength=level.size)


def _row_counts(mask: NDArray[np.bool_]) -> I64:
    return np.fromiter((np.count_nonzero(row) for row in mask), np.int64, mask.shape[0])


def _column_counts(mask: NDArray[np.bool_]) -> I64:
    """Up to 255 rows are added as bytes, then widened: numpy's sum of a bool tile along an axis goes through int64."""
    total = np.zeros(mask.shape[1], np.int64)
    data = mask.view(np.uint8)
    for start in range(0, len(data), 255):
        total += np.add.reduce(data[start : start + 255], axis=0, dtype=np.uint8)
    return total


def _dots(left: F32, right: F32, left_rows: I64, right_rows: I64) -> F64:
    """Float64 dot products of rows of ``left`` with rows of ``right``, in pieces."""
    made = np.empty(len(right_rows), np.float64)
    for s in range(0, len(right_rows), 4096):
        a, b = left[left_rows[s : s + 4096]], right[right_rows[s : s + 4096]]
        made[s : s + 4096] = np.einsum("ij,ij->i", a.astype(np.float64), b.astype(np.float64))
    return made
