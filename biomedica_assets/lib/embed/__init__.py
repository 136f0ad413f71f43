"""Images to vectors: encoders, preprocessing, the stage of one chunk and the concatenation of a shelf.

``encoder.py`` says what an encoder is, ``registry.py`` opens one by name; ``texture.py`` needs no weights,
``towers.py`` runs timm and open_clip models; ``preprocess.py`` holds the named preprocessings; ``chunk.py`` and
``shelf.py`` are the stages, ``neighbours.py`` says which images look alike. Clusters of vectors are ``lib.cluster``'s,
measures of images ``lib.images``'.
"""

from biomedica_assets.lib.embed.chunk import VERSION, embed_chunk
from biomedica_assets.lib.embed.encoder import Encoder
from biomedica_assets.lib.embed.neighbours import VERSION as NEIGHBOURS_VERSION
from biomedica_assets.lib.embed.neighbours import find_neighbours
from biomedica_assets.lib.embed.registry import described, look_for, open_encoder
from biomedica_assets.lib.embed.shelf import VERSION as SHELF_VERSION
from biomedica_assets.lib.embed.shelf import shelve
from biomedica_assets.lib.embed.towers import OPEN_CLIP, Clip, open_clip_towers

__all__ = [
    "NEIGHBOURS_VERSION",
    "OPEN_CLIP",
    "SHELF_VERSION",
    "VERSION",
    "Clip",
    "Encoder",
    "described",
    "embed_chunk",
    "find_neighbours",
    "look_for",
    "open_clip_towers",
    "open_encoder",
    "shelve",
]
