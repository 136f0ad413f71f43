"""A model without weights, and tiny test sets: what the tests of this package share."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from biomedica_assets.lib.evaluate.encoder import F32, decode
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.task import Image, Item, Task, TaskClass

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (20, 40, 230)}


class ColourEncoder:
    """Sees the mean colour of an image and understands colour words; ``wrong`` makes it mistake red for green."""

    logit_scale = 100.0

    def __init__(self, spec: ModelSpec, wrong: bool = False) -> None:
        self.spec = spec
        self.digest = f"{spec.name}-{wrong}"
        self.wrong = wrong
        self.batches: list[int] = []

    def prepare(self, image: Image) -> Any:
        return np.asarray(decode(image), np.float32).mean(axis=(0, 1))

    def images(self, batch: Sequence[Any]) -> F32:
        self.batches.append(len(batch))
        return unit(np.stack(batch))

    def texts(self, texts: Sequence[str]) -> F32:
        vectors = np.full((len(texts), 3), 1.0, np.float32)
        for i, text in enumerate(texts):
            for word, colour in COLOURS.items():
                if word in text:
                    vectors[i] = COLOURS[{"red": "green", "green": "red"}.get(word, word)] if self.wrong else colour
        return unit(vectors)


class Opener:
    """Opens colour encoders and counts how often."""

    def __init__(self, wrong: Sequence[str] = ()) -> None:
        self.wrong, self.opened, self.encoders = wrong, list[str](), dict[str, ColourEncoder]()

    def __call__(self, spec: ModelSpec, device: str, precision: str) -> ColourEncoder:
        self.opened.append(spec.name)
        return self.encoders.setdefault(spec.name, ColourEncoder(spec, spec.name in self.wrong))


def unit(x: Any) -> F32:
    x = np.asarray(x, np.float64)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def spec(name: str, provenance: Any = "ours") -> ModelSpec:
    return ModelSpec(name, "colour", "none.bin", provenance, digest=f"digest of {name}")


def png(colour: str, seed: int = 0, size: int = 8) -> bytes:
    noise = np.random.default_rng(seed).integers(-15, 16, (size, size, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def colour_task(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "name": "colours",
        "suite": "test",
        "title": "Colours",
        "kind": "single_label",
        "domain": "painting",
        "modality": None,
        "classes": tuple(TaskClass(c, (f"a {c} picture",)) for c in COLOURS),
        "metric": "accuracy",
    }
    return Task(**(values | changes))


def colour_items(n: int = 30) -> list[Item]:
    names = list(COLOURS)
    return [Item(f"item{i:03d}", png(names[i % 3], i), answer=i % 3) for i in range(n)]


def eval_images() -> Path:
    return Path(__file__).resolve().parents[4] / "shared" / "eval_images"
