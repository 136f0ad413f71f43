"""Verifying an image: ours against the plain Pillow + ImageHash way, one core, same files, alternating.

Both read the file, hash the bytes with SHA-256, decode every pixel to the picture that a viewer shows (colour profiles,
transparency, orientation), hash the pixels and compute a 64-bit perceptual hash. The naive way hashes pixels with
SHA-256; ours with BLAKE3, and it also computes the MD5 that the source is checked against, sniffs the format and looks
for cuts. "convert alone" is the naive way without profiles, paper and orientation: another picture for the files that
are counted. Claim: at least 1.9 times over the mix, at least 1.5 times the rate per core, over the real mix
of formats and for JPEG, PNG and TIFF; GIFs are thumbnails, of which neither decoding nor hashing takes most. "bound"
is reading and decoding alone. The last table says what is lost by feeding the perceptual hash a reduced image. On a
busy machine only the ratio by CPU time means anything.

    python benchmarks/image_verify.py [--rounds 5] [--images 120] [--workers 2]
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageOps

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.images import canonical, decoders, phash, pixels, sniff
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import Batch, Measurement, measure, measure_batch

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "mirror"
LIMITS = ImageLimits()
SRGB = ImageCms.createProfile("sRGB")
See = Callable[[bytes], Image.Image]
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF", ".tif": "TIFF"}


def shown(data: bytes) -> Image.Image:
    """The picture by Pillow's own means, as its manual has them."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    profile = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    mode = image.mode if image.mode in {"L", "CMYK", "LAB"} else "RGB"
    colours = image if image.mode == mode else image.convert(mode)
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError):  # of another colour space than the pixels
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            moved = ImageCms.profileToProfile(colours, source, SRGB, outputMode="RGB")
            colours = moved or colours
    colours = colours.convert("RGB")
    if alpha is not None:
        page = Image.new("RGB", colours.size, "white")
        page.paste(colours, mask=alpha)
        return page
    return colours


def plain(data: bytes) -> Image.Image:
    """What one writes first: RGB, whatever that makes of the file."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def naive(path: Path, perceptual: Callable[[Image.Image], imagehash.ImageHash], see: See = shown) -> tuple[str, ...]:
    """Hashes by plain means."""
    data = path.read_bytes()
    image = see(data)
    return hashlib.sha256(data).hexdigest(), hashlib.sha256(image.tobytes()).hexdigest(), str(perceptual(image))


def ours(path: Path) -> Measurement:
    """What the stage runs."""
    return measure(path.read_bytes(), LIMITS)


def bare(path: Path) -> None:
    """Read and decode as ours does, and nothing else: the limit of what any hashing could gain."""
    data = path.read_bytes()
    kind = sniff.image_format(data)
    if kind is None:
        raise ValueError(f"{path} is no image")
    image = pixels.open_image(data, sniff.READABLE[kind])
    if decoders.decode_fast(data, image) is None:
        image.load()


def generated(folder: Path, n: int) -> list[Path]:
    """JPEGs like those of journals: two thirds smooth photos with some noise, one third plots; some grey, progressive.

    About 1 megapixel and 0.2 bytes a pixel, as real figures have.
    """
    rng = np.random.default_rng(0)
    paths: list[Path] = []
    for i in range(n):
        width, height = (int(side) for side in rng.integers(500, 1500, 2))
        if i % 3:
            coarse = rng.integers(0, 256, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            noise = rng.normal(0, 4, (height, width, 1))
            image = Image.fromarray(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8))
        else:
            image = Image.new("RGB", (width, height), "white")
            draw = ImageDraw.Draw(image)
            for _ in range(12):
                draw.line([(x, int(rng.integers(0, height))) for x in range(0, width, 40)], (20, 60, 160), 2)
        image = image.convert("L") if i % 16 == 1 else image
        paths.append(folder / f"{i:04d}.jpg")
        image.save(paths[-1], quality=85, progressive=i % 12 == 5)
    return paths


def rounds(options: dict[str, Callable[[], object]], n: int) -> dict[str, tuple[float, float]]:
    """Median wall and CPU seconds of each option: round-robin, order turned every other time, first run dropped."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in options}
    for i in range(n + 1):
        for name in list(options)[:: -1 if i % 2 else 1]:
            wall, cpu = time.perf_counter(), time.process_time()
            options[name]()
            if i:
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (statistics.median(w for w, _ in t), statistics.median(c for _, c in t)) for name, t in taken.items()}


