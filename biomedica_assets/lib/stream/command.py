"""``biomedica stream``: the command line of a virtual shard.

Exit status: 0 when the tar is complete, 1 when it is not (the reason is on standard error), 2 for wrong arguments, and
141 when the reader went away first, as for any program in a pipe (webdataset takes 141 for a normal end).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.stream.addresses import HUB, place_of
from biomedica_assets.lib.stream.cache import SampleCache, bytes_of
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.index import AT_SOURCE, IN_SHARDS, Index
from biomedica_assets.lib.stream.virtual import Count, Pictures, Selection, open_source, send

if TYPE_CHECKING:
    from biomedica_assets.lib.stream.pictures import Source

READER_LEFT = 141


def parser() -> argparse.ArgumentParser:
    """Arguments of ``biomedica stream``."""
    made = argparse.ArgumentParser("biomedica stream", description="Write a virtual shard of a recipe to stdout.")
    made.add_argument(
        "release", nargs="?", help="a release: folder, http(s)://, s3:// or hf://datasets/owner/name[@revision]"
    )
    made.add_argument("--recipe", help="name of the recipe (of a release: default full)")
    made.add_argument("--index", type=Path, help="index file of a recipe, instead of --recipe")
    made.add_argument("--where", metavar="SQL", help="only samples of the release that meet this, as in a recipe")
    made.add_argument("--shard", type=int, default=0, help="which virtual shard, from 0")
    made.add_argument("--of", type=int, help="number of virtual shards of an epoch (default: by size)")
    made.add_argument("--epoch", type=int, default=0, help="from 0; each epoch has its own order")
    made.add_argument("--split", default="train", help="train, validation or test")
    made.add_argument("--no-shuffle", action="store_true", help="keep the order of the physical shards")
    made.add_argument(
        "--caption", metavar="FIELD", help="take the text from this field of the JSON; a+b joins two, a|b draws one"
    )
    made.add_argument("--ext", help="only samples whose image has this extension: jpg, png, ...")
    made.add_argument("--data-dir", type=Path, default=Path("data"), help="data directory (default: data)")
    made.add_argument(
        "--base", help="folder or address of the shards, if they lie elsewhere (default: the data directory)"
    )
    made.add_argument("--token-file", type=Path, help="file with a bearer token (for hf://, default: HF_TOKEN)")
    made.add_argument("--cache", type=Path, metavar="FOLDER", help="keep what comes from afar, for the next epoch")
    made.add_argument("--cache-size", default="10GB", metavar="SIZE", help="at most so much of it (default 10GB)")
    made.add_argument(
        "--pictures", choices=(IN_SHARDS, AT_SOURCE),
        help="of a release: whole samples from its shards, or text from it and pictures from PubMed Central's bucket "
        "(default: what it holds)",
    )  # fmt: skip
    made.add_argument(
        "--source", default=Pictures().place, metavar="PLACE",
        help="where those pictures are: s3://bucket, http(s)://endpoint/bucket or a directory (default: %(default)s)",
    )  # fmt: skip
    made.add_argument("--in-flight", type=int, default=64, metavar="N", help="pictures asked for at once (default 64)")
    made.add_argument(
        "--shrink", type=int, metavar="PIXELS", help="make pictures with a longer shorter side JPEGs of this one"
    )
    made.add_argument("--stats", type=Path, metavar="FILE", help="append what was fetched and sent, as a line of JSON")
    made.add_argument(
        "--skip-damaged", action="store_true", help="leave out samples that arrive damaged twice, and name them"
    )
    made.add_argument("--count", action="store_true", help="print how many virtual shards and samples there are")
    return made


Select = Callable[[str, str | None, str, str | None, Path, str | None], Path]
"""Release, recipe, condition, token, a folder and ``--pictures`` -> an index of the samples that meet the condition."""


Bucket = Callable[[str, int], "Source"]
"""Place and requests at once -> what fetches pictures that a release does not hold."""


def main(argv: Sequence[str] | None = None, select: Select | None = None, bucket: Bucket | None = None) -> int:
    """Run the command; returns its exit status.

    Args:
        argv: arguments; None takes those of the process.
        select: does ``--where``; without it, that is refused.
        bucket: opens where pictures are that a release does not hold; without it, those releases are refused.
    """
    options = parser().parse_args(argv)
    named = sum(one is not None for one in (options.release, options.recipe, options.index))
    if named == 0 or (options.index is not None and options.recipe is not None):
        parser().error("name a release, a recipe with --recipe, or an index file with --index")
    try:
        return _run(options, select, bucket)
    except BiomedicaError as error:
        print(f"biomedica stream: {error}", file=sys.stderr)  # noqa: T201 - standard error of a command
        return 1
    except BrokenPipeError:
        return READER_LEFT
    except OSError as error:  # shards and index are StreamError: left are the token file and where the tar is written
        print(f"biomedica stream: {error}", file=sys.stderr)  # noqa: T201 - standard error of a command
        return 1


def _find(data_dir: Path, recipe: str) -> Path:
    from biomedica_assets.lib.stream.find import find_index

    return find_index(data_dir, recipe)


def _run(options: argparse.Namespace, select: Select | None, bucket: Bucket | None) -> int:
    began = time.monotonic()
    place = _place(options.release or options.base or str(options.data_dir))
    token = _token(options)
    if options.where is not None:
        if options.release is None or select is None:
            raise StreamError("--where is for releases: `biomedica stream RELEASE --where SQL`")
        # Without a cache the file goes as soon as it is open, so that a stream that is ended leaves nothing.
        with tempfile.TemporaryDirectory() as passing:
            kept = options.cache or Path(passing)
            index = Index(select(place, options.recipe, options.where, token, kept, options.pictures))
    elif options.index is not None:
        index = Index(options.index)
    elif options.release is not None:
        from biomedica_assets.lib.stream.afar import open_index

        index = open_index(place, options.recipe, token, options.cache, options.pictures)
    else:
        index = Index(_find(options.data_dir, options.recipe))
    if options.count:
        split = index.split(options.split)
        print(split.virtual_shards, split.entries)  # noqa: T201 - what the command is for
        return 0
    wanted = Selection(
        split=options.split,
        shard=options.shard,
        of=options.of,
        epoch=options.epoch,
        shuffle=not options.no_shuffle,
        caption=options.caption,
        ext=options.ext,
        skip_damaged=options.skip_damaged,
    )
    pictures = _pictures(options, index)._replace(open=bucket)
    cache = _cache(options)
    source, count = open_source(index, place, token, pictures), Count()
    if options.stats is not None:
        # A training that has had enough ends its streams by SIGTERM; what they fetched is told even so.
        signal.signal(signal.SIGTERM, _leave)
    try:
        send(index, source, wanted, sys.stdout.fileno(), cache, count)
    finally:
        if options.stats is not None:
            _append(options.stats, {
                "samples": count.samples, "bytes": count.bytes, "skipped": count.skipped,
                "fetched": index.fetched + getattr(source, "fetched", 0), "cached": cache.hits if cache else 0,
                "seconds": round(time.monotonic() - began, 3),
                "peak_bytes": _peak_bytes(),
            })  # fmt: skip
    return 0


def _peak_bytes() -> int:
    """Most memory this program had. What Linux counts in ``getrusage`` began with the process that started it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS, in bytes


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _place(given: str) -> str:
    return place_of(given, os.environ.get("HF_ENDPOINT") or HUB)


