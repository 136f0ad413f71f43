"""Plots: bars, lines, scattered points."""

from __future__ import annotations

import numpy as np

from biomedica_assets.lib.demo.draw.canvas import Colour, Drawing, Point, Rng, Sheet, Size, jitter, pick, uniform

INK: Colour = (30, 30, 30)
COLOURS: dict[str, Colour] = {
    "blue": (46, 98, 190),
    "red": (204, 44, 44),
    "green": (46, 146, 66),
    "orange": (240, 142, 30),
    "purple": (126, 66, 164),
    "grey": (128, 128, 128),
}
QUANTITIES = ("Level (%)", "Activity", "Score", "Volume (ml)", "Expression", "Count")


def _frame(rng: Rng, size: Size, below: str) -> Sheet:
    """A page with two axes, ticks and their names."""
    sheet = Sheet(size)
    if rng.random() < 0.3:
        for k in range(1, 5):
            sheet.line(((0.16, 0.86 - 0.18 * k), (0.96, 0.86 - 0.18 * k)), (222, 222, 222), 0.6)
    sheet.line(((0.16, 0.06), (0.16, 0.86), (0.96, 0.86)), INK, 1.2)
    step = pick(rng, (1, 2, 5, 10, 20, 25))
    for k in range(5):
        sheet.line(((0.14, 0.86 - 0.18 * k), (0.16, 0.86 - 0.18 * k)), INK, 1)
        sheet.word((0.13, 0.86 - 0.18 * k), str(step * k), 7, anchor="rm")
    sheet.word((0.56, 0.965), below, 8)
    sheet.word((0.18, 0.035), pick(rng, QUANTITIES), 8, anchor="lm")
    return sheet


def _curve(shape: str, t: np.ndarray) -> np.ndarray:
    """Heights in 0..1 of a named course over ``t`` in 0..1."""
    return {
        "rising": 0.1 + 0.75 * t**1.3,
        "falling": 0.88 - 0.75 * t**0.8,
        "peaked": 0.12 + 0.75 * np.exp(-(((t - 0.5) / 0.17) ** 2)),
        "flat": 0.5 + 0.03 * np.sin(9 * t),
    }[shape]


def bar_plot(rng: Rng, size: Size) -> Drawing:
    """Three to six bars of one colour that rise, fall, or have one tallest; often with error bars."""
    n, colour, trend = int(rng.integers(3, 7)), pick(rng, tuple(COLOURS)), pick(rng, ("rising", "falling", "tallest"))
    sheet = _frame(rng, size, pick(rng, ("Group", "Treatment", "Dose")))
    heights = np.linspace(0.2, 0.9, n)
    if trend == "falling":
        heights = heights[::-1]
    tallest = int(rng.integers(n))
    if trend == "tallest":
        heights = rng.uniform(0.25, 0.45, n)
        heights[tallest] = 0.92
    tone = jitter(rng, COLOURS[colour], 16)
    errors = rng.random() < 0.6
    for k, height in enumerate(heights * 0.72):
        left, right = 0.19 + 0.76 * (k + 0.14) / n, 0.19 + 0.76 * (k + 0.86) / n
        sheet.box((left, 0.86), (right, 0.86 - height), tone, INK, 0.7)
        middle = (left + right) / 2
        if errors:
            whisker = uniform(rng, 0.02, 0.05)
            sheet.line(((middle, 0.86 - height - whisker), (middle, 0.86 - height + whisker)), INK, 1)
            sheet.line(((middle - 0.02, 0.86 - height - whisker), (middle + 0.02, 0.86 - height - whisker)), INK, 1)
        sheet.word((middle, 0.905), "ABCDEF"[k], 8)
    attributes = {"bars": str(n), "colour": colour, "trend": trend}
    return Drawing("bar_plot", sheet.done(), attributes | ({"group": "ABCDEF"[tallest]} if trend == "tallest" else {}))


def line_plot(rng: Rng, size: Size) -> Drawing:
    """One to three curves that rise, fall, peak or stay flat; the first is the one described."""
    n, shape = int(rng.integers(1, 4)), pick(rng, ("rising", "falling", "peaked", "flat"))
    names = list(COLOURS)
    rng.shuffle(names)
    sheet = _frame(rng, size, pick(rng, ("Time (h)", "Time (days)", "Concentration (nM)", "Age (years)")))
    t = np.linspace(0, 1, 25)
    for k in range(n):
        high = _curve(shape, t) * uniform(rng, 0.95, 1.0) - 0.13 * k * (0.4 + 0.6 * t) + rng.normal(0, 0.008, t.size)
        points: list[Point] = [(0.18 + 0.76 * a, 0.86 - 0.76 * max(b, 0.01)) for a, b in zip(t, high, strict=True)]
        tone = jitter(rng, COLOURS[names[k]], 14)
        sheet.line(points, tone, 2)
        for point in points[::4]:
            sheet.dot(point, 2.6, tone)
    attributes = {"curves": str(n), "shape": shape, "colour": names[0]}
    return Drawing("line_plot", sheet.done(), attributes)


def scatter_plot(rng: Rng, size: Size) -> Drawing:
    """Points with a positive, a negative or no correlation, often with a fitted line."""
    relation, colour = pick(rng, ("positive", "negative", "no")), pick(rng, tuple(COLOURS))
    amount = pick(rng, ("few", "many"))
    sheet = _frame(rng, size, pick(rng, ("Predictor", "BMI", "Age (years)", "Baseline")))
    count = int(rng.integers(22, 32)) if amount == "few" else int(rng.integers(90, 130))
    x = rng.uniform(0.03, 0.97, count)
    slope = {"positive": 0.8, "negative": -0.8, "no": 0.0}[relation]
    y = 0.5 + slope * (x - 0.5) + rng.normal(0, 0.09 if slope else 0.22, count)
    tone = jitter(rng, COLOURS[colour], 16)
    for a, b in zip(x.tolist(), np.clip(y, 0.02, 0.98).tolist(), strict=True):
        sheet.dot((0.18 + 0.76 * a, 0.86 - 0.76 * b), 2.3, tone)
    if rng.random() < 0.5:
        sheet.line(((0.18, 0.86 - 0.76 * (0.5 - slope / 2)), (0.94, 0.86 - 0.76 * (0.5 + slope / 2))), INK, 1.2)
    return Drawing("scatter_plot", sheet.done(), {"relation": relation, "colour": colour, "amount": amount})
