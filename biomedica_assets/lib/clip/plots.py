"""Pictures of a training run."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from biomedica_assets.lib.report import Picture


def loss_curve(steps: Sequence[Mapping[str, Any]], title: str) -> Picture:
    """Loss and learning rate over samples seen."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axis = pyplot.subplots(figsize=(7, 3.2), dpi=110, layout="constrained")
    seen = [step["epoch"] * step["of"] + step["samples"] for step in steps]
    axis.plot(seen, [step["loss"] for step in steps], color="#1f5fa8", linewidth=1.6, label="loss")
    axis.set_xlabel("samples seen")
    axis.set_ylabel("contrastive loss")
    axis.set_title(title, loc="left", fontsize=10)
    rate = axis.twinx()
    rate.plot(seen, [step["learning_rate"] for step in steps], color="#b06a12", linewidth=1.0, linestyle="--")
    rate.set_ylabel("learning rate (dashed)")
    axis.grid(alpha=0.25)
    return _png(figure, pyplot, "loss curve")


def alpha_curve(scores: Mapping[float, float], metric: str, title: str) -> Picture:
    """Validation score over the weight of the trained model; 0 is the base, 1 the trained one."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axis = pyplot.subplots(figsize=(5, 3), dpi=110, layout="constrained")
    alphas = sorted(scores)
    axis.plot(alphas, [scores[a] for a in alphas], marker="o", color="#1f5fa8")
    best = max(alphas, key=lambda a: scores[a])
    axis.annotate(f"best: {best:g}", (best, scores[best]), textcoords="offset points", xytext=(0, 8), ha="center")
    axis.set_xlabel("weight of the trained model (0 base, 1 trained)")
    axis.set_ylabel(metric.replace("_", " "))
    axis.set_title(title, loc="left", fontsize=10)
    axis.margins(y=0.2)
    axis.grid(alpha=0.25)
    return _png(figure, pyplot, "interpolation")


def _png(figure: Any, pyplot: Any, title: str) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    pyplot.close(figure)
    return Picture(title, buffer.getvalue())
