"""The arrow of imports: definitions -> assets -> resources, metadata -> lib, never back and never sideways."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "biomedica_assets"
SHARED = {
    "tables", "store", "errors", "report", "progress", "chunks", "licenses", "compute", "weights", "hub", "machine",
    "quiet",
}  # fmt: skip
# Open a data directory, from Python and as a page: doors to all subjects, of which no subject knows.
DOORS = {"dataset", "explore"}
# Every stage that looks at pictures looks at the same ones.
CANONICAL = "biomedica_assets.lib.images.canonical"
# And every one that cuts captions into panels cuts them in the same way.
SUBCAPTIONS = "biomedica_assets.lib.panels.subcaptions"
HEAVY = {
    "torch",
    "torchvision",
    "open_clip",
    "timm",
    "sklearn",
    "webdataset",
    "datasets",
    "faiss",
    "matplotlib",
    "skimage",
    "ray",
}
# Each file is read once; parsing all of them takes about a second.
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
LIBRARY = {path: tree for path, tree in MODULES.items() if path.is_relative_to(PACKAGE / "lib")}


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of all modules imported anywhere in a file."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_library_knows_no_dagster_and_nothing_above_it(path):
    for name in imported(LIBRARY[path]):
        assert not name.split(".")[0].startswith("dagster"), f"{path.name} imports {name}"
        if name.startswith("biomedica_assets."):
            assert name.startswith("biomedica_assets.lib"), f"{path.name} imports {name}"


def test_subjects_of_the_library_do_not_import_one_another():
    found = []
    for path, tree in LIBRARY.items():
        subject = path.relative_to(PACKAGE / "lib").parts[0].removesuffix(".py")
        if subject in DOORS:
            continue
        for name in imported(tree):
            parts = name.split(".")
            if parts[:2] == ["biomedica_assets", "lib"] and len(parts) > 2:
                other = parts[2]
                if other not in SHARED and other != subject and not name.startswith((CANONICAL, SUBCAPTIONS)):
                    found.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not found, "\n".join(sorted(found))


@pytest.mark.parametrize("path", sorted((PACKAGE / "assets").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_assets_are_declared_in_one_way(path):
    """What Dagster is told of a table is told in ``declare``; the modules beside it read as a table of contents."""
    if path.stem != "declare":
        assert not {name for name in imported(MODULES[path]) if name.split(".")[0] == "dagster"}


def test_loading_the_graph_imports_nothing_heavy():
    """A Dagster step process would pay up to ten seconds for each of them."""
    program = f"import sys, biomedica_assets.definitions; print(sorted({HEAVY!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("biomedica_assets.cli", {"dagster", "polars", "duckdb", "numpy", "torch"}),
        ("biomedica_assets.lib.jats.jsonl", {"dagster", "polars", "duckdb", "torch"}),
        ("biomedica_assets.lib.stream.command", {"dagster", "polars", "duckdb", "torch", "webdataset"}),
    ],
)
def test_commands_that_must_start_fast_import_little(module, unwanted):
    program = f"import sys, {module}; print(sorted({unwanted!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
