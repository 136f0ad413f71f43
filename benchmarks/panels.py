"""How right the panels are: on generated compound figures, against the truth and the simplest baseline.

    python benchmarks/panels.py [--figures 300] [--seed 1] [--show FOLDER]

Prints mAP at 0.5 and 0.75 IoU, box F1, exact count, order, letters, and cost against decoding alone, for our panels and
for the baseline (cuts along white gutters, no letters, no caption).
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from biomedica_assets.lib.demo.draw.compound import Compound, compound
from biomedica_assets.lib.panels.find import find_panels
from biomedica_assets.lib.panels.layout import grounds, regions_by_gutters
from biomedica_assets.lib.panels.score import Found, average_precision, box_f1, in_order, matches


def main() -> None:
    """Generate, find, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    figures = [compound(np.random.default_rng([options.seed, i])) for i in range(options.figures)]
    pictures = [_jpeg(figure.picture) for figure in figures]
    began = time.process_time()
    for data in pictures:
        Image.open(io.BytesIO(data)).load()
    decoding = time.process_time() - began
    for name, method in (("letters, gutters and edges", _ours), ("white gutters alone", _baseline)):
        began = time.process_time()
        found = [method(Image.open(io.BytesIO(data)).convert("RGB")) for data in pictures]
        cost = time.process_time() - began
        _print(name, figures, found, cost / len(figures), decoding / len(figures))
        if options.show and method is _ours:
            _draw(options.show, figures, found)


def _ours(picture: Image.Image) -> list[Found]:
    return [Found(p.box, p.label, p.score) for p in find_panels(picture)]


def _baseline(picture: Image.Image) -> list[Found]:
    regions = regions_by_gutters(grounds(np.asarray(picture)[:, :, :])[-1:])
    return [Found(r.box, None, r.score) for r in regions] or [Found((0, 0, *picture.size), None, 1.0)]


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _print(name: str, figures: list[Compound], found: list[list[Found]], cost: float, decoding: float) -> None:
    truths = [figure.boxes for figure in figures]
    exact = np.mean([len(f) == len(t) for f, t in zip(found, truths, strict=True)])
    lettered = [i for i, figure in enumerate(figures) if figure.labels[0] is not None]
    right = total = 0
    for i in lettered:
        pairs = matches(found[i], truths[i], 0.5)
        right += sum(found[i][a].label == figures[i].labels[b] for a, b in pairs)
        total += len(truths[i])
    print(f"{name}:")
    print(
        f"  mAP@0.5 {average_precision(found, truths, 0.5):.3f}  mAP@0.75 {average_precision(found, truths, 0.75):.3f}"
    )
    print(
        f"  F1@0.5 {box_f1(found, truths, 0.5):.3f}  F1@0.75 {box_f1(found, truths, 0.75):.3f}  exact count {exact:.3f}"
    )
    print(f"  order {in_order(found, truths):.3f}  letters {right / max(1, total):.3f}")
    print(f"  {cost * 1e3:.0f} ms CPU a picture, {cost / decoding:.1f} x decoding")
    for gutter in sorted({figure.gutter for figure in figures}):
        some = [i for i, figure in enumerate(figures) if figure.gutter == gutter]
        f1 = box_f1([found[i] for i in some], [truths[i] for i in some], 0.5)
        count = np.mean([len(found[i]) == len(truths[i]) for i in some])
        print(f"    gutter {gutter:2d}: {len(some):3d} figures, F1@0.5 {f1:.3f}, exact count {count:.2f}")


def _draw(folder: Path, figures: list[Compound], found: list[list[Found]]) -> None:
    """The figures whose count is wrong, with the boxes found."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = [i for i, figure in enumerate(figures) if len(found[i]) != len(figure.boxes)][:30]
    page = Image.new("RGB", (6 * 300, -(-len(wrong) // 6) * 300), "grey")
    for k, i in enumerate(wrong):
        picture = figures[i].picture.copy()
        pen = ImageDraw.Draw(picture)
        for panel in found[i]:
            pen.rectangle(panel.box, outline="red", width=3)
        picture.thumbnail((294, 280))
        page.paste(picture, (k % 6 * 300, k // 6 * 300 + 14))
        ImageDraw.Draw(page).text(
            (k % 6 * 300, k // 6 * 300), f"{i} g{figures[i].gutter} {figures[i].traits}", "yellow"
        )
    page.save(folder / "wrong.png")


if __name__ == "__main__":
    main()
