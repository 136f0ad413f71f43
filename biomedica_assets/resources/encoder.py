"""The image encoder as a resource: which network, which weights, which preprocessing, which device."""

from pathlib import Path

import dagster as dg

from biomedica_assets.lib.embed import Encoder, open_encoder


class EncoderResource(dg.ConfigurableResource):
    """An encoder by name; its weights are read when a step opens it, not before."""

    name: str
    preprocessing: str = "standard"
    weights: str | None = None
    device: str = "auto"

    def open(self) -> Encoder:
        """The encoder on its device; fails with a clear message if name, weights or device cannot be had."""
        weights = Path(self.weights) if self.weights else None
        return open_encoder(self.name, preprocessing=self.preprocessing, weights=weights, device=self.device)
