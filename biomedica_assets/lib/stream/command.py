"""``biomedica stream``: the command line of a virtual shard.

Exit status: 0 when the tar is complete, 1 when it is not (the reason is on standard error), 2 for wrong arguments, and
141 when the reader went away first, as for any program in a pipe (webdataset takes 141 for a normal end).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.virtual import Selection, open_source, send

READER_LEFT = 141


def parser() -> argparse.ArgumentParser:
    """Arguments of ``biomedica stream``."""
    made = argparse.ArgumentParser("biomedica stream", description="Write a virtual shard of a recipe to stdout.")
    made.add_argument("--recipe", help="name of the recipe")
    made.add_argument("--index", type=Path, help="index file of a recipe, instead of --recipe")
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
    made.add_argument("--base", help="folder, http(s):// or s3:// address of the shards (default: the data directory)")
    made.add_argument("--token-file", type=Path, help="file with a bearer token for --base")
    made.add_argument(
        "--skip-damaged", action="store_true", help="leave out samples that arrive damaged twice, and name them"
    )
    made.add_argument("--count", action="store_true", help="print how many virtual shards and samples there are")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(argv)
    if (options.recipe is None) == (options.index is None):
        parser().error("name a recipe with --recipe, or its index file with --index")
    try:
        return _run(options)
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


def _run(options: argparse.Namespace) -> int:
    index = Index(options.index or _find(options.data_dir, options.recipe))
    if options.count:
        split = index.split(options.split)
        print(split.virtual_shards, split.entries)  # noqa: T201 - what the command is for
        return 0
    token = options.token_file.read_text().strip() if options.token_file else None
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
    source = open_source(index, options.base or str(options.data_dir), token)
    send(index, source, wanted, sys.stdout.fileno())
    return 0
