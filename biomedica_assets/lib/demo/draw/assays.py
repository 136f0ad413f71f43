"""Immunoblots and agarose gels."""

from __future__ import annotations

import numpy as np

from biomedica_assets.lib.demo.draw.canvas import (
    Array,
    Drawing,
    Rng,
    Sheet,
    Size,
    grain,
    pick,
    picture,
    texture,
    uniform,
    values_of,
)


def _bands(rng: Rng, size: Size, lanes: int, rows: list[float], strengths: Array, width: float) -> Array:
    """Sum of soft bars: one per lane and row; ``strengths`` is rows x lanes in 0..1."""
    x = (np.arange(size[0]) + 0.5) / size[0]
    y = (np.arange(size[1]) + 0.5) / size[1]
    total = np.zeros((size[1], size[0]))
    for i, row in enumerate(rows):
        for lane in range(lanes):
            middle = (lane + 0.5) / lanes
            thick = width * (0.6 + 0.6 * strengths[i, lane])
            smile = 0.06 * width * np.cos((x - middle) * lanes * 3)
            across = np.clip((0.38 / lanes - np.abs(x - middle)) * lanes * 9, 0, 1)
            shift = row + uniform(rng, -0.1, 0.1) * width
            down = np.exp(-(((y[:, None] - shift - smile[None, :]) / thick) ** 2))
            total += strengths[i, lane] * down * across[None, :]
    return total


def immunoblot(rng: Rng, size: Size) -> Drawing:
    """Dark bands in strips on light grey; the upper protein rises, falls or stays equal over the lanes."""
    lanes, trend = int(rng.integers(4, 8)), pick(rng, ("increasing", "decreasing", "equal"))
    ramp = np.linspace(0.12, 1, lanes)
    upper = {"increasing": ramp, "decreasing": ramp[::-1], "equal": np.full(lanes, 0.8)}[trend]
    strips = int(rng.integers(2, 4))
    sheet = Sheet(size)
    shown = values_of(sheet.done())
    left, right = round(size[0] * 0.16), round(size[0] * 0.97)
    each = 0.84 / strips
    names = ["p53", "ERK", "AKT", "BAX", "LC3"]
    rng.shuffle(names)
    for strip in range(strips):
        low, high = round(size[1] * (0.1 + each * strip)), round(size[1] * (0.1 + each * (strip + 0.82)))
        inner = (right - left, high - low)
        level = np.full(lanes, 0.85) if strip == strips - 1 else upper * uniform(rng, 0.8, 1)
        bands = _bands(rng, inner, lanes, [uniform(rng, 0.4, 0.6)], level[None, :], 0.13)
        membrane = uniform(rng, 0.74, 0.88) + 0.06 * texture(rng, inner, 3) + grain(rng, inner, 0.015)
        tone = np.clip(membrane - 0.85 * bands, 0.02, 1)
        shown[low:high, left:right] = tone[..., None]
    page = Sheet(size)
    page.image.paste(picture(shown).resize(page.image.size))
    for strip in range(strips):
        middle = 0.1 + each * (strip + 0.41)
        page.word((0.08, middle), "actin" if strip == strips - 1 else names[strip], 8)
        page.box((left / size[0], middle - each * 0.41), (right / size[0], middle + each * 0.41), None, (0, 0, 0), 0.7)
    for lane in range(lanes):
        page.word((0.16 + 0.81 * (lane + 0.5) / lanes, 0.05), str(lane + 1), 8)
    return Drawing("immunoblot", page.done().convert("L"), {"lanes": str(lanes), "trend": trend})


def gel(rng: Rng, size: Size) -> Drawing:
    """Bright bands on a dark agarose gel with a ladder in the first lane; some lanes are positive."""
    lanes = int(rng.integers(5, 10))
    positive = sorted(int(n) for n in rng.choice(np.arange(2, lanes + 1), int(rng.integers(1, lanes)), replace=False))
    rungs = [0.16 + 0.09 * k for k in range(8)]
    product = uniform(rng, 0.35, 0.7)
    strengths = np.zeros((len(rungs) + 1, lanes))
    strengths[:-1, 0] = 0.7
    for lane in positive:
        strengths[-1, lane - 1] = uniform(rng, 0.7, 1)
    bands = _bands(rng, size, lanes, [*rungs, product], strengths, 0.014)
    y = np.linspace(0, 1, size[1])[:, None]
    x = (np.arange(size[0]) + 0.5) / size[0] * lanes % 1
    wells = ((np.abs(x - 0.5) < 0.34)[None, :] & (np.abs(y - 0.06) < 0.018)) * 0.35
    smear = 0.1 * np.exp(-(((y - 0.5) / 0.4) ** 2))
    shown = 0.1 + 0.1 * texture(rng, size, 3) + smear + bands + wells + grain(rng, size, 0.02)
    tint = picture(np.clip(shown * uniform(rng, 0.9, 1.1), 0, 1))
    return Drawing("gel", tint, {"lanes": str(lanes), "positive": str(len(positive))})
