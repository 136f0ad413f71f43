"""Near-duplicates: 5 million hashes against brute force, and recall and precision on perturbed pictures.

Speed: random hashes, a fifth of them with fewer free bits (as plots have), 6 % planted near-copies; one thread.
Exactness: a sample of hashes is compared with all others one by one. Quality: real figures of ``../shared`` (drawn
ones where it is absent) and their copies, resized, saved anew, cropped, in grey; through the stage of the library.

    python benchmarks/near_duplicates.py [--hashes 5000000] [--distance 4] [--pictures 150]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import hashlib
import io
import itertools
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import measure
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select.duplicates import LEAST_CORRELATION, DuplicateRules, build_duplicates
from biomedica_assets.lib.select.hamming import near_pairs
from biomedica_assets.lib.select.looks import build_image_views
from biomedica_assets.lib.select.shelves import build_image_fingerprints
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import DUPLICATES, IMAGES

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHUNK = "PMC000-0000"
U64 = NDArray[np.uint64]


def make_hashes(n: int) -> U64:
    """Distinct hashes, uint64: random, a fifth from a small space, 6 % copies with one to six bits changed."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    hashes[: n // 5] &= rng.choice(rng.integers(0, 2**64, 64, dtype=np.uint64), n // 5)
    copies = n * 6 // 100
    changed = np.zeros(copies, np.uint64)
    flips = rng.integers(1, 7, copies)
    for turn in range(6):
        bit = np.uint64(1) << rng.integers(0, 64, copies, dtype=np.uint64)
        changed |= np.where(turn < flips, bit, np.uint64(0))
    hashes[-copies:] = hashes[n // 2 : n // 2 + copies] ^ changed
    return np.unique(hashes)


def speed(n: int, distance: int) -> None:
    """Time, memory, and a check against brute force."""
    hashes = make_hashes(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    found = near_pairs(hashes, distance)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(hashes):,} distinct hashes, Hamming <= {distance}: {len(found.left):,} pairs, "
          f"{found.uncompared:,} hashes cut in large buckets")  # fmt: skip
    print(f"  {wall:.1f} s wall, {cpu:.1f} s of one core (wanted 30); peak {peak:.0f} MB (wanted 500), "
          f"{before / 1024:.0f} MB before")  # fmt: skip
    sample = np.random.default_rng(1).choice(found.left, min(len(found.left), 200), replace=False)
    sample = np.unique(np.concatenate([sample, np.random.default_rng(2).choice(hashes, 100, replace=False)]))
    partners = {(int(a), int(b)) for a, b in zip(found.left, found.right, strict=True)}
    missed = seen = 0
    began = time.perf_counter()
    for one in sample:
        near = hashes[np.bitwise_count(hashes ^ one) <= distance]
        expected = {(min(int(one), int(o)), max(int(one), int(o))) for o in near if o != one}
        got = {pair for pair in expected if pair in partners}
        seen += len(expected)
        missed += len(expected) - len(got)
    members = np.isin(found.left, sample) | np.isin(found.right, sample)
    wrong = int((found.distance[members] > distance).sum())
    each = (time.perf_counter() - began) / len(sample)
    alone = each * len(hashes) / 2
    print(f"  brute force on {len(sample)} of them: {seen} pairs, {missed} missed, {wrong} wrong; all hashes: "
          f"{alone / 3600:,.1f} h, {alone / wall:,.0f} x as long")  # fmt: skip


def corpus(most: int) -> list[Image.Image]:
    """Real figures of at least 200 pixels, one of each look; drawn pictures if there are none."""
    found: list[Image.Image] = []
    paths = sorted(p for p in (SHARED / "corpus" / "mirror").rglob("*") if p.suffix.lower() in {".jpg", ".png"})
    random.Random(0).shuffle(paths)
    seen: set[str] = set()
    for path in paths:
        with Image.open(path) as image:
            if min(image.size) >= 200:
                picture = image.convert("RGB")
                digest = hashlib.sha256(picture.tobytes()).hexdigest()
                if digest not in seen:
                    found.append(picture)
                    seen.add(digest)
        if len(found) == most:
            return found
    if not found:
        from biomedica_assets.lib.demo.draw import KINDS, draw

        for number, kind in zip(range(most), itertools.cycle(KINDS)):
            drawing = draw(kind, np.random.default_rng(number), (600, 450))
            found.append(drawing.image.convert("RGB"))
    return found


