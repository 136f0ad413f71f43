"""The one place where settings become the library's configuration objects.

Belongs here: one function per configuration object of ``lib``, and ``expected``, which says what each asset's manifest
records of them. The planner compares that with what is on the disk, so a changed setting makes exactly the assets stale
whose content it shapes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.pmc.rules import SelectionRules
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.settings import Settings


def selection_rules(settings: Settings) -> SelectionRules:
    """Which articles are taken."""
    raise AssertionError


def image_limits(settings: Settings) -> ImageLimits:
    """Which images are refused."""
    raise AssertionError


def shard_config(settings: Settings) -> ShardConfig:
    """How samples are cut into shards."""
    raise AssertionError


def recipes(settings: Settings) -> list[str]:
    """Names of the recipes: those shipped and those of the data directory."""
    raise AssertionError


def expected(settings: Settings) -> Mapping[str, Callable[[], Mapping[str, Any]]]:
    """Asset -> settings that shape its content, as its manifest records them."""
    raise AssertionError
