"""Altered copies of test images in a lake: shelf by shelf the pictures most like them, round by round their pixels.

Belongs here: what is held in memory and when. Test images are taken some thousand at a time, so that neither they nor
the descriptions of a shelf (a gigabyte or two of 24 million pictures) need a large machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from biomedica_assets.lib.compute import Engine, results
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.select import looks
from biomedica_assets.lib.select.agreement import CopyRules
from biomedica_assets.lib.select.copies import BATCH, MOST, Copy, find_copy, likest
from biomedica_assets.lib.select.views import LENGTH, TEST_VIEWS, batches, probe_views
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EVALUATION_MATCHES, IMAGE_FINGERPRINTS

TEST_SIDE = 128
"""Pixels of the longer side at which test images are compared."""
TESTS = pl.Schema(
    {
        "task": pl.String,
        "item": pl.String,
        "sha256": pl.String,
        "pixel_hash": pl.String,
        "width": pl.Int32,
        "height": pl.Int32,
        "grey": pl.Binary,
        "descriptions": pl.Binary,
    }
)
"""One row per test image; ``grey`` has its width x height grey values, ``descriptions`` those of its views."""
_TESTS_AT_ONCE, _PAIRS_AT_ONCE = 20_000, 64


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Attributes:
        found: rows of ``evaluation_matches``.
        compared: pairs whose pixels were compared.
        cut_short: test images of which the last picture that was compared, of ``MOST``, still was near a copy.
    """

    found: pl.DataFrame
    compared: int
    cut_short: int


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A test image and a picture that may hold a copy of it: rows of ``TESTS`` and of ``image_fingerprints``."""

    grey: bytes
    size: tuple[int, int]
    test: bytes
    path: str
    frames: tuple[int, ...]
    n_own: int
    descriptions: bytes


Work = tuple[str, CopyRules, tuple[Pair, ...]]


def find(
    lake: Lake, tests: pl.DataFrame, rules: CopyRules, *, engine: Engine | None = None, progress: Progress = SILENT
) -> Found:
    """All altered copies.

    Args:
        lake: reads ``image_fingerprints``, and the files of pictures that may be copies.
        tests: in ``TESTS``.
        rules: what counts as a copy.
        engine: where pixels are compared; None compares them here.
        progress: told of pairs compared.

    Raises:
        StoreError: a picture cannot be read any more.
    """
    looks.grey_file.cache_clear()  # files may have changed since an earlier run of this process
    groups = [_of_group(lake, tests[some], rules, engine, progress) for some in batches(tests.height, _TESTS_AT_ONCE)]
    frames = [EVALUATION_MATCHES.empty(), *(group.found for group in groups)]
    return Found(pl.concat(frames), sum(g.compared for g in groups), sum(g.cut_short for g in groups))


def _of_group(lake: Lake, tests: pl.DataFrame, rules: CopyRules, engine: Engine | None, progress: Progress) -> Found:
    likely, pictures = _likest(lake, tests, progress)
    alive, rows, compared = list(range(tests.height)), list[dict[str, object]](), 0
    greys, sizes = tests["grey"], tests.select("height", "width").rows()
    for start in range(0, MOST, BATCH):
        pairs = [(test, int(p)) for test in alive for p in likely[test][start : start + BATCH]]
        pairs.sort(key=lambda pair: (pair[1], pair[0]))  # a picture is decoded once for all that ask for it
        columns = pictures[[p for _, p in pairs]].select("path", "frames", "n_own", "descriptions").iter_rows()
        work = (
            Pair(greys[test], sizes[test], tests["descriptions"][test], path, tuple(frames), n_own, seen)
            for (test, _), (path, frames, n_own, seen) in zip(pairs, columns, strict=True)
        )
        answers = _answers(str(lake.root), rules, work, engine)
        hit: set[int] = set()
        for (test, p), copy in zip(
            pairs, track(answers, progress, "compare pictures", len(pairs), "pairs"), strict=True
        ):
            compared += 1
            if copy is not None:
                hit.add(test)
                rows.append(_row(pictures.row(p, named=True), tests.row(test, named=True), copy))
        alive = sorted(hit)
    return Found(EVALUATION_MATCHES.frame(rows), compared, len(alive))


def _row(picture: dict[str, object], test: dict[str, object], copy: Copy) -> dict[str, object]:
    frames: Sequence[int] = picture["frames"]  # pyright: ignore[reportAssignmentType]
    width, height = frames[2], frames[3]
    place = [edge / size for edge, size in zip(copy.frame, (width, height, width, height), strict=True)]
    row = {name: picture[name] for name in ("media_id", "article_id")} | {name: test[name] for name in ("task", "item")}
    return row | {"match": "altered", "orientation": copy.orientation, "score": copy.agreement.score, "place": place}


def _likest(lake: Lake, tests: pl.DataFrame, progress: Progress) -> tuple[list[NDArray[np.int64]], pl.DataFrame]:
    """For each test image rows of the pictures most like it, the likest first; and those pictures."""
    asked = np.frombuffer(b"".join(tests["descriptions"]), np.uint8).reshape(-1, TEST_VIEWS, LENGTH)
    numbers = [np.zeros(0, np.int64)] * tests.height
    values = [np.zeros(0, np.float32)] * tests.height
    wanted = ["media_id", "article_id", "path", "frames", "n_own", "descriptions"]
    kept = lake.scan(IMAGE_FINGERPRINTS, []).select(wanted).collect()
    for shelf in track(lake.partitions(IMAGE_FINGERPRINTS), progress, "search", None, "shelves"):
        images = lake.scan(IMAGE_FINGERPRINTS, [shelf]).select(wanted).filter(pl.col("frames").is_not_null()).collect()
        described_ = np.frombuffer(b"".join(images["descriptions"]), np.uint8).reshape(-1, LENGTH)
        owner = np.repeat(np.arange(images.height), images["descriptions"].bin.size().to_numpy() // LENGTH)
        for test, (number, value) in enumerate(likest(asked, described_, owner)):
            both = np.concatenate([values[test], value])
            best = np.argsort(-both, kind="stable")[:MOST]
            numbers[test], values[test] = np.concatenate([numbers[test], number + kept.height])[best], both[best]
        used, index = np.unique(np.concatenate([np.zeros(0, np.int64), *numbers]), return_inverse=True)
        kept = pl.concat([kept, images])[used]
        numbers = np.split(index, np.cumsum([len(n) for n in numbers])[:-1]) if numbers else []
    return numbers, kept


def _answers(root: str, rules: CopyRules, pairs: Iterable[Pair], engine: Engine | None) -> Iterator[Copy | None]:
    def works() -> Iterator[Work]:
        some: list[Pair] = []
        for pair in pairs:
            some.append(pair)
            if len(some) == _PAIRS_AT_ONCE:
                yield root, rules, tuple(some)
                some = []
        if some:
            yield root, rules, tuple(some)

    for answer in results(engine, compare, works()):
        yield from answer


def compare(work: Work) -> list[Copy | None]:
    """Where each picture shows its test image. Module level, so that a worker can run it.

    Raises:
        StoreError: a file of the mirror cannot be read.
    """
    root, rules, pairs = work
    found: list[Copy | None] = []
    for pair in pairs:
        try:
            grey = looks.grey_file(Path(root) / pair.path)
        except (OSError, ValueError, SyntaxError) as error:
            raise StoreError(f"an image of the mirror cannot be read ({error}); materialise images again") from error
        test = np.frombuffer(pair.grey, np.uint8).reshape(pair.size)
        seen = np.frombuffer(pair.test, np.uint8).reshape(-1, LENGTH)
        picture = looks.described(pair.frames, pair.n_own, pair.descriptions)
        found.append(find_copy(test, probe_views(test), seen, grey, picture, rules))
    return found
