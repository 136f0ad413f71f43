"""``biomedica search``: samples by words, by a picture, by both, under a condition."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets import settings
from biomedica_assets.lib.errors import PermanentFailure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from biomedica_assets.lib.store.lake import Lake

_WIDEST = 90


def search(arguments: argparse.Namespace) -> int:
    """``biomedica search``: 0 also where nothing was found."""
    from biomedica_assets.lib.select.search.searching import Query
    from biomedica_assets.lib.select.search.searching import search as find
    from biomedica_assets.lib.select.search.vectors import vector_of
    from biomedica_assets.lib.store.lake import Lake

    if not (arguments.words or arguments.image or arguments.like or arguments.looks or arguments.where):
        raise PermanentFailure("nothing to look for: give words, --image, --like, --looks or --where")
    if sum(map(bool, (arguments.image, arguments.like, arguments.looks))) > 1:
        raise PermanentFailure("--image, --like and --looks each say what pictures shall look like; give one of them")
    values = settings.load(data_dir=arguments.data_dir)
    lake = Lake(values.data_dir)
    vector = None
    if arguments.like:
        vector = vector_of(lake, arguments.like)
    elif arguments.image:
        vector = _vector_of_file(lake, values, arguments.image)
    elif arguments.looks:
        vector = describer_of(lake, values)(arguments.looks)
    found = find(lake, Query(" ".join(arguments.words), vector, arguments.where, arguments.n))
    for row in found.iter_rows(named=True):
        print(json.dumps(row, ensure_ascii=False) if arguments.json else _line(row))
    return 0


def _vector_of_file(lake: Lake, values: settings.Settings, path: Path) -> NDArray[np.float32]:
    """The vector of a picture by the encoder of the settings, which must be that of the shelves."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PermanentFailure(f"{path} cannot be read as a picture: {error}") from error
    return encoder_of(lake, values)(data, str(path))


def encoder_of(lake: Lake, values: settings.Settings) -> Callable[[bytes, str], NDArray[np.float32]]:
    """What makes the vector of a picture, given its bytes and what it is called, as the shelves' vectors were made.

    Raises:
        PermanentFailure: there are no vectors, or they are not of the encoder of the settings.
    """
    import numpy as np
    from PIL.Image import DecompressionBombError

    from biomedica_assets.lib.embed import open_encoder
    from biomedica_assets.lib.images.canonical import open_canonical

    digests = _digests(lake)

    def encode(data: bytes, called: str) -> NDArray[np.float32]:
        try:
            picture = open_canonical(data)
        except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
            raise PermanentFailure(f"{called} cannot be read as a picture: {error}") from error
        encoder = open_encoder(
            values.encoder, preprocessing=values.preprocessing, weights=values.encoder_weights, device=values.device
        )
        _check_encoder(digests, encoder.digest, values)
        return encoder.encode(np.stack([encoder.prepare(picture)]))[0]

    return encode


def describer_of(lake: Lake, values: settings.Settings) -> Callable[[str], NDArray[np.float32]]:
    """What makes the vector of words, in the space of the shelves' vectors: the text tower of their CLIP model.

    Raises:
        PermanentFailure: there are no vectors, or they are of no CLIP model.
    """
    from biomedica_assets.lib.embed import OPEN_CLIP, Clip, open_clip_towers

    digests = _digests(lake)
    if not values.encoder.startswith(OPEN_CLIP):
        raise PermanentFailure(
            f"pictures are compared with words only by a CLIP model, and the vectors here are of {values.encoder}; "
            f"set encoder to {OPEN_CLIP}<model>/<tag> and make them with it"
        )

    @functools.cache
    def opened() -> Clip:
        found = open_clip_towers(
            values.encoder, preprocessing=values.preprocessing, weights=values.encoder_weights, device=values.device
        )
        _check_encoder(digests, found.image.digest, values)
        return found

    return lambda words: opened().describe(words)


def _digests(lake: Lake) -> set[str]:
    """Digests of the encoders that the shelves are from.

    Raises:
        PermanentFailure: there are none.
    """
    from biomedica_assets.lib.tables import EMBEDDING_SHELF

    made = [lake.manifest(EMBEDDING_SHELF, shelf) for shelf in lake.partitions(EMBEDDING_SHELF)]
    digests = {str(one.metrics["encoder_digest"]) for one in made if one}
    if not digests:
        raise PermanentFailure(
            "no image has a vector yet; `biomedica run --select '*embedding_shelf'` makes them, and search by words "
            "does without"
        )
    return digests


def _check_encoder(digests: set[str], digest: str, values: settings.Settings) -> None:
    if digests != {digest}:
        raise PermanentFailure(
            f"the vectors here were made by another encoder than {values.encoder} as the settings have it; set "
            "`encoder` to the one they are from, or `biomedica refresh` them"
        )


def _line(row: dict[str, Any]) -> str:
    caption = " ".join((row["caption"] or "").split())
    caption = caption if len(caption) <= _WIDEST else caption[: _WIDEST - 3] + "..."
    licence = row["license_code"] or "no licence"
    return f"{row['rank']:>3}  {row['media_id']}  {row['year'] or '----'}  {licence:<12}  {caption}"
