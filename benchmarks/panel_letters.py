"""Train the reader of panel letters on drawn glyphs, and say how right it is on fonts it has not seen.

    python benchmarks/panel_letters.py --train --fonts /usr/share/fonts
    python benchmarks/panel_letters.py --fonts /usr/share/fonts

Glyphs are drawn from every font file below --fonts (nine tenths train, one tenth tests), with blur, noise, slant and
small sizes. What is no panel letter is drawn too: digits, signs, pieces of words, blobs, lines and arcs.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.neural_network import MLPClassifier

from biomedica_assets.lib.panels import glyphs

WEIGHTS = Path(glyphs.__file__).with_name("glyphs.npz")
SIGNS = "23456789%+*#?!/@$&<>=~^{}[]αβγδμπσΔΩ→↑±×§†"  # noqa: RUF001


def _drawn(text: str, font: Path, dice: random.Random) -> np.ndarray | None:
    size = dice.choice([9, 11, 13, 16, 20, 26, 34])
    scale = 3
    face = ImageFont.truetype(str(font), size * scale)
    page = Image.new("L", (size * scale * 4, size * scale * 3), 0)
    ImageDraw.Draw(page).text((size * scale, size * scale // 2), text, fill=255, font=face)
    if dice.random() < 0.3:
        page = page.rotate(dice.uniform(-4, 4), Image.Resampling.BILINEAR)
    offset = dice.randrange(scale)
    page = page.crop((offset, offset, page.width, page.height))
    page = page.resize((page.width // scale, page.height // scale), Image.Resampling.BOX)
    return _cut(page, dice)


def _blob(dice: random.Random) -> np.ndarray | None:
    page = Image.new("L", (64, 64), 0)
    draw = ImageDraw.Draw(page)
    for _ in range(dice.choice([1, 1, 2, 3])):
        x, y, w, h = dice.randrange(4, 40), dice.randrange(4, 40), dice.randrange(3, 22), dice.randrange(3, 22)
        kind = dice.randrange(6)
        if kind == 0:
            draw.ellipse((x, y, x + w, y + h), fill=255)
        elif kind == 1:
            draw.rectangle((x, y, x + w, y + h), fill=255)
        elif kind == 2:
            draw.line((x, y, x + w, y + h), fill=255, width=dice.randrange(1, 5))
        elif kind == 3:
            draw.arc(
                (x, y, x + w, y + h), dice.randrange(360), dice.randrange(360), fill=255, width=dice.randrange(1, 4)
            )
        elif kind == 4:
            draw.polygon(
                [(x + dice.randrange(24), y + dice.randrange(24)) for _ in range(dice.randrange(3, 7))], fill=255
            )
        else:
            points = [(x + dice.randrange(24), y + dice.randrange(24)) for _ in range(dice.randrange(3, 6))]
            draw.line(points, fill=255, width=dice.randrange(1, 3))
    return _cut(page, dice)


def _cut(page: Image.Image, dice: random.Random) -> np.ndarray | None:
    page = page.filter(ImageFilter.GaussianBlur(dice.choice([0, 0, 0.4, 0.7, 1.0])))
    ink = np.asarray(page, np.float32) / 255
    ink = np.clip(
        ink + np.random.default_rng(dice.randrange(1 << 30)).normal(0, dice.choice([0, 0.03, 0.08]), ink.shape), 0, 1
    )
    mask = ink > dice.uniform(0.3, 0.55)
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) < 4 or len(cols) < 2:
        return None
    return glyphs.features(ink[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(np.float32))


def _class(letter: str) -> str:
    if letter in "IliL"[:3]:
        return glyphs.STEM
    return letter.lower() if letter.lower() in glyphs.SAME else letter


def samples(fonts: list[Path], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and class numbers: about half letters, half other shapes."""
    dice = random.Random(seed)
    letters = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghklmnopqrstuvwxyzi" if c != "j"] + ["j"]
    shapes, names = [], []
    while len(shapes) < n:
        draw = dice.random()
        try:
            if draw < 0.55:
                letter = dice.choice(letters)
                shape, name = _drawn("ı" if letter == "i" else letter, dice.choice(fonts), dice), _class(letter)  # noqa: RUF001
            elif draw < 0.72:
                shape, name = _drawn(dice.choice(SIGNS), dice.choice(fonts), dice), glyphs.OTHER
            elif draw < 0.85:
                word = "".join(dice.choices("abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", k=dice.choice([2, 2, 3])))
                shape, name = _drawn(word, dice.choice(fonts), dice), glyphs.OTHER
            else:
                shape, name = _blob(dice), glyphs.OTHER
        except OSError:
            continue
        if shape is not None:
            shapes.append(shape)
            names.append(glyphs.CLASSES.index(name))
    return np.stack(shapes), np.array(names)


def main() -> None:
    """Train or test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--samples", type=int, default=60_000)
    options = parser.parse_args()
    skip = ("Symbol", "Dingbat", "Ding", "Chancery", "Z003", "D050", "Barcode", "Standard Symbols")
    found = sorted(p for p in options.fonts.rglob("*") if p.suffix in {".ttf", ".otf"})
    found = [p for p in found if not any(word.lower() in p.name.lower() for word in skip)]
    random.Random(1).shuffle(found)
    held = found[: max(4, len(found) // 10)]
    print(f"{len(found)} fonts, {len(held)} held out: {', '.join(p.stem for p in held)}")
    if options.train:
        shapes, names = samples(found[len(held) :], options.samples, 1)
        network = MLPClassifier((112,), alpha=1e-4, batch_size=256, max_iter=40, random_state=1, early_stopping=True)
        network.fit(shapes, names)
        order = [list(network.classes_).index(i) for i in range(len(glyphs.CLASSES))]
        (w1, w2), (b1, b2) = network.coefs_, network.intercepts_
        np.savez_compressed(
            WEIGHTS, w1=w1.astype("f2"), b1=b1.astype("f2"), w2=w2[:, order].astype("f2"), b2=b2[order].astype("f2")
        )
        glyphs._weights.cache_clear()
    shapes, names = samples(held, 8_000, 2)
    given = glyphs.classify(shapes)
    best, other = given.argmax(1), glyphs.CLASSES.index(glyphs.OTHER)
    letters = names != other
    sure = given.max(1) >= 0.9
    right = best == names
    print(f"letters right {right[letters].mean():.3f}, of the sure ones {right[letters & sure].mean():.4f}")
    print(f"other shapes taken for a sure letter {np.mean((best != other)[~letters] & sure[~letters]):.4f}")
    print(f"weights {WEIGHTS.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
