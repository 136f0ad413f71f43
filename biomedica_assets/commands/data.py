"""Commands that read data: SQL over the catalog, parsing of single files."""

from __future__ import annotations

import argparse
import sys


def parse(arguments: argparse.Namespace) -> int:
    """``biomedica parse``: JSON lines on standard output."""
    from biomedica_assets.lib.jats.jsonl import parse_files

    return parse_files(arguments.files, sys.stdout, sys.stderr)


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
