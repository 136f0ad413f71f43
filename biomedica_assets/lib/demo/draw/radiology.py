"""Grey pictures of clinical imaging: chest radiograph, CT slice, ultrasound, optical coherence tomogram.

Sides follow the radiological convention: the patient's left is at the right of the picture.
"""

from __future__ import annotations

import numpy as np

from biomedica_assets.lib.demo.draw.canvas import (
    Drawing,
    Rng,
    Size,
    axes,
    blob,
    grain,
    over,
    pick,
    picture,
    ring,
    texture,
    turned,
    uniform,
)

SIDES = {"left": 1.0, "right": -1.0}


def chest_radiograph(rng: Rng, size: Size) -> Drawing:
    """Frontal chest film: clear, or with an opacity, a nodule, an effusion on one side, or a large heart."""
    finding = pick(rng, ("clear", "opacity", "nodule", "effusion", "cardiomegaly"))
    side = pick(rng, tuple(SIDES))
    xx, yy = axes(size)
    xx, yy = turned(xx, yy, uniform(rng, -0.06, 0.06))
    zoom = uniform(rng, 0.92, 1.08)
    xx, yy = xx * zoom, yy * zoom
    film = 0.62 + 0.12 * texture(rng, size, 3) - 0.45 * blob(xx, yy, (0, -1.5), (0.9, 0.6), edge=0.8)
    for sign in (-1, 1):
        lung = blob(xx, yy, (0.44 * sign, -0.02), (0.37, 0.72), angle=0.12 * sign, edge=0.22)
        film = over(film, lung, 0.14 + 0.1 * texture(rng, size, 12, 2))
        for k in range(7):
            rib = ring(xx, yy, (0.34 * sign, -0.15 + 0.19 * k), (0.52, 0.42), thick=0.05, angle=0.35 * sign)
            film = film + 0.09 * rib * (yy < -0.1 + 0.19 * k)
        film = film + 0.16 * ring(xx, yy, (0.5 * sign, -1.02), (0.6, 0.22), thick=0.1, angle=-0.25 * sign)
    film = over(film, 0.85 * blob(xx, yy, (0, 0), (0.11, 1.4), edge=0.5), 0.74)
    film = film + 0.07 * (np.sin(yy * 26) > 0.2) * blob(xx, yy, (0, 0), (0.09, 1.4), edge=0.4)
    heart = 0.52 if finding == "cardiomegaly" else 0.3
    film = over(film, 0.9 * blob(xx, yy, (0.12, 0.34), (heart, 0.34), angle=-0.3, edge=0.25), 0.7)
    film = over(film, blob(xx, yy, (0, 1.12), (1.1, 0.5), edge=0.2), 0.72)
    where = SIDES[side]
    if finding == "opacity":
        spot = blob(xx, yy, (0.47 * where, uniform(rng, -0.2, 0.3)), (0.27, 0.25), edge=0.8)
        film = over(film, 0.85 * spot, 0.66 + 0.2 * texture(rng, size, 9))
    elif finding == "nodule":
        film = over(film, blob(xx, yy, (0.46 * where, uniform(rng, -0.45, 0.2)), (0.1, 0.1), edge=0.2), 0.85)
    elif finding == "effusion":
        film = over(film, np.clip((yy - 0.18 - 0.25 * np.abs(xx)) / 0.1, 0, 1) * (xx * where > 0.05), 0.78)
    film = np.clip(film + grain(rng, size, 0.02), 0, 1) ** uniform(rng, 0.85, 1.2)
    sided = finding in {"opacity", "nodule", "effusion"}
    return Drawing("chest_radiograph", picture(film), {"finding": finding} | ({"side": side} if sided else {}))


def ct_slice(rng: Rng, size: Size) -> Drawing:
    """Axial slice of head or abdomen on black, with or without a bright or dark lesion on one side."""
    region, lesion = pick(rng, ("head", "abdomen")), pick(rng, ("hyperdense", "hypodense", "none"))
    side = pick(rng, tuple(SIDES))
    xx, yy = axes(size)
    zoom = uniform(rng, 1.0, 1.15)
    xx, yy = turned(xx * zoom, yy * zoom, uniform(rng, -0.12, 0.12))
    where = SIDES[side]
    if region == "head":
        scan = 0.45 * blob(xx, yy, (0, 0), (0.74, 0.9), edge=0.03)
        scan = over(scan, ring(xx, yy, (0, 0), (0.69, 0.85), thick=0.045), 0.98)
        brain = blob(xx, yy, (0, 0), (0.62, 0.77), edge=0.04)
        scan = over(scan, brain, 0.42 + 0.14 * texture(rng, size, 9))
        for sign in (-1, 1):
            scan = over(scan, blob(xx, yy, (0.13 * sign, -0.1), (0.07, 0.28), angle=0.3 * sign, edge=0.3), 0.14)
        scan = over(scan, 0.5 * (np.abs(xx) < 0.012) * brain, 0.7)
        place, extent = (0.35 * where, uniform(rng, -0.35, 0.35)), uniform(rng, 0.13, 0.22)
    else:
        scan = 0.25 * blob(xx, yy, (0, 0), (0.98, 0.72), edge=0.03)
        scan = over(scan, blob(xx, yy, (0, 0), (0.88, 0.62), edge=0.05), 0.34 + 0.1 * texture(rng, size, 8))
        scan = over(scan, blob(xx, yy, (-0.42, -0.08), (0.4, 0.42), angle=0.3, edge=0.08), 0.56)
        scan = over(scan, blob(xx, yy, (0.55, -0.05), (0.2, 0.28), angle=-0.4, edge=0.1), 0.6)
        for sign in (-1, 1):
            scan = over(scan, blob(xx, yy, (0.36 * sign, 0.33), (0.14, 0.17), edge=0.15), 0.68)
        scan = over(scan, blob(xx, yy, (0, 0.36), (0.14, 0.13), edge=0.2), 0.98)
        scan = over(scan, blob(xx, yy, (0.06, 0.16), (0.07, 0.07), edge=0.2), 0.8)
        scan = over(scan, 0.9 * blob(xx, yy, (0.15, -0.35), (0.22, 0.12), edge=0.2), 0.08)
        place, extent = (0.44 * where, uniform(rng, -0.2, 0.0)), uniform(rng, 0.13, 0.2)
    if lesion != "none":
        tone = 0.95 if lesion == "hyperdense" else 0.16
        scan = over(scan, blob(xx, yy, place, (extent, extent * 0.85), edge=0.15), tone)
    scan = scan * uniform(rng, 0.85, 1.1) + np.abs(grain(rng, size, 0.025))
    attributes = {"region": region, "lesion": lesion} | ({"side": side} if lesion != "none" else {})
    return Drawing("ct", picture(scan), attributes)


