"""What a stage costs, with where, when and by which command that was measured.

The files in ``measured/`` are documents of ``Rates``, which ``biomedica plan --measure --save FILE`` writes, but for
``cards.yaml``, which holds what graphics cards do.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic
import yaml

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.forecast.contents import Contents, Unit
from biomedica_assets.lib.tables.model import Partitioning

SHIPPED = "corpus"
"""The file that is taken unless another is named or measured."""
_FOLDER = importlib.resources.files("biomedica_assets.lib.forecast") / "measured"


D = TypeVar("D", bound="_Document")


class _Document(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Line(_Document):
    """A cost that is a straight line: ``once + each * partitions + unit * units``, in seconds."""

    once: float = pydantic.Field(default=0.0, ge=0)
    each: float = pydantic.Field(default=0.0, ge=0)
    unit: float = pydantic.Field(default=0.0, ge=0)

    def of(self, partitions: float, units: float) -> float:
        """Seconds for so many partitions and units."""
        return self.once + self.each * partitions + self.unit * units


class StageRate(_Document):
    """What one asset costs.

    Attributes:
        asset: its name.
        per: how it is cut.
        unit: what it is counted in.
        wall: wall time of its step, alone on the machine.
        processor: processor time.
        written: bytes written per unit.
        peak_bytes: the most memory that its process held.
        partitions: over so many partitions it was measured.
        units: and so many units.
    """

    asset: str
    per: Partitioning
    unit: Unit
    wall: Line
    processor: Line
    written: float = pydantic.Field(ge=0)
    peak_bytes: int = pydantic.Field(ge=0)
    partitions: int = pydantic.Field(ge=1)
    units: int = pydantic.Field(ge=0)


class Machine(_Document):
    """Where something was measured."""

    cores: int = pydantic.Field(ge=1)
    processor: str
    memory_bytes: int = pydantic.Field(ge=0)
    load: float = pydantic.Field(ge=0, description="Load average of other work before it began, in cores.")

    @property
    def busy(self) -> bool:
        """Whether other work took the cores meanwhile, so that wall times say little."""
        return self.load > self.cores / 2


class Rates(_Document):
    """One measurement of all stages.

    Attributes:
        source: what was measured over, in words.
        machine: where.
        versions: of the packages that do the work.
        date: of the measurement, ISO.
        command: that measured.
        encoder: what embedded the images.
        contents: how much was measured.
        stages: what each cost.
        start: seconds of wall and processor until the first run begins, once.
        run: what a run costs beside its steps, in which its assets are the units: Dagster's records, checks, and the
            planning between two runs.
        runs: runs for a partition in a wave of the graph, by how it is cut.
        close: what the checks of the whole cost at the end, for a chunk.
        bandwidth: bytes per second that the source delivered; None if it is a local folder.
    """

    source: str
    machine: Machine
    versions: dict[str, str]
    date: str
    command: str
    encoder: str
    contents: Contents
    stages: tuple[StageRate, ...]
    start: Line
    run: Line
    runs: dict[Partitioning, float]
    close: Line
    bandwidth: float | None = None

    def of(self, asset: str) -> StageRate | None:
        """The rate of an asset, None if it was not measured."""
        return next((stage for stage in self.stages if stage.asset == asset), None)


class CardRate(_Document):
    """What a graphics card does with one model, measured end to end with the cores beside it.

    Attributes:
        asset: which stage.
        model: encoder, or architecture that is trained.
        card: name of the card.
        per_second: images embedded, or samples learned from.
        cores: cores that fed it.
        date: ISO.
        command: that measures it.
        note: what to know of the number.
    """

    asset: str
    model: str
    card: str
    per_second: float = pydantic.Field(gt=0)
    cores: int = pydantic.Field(ge=1)
    date: str
    command: str
    note: str = ""


class _Cards(_Document):
    rates: tuple[CardRate, ...]


def load(name: str | Path = SHIPPED) -> Rates:
    """Rates by the name of a shipped file, or from a file of one's own.

    Raises:
        PermanentFailure: there is no such file, or it is none of rates; names the field.
    """
    shipped = _FOLDER / f"{name}.yaml"
    own = Path(name)
    if own.suffix:
        text, where = _read(own), str(own)
    elif shipped.is_file():
        text, where = shipped.read_text(encoding="utf-8"), f"{name}.yaml"
    else:
        listed = ", ".join(names())
        raise PermanentFailure(f"no rates {str(name)!r}: there are {listed}, or a file.yaml of `plan --measure --save`")
    return parse(text, where)


def names() -> list[str]:
    """Names of the shipped files."""
    found = (entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))
    return sorted(name for name in found if name != "cards")


def parse(text: str, where: str) -> Rates:
    """Rates from YAML.

    Raises:
        PermanentFailure: it is none; names ``where`` and the field.
    """
    return _validated(Rates, text, where)


def cards() -> tuple[CardRate, ...]:
    """What graphics cards do."""
    return _validated(_Cards, (_FOLDER / "cards.yaml").read_text(encoding="utf-8"), "cards.yaml").rates


def dump(rates: Rates) -> str:
    """Rates as YAML that ``load`` reads; numbers with four digits that count."""
    return yaml.safe_dump(_rounded(rates.model_dump(mode="json")), sort_keys=False, width=110, allow_unicode=True)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentFailure(f"rates {path} cannot be read: {error}") from error


def _validated(kind: type[D], text: str, where: str) -> D:
    try:
        return kind.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise PermanentFailure(f"rates {where}: no YAML ({' '.join(str(error).split())})") from error
    except pydantic.ValidationError as error:
        fault = error.errors()[0]
        at = ".".join(map(str, fault["loc"])) or "document"
        raise PermanentFailure(
            f"rates {where}: {at}: {fault['msg']}; measure anew with `biomedica plan --measure`"
        ) from error


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_rounded(one) for one in cast("list[Any]", value)]
    return float(f"{value:.4g}") if isinstance(value, float) else value
