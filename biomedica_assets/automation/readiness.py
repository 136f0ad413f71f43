"""What waits for something from outside: data, votes, weights. It has not failed, and is not tried until that is here.

Belongs here: which assets look at what before they are begun, and which inputs an asset can do without. The rules
themselves are functions of ``lib`` that the assets' own steps obey, too: what nobody could know before is said by the
step, as the same ``WaitingFor``.
"""

import functools
from collections.abc import Callable
from pathlib import Path

from biomedica_assets import composition, configs, evaluation
from biomedica_assets.lib import embed
from biomedica_assets.lib.annotate.sources import model_stage, trust
from biomedica_assets.lib.annotate.sources import stage as labels
from biomedica_assets.lib.clip import models
from biomedica_assets.lib.clip.data import training_samples
from biomedica_assets.lib.clip.profile import check_training, check_validation
from biomedica_assets.lib.cluster.fit import check_images
from biomedica_assets.lib.errors import BiomedicaError, WaitingFor
from biomedica_assets.lib.release import contents
from biomedica_assets.lib.release import stage as release
from biomedica_assets.lib.select import catalog_view, definition, selection
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import (
    ANNOTATIONS,
    CHECKPOINTS,
    CLUSTER_MODEL,
    CLUSTERS,
    CONTAMINATION,
    EMBEDDINGS,
    FIGURE_LABELS,
    LABEL_CLAIMS,
    LABEL_MODEL,
    LABEL_TRUST,
    LEADERBOARD,
    PAIR_SCORES,
    PANEL_BOXES,
    PANEL_SHARDS,
    RECIPE,
    RELEASE,
    RELEASE_SHELF,
    RETRIEVAL_SCORES,
    SAMPLE_SHELF,
    SOURCE_LEADERBOARD,
    ZERO_SHOT_SCORES,
    Table,
)
from biomedica_assets.settings import Settings

WITHOUT: dict[str, frozenset[str]] = {
    FIGURE_LABELS.name: frozenset(table.name for table in labels.WITHOUT),
    LABEL_CLAIMS.name: frozenset(table.name for table in (*trust.READS, ANNOTATIONS)),
    LABEL_TRUST.name: frozenset({LABEL_MODEL.name}),
    SOURCE_LEADERBOARD.name: frozenset({LABEL_MODEL.name}),
    RELEASE_SHELF.name: frozenset(table.name for table in contents.OPTIONAL),
    RELEASE.name: frozenset(table.name for table in release.READS if table is not RELEASE_SHELF),
    SAMPLE_SHELF.name: catalog_view.OPTIONAL
    | {table.name for table in (FIGURE_LABELS, PANEL_BOXES, PANEL_SHARDS, EMBEDDINGS, CLUSTERS)},
}
"""Asset -> inputs that it takes if they are there, and can do without."""

ANY_OF: dict[str, frozenset[str]] = {
    LEADERBOARD.name: frozenset(t.name for t in (CHECKPOINTS, ZERO_SHOT_SCORES, RETRIEVAL_SCORES, CONTAMINATION)),
}
"""Asset -> inputs of which it needs one partition, and no more."""

DECIDED_LATE = frozenset({CHECKPOINTS.name})
"""Assets that wait or not by what their inputs turn out to hold: they are not begun in one run with those."""


class Readiness:
    """Looks at what lies outside the data directory once in its life, at the data whenever it is asked."""

    def __init__(self, values: Settings, lake: Lake) -> None:
        """Args: values: settings of the data directory; lake: it."""
        self._values, self._lake = values, lake
        self._rules: dict[str, Callable[[str | None], object]] = {
            EMBEDDINGS.name: self._encoder,
            PAIR_SCORES.name: lambda _: evaluation.pair_model(values),
            CLUSTER_MODEL.name: lambda _: check_images(lake),
            LABEL_MODEL.name: lambda _: model_stage.check_labels(lake),
            RECIPE.name: self._labels,
            CHECKPOINTS.name: self._training,
        }

    @property
    def assets(self) -> frozenset[str]:
        """Those that may wait for something themselves; others wait for these."""
        return frozenset(self._rules)

    def waits_for(self, asset: str, partition: str | None) -> WaitingFor | None:
        """What a partition waits for that no other asset makes; None if it can be begun, or if that cannot be told."""
        try:
            self._rules.get(asset, lambda _: None)(partition)
        except WaitingFor as waiting:
            return waiting
        except BiomedicaError:
            return None  # a fault: the step says it, and fails
        return None

    def also_reads(self, asset: str, partition: str | None) -> tuple[Table, ...]:
        """Tables that a partition needs by its own definition, beyond the edges of the graph."""
        if asset != RECIPE.name:
            return ()
        try:
            recipe = definition.load(str(partition), self._lake.root / "recipes")
        except BiomedicaError:
            return ()
        return (
            *((FIGURE_LABELS,) if recipe.concepts.needed else ()),
            *((PANEL_BOXES, PANEL_SHARDS) if recipe.unit == "panel" else ()),
            *((EMBEDDINGS, CLUSTERS) if recipe.semantic_dedup is not None else ()),
            *((PAIR_SCORES,) if recipe.min_pair_score is not None else ()),
        )

    @functools.cached_property
    def _look(self) -> WaitingFor | None:
        try:
            embed.look_for(self._values.encoder, self._values.encoder_weights)
        except WaitingFor as waiting:
            return waiting
        return None

    def _encoder(self, _: str | None) -> None:
        if self._look is not None:
            raise self._look

    def _labels(self, partition: str | None) -> None:
        recipe = definition.load(str(partition), self._lake.root / "recipes")
        selection.check_labels(self._lake, str(partition), recipe)
        if not self._values.pair_model:
            selection.check_scores(self._lake, recipe)

    def _training(self, partition: str | None) -> None:
        recipe = str(partition)
        if self._lake.manifest(RECIPE, recipe) is None:
            return
        profile = configs.training_profile(self._values)
        samples, unreadable = training_samples(self._lake, recipe)
        # Whether a batch can be shared by all devices is no matter of waiting, and torch takes seconds to count them.
        check_training(profile, recipe, samples=samples, unreadable=unreadable, devices=1)
        check_validation(recipe, composition.held_out_pairs(self._lake, recipe, "validation").height)
        models.look_for_base(Path(profile.model).stem if profile.model.endswith(".json") else profile.model, profile)
