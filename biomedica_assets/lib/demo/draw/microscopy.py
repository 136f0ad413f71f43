"""What microscopes show: stained tissue, fluorescent cells, blood films."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from biomedica_assets.lib.demo.draw.canvas import (
    Colour,
    Drawing,
    Point,
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
    ring,
    texture,
    uniform,
    values_of,
)

FLUORESCENT: dict[str, Colour] = {"green": (40, 235, 80), "red": (245, 45, 40), "magenta": (230, 50, 220)}


def scattered(rng: Rng, size: Size, spacing: float) -> list[Point]:
    """Places in pixels on a shaken grid ``spacing`` pixels wide: even cover, no two on one spot."""
    places: list[Point] = []
    for y in np.arange(-spacing / 2, size[1] + spacing, spacing):
        for x in np.arange(-spacing / 2, size[0] + spacing, spacing):
            dx, dy = rng.uniform(-0.38, 0.38, 2) * spacing
            places.append((float(x + dx), float(y + dy)))
    return places


def _oval(pen: ImageDraw.ImageDraw, at: Point, radii: Point, fill: Colour, angle: float, scale: int) -> None:
    """A filled ellipse turned by ``angle``, as a polygon."""
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    u, v = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
    x = (at[0] + u * np.cos(angle) - v * np.sin(angle)) * scale
    y = (at[1] + u * np.sin(angle) + v * np.cos(angle)) * scale
    pen.polygon(list(zip(x.tolist(), y.tolist(), strict=True)), fill)


def histology(rng: Rng, size: Size) -> Drawing:
    """Tissue section: glands, solid sheets or wavy fibres; haematoxylin and eosin, or brown immunostain."""
    pattern, stain = pick(rng, ("glandular", "solid", "fibrous")), pick(rng, ("H&E", "H&E", "DAB"))
    ground: Colour = (236, 160, 196) if stain == "H&E" else (226, 222, 232)
    nucleus: Colour = (92, 44, 140) if stain == "H&E" else (112, 120, 176)
    ground = jitter(rng, ground, 14)
    xx, yy = axes(size)
    tissue = flat(size, ground)
    fibre = texture(rng, size, 6)
    if pattern == "fibrous":
        lean = uniform(rng, 0, np.pi)
        along = xx * np.sin(lean) - yy * np.cos(lean) + 0.25 * texture(rng, size, 2)
        fibre = 0.5 + 0.5 * np.sin(along * 42)
    tissue = over(tissue, 0.45 * fibre, jitter(rng, (214, 104, 160) if stain == "H&E" else (196, 182, 190), 10))
    small = picture(tissue)
    scale = 2
    page = small.resize((size[0] * scale, size[1] * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(page)
    unit = min(size) / 100

    def cell(at: Point, angle: float, long: float = 1.5) -> None:
        positive = stain == "DAB" and rng.random() < 0.6
        if positive:
            _oval(pen, at, (unit * 3.9, unit * 3.1), jitter(rng, (150, 88, 40), 16), angle, scale)
        _oval(pen, at, (unit * long * 1.5, unit * 1.7), jitter(rng, nucleus, 22), angle, scale)

    spacing = unit * {"glandular": 11, "solid": 7.5, "fibrous": 11}[pattern]
    lean = uniform(rng, 0, np.pi)
    for at in scattered(rng, size, spacing):
        cell(at, lean if pattern == "fibrous" else uniform(rng, 0, np.pi), 2.9 if pattern == "fibrous" else 1.5)
    if pattern == "glandular":
        for at in scattered(rng, size, unit * 40):
            radius = unit * uniform(rng, 10, 15)
            _oval(pen, at, (radius * 1.35, radius * 1.3), jitter(rng, ground, 12), 0, scale)
            for turn in np.linspace(0, 2 * np.pi, int(radius / unit * 1.9), endpoint=False):
                cell((at[0] + radius * 1.08 * np.cos(turn), at[1] + radius * 1.08 * np.sin(turn)), turn)
            _oval(pen, at, (radius * 0.72, radius * 0.68), (250, 246, 250), 0, scale)
    shown = values_of(page.filter(ImageFilter.GaussianBlur(0.8)).resize(size, Image.Resampling.BOX))
    shown = shown * (0.94 + 0.1 * texture(rng, size, 2)[..., None]) + grain(rng, size, 0.018)[..., None]
    return Drawing("histology", picture(shown), {"pattern": pattern, "stain": stain})


def fluorescence(rng: Rng, size: Size) -> Drawing:
    """Glowing cells on black with blue nuclei: marker colour, round or spindle-shaped, few or many."""
    colour, shape, amount = pick(rng, tuple(FLUORESCENT)), pick(rng, ("round", "spindle")), pick(rng, ("few", "many"))
    cells = Image.new("RGB", size)
    pen = ImageDraw.Draw(cells)
    nuclei = Image.new("RGB", size)
    dots = ImageDraw.Draw(nuclei)
    unit = min(size) / 100
    places = scattered(rng, size, unit * (21 if amount == "many" else 33))
    keep = 0.85 if amount == "many" else 0.5
    for at in places:
        if rng.random() > keep:
            continue
        angle, bright = uniform(rng, 0, np.pi), uniform(rng, 0.45, 1.0)
        body = (unit * 9.5, unit * 8) if shape == "round" else (unit * 17, unit * 3.6)
        r, g, b = FLUORESCENT[colour]
        _oval(pen, at, body, (int(r * bright), int(g * bright), int(b * bright)), angle, 1)
        _oval(dots, at, (unit * 3.8, unit * 3.2), (50, 90, 255), angle, 1)
    glow = values_of(cells.filter(ImageFilter.GaussianBlur(unit * 1.3))) * (
        0.45 + 0.8 * texture(rng, size, 24)[..., None]
    )
    shown = np.maximum(glow, values_of(nuclei.filter(ImageFilter.GaussianBlur(unit * 0.6))))
    shown = shown * uniform(rng, 0.85, 1.1) + np.abs(grain(rng, size, 0.02))[..., None]
    return Drawing("fluorescence", picture(shown), {"colour": colour, "shape": shape, "amount": amount})


def blood_smear(rng: Rng, size: Size) -> Drawing:
    """Red cells on a pale field with none to three white cells; normal, sickled, or with ring forms of a parasite."""
    finding, white = pick(rng, ("normal", "sickle", "parasite")), int(rng.integers(0, 4))
    unit = min(size) / 100
    xx, yy = axes(size)
    half = min(size) / 2
    film = flat(size, jitter(rng, (246, 236, 224), 8))
    red = jitter(rng, (218, 122, 116), 14)
    spacing = unit * uniform(rng, 15, 18)
    scale = 2
    page = picture(film).resize((size[0] * scale, size[1] * scale))
    pen = ImageDraw.Draw(page)
    for at in scattered(rng, size, spacing):
        radius = unit * uniform(rng, 5.6, 6.6)
        if finding == "sickle" and rng.random() < 0.45:
            angle = uniform(rng, 0, np.pi)
            _oval(pen, at, (radius * 1.5, radius * 0.42), jitter(rng, red, 8), angle, scale)
            continue
        _oval(pen, at, (radius, radius), jitter(rng, red, 8), 0, scale)
        _oval(pen, at, (radius * 0.45, radius * 0.45), jitter(rng, (240, 184, 176), 6), 0, scale)
        if finding == "parasite" and rng.random() < 0.4:
            spot = (at[0] + radius * 0.3, at[1] - radius * 0.2)
            _oval(pen, spot, (radius * 0.5, radius * 0.5), (96, 60, 150), 0, scale)
            _oval(pen, spot, (radius * 0.28, radius * 0.28), red, 0, scale)
            _oval(pen, (spot[0] + radius * 0.4, spot[1]), (radius * 0.2, radius * 0.2), (150, 20, 60), 0, scale)
    film = values_of(page.filter(ImageFilter.GaussianBlur(1.2)).resize(size, Image.Resampling.BOX))
    for k in range(white):
        at = (
            0.62 * np.cos(2.1 * k + 0.4) + uniform(rng, -0.1, 0.1),
            0.6 * np.sin(2.1 * k + 0.4) + uniform(rng, -0.1, 0.1),
        )
        radius = unit * 10.5 / half
        film = over(film, blob(xx, yy, at, (radius, radius), edge=0.1), jitter(rng, (206, 190, 226), 8))
        for lobe in range(3):
            place = (at[0] + 0.07 * np.cos(lobe * 2.2), at[1] + 0.07 * np.sin(lobe * 2.2))
            film = over(film, blob(xx, yy, place, (radius * 0.5, radius * 0.42), angle=lobe, edge=0.2), (84, 40, 140))
        film = over(film, 0.4 * ring(xx, yy, at, (radius, radius), thick=0.06), (150, 120, 190))
    film = film + grain(rng, size, 0.012)[..., None]
    return Drawing("blood_smear", picture(film), {"finding": finding, "white_cells": str(white)})
