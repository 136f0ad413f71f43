"""What is still an image to us. Settings become an ``ImageLimits``; nothing is decoded here."""

from __future__ import annotations

import dataclasses

from biomedica_assets.lib.errors import PermanentFailure

# Pillow refuses beyond twice its MAX_IMAGE_PIXELS, for the whole process; a larger limit of ours could not take effect.
PILLOW_CEILING = 178_956_970


@dataclasses.dataclass(frozen=True, slots=True)
class ImageLimits:
    """Bounds on image files.

    Attributes:
        max_pixels: width x height above which nothing is decoded (decompression bombs). The default, which cannot be
            raised, is Pillow's: 537 MB decoded. A page at 600 dpi has 35 million.
        max_bytes: size of the file above which it is not read.
        min_side: width and height must reach it, in pixels. Default: BIOMEDICA's rule (both above 20).
    """

    max_pixels: int = PILLOW_CEILING
    max_bytes: int = 512 * 2**20
    min_side: int = 21

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= PILLOW_CEILING:
            raise PermanentFailure(f"max_pixels is {self.max_pixels:,}; allowed are 1 to {PILLOW_CEILING:,}")
        if self.max_bytes < 1 or self.min_side < 1:
            raise PermanentFailure(f"max_bytes {self.max_bytes} and min_side {self.min_side} must be at least 1")
