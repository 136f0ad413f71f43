"""Which models are compared and where their weights are: our checkpoints, open_clip's, the hub's.

``ModelSpec`` names a model; ``encoder.open_model`` loads it. The models of others that this project knows are data
(``models.yaml``) with the source of each fact.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
from pathlib import Path
from typing import Any, Literal

import yaml

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.weights import BadWeights, file_digest

Provenance = Literal["ours", "base", "interpolated", "other", "published", "random"]
HUB = "hf-hub:"
RANDOM = "random"


class WeightsMissing(PermanentFailure):
    """The weights of a model are not on this machine; the message says what to set."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model to evaluate.

    Attributes:
        name: key in tables and plots.
        architecture: open_clip architecture, ``hf-hub:<repo>``, or path of a model config JSON.
        weights: path of a weights file (safetensors, or a ``.pt`` that loads with weights_only), an open_clip tag, or
            None for random weights of ``seed``.
        provenance: ours (trained here), base (where training began), interpolated (WiSE-FT), other (trained by others,
            scored here), published (numbers that others printed), random (not trained: the floor).
        digest: identifies the weights; None to work it out (from the file, else from the loaded parameters).
        seed: of random weights.
        compute: training compute in FLOPs, None if unknown.
        samples_seen: training samples seen, None if unknown.
        alpha: weight of the trained model in an interpolation.
        note: what a reader must know.
        missing: why the model cannot be had, where that is known before it is loaded.
    """

    name: str
    architecture: str
    weights: str | None
    provenance: Provenance
    digest: str | None = None
    seed: int = 0
    compute: float | None = None
    samples_seen: int | None = None
    alpha: float | None = None
    note: str | None = None
    missing: str | None = None

    def known_digest(self) -> str | None:
        """Digest of architecture and weights without loading them; None if only loading can tell.

        Raises:
            WeightsMissing: ``weights`` or the config is a path and there is no such file, or the model is known not to
                be had.
        """
        if self.missing is not None:
            raise WeightsMissing(self.missing)
        config = self.config_path()
        shape = _file_sha256(config, self.name) if config else self.architecture
        if self.digest is not None:
            return digest(shape, self.digest)
        if self.weights is None:
            return None if self.architecture.startswith(HUB) else digest(shape, f"random:{self.seed}")
        path = self.weights_path()
        return digest(shape, _file_sha256(path, self.name)) if path is not None else None

    def weights_path(self) -> Path | None:
        """The file of the weights, if ``weights`` is not a tag of open_clip."""
        path = Path(self.weights) if self.weights is not None else None
        return path if path is not None and (path.suffix or path.is_absolute()) else None

    def check_weights(self) -> None:
        """Make sure that a weights file is the one whose digest is known; all of it is read to be loaded anyway.

        Raises:
            WeightsMissing: it has other bytes, or cannot be read.
        """
        if self.digest is None or self.weights is None or not Path(self.weights).is_absolute():
            return
        if (found := _file_sha256(Path(self.weights), self.name)) != self.digest:
            raise WeightsMissing(
                f"model {self.name}: {self.weights} is damaged (SHA-256 {found[:12]}…, not "
                f"{self.digest[:12]}… as it was written); `biomedica fsck --repair` makes it again "
                "from the last state of its training"
            )

    def config_path(self) -> Path | None:
        """The model config, if ``architecture`` is a path to one."""
        return Path(self.architecture) if self.architecture.endswith(".json") else None


@dataclasses.dataclass(frozen=True, slots=True)
class KnownModel:
    """A published model: what would load it, and what is in the way."""

    spec: ModelSpec
    title: str
    get: str
    licence: str | None
    loadable: bool
    source: str


def known_models() -> dict[str, KnownModel]:
    """Published models by name, in the order of ``models.yaml``."""
    text = (importlib.resources.files("biomedica_assets.lib.evaluate") / "models.yaml").read_text(encoding="utf-8")
    raw: dict[str, Any] = yaml.safe_load(text)
    return {entry["name"]: _known(entry) for entry in raw["models"]}


def known_model(name: str, weights: str | None = None) -> ModelSpec:
    """The spec of a published model; ``weights`` is a local file that takes the place of the hub's.

    Raises:
        WeightsMissing: no such model, or it needs a local file and none is given.
    """
    models = known_models()
    if name not in models:
        raise WeightsMissing(f"model {name!r} is none of {', '.join(models)}; give architecture and weights instead")
    known = models[name]
    if weights is not None:
        architecture = known.spec.architecture
        return dataclasses.replace(known.spec, architecture=architecture, weights=weights)
    if not known.loadable:
        raise WeightsMissing(f"{known.title} needs a local weights file: {known.get}")
    return known.spec


def parse_model(text: str) -> ModelSpec:
    """A model as people name it: to be scored here, whoever trained it.

    Args:
        text: a name of ``models.yaml``, ``hf-hub:<repo>``, or ``<name or architecture>@<weights>`` with weights a tag
            of open_clip, a file, or ``random``. An architecture is open_clip's name or the path of a model config.

    Raises:
        WeightsMissing: neither is known, or an architecture is given without weights.
    """
    what, at, weights = text.rpartition("@") if "@" in text else (text, "", "")
    if what in known_models():
        return known_model(what, weights or None)
    if not at and not what.startswith(HUB):
        listed = ", ".join(known_models())
        raise WeightsMissing(
            f"model {text!r} is none of {listed}; write ARCHITECTURE@TAG, ARCHITECTURE@FILE or {HUB}REPOSITORY"
        )
    stem = Path(what).stem if what.endswith(".json") else what.removeprefix(HUB)
    tail = Path(weights).stem if Path(weights).suffix else weights
    name = re.sub(r"[^a-z0-9.-]+", "-", f"{stem}-{tail}".lower()).strip("-.")
    return ModelSpec(name, what, None if weights in ("", RANDOM) else weights, "other")


def _known(entry: dict[str, Any]) -> KnownModel:
    spec = ModelSpec(
        entry["name"], entry["architecture"], entry.get("weights"), "other", note=" ".join(entry["note"].split())
    )
    return KnownModel(
        spec,
        entry["title"],
        " ".join(entry["get"].split()),
        entry.get("licence"),
        bool(entry["loadable"]),
        " ".join(entry["source"].split()),
    )


def _file_sha256(path: Path, name: str) -> str:
    try:
        return file_digest(path)
    except BadWeights as error:
        raise WeightsMissing(f"model {name}: {error}, or train the recipe first") from error
