"""``README.md``: the dataset card, with the header that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2
import yaml

from biomedica_assets.lib.release.copies import FOLDER, SPLIT
from biomedica_assets.lib.release.manifest import ReleaseFile
from biomedica_assets.lib.release.papers import markdown, text_file
from biomedica_assets.lib.release.rights import Rules
from biomedica_assets.lib.release.statistics import Statistic

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
) -> ReleaseFile:
    """Write the card.

    Args:
        release: the folder; plots of statistics are there already.
        name: of the dataset.
        version: of the release.
        snapshot: inventory it was made from.
        rules: which licences it takes.
        statistics: by name; totals and licences are shown as tables.
        files: tables and shards, of which the header lists the configurations.
    """
    template = resources.files("biomedica_assets.lib.release").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    plots = ((statistics[n].title, f"statistics/{n}.png") for n in _SHOWN if n in statistics)
    samples = sum(file.rows or 0 for file in files if file.kind == "shard")
    # Markdown, not HTML: nothing is escaped, and the texts are the project's own.
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)  # noqa: S701
    text = environment.from_string(template).render(
        header=yaml.safe_dump(_header(name, samples, files), sort_keys=False, allow_unicode=True, width=120),
        name=name,
        version=version,
        snapshot=snapshot,
        totals="\n".join(markdown(statistics["totals"].frame)),
        licenses="\n".join(markdown(statistics["by_license"].frame)),
        licenses_note=statistics["by_license"].note,
        pictures=[(title, path) for title, path in plots if (release / path).exists()],
        groups=", ".join(sorted(rules.license_groups)),
        no_derivatives=rules.no_derivatives,
    )
    return text_file(release, "README.md", text.splitlines(), "card")


def _header(name: str, samples: int, files: Sequence[ReleaseFile]) -> dict[str, object]:
    return {
        "pretty_name": name,
        "license": "other",
        "license_name": "per-article",
        "license_link": "ATTRIBUTION.csv",
        "task_categories": ["image-to-text", "zero-shot-image-classification"],
        "tags": ["biology", "medical", "figures", "captions", "webdataset"],
        "size_categories": [next((text for most, text in _SIZES if samples < most), "100M<n<1B")],
        "configs": list(_configs(files)),
    }


def _configs(files: Sequence[ReleaseFile]) -> Iterator[dict[str, object]]:
    groups = sorted({file.path.split("/")[1] for file in files if file.kind == "shard"})
    if groups:
        data = [{"split": group, "path": f"shards/{group}/*.tar"} for group in groups]
        yield {"config_name": "pairs", "default": True, "data_files": data}
    folders: dict[str, set[str]] = {}
    for file in files:
        if file.kind == "table":
            folder, _, base = file.path.rpartition("/")
            folders.setdefault(folder, set()).add(base.split("-")[0])
    for folder, splits in sorted(folders.items()):
        data = [{"split": _SPLIT_NAMES.get(s, s), "path": f"{folder}/{s}-*.parquet"} for s in sorted(splits)]
        yield {"config_name": folder.removeprefix(f"{FOLDER}/").replace("/", "_"), "data_files": data}
