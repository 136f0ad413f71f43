"""``README.md``: the dataset card, with the header that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import cast

import jinja2
import polars as pl
import yaml

from biomedica_assets.lib.release import embeddings, history, texts
from biomedica_assets.lib.release.copies import FOLDER, SPLIT, scan
from biomedica_assets.lib.release.indexes import KIND as INDEX
from biomedica_assets.lib.release.manifest import ReleaseFile
from biomedica_assets.lib.release.pairs import FOLDER as PAIRS_FOLDER
from biomedica_assets.lib.release.pairs import KIND as PAIRS
from biomedica_assets.lib.release.pairs import SPLITS
from biomedica_assets.lib.release.papers import markdown, text_file
from biomedica_assets.lib.release.rights import Rules
from biomedica_assets.lib.release.statistics import Statistic
from biomedica_assets.lib.tables import FIGURE_LABELS, ONLY_RELEASED, RECIPE, TABLES, WITHDRAWN

_TEMPLATE = "templates/README.md.jinja"
_SHOWN = ("by_category", "per_year", "license_by_year")
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"),
)  # fmt: skip
# "all" is a reserved word among Hugging Face's splits.
_SPLIT_NAMES = {SPLIT: "rows"}


def write(
    release: Path,
    name: str,
    version: str,
    snapshot: str,
    rules: Rules,
    statistics: Mapping[str, Statistic],
    files: Sequence[ReleaseFile],
    *,
    invented: bool = False,
) -> ReleaseFile:
    """Write the card.

    Args:
        release: the folder; plots of statistics are there already.
        name: of the dataset.
        version: of the release.
        snapshot: inventory it was made from.
        rules: which licences it takes.
        statistics: by name; totals and licences are shown as tables.
        files: pairs, tables and shards, of which the header lists the configurations.
        invented: whether the articles come from a generator; then the card says so before anything else.
    """
    template = resources.files("biomedica_assets.lib.release").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    plots = ((statistics[n].title, f"statistics/{n}.png") for n in _SHOWN if n in statistics)
    samples = sum(file.rows or 0 for file in files if file.kind in {"shard", texts.KIND})
    # Markdown, not HTML: nothing is escaped, and the texts are the project's own.
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)  # noqa: S701
    text = environment.from_string(template).render(
        header=yaml.safe_dump(_header(name, samples, files, invented), sort_keys=False, allow_unicode=True, width=120),
        warning=f"**{told}**" if (told := warning(release, invented=invented)) else "",
        groups_of_pairs=sorted({f.path.split("/")[1] for f in files if f.kind == PAIRS}),
        recipes=sorted({Path(file.path).stem for file in files if file.kind == INDEX}),
        with_pictures=any(file.kind == "shard" for file in files),
        name=name,
        version=version,
        snapshot=snapshot,
        totals="\n".join(markdown(statistics["totals"].frame)),
        licenses="\n".join(markdown(statistics["by_license"].frame)),
        licenses_note=statistics["by_license"].note,
        more={name: _shown(statistics.get(name)) for name in ("splits", "labels", "label_audit", "vectors")},
        contents=_contents(files),
        changes=(release / history.TEXT).read_text(encoding="utf-8").split("\n", 2)[2].strip(),
        invented=invented,
        simulated=_simulated(release),
        pictures=[(title, path) for title, path in plots if (release / path).exists()],
        groups=", ".join(sorted(rules.license_groups)),
        no_derivatives=rules.no_derivatives,
    )
    return text_file(release, "README.md", text.splitlines(), "card")


def _shown(statistic: Statistic | None) -> tuple[str, str] | None:
    """A statistic as a table, and how it was counted."""
    return ("\n".join(markdown(statistic.frame)), statistic.note) if statistic else None


def _contents(files: Sequence[ReleaseFile]) -> list[tuple[str, int, str]]:
    """Configuration, rows and meaning of everything that ``load_dataset`` takes by name."""
    meanings = {table.name: table.meaning for table in (*TABLES.values(), *ONLY_RELEASED)}
    found: list[tuple[str, int, str]] = []
    for config in _configs(files):
        name, parts = str(config["config_name"]), cast("list[dict[str, str]]", config["data_files"])
        rows = sum(f.rows or 0 for f in files if any(PurePosixPath(f.path).match(part["path"]) for part in parts))
        group = name.removeprefix(f"{PAIRS_FOLDER}_")
        meaning = f"The same under licences of the group {group}." if group != name else meanings.get(name, "")
        meaning = "Image, caption, mentions, licence and labels of each sample." if name == PAIRS_FOLDER else meaning
        if name.startswith(f"{RECIPE.name}_"):
            meaning = f"Samples of the recipe {name.removeprefix(f'{RECIPE.name}_')} by split."
        found.append((name, rows, meaning or "What a rebuild begins with."))
    return found


def warning(release: Path, *, invented: bool) -> str:
    """What a reader must know before all else; empty if there is nothing."""
    said = ["the articles, figures and captions are invented"] if invented else []
    said += ["labels rest on simulated votes"] if _simulated(release) else []
    return f"Not for use as evidence: {' and '.join(said)}." if said else ""


def _simulated(release: Path) -> bool:
    return bool(scan(release, FIGURE_LABELS).select(pl.col("simulated").any()).collect().item())


def _header(name: str, samples: int, files: Sequence[ReleaseFile], invented: bool) -> dict[str, object]:
    return {
        "pretty_name": name,
        "license": "other",
        "license_name": "per-article",
        "license_link": "ATTRIBUTION.csv",
        "task_categories": ["image-to-text", "zero-shot-image-classification"],
        "tags": ["biology", "medical", "figures", "captions", "webdataset", *(["synthetic"] if invented else [])],
        "size_categories": [next((text for most, text in _SIZES if samples < most), "100M<n<1B")],
        "configs": list(_configs(files)),
    }


def _configs(files: Sequence[ReleaseFile]) -> Iterator[dict[str, object]]:
    # All of one format: a repository is read by one builder, that of its default configuration (datasets 5.2 gives the
    # Parquet of the others to the reader of tars). So the tars are no configuration; the card shows how they are read.
    pairs = [file.path for file in files if file.kind == PAIRS]
    if pairs:
        yield {"config_name": "pairs", "default": True, "data_files": _splits_below("*", pairs)}
    for group in sorted({path.split("/")[1] for path in pairs}):
        below = [path for path in pairs if path.split("/")[1] == group]
        yield {"config_name": f"pairs_{group}", "data_files": _splits_below(group, below)}
    if any(file.kind == WITHDRAWN.name and file.rows for file in files):
        yield {"config_name": WITHDRAWN.name, "data_files": [{"split": _SPLIT_NAMES[SPLIT], "path": history.LIST}]}
    if any(file.kind == embeddings.KIND for file in files):
        vectors = [{"split": _SPLIT_NAMES[SPLIT], "path": f"{embeddings.FOLDER}/*.parquet"}]
        yield {"config_name": embeddings.FOLDER, "data_files": vectors}
    folders: dict[str, set[str]] = {}
    for file in files:
        if file.kind == "table" and file.rows:  # datasets 5.2 cannot read a file without rows
            folder, _, base = file.path.rpartition("/")
            folders.setdefault(folder, set()).add(base.split("-")[0])
    for folder, splits in sorted(folders.items()):
        data = [{"split": _SPLIT_NAMES.get(s, s), "path": f"{folder}/{s}-*.parquet"} for s in sorted(splits)]
        yield {"config_name": folder.removeprefix(f"{FOLDER}/").replace("/", "_"), "data_files": data}


def _splits_below(group: str, paths: Sequence[str]) -> list[dict[str, str]]:
    there = {path.rpartition("/")[2].split("-")[0] for path in paths}
    return [{"split": s, "path": f"{PAIRS_FOLDER}/{group}/{s}-*.parquet"} for s in SPLITS if s in there]