def _token(options: argparse.Namespace) -> str | None:
    if options.token_file is not None:
        return options.token_file.read_text().strip()
    given = options.release or options.base or ""
    return os.environ.get("HF_TOKEN") if given.startswith("hf://") else None


def _pictures(options: argparse.Namespace, index: Index) -> Pictures:
    """Where pictures come from, and what becomes of them.

    Raises:
        StreamError: the index is of another kind than was asked for, or a number is none.
    """
    if options.pictures not in {None, index.pictures}:
        raise StreamError(
            f"recipe {index.recipe} is to be read with --pictures {index.pictures}; for the other, name a release"
        )
    if index.pictures == IN_SHARDS and options.shrink is not None:
        raise StreamError("--shrink is for --pictures source; pictures in shards stay as they are")
    if options.in_flight < 1 or (options.shrink is not None and options.shrink < 1):
        raise StreamError("--in-flight and --shrink are numbers from 1")
    return Pictures(options.source, options.in_flight, options.shrink)


def _cache(options: argparse.Namespace) -> SampleCache | None:
    if options.cache is None:
        return None
    try:
        variant = f" shrunk to {options.shrink}" if options.shrink else ""
        return SampleCache(options.cache, bytes_of(options.cache_size), variant)
    except ValueError:
        raise StreamError(f"--cache-size {options.cache_size}: give a size such as 500MB or 20GB") from None


def _append(path: Path, told: dict[str, object]) -> None:
    """One line in one write, so that processes may share the file."""
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(told) + "\n").encode())
