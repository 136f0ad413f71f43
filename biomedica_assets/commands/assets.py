"""``biomedica assets``: the table of all assets, as the README shows it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from biomedica_assets import settings
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import TABLES

if TYPE_CHECKING:
    import dagster as dg

ORDER = (
    "article_index", "articles", "figures", "embeddings", "clusters", "annotations", "shards", "recipes", "checkpoints",
    "eval_scores", "catalog",
)  # fmt: skip
"""Groups from the source to the scores; one that is not named here comes last."""

BEGIN, END = "<!-- begin: biomedica assets -->", "<!-- end: biomedica assets -->"


def assets(arguments: argparse.Namespace) -> int:
    """Print the table, or put it between the marks of a file."""
    from biomedica_assets import definitions

    graph = definitions.build(settings.load(data_dir=arguments.data_dir)).resolve_asset_graph()
    table = markdown(graph)
    if arguments.into is None:
        print(table)
        return 0
    path: Path = arguments.into
    if not path.is_file():
        raise PermanentFailure(f"--into {path} is no file")
    atomic.write_bytes(path, put_in(path.read_text(encoding="utf-8"), table, str(path)).encode())
    return 0


def markdown(graph: dg.BaseAssetGraph[dg.BaseAssetNode]) -> str:
    """One line for each asset: groups in ``ORDER``, the assets of each in the order in which they are made."""
    groups: dict[str, list[str]] = {}
    for level in graph.toposorted_asset_keys_by_level:
        for key in sorted(level):
            groups.setdefault(str(graph.get(key).group_name), []).append(key.to_user_string())
    lines = ["| group | asset | per | holds |", "|---|---|---|---|"]
    place = {group: n for n, group in enumerate(ORDER)}
    for group, names in sorted(groups.items(), key=lambda entry: (place.get(entry[0], len(ORDER)), entry[0])):
        for n, name in enumerate(names):
            table = TABLES[name]
            per = "whole" if table.partitioning == "none" else table.partitioning
            meaning = table.meaning.partition(". ")[0].rstrip(".").replace("|", "\\|")
            lines.append(f"| {'' if n else group} | `{name}` | {per} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(lines)


def put_in(text: str, table: str, where: str) -> str:
    """The text with the table between its marks.

    Raises:
        PermanentFailure: it has no marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PermanentFailure(f"{where} has no lines {BEGIN} and {END} to put the table between")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
