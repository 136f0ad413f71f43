"""``biomedica explore``: the page on which people look at what was made."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from biomedica_assets import settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def explore(arguments: argparse.Namespace) -> int:
    """``biomedica explore``: serve the page until interrupted."""
    from biomedica_assets import configs
    from biomedica_assets.commands.search import describer_of, encoder_of
    from biomedica_assets.lib.embed.towers import OPEN_CLIP
    from biomedica_assets.lib.explore.web.serve import serve
    from biomedica_assets.lib.store.lake import Lake
    from biomedica_assets.lib.tables import EMBEDDING_SHELF

    values = settings.load(data_dir=arguments.data_dir)
    lake = Lake(values.data_dir)

    def encode(data: bytes) -> NDArray[np.float32]:
        return encoder_of(lake, values)(data, "the picture")

    is_clip = values.encoder.startswith(OPEN_CLIP) and bool(lake.partitions(EMBEDDING_SHELF))
    serve(
        lake,
        rules=configs.release_config(values).rules,
        encode=encode,
        describe=describer_of(lake, values) if is_clip else None,
        host=arguments.host,
        port=arguments.port,
        public_names=tuple(arguments.public_name or ()),
        certificate=arguments.certificate,
        key=arguments.key,
        tls_proxy=arguments.tls_proxy,
        ready=lambda address: print(f"The page is at {address}; Ctrl-C ends it.", flush=True),
    )
    return 0
