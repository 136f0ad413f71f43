"""An encoder without weights: colour, gradient, texture and frequency statistics, by scikit-image.

For demonstrations, tests and machines that can fetch no weights. Deterministic: a vector is a function of the pixels
alone, whatever the batch or the number of workers. It tells a chart from a radiograph and a hand from a chest; it does
not know what a tumour is.
"""

from __future__ import annotations

import importlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.embed.encoder import Prepare
from biomedica_assets.lib.embed.preprocess import fit_within
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.store.manifest import digest

VERSION = f"1.{CANONICAL}"
SIDE = 128  # pixels of the longer side at which statistics are taken
LAYOUT = 64  # pixels of the side of the square on which gradients, frequencies and layout are taken
RINGS = 8
SECTORS = 4
# Weights of the groups after each is scaled to length one: layout and gradients separate anatomy, colour separates
# stains, texture and frequency separate charts from photographs. Measured by benchmarks/cluster_purity.py.
WEIGHTS = {"colour": 1.0, "tone": 1.0, "gradient": 1.0, "pattern": 0.7, "frequency": 0.7, "layout": 0.7}


class TextureEncoder:
    """See the module; the statistics are taken in ``prepare``, so that workers share the work."""

    name = "texture"
    preprocessing = f"whole-{SIDE}-{VERSION}"
    device = "cpu"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return len(texture_vector(Image.new("RGB", (8, 8))))

    @property
    def digest(self) -> str:
        """Digest of the version of the statistics."""
        return digest("texture", VERSION)

    @property
    def prepare(self) -> Prepare:
        """Image to vector."""
        return texture_vector

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors themselves."""
        return np.asarray(batch, np.float32)


def texture_vector(image: Image.Image) -> NDArray[np.float32]:
    """Statistics of one image, float32; every group of them is scaled to its weight in length."""
    color = importlib.import_module("skimage.color")
    small = fit_within(image, SIDE)
    rgb = np.asarray(small, np.float32) / np.float32(255)
    lab = np.asarray(color.rgb2lab(rgb), np.float32)
    square = np.asarray(small.resize((LAYOUT, LAYOUT), Image.Resampling.BOX).convert("L"), np.float32) / np.float32(255)
    groups = {
        "colour": _colour(lab),
        "tone": _tone(lab[..., 0] / np.float32(100)),
        "gradient": _gradient(square),
        "pattern": _pattern(np.asarray(small.convert("L"))),
        "frequency": _frequency(square),
        "layout": _layout(square),
    }
    return np.concatenate([WEIGHTS[name] * _unit(values) for name, values in groups.items()]).astype(np.float32)


def _unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(values))
    return values / length if length > 0 else values


def _histogram(values: NDArray[np.float32], bins: int, low: float, high: float) -> NDArray[np.float32]:
    """Square roots of shares: the Euclidean distance of two is then the Hellinger distance."""
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return np.sqrt(counts / max(1, values.size)).astype(np.float32)


def _colour(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histogram of hue weighted by chroma (12 bins) and of chroma (6 bins): grey images are far from stained ones."""
    hue, chroma = np.arctan2(lab[..., 2], lab[..., 1]), np.hypot(lab[..., 1], lab[..., 2])
    weight, _ = np.histogram(hue, bins=12, range=(-np.pi, np.pi), weights=np.minimum(chroma, 60) / 60)
    hues = np.sqrt(weight / hue.size)
    return np.concatenate([hues, _histogram(np.minimum(chroma, 59.9), 6, 0, 60)]).astype(np.float32)


def _tone(lightness: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histogram of lightness, 16 bins."""
    return _histogram(np.clip(lightness, 0, 1), 16, 0, 1)


def _gradient(square: NDArray[np.float32]) -> NDArray[np.float32]:
    """Histogram of oriented gradients: 8 orientations in 4 x 4 cells."""
    feature = importlib.import_module("skimage.feature")
    side = LAYOUT // 4
    cells = feature.hog(square, orientations=8, pixels_per_cell=(side, side), cells_per_block=(1, 1), block_norm="L2")
    return np.asarray(cells, np.float32)


def _pattern(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Histograms of uniform local binary patterns at radius 1 and 3."""
    feature = importlib.import_module("skimage.feature")
    found = [_histogram(feature.local_binary_pattern(grey, 8, radius, "uniform"), 10, 0, 10) for radius in (1, 3)]
    return np.concatenate(found)


def _frequency(square: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of amplitude by frequency (8 rings) and by direction (4 sectors), the mean left out."""
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(square - square.mean())))
    axis = np.arange(LAYOUT) - LAYOUT // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    ring = np.minimum(np.hypot(x, y) * RINGS / (LAYOUT / 2), RINGS - 1).astype(int)
    sector = (np.mod(np.arctan2(y, x), np.pi) * SECTORS / np.pi).astype(int) % SECTORS
    total = max(float(amplitude.sum()), 1e-12)
    rings = np.bincount(ring.ravel(), amplitude.ravel(), RINGS) / total
    sectors = np.bincount(sector.ravel(), amplitude.ravel(), SECTORS) / total
    return np.sqrt(np.concatenate([rings, sectors])).astype(np.float32)


def _layout(square: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where it is light and where dark: an 8 x 8 thumbnail about its mean."""
    cells = square.reshape(8, LAYOUT // 8, 8, LAYOUT // 8).mean(axis=(1, 3))
    return (cells - cells.mean()).ravel()
