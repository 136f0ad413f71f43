"""Recipes as YAML: what is shipped is valid, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_assets.lib.select import definition
from biomedica_assets.lib.select.definition import RecipeError


def test_shipped_recipes_load() -> None:
    assert {"full", "balanced", "filtered"} <= set(definition.names())
    for name in definition.names():
        assert definition.load(name).description


def test_a_users_recipe_adds_to_the_shipped_ones_and_wins(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text("title: mine")
    (tmp_path / "wide.yaml").write_text("where: width > 1000")
    assert definition.load("full", tmp_path).title == "mine"
    assert definition.load("wide", tmp_path).where == "width > 1000"
    assert {"balanced", "wide"} <= set(definition.names(tmp_path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wher: width > 1", "unknown field wher .did you mean 'where'"),
        ("concepts: {inclde: [x]}", "unknown field concepts.inclde .did you mean 'include'"),
        ("splits: {validatoin: 0.1}", "unknown field splits.validatoin .did you mean 'validation'"),
        ("splits: {test: 0.1}", "unknown field splits.test"),
        ("licenses: [comercial]", "licenses.0 = 'comercial'.*did you mean 'commercial'"),
        ("licenses: []", "licenses"),
        ("dedup: exact", "dedup = 'exact'"),
        ("seed: yes", "seed = True"),
        ("splits: {validation: 1.6}", "splits.validation = 1.6"),
        ("concepts: {caps: {plot: -1}}", "concepts.caps.plot = -1"),
        ("concepts: {weights: {plot: .nan}}", "concepts.weights.plot"),
        ("- a\n- b", "found list"),
        ("a: [", "not valid YAML"),
        ("!!python/object/apply:os.system [true]", "not valid YAML"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        definition.parse(text, "recipes/x.yaml")


@pytest.mark.parametrize("name", ["ful", "../full", "Full", ""])
def test_unknown_and_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'full'|cannot be a recipe's name"):
        definition.load(name)


def test_a_recipe_is_parsed_once_and_anew_when_its_text_changed(tmp_path, monkeypatch):
    """Each of hundreds of chunks asks whether a recipe takes panels."""
    read = []
    monkeypatch.setattr(definition.yaml, "safe_load", lambda text: read.append(text) or {"title": text.split()[1]})
    path = tmp_path / "one.yaml"
    path.write_text("title: before-it-changed")
    assert {definition.load("one", tmp_path).title for _ in range(50)} == {"before-it-changed"}
    path.write_text("title: after-it-changed")
    assert definition.load("one", tmp_path).title == "after-it-changed"
    assert len(read) == 2
