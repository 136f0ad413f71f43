"""Altered copies of test images: alteration x method x recall, false positives, cost an image, and the plan for all.

Test images are a sixth of the labelled images of ``../shared`` that no threshold was chosen on (odd numbers that leave
3, 5 or 7 when divided by 9). For each alteration they are looked for among their altered copies. False positives are
counted there, and by the stage of the library among all other labelled images and the figures of the corpus: their
neighbours in the same classes are the hardest pictures there are.

    python benchmarks/altered_copies.py [--alterations 0:20] [--every 1] [--no-background]

benchmarks/altered_copies_results.txt was made in parts, on a machine that others used too.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import io
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.phash import of_grey
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select import altered, copies, looks, views
from biomedica_assets.lib.select.agreement import CopyRules
from biomedica_assets.lib.select.decontamination import build_evaluation_matches, look_at_test_images
from biomedica_assets.lib.select.looks import build_image_views
from biomedica_assets.lib.select.shelves import build_image_fingerprints
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGES
from biomedica_assets_tests.lib.select.alterations import ALTERATIONS
from biomedica_assets_tests.lib.select.lakes import frame

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHUNK = "PMC000-0000"
TESTS, PICTURES = 400_000, 24_000_000

# One cell photographed twice, or slices of one examination beside each other; looked at side by side. They are no
# errors, though the files are not one. Numbers are lines of labels.csv, from 0.
SAME_SUBJECT = {
    *((711, 738), (625, 688), (618, 674), (653, 690), (650, 672), (670, 683), (620, 681), (766, 768), (756, 757)),
    *((765, 770), (669, 671), (629, 685), (655, 691), (36, 83), (5, 38), (157, 192), (132, 178), (139, 188)),
    *((187, 195), (27, 33), (659, 689)),
}


def labelled() -> list[tuple[str, Image.Image]]:
    """Data set and picture of each labelled image."""
    with (SHARED / "eval_images" / "labels.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [(r["dataset"], Image.open(SHARED / "eval_images" / r["path"]).convert("RGB")) for r in rows]


def held_out(n: int, every: int) -> list[int]:
    """Numbers of the images that are altered."""
    return [k for k in range(1, n, 2) if k % 9 in {3, 5, 7}][::every]


def png(image: Image.Image) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def make_lake(root: Path, pictures: Iterable[tuple[str, Image.Image]], engine: LocalEngine) -> tuple[Lake, float, int]:
    """A lake with these pictures; seconds that looking at them took, and how many views they have."""
    lake, rows = Lake(root), list[dict[str, object]]()
    for name, image in pictures:
        path = root / "mirror" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data := png(image))
        seen = measure(data, ImageLimits(min_side=1))
        rows.append(
            {"media_id": name, "article_id": "PMC1.1", "path": lake.path_below(path), "sha256": seen.sha256}
            | {"pixel_hash": seen.pixel_hash, "phash": seen.phash}
        )
    made = frame(IMAGES, rows)
    lake.publish(IMAGES, CHUNK, made, code_version="b", inputs={}, config={}, n_in=len(rows), n_out=len(rows))
    began = time.perf_counter()
    report = build_image_views(lake, CHUNK, split_at_gutters, engine=engine)
    seconds = time.perf_counter() - began
    build_image_fingerprints(lake, CHUNK[:6])
    return lake, seconds, int(report.metrics["views"] or 0)


def matches(lake: Lake, tests: pl.DataFrame, engine: LocalEngine) -> tuple[set[tuple[int, int]], int, float]:
    """Pairs of a picture and a test image that the stage finds, pairs that it compared, seconds."""
    report = build_evaluation_matches(lake, tests, engine=engine)
    rows = lake.read(EVALUATION_MATCHES, None).select("media_id", "item").iter_rows()
    return {(int(m), int(i)) for m, i in rows}, int(report.metrics["pairs_compared"] or 0), report.seconds


def near_hash(image: Image.Image, hashes: np.ndarray) -> bool:
    """Whether the perceptual hash of a picture is within 6 bits of that of its original in one of 8 orientations."""
    return bool((np.bitwise_count(hashes ^ np.uint64(of_grey(image.convert("L")))) <= 6).any())


def hashes_of(image: Image.Image) -> np.ndarray:
    """Perceptual hashes of a picture in its eight orientations."""
    pixels = np.asarray(image.convert("L"))
    turned = (Image.fromarray(np.ascontiguousarray(views.turned(pixels, o))) for o in range(8))
    return np.array([of_grey(one) for one in turned], dtype=np.uint64)


def sift(image: Image.Image) -> tuple[Sequence[cv2.KeyPoint], np.ndarray | None]:
    """Keypoints and their root-SIFT descriptions, the longer side at least 320 pixels."""
    scale = max(1.0, 320 / max(image.size))
    grey = cv2.resize(np.asarray(image.convert("L")), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    points, found = cv2.SIFT_create(nfeatures=600).detectAndCompute(grey, None)
    if found is None:
        return points, None
    return points, np.sqrt(found / (found.sum(axis=1, keepdims=True) + 1e-7)).astype(np.float32)


def sift_inliers(one: Image.Image, other: Image.Image) -> int:
    """Matches that one similarity explains, the better of the picture and its mirror image (facts/lessons.md)."""
    points, mine = sift(one)
    best = 0
    for image in (other, other.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        theirs, found = sift(image)
        if mine is None or found is None or len(mine) < 2 or len(found) < 2:
            continue
        pairs = [m[0] for m in cv2.BFMatcher().knnMatch(mine, found, k=2) if m[0].distance < 0.8 * m[1].distance]
        if len(pairs) < 4:
            continue
        a = np.array([points[m.queryIdx].pt for m in pairs])
        b = np.array([theirs[m.trainIdx].pt for m in pairs])
        _, inside = cv2.estimateAffinePartial2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=4)
        best = max(best, int(inside.sum()) if inside is not None else 0)
    return best


def corpus() -> list[Image.Image]:
    """Figures of the corpus of at least 32 pixels."""
    paths = sorted(p for p in (SHARED / "corpus" / "mirror").rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    images = [Image.open(path).convert("RGB") for path in paths]
    return [image for image in images if min(image.size) >= 32]


class Tally:
    """What was counted over all lakes."""

    def __init__(self) -> None:
        self.pictures = self.compared = 0
        self.look_seconds = self.pair_seconds = 0.0
        self.false: dict[int, set[int]] = {}
        self.subjects: set[tuple[int, int]] = set()

    def judge(self, found: set[tuple[int, int]], lake: str) -> None:
        """Sort what was found into copies, pictures of the same subject, and errors."""
        for picture, item in sorted(found):
            if picture == item:
                continue
            if (min(picture, item), max(picture, item)) in SAME_SUBJECT:
                self.subjects.add((min(picture, item), max(picture, item)))
            else:
                self.false.setdefault(item, set()).add(picture)
                print(f"    false: picture {picture} for test image {item} ({lake})", flush=True)


def recall(
    images: list[tuple[str, Image.Image]], chosen: list[int], names: list[str], tests: pl.DataFrame, tally: Tally
) -> None:
    """The table: a copy counts if it is among the likest pictures of its test image, and confirmed.

    The likest two of the others are compared too; what is confirmed of them is a false positive.
    """
    others = {d: [images[k][1] for k in range(0, len(images), 2) if images[k][0] == d] for d, _ in images}
    hashes = {k: hashes_of(images[k][1]) for k in chosen}
    asked = np.frombuffer(b"".join(tests["descriptions"]), np.uint8).reshape(-1, views.TEST_VIEWS, views.LENGTH)
    sets = sorted(others)
    print(f"{'':<20}" + "".join(f"{d[:12]:>38}" for d in sets))
    print(f"{'alteration':<20}" + "".join(f"{'n':>5}{'hash':>9}{'SIFT':>8}{'candidate':>10}{'found':>6}" for _ in sets))
    for name in names:
        change = ALTERATIONS[name]
        made = {k: change(images[k][1], random.Random(f"{k}{name}"), others[images[k][0]]) for k in chosen}
        rows = [looks.look(png(made[k]), split_at_gutters) for k in chosen]
        seen = [looks.described(row["frames"], row["n_own"], row["descriptions"]) for row in rows]  # pyright: ignore
        owner = np.repeat(np.arange(len(seen)), [len(one.views) for one in seen])
        order = copies.likest(asked, np.concatenate([one.descriptions for one in seen]), owner)
        proposed: set[int] = set()
        pairs: list[tuple[int, int]] = []
        for n, (numbers, _) in enumerate(order):
            if n in numbers[: copies.BATCH]:
                proposed.add(chosen[n])
                pairs.append((n, n))
            pairs += [(n, int(p)) for p in numbers[:3] if p != n][:2]
        found: set[tuple[int, int]] = set()
        for n, p in pairs:
            grey = looks.grey_of(images[chosen[n]][1])
            page = looks.grey_of(looks.reduced(made[chosen[p]], looks.SIDE))
            if copies.find_copy(grey, views.probe_views(grey), asked[n], page, seen[p], CopyRules()) is not None:
                found.add((chosen[p], chosen[n]))
        tally.compared, tally.pictures = tally.compared + len(pairs), tally.pictures + len(made)
        line = f"{name:<20}"
        for dataset in sets:
            own = [k for k in chosen if images[k][0] == dataset]
            hits = (
                sum(near_hash(made[k], hashes[k]) for k in own),
                sum(sift_inliers(images[k][1], made[k]) > 32 for k in own),
                len(proposed & set(own)),
                sum((k, k) in found for k in own),
            )
            shares = [f"{hit / len(own):>{width}.3f}" for hit, width in zip(hits, (9, 8, 10, 6), strict=True)]
            line += f"{len(own):>5}" + "".join(shares)
        print(line, flush=True)
        tally.judge(found, name)


def background(images: list[tuple[str, Image.Image]], chosen: list[int], tests: pl.DataFrame, tally: Tally) -> float:
    """False positives among what holds no copy: the other labelled images, and figures. Views a figure has."""
    engine = LocalEngine("processes", os.cpu_count() or 1)
    away = [(str(k), image) for k, (_, image) in enumerate(images) if k not in set(chosen)]
    figures = [(str(len(images) + n), image) for n, image in enumerate(corpus())]
    per_figure = 0.0
    for name, some in (("labelled images", away), ("figures of articles", figures)):
        with tempfile.TemporaryDirectory() as folder:
            lake, seconds, seen = make_lake(Path(folder), some, engine)
            found, compared, spent = matches(lake, tests, engine)
        tally.pictures, tally.compared = tally.pictures + len(some), tally.compared + compared
        print(f"{len(some)} {name}: {compared:,} pairs compared in {spent:.0f} s, looked at in {seconds:.1f} s, "
              f"{seen / len(some):.1f} views each")  # fmt: skip
        tally.judge(found, name)
        per_figure = seen / len(some)
        tally.look_seconds, tally.pair_seconds = seconds / len(some), spent / compared  # the plan is for figures
    return per_figure


def plan(tally: Tally, per_figure: float, test_ms: float) -> None:
    """What this means for all of PMC and all test images that are known, from what was measured here."""
    workers = os.cpu_count() or 1
    look, pair = tally.look_seconds * workers, tally.pair_seconds * workers
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 60, (16, views.TEST_VIEWS, views.LENGTH)).astype(np.uint8)
    seen = rng.integers(0, 60, (16_384, views.LENGTH)).astype(np.uint8)
    began = time.perf_counter()
    copies.likest(asked, seen, np.arange(len(seen)))
    search = (time.perf_counter() - began) / len(asked) / len(seen)
    rate = 2 * views.TEST_VIEWS * 8 * views.LENGTH / search / 1e9
    total = TESTS * PICTURES * per_figure * search / 3600
    flops = 2.0 * TESTS * views.TEST_VIEWS * 8 * PICTURES * per_figure * views.LENGTH
    compare = TESTS * copies.BATCH * pair / 3600
    size = 20_000 * (altered.TEST_SIDE**2 + views.TEST_VIEWS * views.LENGTH) / 1e9
    described = PICTURES * per_figure * views.LENGTH / 1e9
    print(f"""
