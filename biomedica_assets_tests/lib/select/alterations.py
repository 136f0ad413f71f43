"""What is done to pictures between a test set and an article, and pictures to do it to.

Each alteration takes a picture, a random generator and other pictures (the neighbours in a compound figure), and
draws what it needs at random: which corner, which letter, where a crop lies.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
Alteration = Callable[[Image.Image, random.Random, Sequence[Image.Image]], Image.Image]


def scene(seed: int, size: int = 160) -> Image.Image:
    """Blobs of several sizes in colour: no two seeds are alike, and a scene has structure everywhere."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size, 3))
    for cells, weight in ((5, 0.4), (11, 0.35), (24, 0.25)):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, quality: int) -> Image.Image:
    """After a round through JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(image: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)


def bordered(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    colour = rng.choice([WHITE, WHITE, BLACK, (128, 128, 128)])
    return ImageOps.expand(image, max(1, round(share * max(image.size))), colour)


def lettered(image: Image.Image, rng: random.Random) -> Image.Image:
    """A panel letter in a corner, 12 to 20 % of the side, half of them on a white ground."""
    made = image.copy()
    draw = ImageDraw.Draw(made)
    size = max(8, round(min(made.size) * rng.uniform(0.12, 0.2)))
    letter = rng.choice("ABCDEFabcdef")
    x, y = rng.choice([2, made.width - size]), rng.choice([1, made.height - round(1.3 * size)])
    if rng.random() < 0.5:
        draw.rectangle((x - 1, y, x + size, y + round(1.25 * size)), fill="white")
        draw.text((x + size // 6, y), letter, "black", ImageFont.load_default(size))
    else:
        draw.text((x, y), letter, rng.choice(["white", "yellow"]), ImageFont.load_default(size))
    return made


def arrowed(image: Image.Image, rng: random.Random) -> Image.Image:
    """One to three arrows, each 12 to 22 % of the side long."""
    made = image.copy()
    draw = ImageDraw.Draw(made)
    for _ in range(rng.randint(1, 3)):
        x, y = rng.uniform(0.25, 0.75) * made.width, rng.uniform(0.25, 0.75) * made.height
        angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0.12, 0.22) * min(made.size)
        colour = rng.choice(["white", "yellow", "red", "black"])
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        draw.line((x, y, *end), colour, max(1, round(min(made.size) * 0.02)))
        head = 0.4 * length
        sides = [(x + head * math.cos(angle + t), y + head * math.sin(angle + t)) for t in (0.5, -0.5)]
        draw.polygon([(x, y), *sides], colour)
    return made


def cropped(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    """A part with that share of both sides, from anywhere."""
    width, height = round(image.width * share), round(image.height * share)
    x, y = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((x, y, x + width, y + height))


def rotated(image: Image.Image, degrees: float, rng: random.Random) -> Image.Image:
    """Turned either way; the corners black or white; the page grown or not."""
    turn, fill, grow = degrees * rng.choice([-1, 1]), rng.choice([BLACK, WHITE]), rng.random() < 0.5
    return image.rotate(turn, Image.Resampling.BICUBIC, expand=grow, fillcolor=fill)


def compound(image: Image.Image, rng: random.Random, others: Sequence[Image.Image]) -> Image.Image:
    """One panel of two to nine, each with its letter, on white or black, saved as JPEG."""
    rows, columns = rng.choice([(2, 2), (1, 2), (2, 3), (3, 3), (1, 3)])
    side = rng.choice([120, 160, 220])
    gap, high = max(2, round(side * rng.uniform(0.02, 0.06))), round(side * image.height / image.width)
    size = (columns * side + (columns + 1) * gap, rows * high + (rows + 1) * gap)
    page = Image.new("RGB", size, rng.choice([WHITE, WHITE, WHITE, BLACK]))
    draw, own = ImageDraw.Draw(page), rng.randrange(rows * columns)
    for place in range(rows * columns):
        shown = image if place == own else rng.choice(others)
        row, column = divmod(place, columns)
        x, y = gap + column * (side + gap), gap + row * (high + gap)
        page.paste(shown.resize((side, high), Image.Resampling.BICUBIC), (x, y))
        colour = "white" if rng.random() < 0.7 else "yellow"
        draw.text((x + 3, y + 1), chr(65 + place), colour, ImageFont.load_default(max(10, side // 8)))
    return saved(page, 90)


QUARTERS = [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270]
ALTERATIONS: dict[str, Alteration] = {
    "JPEG 90": lambda i, _r, _o: saved(i, 90),
    "JPEG 50": lambda i, _r, _o: saved(i, 50),
    "half size": lambda i, _r, _o: resized(i, 0.5),
    "double size": lambda i, _r, _o: resized(i, 2),
    "border 2 %": lambda i, r, _o: bordered(i, 0.02, r),
    "border 5 %": lambda i, r, _o: bordered(i, 0.05, r),
    "border 10 %": lambda i, r, _o: bordered(i, 0.1, r),
    "corner letter": lambda i, r, _o: lettered(i, r),
    "arrows": lambda i, r, _o: arrowed(i, r),
    "crop to 90 %": lambda i, r, _o: cropped(i, 0.9, r),
    "crop to 80 %": lambda i, r, _o: cropped(i, 0.8, r),
    "turn by 5 degrees": lambda i, r, _o: rotated(i, 5, r),
    "quarter turns": lambda i, r, _o: i.transpose(r.choice(QUARTERS)),
    "mirror": lambda i, _r, _o: ImageOps.mirror(i),
    "brightness + 20 %": lambda i, _r, _o: ImageEnhance.Brightness(i).enhance(1.2),
    "brightness - 20 %": lambda i, _r, _o: ImageEnhance.Brightness(i).enhance(0.8),
    "contrast + 20 %": lambda i, _r, _o: ImageEnhance.Contrast(i).enhance(1.2),
    "contrast - 20 %": lambda i, _r, _o: ImageEnhance.Contrast(i).enhance(0.8),
    "grey": lambda i, _r, _o: i.convert("L").convert("RGB"),
    "panel of a figure": compound,
}
