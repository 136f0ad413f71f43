"""What an encoder is, and opening one by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure

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


def open_encoder(
    name: str,
    *,
    preprocessing: str = "standard",
    weights: Path | None = None,
    device: str = "auto",
) -> Encoder:
    """Open an encoder.

    Args:
        name: ``texture`` (no weights), ``open_clip/<model>`` or ``open_clip/<model>/<tag>``, or the name of a timm
            model such as ``vit_large_patch14_reg4_dinov2.lvd142m``.
        preprocessing: ``standard`` or ``biomedica``.
        weights: local file, safetensors or a pickle that is loaded weights-only; None takes the hub's cache and asks
            the hub only for what is not in it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        PermanentFailure: name, weights or device cannot be had; the message says which setting to change.
    """
    if name == "texture":
        from biomedica_assets.lib.embed.texture import TextureEncoder

        if weights is not None:
            raise PermanentFailure(f"the texture encoder has no weights; unset encoder_weights ({weights})")
        return TextureEncoder()
    from biomedica_assets.lib.embed import towers

    return towers.open_tower(name, preprocessing=preprocessing, weights=weights, device=device)
