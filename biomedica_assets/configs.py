"""The one place where settings become the library's configuration objects.

Belongs here: one function per configuration object of ``lib``, and ``expected``, which says what each asset's manifest
records of them. The planner compares that with what is on the disk, so a changed setting makes exactly the assets stale
whose content it shapes.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets import evaluation, test_sets
from biomedica_assets.lib import licenses
from biomedica_assets.lib.clip import profile
from biomedica_assets.lib.clip.stage import recorded
from biomedica_assets.lib.clip.supervise import Device, pick_device
from biomedica_assets.lib.clip.training import Limits
from biomedica_assets.lib.cluster import FitSettings, MapSettings, SheetSettings
from biomedica_assets.lib.compute.engines import open_engine
from biomedica_assets.lib.embed import described
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.evaluate import retrieval_stage, zero_shot_stage
from biomedica_assets.lib.images import stage as images
from biomedica_assets.lib.images.verify import ImageLimits
from biomedica_assets.lib.pmc.selection import SelectionRules, read_ids
from biomedica_assets.lib.pubmed.archive import Archive
from biomedica_assets.lib.pubmed.eutils import Eutils
from biomedica_assets.lib.pubmed.stage import Off, Provider
from biomedica_assets.lib.release.rights import Rules
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.select import definition
from biomedica_assets.lib.select.agreement import CopyRules
from biomedica_assets.lib.select.splits import Held
from biomedica_assets.lib.shards.config import PanelConfig, ShardConfig
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.withdrawals.listed import read_withdrawn
from biomedica_assets.lib.withdrawals.stage import Lists
from biomedica_assets.settings import Settings

# Where things lie, how hard the machine works, and what comes after a release: nothing of it shapes one.
NOT_IN_A_RELEASE = {
    "data_dir", "source", "s3_endpoint", "s3_region", "postgres", "pmcids_file", "withdrawals_file",
    "pubmed", "pubmed_email", "pubmed_api_key_file", "pubmed_endpoint", "release_version",
    "release_name", "encoder_weights", "embed_batch", "training_profile",
    "device", "devices", "nodes", "rendezvous", "loader_workers", "sample_buffer", "most_broken_streams", "compare",
    "pair_model",
    "jobs", "workers", "ray", "fetch_concurrency", "fetch_retries", "fetch_timeout", "max_reject_fraction",
}  # fmt: skip

Expected = Mapping[str, Callable[[str | None], Mapping[str, Any]]]


def selection_rules(settings: Settings) -> SelectionRules:
    """Which articles are taken."""
    groups = tuple(group for group in settings.license_groups if group in licenses.DEFAULT_GROUPS)
    codes: tuple[str | None, ...] = licenses.codes_of(groups)
    if licenses.OTHER in settings.license_groups:
        codes = (*codes, *(code for code in licenses.CODES if licenses.group_of(code) == licenses.OTHER), None)
    if settings.license_codes:
        if outside := [code for code in settings.license_codes if code not in codes]:
            allowed = ", ".join(str(code) for code in codes)
            raise PermanentFailure(
                f"license_codes: {', '.join(outside)} is not in license_groups; allowed are {allowed}"
            )
        codes = settings.license_codes
    return SelectionRules(
        license_codes=codes,
        include_manuscripts=settings.include_manuscripts,
        ids=read_ids(settings.pmcids_file) if settings.pmcids_file else None,
        journals=settings.journals,
        year_from=settings.year_from,
        year_to=settings.year_to,
        words=settings.words,
        newest_version_only=settings.newest_version_only,
        limit=settings.limit_per_chunk,
    )


def user_lists(settings: Settings) -> Lists:
    """What the user names by PMCID: withdrawn articles, and those that alone are taken."""
    withdrawn = read_withdrawn(settings.withdrawals_file) if settings.withdrawals_file else {}
    others = {"pmcids_file": read_ids(settings.pmcids_file)} if settings.pmcids_file else {}
    return Lists(withdrawn, others)


def image_limits(settings: Settings) -> ImageLimits:
    """Which images are refused."""
    return ImageLimits(max_pixels=settings.max_pixels, min_side=settings.min_side)


def shard_config(settings: Settings) -> ShardConfig:
    """How samples are chosen, ordered and cut into shards."""
    return ShardConfig(
        seed=settings.seed,
        max_samples=settings.shard_samples,
        max_bytes=settings.shard_bytes,
        license_groups=settings.license_groups,
        invented=settings.invented,
    )


def pubmed_provider(settings: Settings) -> Provider:
    """Where records of PubMed come from."""
    if not settings.pubmed:
        return Off()
    if settings.pubmed == "eutils":
        path = settings.pubmed_api_key_file
        try:
            key = path.read_text(encoding="ascii").strip() if path else ""
        except OSError as error:
            raise PermanentFailure(f"pubmed_api_key_file {path} cannot be read: {error.strerror}") from error
        return Eutils(email=settings.pubmed_email, api_key=key, endpoint=settings.pubmed_endpoint)
    directory = Path(settings.pubmed)
    if not directory.is_dir():
        raise PermanentFailure(
            f"pubmed {settings.pubmed!r} is neither eutils nor a directory; name the one that holds baseline/"
        )
    here = settings.data_dir.absolute()
    engine = open_engine("processes", workers=settings.workers, ray=settings.ray, disk=here)
    return Archive(directory, here / "pubmed", engine)


def release_config(settings: Settings) -> ReleaseConfig:
    """What a release is called, takes and records."""
    shaping = settings.model_dump(mode="json", exclude=NOT_IN_A_RELEASE)
    pmcids = read_ids(settings.pmcids_file) if settings.pmcids_file else frozenset[str]()
    if pmcids:
        shaping["pmcids"] = digest(*sorted(pmcids))
    withdrawn = frozenset(user_lists(settings).withdrawn)
    if withdrawn:
        shaping["withdrawn"] = digest(*sorted(withdrawn))
    groups = tuple(group for group in settings.license_groups if group in licenses.DEFAULT_GROUPS)
    return ReleaseConfig(
        name=settings.release_name,
        version=settings.release_version,
        rules=Rules(groups, settings.release_no_derivatives),
        settings=shaping,
        pmcids=pmcids,
        withdrawn=withdrawn,
        pairs=settings.release_pairs,
        pictures=settings.release_pictures,
        invented=settings.invented,
    )


def recipes(settings: Settings) -> list[str]:
    """Names of the recipes: those shipped and those of the data directory."""
    return definition.names(settings.data_dir / "recipes")


def takes_panels(settings: Settings) -> bool:
    """Whether any recipe takes panels; one that cannot be read says so where it is built."""
    folder = settings.data_dir / "recipes"
    for name in recipes(settings):
        with contextlib.suppress(PermanentFailure):
            if definition.load(name, folder).unit == "panel":
                return True
    return False


def panel_config(settings: Settings) -> PanelConfig:
    """Which panels become samples, and how they are cut into shards."""
    return PanelConfig(takes_panels(settings), shard_config(settings), settings.min_side)


def held_out(settings: Settings) -> Held:
    """What is held out of every recipe."""
    return Held(settings.held_out, settings.seed)


def clusters(settings: Settings) -> FitSettings:
    """How the cluster model is fitted."""
    return FitSettings(
        k=settings.clusters, n_components=settings.components, seed=settings.seed, sample=settings.cluster_sample
    )


def contact_sheets(settings: Settings) -> SheetSettings:
    """What a contact sheet shows."""
    return SheetSettings(per_role=settings.sheet_images, seed=settings.seed)


def embedding_map(settings: Settings) -> MapSettings:
    """How the map of the embeddings is laid out."""
    return MapSettings(seed=settings.seed)


def training_profile(settings: Settings) -> profile.Profile:
    """How checkpoints are trained."""
    return profile.load(settings.training_profile, settings.data_dir / "profiles")


def training_device(settings: Settings) -> Device:
    """Where checkpoints are trained."""
    device = pick_device(settings.device, settings.devices, settings.loader_workers, settings.workers)
    if settings.nodes > 1 and not settings.rendezvous:
        raise PermanentFailure(f"nodes is {settings.nodes}; set rendezvous to HOST:PORT of the first of them")
    return dataclasses.replace(device, nodes=settings.nodes, rendezvous=settings.rendezvous)


def training_limits(settings: Settings) -> Limits:
    """What training puts up with."""
    return Limits(sample_buffer=settings.sample_buffer, most_broken_streams=settings.most_broken_streams)


def expected(settings: Settings) -> Expected:
    """Asset -> function from a partition to the settings that shape its content, as its manifest records them."""
    return {
        "article_index": lambda _: selection_rules(settings).as_config(),
        "images": lambda _: images.recorded(image_limits(settings)),
        "shards": lambda _: shard_config(settings).recorded(),
        "panel_shards": lambda _: panel_config(settings).recorded(),
        "pair_scores": lambda _: evaluation.recorded_pair_model(settings),
        "embeddings": lambda _: described(settings.encoder, settings.preprocessing),
        "cluster_model": lambda _: dataclasses.asdict(clusters(settings)),
        "contact_sheets": lambda _: dataclasses.asdict(contact_sheets(settings)),
        "map_landmarks": lambda _: dataclasses.asdict(embedding_map(settings)),
        "checkpoints": lambda _: recorded(
            training_profile(settings), settings.seed, settings.data_dir.absolute() / "models"
        ),
        "evaluation_matches": lambda _: dataclasses.asdict(CopyRules()) | test_sets.recorded(settings),
        "zero_shot_scores": lambda _: (
            evaluation.content(settings) | evaluation.recorded_scores(settings, zero_shot_stage.KINDS)
        ),
        "retrieval_scores": lambda _: (
            evaluation.content(settings) | evaluation.recorded_scores(settings, retrieval_stage.KINDS)
        ),
        "contamination": lambda _: {"near": True} | evaluation.recorded(settings),
        "recipe": lambda name: definition.load(str(name), settings.data_dir / "recipes").model_dump(mode="json"),
        "held_out": lambda _: dataclasses.asdict(held_out(settings)),
        "withdrawals": lambda _: user_lists(settings).recorded(),
        "pubmed_records": lambda _: pubmed_provider(settings).recorded(),
        "release": lambda _: release_config(settings).recorded(),
    }  # fmt: skip
