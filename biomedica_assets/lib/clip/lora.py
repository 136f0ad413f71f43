"""Low-rank additions to the matrices of both towers (LoRA: Hu et al., arXiv 2106.09685), trained in their place.

An addition is a parametrization of torch's: the matrix is ``W + (alpha / rank) * B A`` wherever the model reads it, so
attention with its packed projections is covered as linear layers are. What is written for use has the sum in it and
loads like any other weights (``merged``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from biomedica_assets.lib.errors import PermanentFailure

_ORIGINAL, _ADDED = ".original", ".0."
_MARK = "parametrizations."
SCALE = "scale"
_IN_BLOCKS = ("resblocks.", "blocks.", "layers.", "layer.")
"""Parts of the names of a transformer's blocks in open_clip, timm and transformers."""


def added_to(create: Callable[..., Any], rank: int, alpha: float) -> Callable[..., Any]:
    """``create_model_and_transforms`` whose model has additions and trains nothing else but the scale of its logits."""

    def created(*args: Any, **kwargs: Any) -> Any:
        model, *transforms = create(*args, **kwargs)
        add(model, rank, alpha)
        return (model, *transforms)

    return created


def add(model: Any, rank: int, alpha: float) -> int:
    """Freeze a model and give every matrix of its transformer blocks an addition; returns how many there are.

    ``A`` is drawn as linear layers are, ``B`` is zero: the model computes at first what it did before.

    Raises:
        PermanentFailure: the model has no transformer blocks.
    """
    torch: Any = importlib.import_module("torch")
    parametrize: Any = importlib.import_module("torch.nn.utils.parametrize")
    nn = torch.nn

    class Addition(nn.Module):  # pyright: ignore[reportUntypedBaseClass]
        """``W + scale * B A``."""

        def __init__(self, weight: Any) -> None:
            super().__init__()  # pyright: ignore[reportUnknownMemberType]
            rows, columns = weight.shape
            options = {"device": weight.device, "dtype": weight.dtype}
            self.a = nn.Parameter(torch.empty(min(rank, rows, columns), columns, **options))
            self.b = nn.Parameter(torch.zeros(rows, min(rank, rows, columns), **options))
            nn.init.kaiming_uniform_(self.a, a=5**0.5)
            self.register_buffer(SCALE, torch.tensor(alpha / rank, **options))

        def forward(self, weight: Any) -> Any:
            return weight + self.scale * (self.b @ self.a)

    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in ("logit_scale", "logit_bias"))
    found = [
        (module, name)
        for path, module in list(model.named_modules())
        if any(part in f"{path}." for part in _IN_BLOCKS)
        for name, parameter in list(module.named_parameters(recurse=False))
        if parameter.ndim == 2
    ]
    for module, name in found:
        parametrize.register_parametrization(module, name, Addition(getattr(module, name)))
    if not found:
        raise PermanentFailure("lora_rank is set, but the model has no transformer blocks to add to; unset it")
    return len(found)


def merged(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights with their additions in them, under the names that the model has without; others as they are."""
    found: dict[str, Any] = {}
    for name, tensor in weights.items():
        if _MARK not in name:
            found[name] = tensor
        elif name.endswith(_ORIGINAL):
            stem = name.removesuffix(_ORIGINAL)
            a, b, scale = (weights[f"{stem}{_ADDED}{part}"] for part in ("a", "b", SCALE))
            whole = tensor.float() + scale.float() * (b.float() @ a.float())
            found[stem.replace(_MARK, "")] = whole.to(tensor.dtype)
    return found
