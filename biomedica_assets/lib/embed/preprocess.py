"""What happens to an image before a network sees it: named, versioned, in a digest that vectors carry.

``standard`` keeps the aspect and normalises. ``biomedica`` does what the BIOMEDICA release did (stretched to a square,
not normalised) and is there to compare with its clusters: vectors of the two must never be mixed.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.canonical import VERSION as CANONICAL
from biomedica_assets.lib.images.canonical import canonical
from biomedica_assets.lib.store.manifest import digest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Triple = tuple[float, float, float]
Name = Literal["standard", "biomedica"]
VERSION = f"2.{CANONICAL}"  # raise it whenever the pixels of either change


@dataclasses.dataclass(frozen=True, slots=True)
class Preprocessing:
    """Image to ``size`` x ``size`` x 3 bytes; the network's side then applies ``(bytes / 255 - mean) / std``.

    Bytes travel from the decoding workers to the device, a quarter of what floats would take.

    Attributes:
        name: ``standard`` or ``biomedica``.
        version: changes whenever the pixels that come out change.
        size: side of the square in pixels.
        mean: subtracted, per channel, on the scale 0..1.
        std: divided by, per channel.
    """

    name: Name
    version: str
    size: int
    mean: Triple
    std: Triple

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """An opened image to ``(size, size, 3)`` uint8; raises what Pillow raises on a broken one."""
        square = self._stretched(image) if self.name == "biomedica" else self._padded(image)
        return np.asarray(square, np.uint8)

    @property
    def digest(self) -> str:
        """Digest of all that shapes the pixels."""
        return digest(json.dumps(dataclasses.asdict(self), sort_keys=True))

    def _padded(self, image: Image.Image) -> Image.Image:
        small = fit_within(image, self.size)
        # The mean colour is zero after normalisation: the border says nothing to the network.
        neutral = tuple(round(255 * channel) for channel in self.mean)
        square = Image.new("RGB", (self.size, self.size), neutral)
        square.paste(small, ((self.size - small.width) // 2, (self.size - small.height) // 2))
        return square

    def _stretched(self, image: Image.Image) -> Image.Image:
        # biomedica-etl, scripts/Labeler/01_get_features.py lines 32-35: Resize((224, 224)) of torchvision on a Pillow
        # image (bilinear). There the orientation tag was ignored and transparency became black; here the picture
        # is the canonical one: its few figures that differ are not worth a second reading of every image.
        return canonical(image).resize((self.size, self.size), Image.Resampling.BILINEAR)


def standard(size: int = 224, mean: Triple = IMAGENET_MEAN, std: Triple = IMAGENET_STD) -> Preprocessing:
    """Whole image kept, aspect kept, upright, padded to a square, normalised with the network's own statistics."""
    return Preprocessing("standard", VERSION, size, mean, std)


def biomedica(size: int = 224) -> Preprocessing:
    """As in the BIOMEDICA release: stretched to a square, values 0..1, not normalised."""
    return Preprocessing("biomedica", VERSION, size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def preprocessing(name: str, size: int, mean: Triple, std: Triple) -> Preprocessing:
    """Preprocessing by name, for a network trained with ``mean`` and ``std``.

    Raises:
        PermanentFailure: there is none of that name.
    """
    if name == "standard":
        return standard(size, mean, std)
    if name == "biomedica":
        return biomedica(size)
    raise PermanentFailure(f"preprocessing {name!r} is not known; take standard or biomedica")


def fit_within(image: Image.Image, size: int) -> Image.Image:
    """The canonical picture of an opened image, its longer side ``size`` pixels, aspect kept.

    JPEG files are decoded at the smallest scale that is still twice the target (libjpeg's scaled inverse transform):
    4 to 10 times faster on photographs of several megapixels, and the bicubic filter still has detail to average.
    """
    scale = size / max(image.size)
    image.draft(None, (max(1, round(2 * scale * image.width)), max(1, round(2 * scale * image.height))))
    picture = canonical(image)
    scale = size / max(picture.size)
    target = (max(1, round(scale * picture.width)), max(1, round(scale * picture.height)))
    return picture.resize(target, Image.Resampling.BICUBIC)
