"""How right panels, sub-captions and their links are on real figures, checked by hand.

    python benchmarks/panels_real.py [--fold dev|test] [--show FOLDER] [--misses]

The figures, and how they were checked, are ``biomedica_assets_tests/lib/panels/real_figures.json``; the pictures lie in
``../shared/corpus``. Prints for our panels, for the layout rules alone (no letters read, no caption) and for the
simplest baseline (white gutters): F1 of boxes at 0.5 and 0.75 IoU, exact count, order (of those with several panels),
links. Then F1 of sub-captions: ours, and a cut at every bracketed letter. Figures of the fold "test" were looked at by
whoever drew their boxes, and by nobody while the method was tuned.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from biomedica_assets.lib.panels.align import align
from biomedica_assets.lib.panels.find import Panel, find_panels, split_at_gutters
from biomedica_assets.lib.panels.layout import grounds, regions_by_gutters
from biomedica_assets.lib.panels.score import (
    Found,
    average_precision,
    box_f1,
    exact_count,
    in_order,
    links_right,
    named_spans,
    set_f1,
)
from biomedica_assets.lib.panels.subcaptions import Subcaption, subcaptions
from biomedica_assets_tests.lib.panels.real import MIRROR, Caption, Figure, figures, other_captions

Method = Callable[[Image.Image, str | None], list[Panel]]


def _rules(picture: Image.Image, caption: str | None) -> list[Panel]:
    return [Panel(None, box, 1.0, "gutters") for box in split_at_gutters(picture)]


def _white(picture: Image.Image, caption: str | None) -> list[Panel]:
    regions = regions_by_gutters(grounds(np.asarray(picture))[-1:])
    return [Panel(None, r.box, r.score, "white") for r in regions] or [Panel(None, (0, 0, *picture.size), 1.0, "whole")]


def _cut_at_brackets(caption: str) -> list[Subcaption]:
    """The simplest way: each "(A)" owns the text up to the next one."""
    found = list(re.finditer(r"\(([A-Za-z])\)", caption))
    ends = [*(match.start() for match in found[1:]), len(caption)]
    return [Subcaption((m[1],), ((m.end(), end),), ()) for m, end in zip(found, ends, strict=False) if end > m.end()]


_PARSERS = (("sub-captions", subcaptions), ("cut at brackets", _cut_at_brackets))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", choices=("dev", "test"))
    parser.add_argument("--show", type=Path, help="folder for sheets of the pictures whose count is wrong")
    parser.add_argument("--misses", action="store_true", help="name what is wrong, figure by figure")
    options = parser.parse_args()
    if not MIRROR.is_dir():
        print("the real articles are not here (../shared/corpus): nothing measured", file=sys.stderr)
        return
    for fold in [options.fold] if options.fold else ["dev", "test"]:
        clear = [figure for figure in figures(fold) if figure.kind != "unclear"]
        several = sum(figure.kind == "multiple" for figure in clear)
        n_panels = sum(len(figure.panels) for figure in clear)
        print(f"fold {fold}: {len(clear)} figures, {several} of several panels; {n_panels} panels")
        for name, method, parse in (
            ("letters, captions and layout", find_panels, subcaptions),
            ("layout rules alone", _rules, subcaptions),
            ("white gutters", _white, subcaptions),
        ):
            found = _panels(name, clear, method, parse, misses=options.misses and method is find_panels)
            if options.show and method is find_panels:
                _draw(options.show, fold, clear, found)
        for name, parse in _PARSERS:
            _spans(name, figures(fold), parse, misses=options.misses and parse is subcaptions)
    if options.fold is None:
        print("captions of articles without pictures:")
        for name, parse in _PARSERS:
            _spans(name, other_captions(), parse, misses=options.misses and parse is subcaptions)


def _panels(
    name: str,
    some: Sequence[Figure],
    method: Method,
    parse: Callable[[str], list[Subcaption]],
    *,
    misses: bool,
) -> list[list[Found]]:
    began = time.process_time()
    every = [method(figure.picture(), figure.caption) for figure in some]
    cost = (time.process_time() - began) / len(some)
    found = [[Found(p.box, p.label, p.score) for p in panels] for panels in every]
    truths = [figure.boxes for figure in some]
    right = total = 0
    for figure, panels, boxes in zip(some, every, found, strict=True):
        if figure.caption is None or figure.foreign or figure.kind != "multiple":
            continue
        parts = parse(figure.caption)
        linked: list[list[str] | None] = [None] * len(panels)
        for link in align(panels, parts).links:
            linked[link.panel] = [
                label for j in link.parts for label in parts[j].labels if _common(link.parts, parts, label)
            ]
        told = {label for labels, _ in figure.parts for label in labels}
        good, of = links_right(boxes, linked, [(label if label in told else None, box) for label, box in figure.panels])
        right, total = right + good, total + of
        if misses and good < of:
            print(f"  links {good}/{of} {figure.key}")
    if misses:
        for figure, boxes in zip(some, found, strict=True):
            if len(boxes) != len(figure.panels):
                print(f"  count {len(boxes)} for {len(figure.panels)} {figure.key}")
    several = [i for i, figure in enumerate(some) if figure.kind == "multiple"]
    print(f"{name}:")
    print(f"  F1@0.5 {box_f1(found, truths, 0.5):.3f}  F1@0.75 {box_f1(found, truths, 0.75):.3f}", end="")
    print(f"  mAP@0.5 {average_precision(found, truths, 0.5):.3f}", end="")
    print(f"  order {in_order([found[i] for i in several], [truths[i] for i in several]):.3f}", end="")
    print(f"  exact count {exact_count(found, truths):.3f}", end="")
    counts = exact_count([found[i] for i in several], [truths[i] for i in several])
    print(f" (of several {counts:.3f})  links {right}/{total} = {right / max(1, total):.3f}  {cost * 1e3:.0f} ms")
    return found


def _common(places: Sequence[int], parts: Sequence[Subcaption], label: str) -> bool:
    """Whether every linked sub-caption names the label: a panel tied to two panels' words is tied to neither."""
    return all(label in parts[j].labels for j in places)


