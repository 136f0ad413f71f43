"""Dagster resources: thin shells of config fields around plain library objects.

Belongs here: a class of at most thirty lines with ``open()``, which returns an object of ``lib``.
Does not belong here: anything that does work.
Concept: https://docs.dagster.io/guides/build/external-resources
"""

from typing import Any

from biomedica_assets.resources.core import EngineResource, LakeResource, Progressing, SettingsResource, SourceResource
from biomedica_assets.resources.encoder import EncoderResource
from biomedica_assets.settings import Settings

__all__ = [
    "EncoderResource",
    "EngineResource",
    "LakeResource",
    "Progressing",
    "SettingsResource",
    "SourceResource",
    "build",
]


def build(values: Settings, progress: Progressing | None = None) -> dict[str, Any]:
    """All resources by the names that assets ask for."""
    return {
        "settings": SettingsResource.of(values),
        "lake": LakeResource(data_dir=str(values.data_dir.absolute())),
        "source": SourceResource(
            location=values.source_or_default,
            endpoint=values.s3_endpoint,
            region=values.s3_region,
            concurrency=values.fetch_concurrency,
            retries=values.fetch_retries,
            timeout=values.fetch_timeout,
        ),
        "engine": EngineResource(data_dir=str(values.data_dir.absolute()), workers=values.workers, ray=values.ray),
        "encoder": EncoderResource(
            name=values.encoder,
            preprocessing=values.preprocessing,
            weights=str(values.encoder_weights) if values.encoder_weights else None,
            device=values.device,
        ),
        "progress": progress or Progressing(),
    }