def ultrasound(rng: Rng, size: Size) -> Drawing:
    """Sector scan with speckle: one to three black cysts, a bright stone with its shadow, or nothing special."""
    finding = pick(rng, ("cyst", "stone", "normal"))
    count = int(rng.integers(1, 4)) if finding == "cyst" else 1
    xx, yy = axes(size)
    u, v = xx, yy + 1.25
    depth, angle = np.sqrt(u**2 + v**2), np.arctan2(u, v)
    sector = np.clip((0.72 - np.abs(angle)) / 0.02, 0, 1) * (depth > 0.42) * np.clip((2.12 - depth) / 0.02, 0, 1)
    echo = 0.3 + 0.45 * texture(rng, size, 4) - 0.08 * depth
    for k in range(4):
        echo = echo + 0.22 * np.clip(1 - np.abs(depth - 0.6 - 0.3 * k - 0.06 * np.sin(3 * angle + k)) / 0.03, 0, 1)
    for k in range(count):
        middle = (0.42 * (k - (count - 1) / 2) + uniform(rng, -0.08, 0.08), uniform(rng, -0.1, 0.4))
        if finding == "cyst":
            wide = uniform(rng, 0.15, 0.22) * (1.25 if count == 1 else 1)
            echo = over(echo, blob(xx, yy, middle, (wide, wide * 0.85), edge=0.12), 0.02)
            echo = echo + 0.25 * ((np.abs(xx - middle[0]) < wide * 0.7) & (yy > middle[1] + wide))
        elif finding == "stone":
            echo = over(echo, (np.abs(xx - middle[0] * depth) < 0.11) * (yy > middle[1]) * 0.9, 0.03)
            echo = over(echo, blob(xx, yy, middle, (0.14, 0.06), edge=0.3), 1.0)
    speckle = np.abs(1 + grain(rng, size, 0.38)) * uniform(rng, 0.8, 1.15)
    scan = echo * speckle * sector
    scan[:: max(4, size[1] // 14), -3:] = 0.8
    attributes = {"finding": finding} | ({"count": str(count)} if finding == "cyst" else {})
    return Drawing("ultrasound", picture(scan), attributes)


def oct_scan(rng: Rng, size: Size) -> Drawing:
    """Retinal cross-section: bright layers over a dark vitreous, with a normal pit, fluid pockets or drusen."""
    finding = pick(rng, ("normal", "fluid", "drusen"))
    xx, yy = axes(size)
    tilt = uniform(rng, -0.12, 0.12)
    bow = yy - tilt * xx - uniform(rng, -0.15, 0.1) + 0.1 * xx**2
    pit = 0.26 * np.exp(-((xx / 0.3) ** 2))
    top = -0.25 + pit - (0.2 * np.exp(-((xx / 0.5) ** 2)) + pit if finding == "fluid" else 0)
    base = 0.28 - np.zeros_like(xx)
    if finding == "drusen":
        for _ in range(int(rng.integers(3, 6))):
            base = base - uniform(rng, 0.07, 0.14) * np.exp(-(((xx - uniform(rng, -0.8, 0.8)) / 0.09) ** 2))
    share = (bow - top) / (base - top)
    scan = 0.04 + 0.05 * texture(rng, size, 20, 1)
    for low, high, tone in (
        (0, 0.12, 0.85),
        (0.12, 0.3, 0.5),
        (0.3, 0.42, 0.62),
        (0.42, 0.62, 0.3),
        (0.62, 0.85, 0.42),
    ):
        scan = over(scan, (share >= low) & (share < high), tone)
    scan = over(scan, (share >= 0.85) & (bow < base + 0.07), 0.97)
    below = bow >= base + 0.07
    scan = over(scan, below, np.clip(0.5 - 0.65 * (bow - base), 0.05, 1) * (0.6 + 0.6 * texture(rng, size, 10)))
    if finding == "fluid":
        for _ in range(int(rng.integers(2, 5))):
            middle = (uniform(rng, -0.35, 0.35), uniform(rng, -0.12, 0.12))
            scan = over(scan, blob(xx, bow, middle, (uniform(rng, 0.08, 0.17), 0.09), edge=0.15), 0.03)
    scan = scan * np.abs(1 + grain(rng, size, 0.28)) * uniform(rng, 0.85, 1.1)
    return Drawing("oct", picture(scan), {"finding": finding})