def saved(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a round through JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    """The picture without a border."""
    x, y = int(image.width * share), int(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


PERTURBATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resize to 1/2": lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.LANCZOS),
    "resize to 3/2": lambda i: i.resize((i.width * 3 // 2, i.height * 3 // 2), Image.Resampling.BICUBIC),
    "JPEG quality 85": lambda i: saved(i, 85),
    "JPEG quality 30": lambda i: saved(i, 30),
    "grey": lambda i: i.convert("L").convert("RGB"),
    "crop 1 % border": lambda i: cropped(i, 0.01),
    "crop 3 % border": lambda i: cropped(i, 0.03),
    "1/2, grey, JPEG 60": lambda i: saved(i.resize((i.width // 2, i.height // 2)).convert("L").convert("RGB"), 60),
}


def quality(most: int, distance: int) -> None:
    """Recall per perturbation, and precision; by the hash alone, and with a look at the pixels."""
    originals = corpus(most)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        rows: list[dict[str, object]] = []
        for number, original in enumerate(originals):
            for name, change in {"original": lambda i: i, **PERTURBATIONS}.items():
                image = change(original)
                path = lake.root / "mirror" / f"{number}-{len(rows)}.png"
                path.parent.mkdir(exist_ok=True)
                image.save(path, compress_level=1)
                seen = measure(path.read_bytes(), ImageLimits())
                rows.append(
                    {"media_id": f"{number:05d}-{name}", "article_id": "PMC1.1", "path": lake.path_below(path)}
                    | {"sha256": seen.sha256, "pixel_hash": seen.pixel_hash, "phash": seen.phash}
                )
        empty = {pl.String: "", pl.List: []}
        full = [{c.name: r.get(c.name, empty.get(type(c.dtype), 0)) for c in IMAGES.columns} for r in rows]
        frame = pl.DataFrame(full, schema=IMAGES.schema)
        lake.publish(IMAGES, CHUNK, frame, code_version="b", inputs={}, config={}, n_in=len(rows), n_out=len(rows))
        build_image_views(lake, CHUNK, split_at_gutters)
        build_image_fingerprints(lake, CHUNK[:6])
        print(f"\n{len(originals)} pictures and {len(rows) - len(originals):,} copies")
        for bits, least in ((distance, None), (distance, LEAST_CORRELATION), (8, None), (8, LEAST_CORRELATION)):
            report = build_duplicates(lake, DuplicateRules(bits, least))
            how = f"Hamming <= {bits}, " + ("hash alone" if least is None else "confirmed by pixels")
            judge(lake.read(DUPLICATES, None), len(originals), how, report.seconds)


def judge(found: pl.DataFrame, originals: int, how: str, seconds: float) -> None:
    """Print recall (copies in the group of their original) and precision (pairs of a group that are one picture)."""
    group = dict(found.select("media_id", "group").iter_rows())
    print(f"  {how} ({seconds:.1f} s)")
    for name in PERTURBATIONS:
        pairs = [(f"{n:05d}-original", f"{n:05d}-{name}") for n in range(originals)]
        hit = sum(a in group and group.get(a) == group.get(b) for a, b in pairs)
        print(f"    recall {name:<20} {hit / originals:6.3f}")
    members: dict[str, list[str]] = {}
    for media, first in group.items():
        members.setdefault(first, []).append(media[:5])
    pairs = [(a, b) for group_ in members.values() for a, b in itertools.combinations(group_, 2)]
    same = sum(a == b for a, b in pairs)
    false = len(pairs) - same
    print(f"    precision of pairs        {same / max(1, len(pairs)):6.3f}  ({false:,} of {len(pairs):,} are false)")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hashes", type=int, default=5_000_000)
    parser.add_argument("--distance", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=150)
    options = parser.parse_args()
    speed(options.hashes, options.distance)
    quality(options.pictures, options.distance)


if __name__ == "__main__":
    main()
