"""Settings: one place, validated at start, errors that say what to write instead."""

import pytest

from biomedica_assets import settings
from biomedica_assets.settings import SettingsError


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"BIOMEDICA_{name.upper()}", raising=False)


def test_arguments_beat_environment_beats_files_beat_defaults(monkeypatch, tmp_path):
    (tmp_path / "biomedica.toml").write_text('seed = 1\nworkers = 3\ndata_dir = "d"\n')
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "biomedica.toml").write_text("seed = 2\nfetch_retries = 7\n")
    assert settings.load().seed == 1
    assert settings.load().fetch_retries == 7
    monkeypatch.setenv("BIOMEDICA_SEED", "4")
    assert settings.load().seed == 4
    assert settings.load(seed=5).seed == 5
    assert settings.load().workers == 3
    assert settings.load().chunk_span == 20_000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CHUNK_SPAN", "30000", "must divide"),
        ("CHUNK_SPAN", "many", "chunk_span = 'many'"),
        ("LICENSE_GROUPS", '["comercial"]', "'commercial', 'noncommercial' or 'other'"),
        ("FETCH_CONCURRENCY", "0", "greater than or equal to 1"),
        ("MAX_PIXELS", "178956971", "less than or equal to 178956970"),
        ("MAX_REJECT_FRACTION", "1.5", "less than or equal to 1"),
        ("YEAR_FROM", "soon", "First year taken"),
    ],
)
def test_a_wrong_value_is_refused_with_field_value_and_what_is_allowed(monkeypatch, name, value, said):
    monkeypatch.setenv(f"BIOMEDICA_{name}", value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert name.lower() in str(caught.value)
    assert said in str(caught.value)


def test_years_out_of_order_are_refused():
    with pytest.raises(SettingsError, match="year_from 2020 is after year_to 2010"):
        settings.load(year_from=2020, year_to=2010)


def test_an_unknown_name_is_refused_wherever_it_stands(monkeypatch, tmp_path):
    (tmp_path / "biomedica.toml").write_text("sead = 1\n")
    with pytest.raises(SettingsError, match=r"biomedica.toml: unknown setting sead"):
        settings.load()
    (tmp_path / "biomedica.toml").unlink()
    monkeypatch.setenv("BIOMEDICA_SEAD", "1")
    with pytest.raises(SettingsError, match="unknown setting in the environment: BIOMEDICA_SEAD"):
        settings.load()


def test_a_file_that_is_not_toml_is_named(tmp_path):
    (tmp_path / "biomedica.toml").write_text("seed: 1\n")
    with pytest.raises(SettingsError, match=r"biomedica\.toml is not valid TOML"):
        settings.load()


def test_a_data_directory_remembers_what_it_was_made_with(tmp_path):
    settings.remember(settings.load(data_dir="d", chunk_span=1000, source="mirror", words=("heart",)))
    again = settings.load(data_dir="d")
    assert (again.chunk_span, again.words) == (1000, ("heart",))
    assert again.source == str(tmp_path / "mirror")


def test_the_chunk_span_of_a_data_directory_cannot_change(tmp_path):
    settings.remember(settings.load(data_dir="d"))
    with pytest.raises(SettingsError, match="articles would change their partition"):
        settings.load(data_dir="d", chunk_span=1000)