def _spans(
    name: str, some: Sequence[Figure | Caption], parse: Callable[[str], list[Subcaption]], *, misses: bool
) -> None:
    told = [(one, one.caption) for one in some]
    given = [(one, caption) for one, caption in told if caption is not None]
    results: list[tuple[float, float, float]] = []
    for each in (False, True):
        found = [named_spans([(p.labels, p.own) for p in parse(caption)], caption, each=each) for _, caption in given]
        truths = [named_spans(one.parts, caption, each=each) for one, caption in given]
        results.append(set_f1(found, truths))
        if misses and not each:
            for (one, caption), f, t in zip(given, found, truths, strict=True):
                for sign, spans in (("missed", t - f), ("wrong", f - t)):
                    for labels, a, b in sorted(spans):
                        text = caption[a:b] if b - a < 90 else f"{caption[a : a + 45]} ... {caption[b - 40 : b]}"
                        print(f"  {sign} {one.figure_id} {','.join(labels)}: {text!r}")
    (precision, recall, f1), (_, _, by_label) = results
    n = sum(len(spans) for one, _ in given for _, spans in one.parts)
    print(f"{name}: {len(given)} captions, {n} spans: ", end="")
    print(f"precision {precision:.3f} recall {recall:.3f} F1 {f1:.3f}, each label counted {by_label:.3f}")


def _draw(folder: Path, fold: str, some: Sequence[Figure], found: Sequence[Sequence[Found]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    wrong = [i for i, figure in enumerate(some) if len(found[i]) != len(figure.panels)]
    for first in range(0, len(wrong), 6):
        page = Image.new("RGB", (3 * 510, 2 * 530), "grey")
        for k, i in enumerate(wrong[first : first + 6]):
            picture = some[i].picture()
            pen = ImageDraw.Draw(picture)
            for panel in found[i]:
                pen.rectangle(panel.box, outline="red", width=max(2, picture.width // 250))
                pen.text(
                    (panel.box[0] + 8, panel.box[1] + 8), panel.label or "-", "blue", font_size=picture.width // 25
                )
            picture.thumbnail((500, 505))
            page.paste(picture, (k % 3 * 510, k // 3 * 530 + 20))
            text = f"{some[i].key.split('/')[0]} {some[i].key[-14:]} {len(found[i])} for {len(some[i].panels)}"
            ImageDraw.Draw(page).text((k % 3 * 510, k // 3 * 530 + 4), text, "yellow")
        page.save(folder / f"{fold}-{first // 6:02d}.png")


if __name__ == "__main__":
    main()
