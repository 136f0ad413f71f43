"""What an encoder is: a protocol of two steps, and the failure that the stage answers by halving a batch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.errors import BiomedicaError

Prepare = Callable[[Image.Image], NDArray[Any]]


class BatchTooLarge(BiomedicaError):
    """The device has no room for a batch; half of it may fit."""


class Encoder(Protocol):
    """Images to vectors of one length.

    The work is split where threads stop helping: ``prepare`` runs in many workers (it can be pickled, so also in other
    processes), ``encode`` in the one place that owns the device.
    """

    @property
    def name(self) -> str:
        """Name for people and folders, ``[A-Za-z0-9._-]`` only."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def digest(self) -> str:
        """Digest of all that shapes a vector: weights, architecture, arithmetic, preprocessing."""
        ...

    @property
    def preprocessing(self) -> str:
        """Name and version of the preprocessing, for example ``standard-1``."""
        ...

    @property
    def device(self) -> str:
        """Where ``encode`` runs: cpu, cuda or mps."""
        ...

    @property
    def prepare(self) -> Prepare:
        """An opened image to the array that ``encode`` takes a stack of; raises what Pillow raises."""
        ...

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Stacked arrays (n, ...) to vectors (n, dimension) float32; n = 1 too gives two dimensions.

        Raises:
            BatchTooLarge: the device has no room for n images.
        """
        ...


def folder_name(name: str) -> str:
    """A name as ``Encoder.name`` and folders have it: ``open_clip-ViT-B-32`` for ``open_clip/ViT-B-32``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
