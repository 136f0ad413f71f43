"""Scores of pairs: the cosine of picture and caption, of every pair that can be looked at."""

from __future__ import annotations

import pytest

from biomedica_assets import evaluation
from biomedica_assets.lib.errors import WaitingFor
from biomedica_assets.lib.evaluate.pair_scores import score_pairs
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PAIR_SCORES
from biomedica_assets.settings import Settings
from biomedica_assets_tests.lib.evaluate.fakes import ColourEncoder, png, spec
from biomedica_assets_tests.lib.select.lakes import publish

CHUNK = "PMC001-0000"
RECORDED = {"pair_model": "colour", "weights": "d"}


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Six pictures: two fit, two do not, one is damaged, one has no caption."""
    lake = Lake(tmp_path)
    colours = ["red", "green", "blue", "red", "green", "blue"]
    rows = []
    for number, colour in enumerate(colours):
        data = png(colour, number) if number != 4 else b"no picture"
        (tmp_path / f"{number}.png").write_bytes(data)
        ids = {"media_id": f"m{number}", "figure_id": f"f{number}", "article_id": "PMC1000001.1"}
        rows.append(ids | {"path": f"{number}.png"})
    publish(lake, IMAGES, CHUNK, rows)
    said = ["a red picture", "a green picture", "a red picture", "a blue picture", "a green picture", "  "]
    publish(lake, CAPTIONS, CHUNK, [{"figure_id": f"f{n}", "caption": text} for n, text in enumerate(said)])
    return lake


def test_pairs_that_fit_score_higher_and_what_cannot_be_read_is_left_out(lake) -> None:
    report = score_pairs(lake, CHUNK, ColourEncoder(spec("colour")), recorded=RECORDED, batch_size=2)
    frame = lake.read(PAIR_SCORES, CHUNK)
    score = dict(frame.select("media_id", "score").iter_rows())
    assert set(score) == {"m0", "m1", "m2", "m3"}
    assert min(score["m0"], score["m1"]) > 0.95 > 0.6 > max(score["m2"], score["m3"])
    assert (report.n_in, report.n_out, report.rejects) == (5, 4, {"image_undecodable": 1})
    assert set(frame["model"]) == {"colour"} and frame["model_digest"].n_unique() == 1
    assert dict(lake.manifest(PAIR_SCORES, CHUNK).config) == RECORDED
    again = score_pairs(lake, CHUNK, ColourEncoder(spec("colour")), recorded=RECORDED, batch_size=5)
    assert again.data_version == report.data_version, "however it is cut"


def test_without_a_model_the_table_is_empty(lake) -> None:
    report = score_pairs(lake, CHUNK, None, recorded={"pair_model": "", "weights": ""})
    assert (report.n_in, report.rows) == (0, 0)
    assert lake.read(PAIR_SCORES, CHUNK).equals(PAIR_SCORES.empty())


def test_a_model_that_cannot_be_had_is_waited_for_and_one_that_is_none_is_named(tmp_path) -> None:
    assert evaluation.pair_model(Settings(data_dir=tmp_path)) is None
    values = Settings(data_dir=tmp_path, pair_model=f"ViT-B-32@{tmp_path}/none.safetensors")
    with pytest.raises(WaitingFor, match=r"the model that scores pairs.*none.safetensors.*set pair_model"):
        evaluation.pair_model(values)
    assert evaluation.recorded_pair_model(values)["weights"] == "cannot be had"
    with pytest.raises(WaitingFor, match=r"nonesuch.*set pair_model"):
        evaluation.pair_model(Settings(data_dir=tmp_path, pair_model="nonesuch"))


def test_a_file_replaced_under_its_name_is_another_model(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    values = Settings(data_dir=tmp_path, pair_model=f"ViT-B-32@{path}")
    path.write_bytes(b"one")
    before = evaluation.recorded_pair_model(values)
    path.write_bytes(b"other")
    assert evaluation.recorded_pair_model(values) != before
