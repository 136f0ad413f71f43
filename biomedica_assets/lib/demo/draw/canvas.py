"""What all drawings share: coordinates, soft shapes, textures, turning arrays into pictures.

Pictures are float64 arrays in 0..1 until the last step. float64 on purpose: the vector units of different processors
round transcendental functions differently in the last bit, which 8-bit rounding of float64 hides and of float32 shows.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

T = TypeVar("T")
Array = npt.NDArray[np.float64]
Rng = np.random.Generator
Size = tuple[int, int]
"""Width and height in pixels."""
Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Drawing:
    """One picture and what can be seen in it.

    Attributes:
        kind: key of the visual kind, see ``draw.KINDS``.
        image: mode L or RGB.
        attributes: what the caption may state, by name.
    """

    kind: str
    image: Image.Image
    attributes: dict[str, str]


def axes(size: Size) -> tuple[Array, Array]:
    """X (to the right) and y (down) of every pixel; the shorter side spans -1..1. Two arrays of height x width."""
    width, height = size
    half = min(width, height) / 2
    x = (np.arange(width) + 0.5 - width / 2) / half
    y = (np.arange(height) + 0.5 - height / 2) / half
    xx, yy = np.meshgrid(x, y)
    return np.asarray(xx, dtype=np.float64), np.asarray(yy, dtype=np.float64)


def turned(xx: Array, yy: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates turned by ``angle`` radians about the centre."""
    cos, sin = np.cos(angle), np.sin(angle)
    return xx * cos + yy * sin, yy * cos - xx * sin


def blob(xx: Array, yy: Array, at: Point, radii: Point, *, angle: float = 0.0, edge: float = 0.1) -> Array:
    """Mask of an ellipse, 1 inside and 0 outside, with a soft edge of relative width ``edge``."""
    u, v = turned(xx - at[0], yy - at[1], angle)
    r = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2)
    return np.clip((1 - r) / edge + 0.5, 0, 1)


def ring(xx: Array, yy: Array, at: Point, radii: Point, *, thick: float, angle: float = 0.0) -> Array:
    """Mask of the outline of an ellipse; ``thick`` is relative to the radius."""
    u, v = turned(xx - at[0], yy - at[1], angle)
    r = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2)
    return np.clip(1.5 - np.abs(r - 1) / thick, 0, 1)


def texture(rng: Rng, size: Size, cells: float, octaves: int = 3) -> Array:
    """Smooth noise in about 0..1 with ``cells`` bumps along the shorter side, finer ones added per octave."""
    width, height = size
    total = np.zeros((height, width))
    weight = 0.0
    for octave in range(octaves):
        n = cells * 2**octave
        across, down = max(2, round(n * width / min(size))), max(2, round(n * height / min(size)))
        coarse = Image.fromarray(rng.random((down, across)).astype(np.float32))
        share = 0.5**octave
        total += share * np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
        weight += share
    return np.clip(total / weight, 0, 1)


def grain(rng: Rng, size: Size, sigma: float) -> Array:
    """Independent noise of standard deviation ``sigma`` per pixel."""
    return rng.normal(0.0, sigma, (size[1], size[0]))


def over(base: Array, mask: npt.NDArray[Any], value: float | Colour | Array) -> Array:
    """Lay ``value`` over ``base`` where ``mask`` says so. A colour (0..255) needs a height x width x 3 base."""
    if base.ndim == 3:
        top = np.asarray(value, dtype=np.float64) / (255 if isinstance(value, tuple) else 1)
        return base + mask[..., None] * (top - base)
    return base + mask * (np.asarray(value, dtype=np.float64) - base)


def flat(size: Size, colour: Colour) -> Array:
    """An evenly coloured height x width x 3 array."""
    return np.broadcast_to(np.asarray(colour, dtype=np.float64) / 255, (size[1], size[0], 3)).copy()


def picture(values: Array) -> Image.Image:
    """Array in 0..1 as a picture: L for height x width, RGB for height x width x 3."""
    return Image.fromarray(np.round(np.clip(values, 0, 1) * 255).astype(np.uint8))


def values_of(image: Image.Image) -> Array:
    """Picture as an array in 0..1."""
    return np.asarray(image, dtype=np.float64) / 255


def pick(rng: Rng, options: Sequence[T]) -> T:
    """One of the options, evenly."""
    return options[int(rng.integers(len(options)))]


def uniform(rng: Rng, low: float, high: float) -> float:
    """A number between two bounds."""
    return float(rng.uniform(low, high))


def jitter(rng: Rng, colour: Colour, spread: int) -> Colour:
    """A colour near ``colour``."""
    r, g, b = (int(np.clip(c + rng.integers(-spread, spread + 1), 0, 255)) for c in colour)
    return r, g, b


@functools.cache
def font(points: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font: no font of the machine is used, so that the bytes are the same everywhere."""
    return ImageFont.load_default(points)


class Sheet:
    """A white page to draw lines and words on, three times as large as asked for and then reduced: smooth edges."""

    SCALE = 3

    def __init__(self, size: Size, paper: Colour = (255, 255, 255)) -> None:
        self.size = size
        self.image = Image.new("RGB", (size[0] * self.SCALE, size[1] * self.SCALE), paper)
        self.pen = ImageDraw.Draw(self.image)

    def at(self, x: float, y: float) -> Point:
        """Place given as shares of width and height, in pixels of the large page."""
        return x * self.image.width, y * self.image.height

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1.0) -> None:
        """A line through points given as shares."""
        self.pen.line([self.at(*p) for p in points], colour, max(1, round(width * self.SCALE)), joint="curve")

    def box(self, a: Point, b: Point, fill: Colour | None, outline: Colour | None = None, width: float = 1.0) -> None:
        """A rectangle between two corners given as shares."""
        (x0, y0), (x1, y1) = self.at(*a), self.at(*b)
        corners = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        self.pen.rectangle(corners, fill, outline, max(1, round(width * self.SCALE)))

    def dot(self, at: Point, radius: float, fill: Colour | None, outline: Colour | None = None) -> None:
        """A disc; the radius is in pixels of the final picture."""
        x, y = self.at(*at)
        r = radius * self.SCALE
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill, outline, self.SCALE)

    def word(self, at: Point, text: str, points: int = 8, colour: Colour = (20, 20, 20), anchor: str = "mm") -> None:
        """Text; ``points`` is its height in pixels of the final picture, less where the picture is a small panel."""
        share = min(1.0, min(self.size) / 150) if max(self.size) < 150 else 1.0
        self.pen.text(self.at(*at), text, colour, font(round(points * self.SCALE * share)), anchor)

    def done(self) -> Image.Image:
        """The page in the size that was asked for."""
        return self.image.resize(self.size, Image.Resampling.BOX)
