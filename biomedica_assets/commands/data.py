"""Commands that read data: SQL over the catalog, parsing of single files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def parse(arguments: argparse.Namespace) -> int:
    """``biomedica parse``: JSON lines on standard output."""
    from biomedica_assets.lib.jats.jsonl import parse_files
    from biomedica_assets.lib.panels.jsonl import subcaptions_json

    def with_subcaptions(figure: dict[str, Any]) -> dict[str, Any]:
        return figure | {"subcaptions": subcaptions_json(figure["caption"])}

    return parse_files(arguments.files, sys.stdout, sys.stderr, figure=with_subcaptions)


def panels(arguments: argparse.Namespace) -> int:
    """``biomedica panels``: the panels of pictures, JSON lines on standard output."""
    from PIL import Image

    from biomedica_assets.lib.images.pixels import canonical
    from biomedica_assets.lib.panels.jsonl import print_panels

    def read(path: Path) -> Image.Image:
        with Image.open(path) as image:
            image.load()
            return canonical(image)

    return print_panels(arguments.files, arguments.caption, read, sys.stdout, sys.stderr)


def sql(arguments: argparse.Namespace) -> int:
    """``biomedica sql``: one statement against the catalog."""
    import duckdb

    from biomedica_assets import settings
    from biomedica_assets.lib.errors import PermanentFailure
    from biomedica_assets.lib.store import catalog
    from biomedica_assets.lib.store.lake import Lake

    lake = Lake(settings.load(data_dir=arguments.data_dir).data_dir)
    with catalog.open_catalog(lake) as connection:
        try:
            answer = connection.sql(arguments.query)
            if answer is None:
                return 0
            if arguments.format == "table":
                print(answer)
                return 0
            frame = answer.pl()
        except duckdb.Error as error:
            raise PermanentFailure(f"the query was refused: {error}") from error
    text = frame.write_csv() if arguments.format == "csv" else frame.write_ndjson()
    sys.stdout.write(text)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """``biomedica export``: physical shards of one split of a recipe."""
    import rich.console

    from biomedica_assets import settings
    from biomedica_assets.console import bar
    from biomedica_assets.lib.stream import export as copies
    from biomedica_assets.lib.stream.find import find_index
    from biomedica_assets.lib.stream.index import Index
    from biomedica_assets.lib.stream.virtual import Selection

    root = settings.load(data_dir=arguments.data_dir).data_dir
    wanted = Selection(split=arguments.split, of=arguments.of)
    with bar(rich.console.Console(stderr=True)) as progress:
        index = Index(find_index(root, arguments.recipe))
        made = copies.export(index, str(root), arguments.target, wanted, progress=progress)
    print(f"{len(made):,} shards in {arguments.target}")
    return 0
