"""Colour pictures from the clinic: fundus photograph and dermoscopy of a skin lesion."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from biomedica_assets.lib.demo.draw.canvas import (
    Colour,
    Drawing,
    Rng,
    Size,
    axes,
    blob,
    flat,
    grain,
    jitter,
    over,
    pick,
    picture,
    texture,
    uniform,
    values_of,
)

LESIONS: dict[str, Colour] = {
    "brown": (112, 66, 40),
    "black": (44, 34, 36),
    "red": (176, 52, 56),
    "blue-grey": (92, 104, 132),
}


def fundus(rng: Rng, size: Size) -> Drawing:
    """Retina of one eye: orange disc with optic disc, vessels, macula; haemorrhages, exudates or nothing else.

    In a right eye the optic disc stands at the right of the picture, in a left eye at the left.
    """
    eye, finding = pick(rng, ("right", "left")), pick(rng, ("normal", "haemorrhages", "exudates"))
    sign = 1 if eye == "right" else -1
    xx, yy = axes(size)
    field = blob(xx, yy, (0, 0), (0.95, 0.95), edge=0.02)
    ground = jitter(rng, (214, 96, 38), 18)
    retina = flat(size, ground) * (0.8 + 0.3 * texture(rng, size, 4)[..., None])
    disc = (0.5 * sign, uniform(rng, -0.08, 0.08))
    macula = (-0.18 * sign, disc[1] + 0.06)
    retina = over(retina, 0.55 * blob(xx, yy, macula, (0.22, 0.22), edge=0.9), (110, 36, 16))
    scale = 2
    page = picture(retina).resize((size[0] * scale, size[1] * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(page)
    half = min(size) / 2 * scale
    middle = (size[0] * scale / 2, size[1] * scale / 2)
    for up in (-1, 1):
        for k in range(3):
            t = np.linspace(0, 1, 24)
            reach = (1.35, 0.9, -0.4)[k]
            x = disc[0] - sign * reach * t
            y = disc[1] + up * (0.62 + 0.12 * k) * np.sin(t * 2.2) + 0.03 * np.sin(9 * t + uniform(rng, 0, 6))
            points = list(zip((middle[0] + x * half).tolist(), (middle[1] + y * half).tolist(), strict=True))
            pen.line(points, jitter(rng, (132, 22, 14), 10), max(2, round(half * (0.034 - 0.006 * k))), joint="curve")
    for _ in range(int(rng.integers(8, 15)) if finding != "normal" else 0):
        turn, far = uniform(rng, 0, 6.28), uniform(rng, 0.2, 0.75)
        x, y = middle[0] + half * far * np.cos(turn), middle[1] + half * far * np.sin(turn)
        if finding == "haemorrhages":
            r = half * uniform(rng, 0.03, 0.065)
            pen.ellipse((x - r, y - r * 0.8, x + r, y + r * 0.8), (96, 8, 8))
        else:
            r = half * uniform(rng, 0.02, 0.045)
            pen.ellipse((x - r, y - r, x + r, y + r), (250, 226, 120))
    retina = values_of(page.filter(ImageFilter.GaussianBlur(1.4)).resize(size, Image.Resampling.BOX))
    retina = over(retina, blob(xx, yy, disc, (0.15, 0.17), edge=0.2), (255, 220, 150))
    retina = retina * (1.05 - 0.3 * (xx**2 + yy**2))[..., None] + grain(rng, size, 0.012)[..., None]
    shown = np.clip(retina * uniform(rng, 0.85, 1.1), 0, 1) * field[..., None]
    return Drawing("fundus", picture(shown), {"eye": eye, "finding": finding})


def dermoscopy(rng: Rng, size: Size) -> Drawing:
    """Skin lesion close up: brown, black, red or blue-grey; regular or irregular border; with or without hair."""
    colour, border = pick(rng, tuple(LESIONS)), pick(rng, ("regular", "irregular"))
    hair = bool(rng.random() < 0.35)
    xx, yy = axes(size)
    skin = flat(size, jitter(rng, (226, 172, 144), 22)) * (0.9 + 0.16 * texture(rng, size, 5)[..., None])
    at, radius = (uniform(rng, -0.15, 0.15), uniform(rng, -0.15, 0.15)), uniform(rng, 0.42, 0.62)
    turn = np.arctan2(yy - at[1], xx - at[0])
    wobble = 0.03 * np.sin(2 * turn + uniform(rng, 0, 6))
    if border == "irregular":
        for k, swing in ((3, 0.13), (5, 0.1), (8, 0.06)):
            wobble = wobble + swing * np.sin(k * turn + uniform(rng, 0, 6.28))
    r = np.sqrt((xx - at[0]) ** 2 + ((yy - at[1]) * uniform(rng, 1.0, 1.25)) ** 2) / (radius * (1 + wobble))
    lesion = np.clip((1.04 - r) / 0.12, 0, 1)
    tone = np.asarray(jitter(rng, LESIONS[colour], 10), dtype=np.float64) / 255
    dapple = (0.75 + 0.55 * texture(rng, size, 9 if border == "irregular" else 16))[..., None]
    skin = skin + lesion[..., None] * (tone * dapple - skin)
    if border == "irregular":
        patch = blob(xx, yy, (at[0] + uniform(rng, -0.2, 0.2), at[1] + uniform(rng, -0.2, 0.2)), (0.2, 0.16), edge=0.6)
        skin = skin + (patch * lesion * 0.7)[..., None] * (tone * 0.35 - skin)
    page = picture(np.clip(skin, 0, 1))
    if hair:
        pen = ImageDraw.Draw(page)
        for _ in range(int(rng.integers(5, 10))):
            x0, y0, lean = uniform(rng, -0.1, 1) * size[0], uniform(rng, 0, 1) * size[1], uniform(rng, -0.5, 0.5)
            bow = [(x0 + t * size[0] * 0.5, y0 + lean * t * size[1] + 9 * np.sin(3 * t)) for t in np.linspace(0, 1, 12)]
            pen.line(bow, (52, 36, 30), 1)
        page = page.filter(ImageFilter.GaussianBlur(0.5))
    shown = values_of(page) * uniform(rng, 0.9, 1.08) + grain(rng, size, 0.012)[..., None]
    attributes = {"colour": colour, "border": border, "hair": "yes" if hair else "no"}
    return Drawing("dermoscopy", picture(shown), attributes)
