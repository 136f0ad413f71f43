"""Encoders by name: opening one, and describing one without opening it."""

from __future__ import annotations

from pathlib import Path

from biomedica_assets.lib.embed import preprocess, texture, towers
from biomedica_assets.lib.embed.encoder import Encoder, folder_name
from biomedica_assets.lib.errors import PermanentFailure

TEXTURE = texture.TextureEncoder.name


def described(name: str, preprocessing: str) -> dict[str, str]:
    """What a manifest of ``embeddings`` records of its encoder, told without opening it."""
    if name == TEXTURE:
        return {"encoder": name, "preprocessing": texture.TextureEncoder.preprocessing}
    return {"encoder": folder_name(name), "preprocessing": f"{preprocessing}-{preprocess.VERSION}"}


def look_for(name: str, weights: Path | None = None) -> None:
    """Make sure that an encoder can be had; takes two seconds at most and loads nothing.

    Args:
        name: as ``open_encoder`` takes it.
        weights: local file, None for the hub's.

    Raises:
        WaitingFor: its weights are not here and cannot be fetched.
        PermanentFailure: the name is none, or it has no weights to be given.
    """
    if name != TEXTURE:
        towers.look_for(name, weights)
    elif weights is not None:
        raise PermanentFailure(f"the texture encoder has no weights; unset encoder_weights ({weights})")


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
        WaitingFor: the weights are not here and cannot be fetched.
        PermanentFailure: name or device cannot be had; the message says which setting to change.
    """
    if name == TEXTURE:
        look_for(name, weights)
        return texture.TextureEncoder()
    return towers.open_tower(name, preprocessing=preprocessing, weights=weights, device=device)