def speed(title: str, paths: Sequence[Path], n: int, workers: int) -> None:
    """Print rates and ratios for one set of files."""
    options: dict[str, Callable[[], object]] = {
        "Pillow + imagehash.phash": lambda: [naive(p, imagehash.phash) for p in paths],
        "the same, dhash": lambda: [naive(p, imagehash.dhash) for p in paths],
        "the same, convert alone": lambda: [naive(p, imagehash.phash, plain) for p in paths],
        "ours": lambda: [ours(p) for p in paths],
        "bound: bare decode": lambda: [bare(p) for p in paths],
    }
    if workers > 1:
        engine = LocalEngine("threads", workers)
        batches = [Batch(tuple(paths[i : i + 8]), LIMITS) for i in range(0, len(paths), 8)]
        options[f"ours, {workers} threads"] = lambda: list(engine.map_batches(measure_batch, batches))
    found = [ours(p) for p in paths]
    megapixels = sum(m.width * m.height for m in found) / 1e6
    megabytes = sum(m.bytes for m in found) / 1e6
    print(f"\n{title}: {len(paths)} files, {megabytes:.1f} MB, {megapixels:.1f} megapixels; medians of {n} rounds")
    other = sum(canonical.open_canonical(p).tobytes() != plain(p.read_bytes()).tobytes() for p in paths)
    print(f"  of {other} files convert alone makes another picture")
    results = rounds(options, n)
    base_wall, base_cpu = results["Pillow + imagehash.phash"]
    for name, (wall, cpu) in results.items():
        print(
            f"  {name:26s} {len(paths) / wall:7.1f} images/s  {megapixels / wall:7.1f} MP/s   "
            f"x {base_wall / wall:.2f} (by CPU time x {base_cpu / cpu:.2f})"
        )


def hash_quality(paths: Sequence[Path]) -> None:
    """Print how pHash of the reduced image compares with pHash of the full one, on near-copies and on strangers."""
    images = [Image.open(path).convert("RGB") for path in paths]
    variants: dict[str, Callable[[Image.Image], int]] = {
        "full size": lambda image: int(str(imagehash.phash(image)), 16),
        "reduced": lambda image: phash.perceptual_hash(pixels.frame_of(image)),
    }
    print(f"\nperceptual hash, {len(images)} images: bits that differ (of 64)")
    hashes = {name: [fn(image) for image in images] for name, fn in variants.items()}
    agree = [(a ^ b).bit_count() for a, b in zip(*hashes.values(), strict=True)]
    print(f"  reduced against full size of the same image: mean {statistics.mean(agree):.2f}, most {max(agree)}")
    for name, fn in variants.items():
        near = [
            (own ^ fn(c)).bit_count() for own, image in zip(hashes[name], images, strict=True) for c in copies(image)
        ]
        far = [(a ^ b).bit_count() for i, a in enumerate(hashes[name]) for b in hashes[name][:i]]
        near_found = sum(d <= 4 for d in near) / len(near)
        far_found = sum(d <= 4 for d in far) / len(far)
        print(
            f"  {name:10s} near-copies: mean {statistics.mean(near):5.2f}, within 4 bits {near_found:6.1%};"
            f"  strangers: mean {statistics.mean(far):5.2f}, within 4 bits {far_found:.2%}"
        )


def copies(image: Image.Image) -> list[Image.Image]:
    """Near-copies: recompressed, at half the size, at 0.7 of it, in grey."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    smaller = [image.resize((round(image.width * f) or 1, round(image.height * f) or 1)) for f in (0.5, 0.7)]
    return [Image.open(buffer).convert("RGB"), *smaller, image.convert("L").convert("RGB")]


def main() -> None:
    """Run both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60, help="generated images")
    parser.add_argument("--workers", type=int, default=2, help="also time so many threads; 1: do not")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speed("generated", generated(Path(folder), args.images), args.rounds, args.workers)
    real = [p for p in sorted(CORPUS.glob("PMC*/*")) if p.suffix in FORMATS]
    real = [p for p in real if min(Image.open(p).size) >= LIMITS.min_side]
    if real:
        formats = {name: [p for p in real if p.suffix == suffix] for suffix, name in FORMATS.items()}
        shares = ", ".join(f"{name} {len(paths) / len(real):.0%}" for name, paths in formats.items())
        speed(f"real mix of ../shared/corpus ({shares})", real, args.rounds, args.workers)
        for name, paths in formats.items():
            speed(f"real {name}", paths, args.rounds, 1)
        hash_quality([p for p in real if p.suffix in {".jpg", ".png"}])
    else:
        print(f"\n{CORPUS} is not here: real images skipped")


if __name__ == "__main__":
    main()