Cost, {workers} busy cores: a figure {1e3 * look:.0f} ms (decoded, cut into frames, described),
a test image {1e3 * test_ms:.0f} ms, a pair compared {1e3 * pair:.0f} ms,
a test image against a million views {1e6 * search:.2f} s ({rate:.0f} GFLOP/s).
Plan: {TESTS:,} test images against {PICTURES:,} pictures of {per_figure:.1f} views.
  look    {PICTURES * look / 3600:>9,.0f} core hours, once, with each chunk; {described:.0f} GB of descriptions
  search  {total:>9,.0f} core hours exact: {flops:.1e} operations, on one accelerator that does 2e14 a second
          {flops / 2e14 / 3600:.1f} hours (assumed, not measured)
  compare {compare:>9,.0f} core hours for {copies.BATCH} pictures a test image; more only where copies are found
  memory  {size:.1f} GB for 20 000 test images at a time, and the descriptions of one shelf""")


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alterations", default="0:20", help="which of the alterations, from:to")
    parser.add_argument("--every", type=int, default=1, help="take every n-th of the test images")
    parser.add_argument("--no-background", action="store_true")
    options = parser.parse_args()
    if not (SHARED / "eval_images").is_dir():
        print(f"{SHARED / 'eval_images'} is not there; nothing was measured")
        return
    images = labelled()
    chosen = held_out(len(images), options.every)
    low, high = (int(end) for end in options.alterations.split(":"))
    began = time.perf_counter()
    given = ((images[k][0], str(k), np.asarray(images[k][1])) for k in chosen)
    tests, _ = look_at_test_images(given, lambda data: measure(data, ImageLimits(min_side=1)))
    test_ms = (time.perf_counter() - began) / len(chosen)
    print(
        f"{len(chosen)} test images. hash: pHash within 6 bits in 8 orientations. SIFT: more than 32 inliers\n"
        f"of the true pair. candidate: among the {copies.BATCH} likest pictures. found: confirmed."
    )
    tally = Tally()
    recall(images, chosen, list(ALTERATIONS)[low:high], tests, tally)
    per_figure = 0.0 if options.no_background else background(images, chosen, tests, tally)
    errors = {p for found in tally.false.values() for p in found}
    print(
        f"False positives: {len(errors)} of {tally.pictures:,} pictures; "
        f"{sum(map(len, tally.false.values()))} of {tally.compared:,} pairs compared; "
        f"besides {len(tally.subjects)} pairs of one subject."
    )
    if per_figure:
        plan(tally, per_figure, test_ms)


if __name__ == "__main__":
    main()
