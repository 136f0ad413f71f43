"""Groups of images that are the same picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo.draw import draw
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.images.limits import ImageLimits
from biomedica_assets.lib.images.verify import Measurement, measure
from biomedica_assets.lib.panels.find import split_at_gutters
from biomedica_assets.lib.select import likeness
from biomedica_assets.lib.select.duplicates import DuplicateRules, build_duplicates
from biomedica_assets.lib.select.looks import build_image_views
from biomedica_assets.lib.select.shelves import build_image_fingerprints
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import DUPLICATES, IMAGES
from biomedica_assets_tests.lib.select.lakes import CHUNKS, publish

HASH_ALONE = DuplicateRules(least_correlation=None)


def picture(seed: int, size: int = 160) -> Image.Image:
    """Smooth blobs in colour: pictures of different seeds are unlike, and copies survive resizing."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def measured(data: bytes) -> Measurement:
    return measure(data, ImageLimits())


def lake_of(root: Path, files: dict[str, bytes]) -> Lake:
    """A lake of two chunks whose images are these files, in this order; the last third lies in the second chunk."""
    lake = Lake(root)
    rows = []
    for number, (name, data) in enumerate(files.items()):
        path = lake.root / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        seen = measured(data)
        rows.append(
            {"media_id": name, "article_id": f"PMC{number}.1", "path": lake.path_below(path), "sha256": seen.sha256,
             "pixel_hash": seen.pixel_hash, "phash": seen.phash}
        )  # fmt: skip
    cut = len(rows) * 2 // 3
    publish(lake, IMAGES, CHUNKS[0], rows[:cut])
    publish(lake, IMAGES, CHUNKS[1], rows[cut:])
    return gathered(lake)


def gathered(lake: Lake) -> Lake:
    for chunk in CHUNKS:
        build_image_views(lake, chunk, split_at_gutters)
    for shelf in ("PMC000", "PMC001"):
        build_image_fingerprints(lake, shelf)
    return lake


FILES = {
    "a-first": encoded(picture(1)),
    "b-alone": encoded(picture(2)),
    "c-half": encoded(picture(1).resize((80, 80), Image.Resampling.LANCZOS)),
    "d-first": encoded(picture(3)),
    "e-same-bytes": encoded(picture(1)),
    "f-same-pixels": encoded(picture(3), compress_level=9),
    "g-grey-jpeg": encoded(picture(1).convert("L"), "JPEG", quality=60),
}


@pytest.mark.parametrize("rules", [None, HASH_ALONE])
def test_equal_bytes_pixels_and_looks_are_grouped_across_chunks(tmp_path: Path, rules: DuplicateRules | None) -> None:
    lake = lake_of(tmp_path, FILES)
    report = build_duplicates(lake, rules)
    found = {row["media_id"]: (row["group"], row["match"]) for row in lake.read(DUPLICATES, None).to_dicts()}
    assert found == {
        "a-first": ("a-first", "bytes"),
        "c-half": ("a-first", "perceptual"),
        "e-same-bytes": ("a-first", "bytes"),
        "g-grey-jpeg": ("a-first", "perceptual"),
        "d-first": ("d-first", "pixels"),
        "f-same-pixels": ("d-first", "pixels"),
    }
    assert (report.metrics["groups"], report.metrics["largest_group"], report.metrics["superfluous"]) == (2, 4, 4)
    assert report.reconciles


def test_threads_and_order_of_files_do_not_matter(tmp_path: Path) -> None:
    one = build_duplicates(lake_of(tmp_path / "a", FILES)).data_version
    assert build_duplicates(lake_of(tmp_path / "b", FILES), engine=LocalEngine("threads", 3)).data_version == one


def _with_phash(lake: Lake, phash: int) -> None:
    for chunk in CHUNKS:
        rows = lake.read(IMAGES, chunk).with_columns(pl.lit(phash, pl.UInt64).alias("phash")).to_dicts()
        publish(lake, IMAGES, chunk, rows)
    gathered(lake)


def test_a_coincidence_of_hashes_is_refused_by_the_pixels(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, {name: FILES[name] for name in ("a-first", "b-alone", "d-first")})
    _with_phash(lake, 0x0F0F_1234_5678_9ABC)
    assert build_duplicates(lake, HASH_ALONE).rows == 3
    assert build_duplicates(lake).rows == 0


def test_figures_of_one_form_with_other_content_are_refused_by_their_fine_structure(tmp_path: Path) -> None:
    """Two drawn formulae that agree in hash, shape, colour and 48 x 48 grey values."""
    files = {
        f"{seed}-{name}": encoded(change(draw("formula", np.random.default_rng(seed), (600, 450)).image.convert("RGB")))
        for seed in (18, 37)
        for name, change in (("whole", lambda i: i), ("half", lambda i: i.resize((300, 225))))
    }
    lake = lake_of(tmp_path, files)
    build_duplicates(lake, DuplicateRules(least_agreement=None))
    assert lake.read(DUPLICATES, None)["group"].n_unique() == 1
    build_duplicates(lake)
    groups = lake.read(DUPLICATES, None).group_by("group").agg(pl.col("media_id").sort()).sort("group")
    assert groups["media_id"].to_list() == [["18-half", "18-whole"], ["37-half", "37-whole"]]


def test_hashes_without_structure_say_nothing(tmp_path: Path) -> None:
    """Blank pages of different sizes share a hash of a single bit; equal pixels still count."""
    lake = lake_of(tmp_path, {name: FILES[name] for name in ("a-first", "b-alone", "e-same-bytes")})
    _with_phash(lake, 1 << 63)
    report = build_duplicates(lake, HASH_ALONE)
    assert report.metrics["without_structure"] == 3
    assert set(lake.read(DUPLICATES, None)["media_id"]) == {"a-first", "e-same-bytes"}


def test_an_image_that_vanished_is_named(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, FILES)
    (lake.root / "mirror" / "c-half").unlink()
    with pytest.raises(StoreError, match="c-half"):
        build_duplicates(lake)


def test_no_images_no_groups(tmp_path: Path) -> None:
    assert build_duplicates(Lake(tmp_path)).rows == 0


def _portrait(path: Path, image: Image.Image) -> likeness.Portrait:
    image.save(path)
    return likeness.portrait(path)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda i: i.resize((81, 81)), True),
        (lambda i: i.convert("L"), True),
        (lambda i: i.crop((3, 3, 157, 157)), True),
        (lambda i: i.resize((160, 120)), False),
        (lambda i: Image.merge("RGB", i.split()[::-1]), False),
        (lambda i: i.transpose(Image.Transpose.ROTATE_90), False),
    ],
    ids=["smaller", "grey", "less border", "other shape", "other colours", "turned"],
)
def test_what_makes_two_figures_one(tmp_path: Path, change: Callable[[Image.Image], Image.Image], same: bool) -> None:
    """Half the plots of a kind look alike to a hash: shape and colour tell them apart, a missing border does not."""
    one, other = _portrait(tmp_path / "a.png", picture(4)), _portrait(tmp_path / "b.png", change(picture(4)))
    assert likeness.same_picture(one, other, 0.93) is likeness.same_picture(other, one, 0.93) is same
