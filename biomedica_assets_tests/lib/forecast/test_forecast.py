"""The forecast by hand: what each limit makes of the same work."""

from __future__ import annotations

import pytest

from biomedica_assets.lib.forecast.forecast import CLOSE, RUNS, START, Hardware, Planned, forecast
from biomedica_assets.lib.forecast.rates import CardRate, Line
from biomedica_assets_tests.lib.forecast.made_up import CONTENTS, rates, stage

# 10 chunks of 200 images: 10 * (5 + 200 * 0.1) = 250 s of wall, 10 * (3 + 200 * 0.1) = 230 s of a core.
IMAGES = stage("images", wall=Line(each=5, unit=0.1), processor=Line(each=3, unit=0.1), written=10, peak_bytes=1 << 30)
WHOLE = stage("release", "none", wall=Line(each=100), processor=Line(each=80))
CHUNKS = [Planned("images", "chunk", 0)]
BOTH = [*CHUNKS, Planned("release", "none", 1)]


def one(told, asset):
    return next(stage for stage in told.stages if stage.asset == asset)


def test_one_run_at_a_time_takes_what_it_took():
    told = forecast(BOTH, CONTENTS, rates(IMAGES, WHOLE), Hardware(cores=2, price=36.0))
    assert one(told, "images").seconds == pytest.approx(250)
    assert told.seconds == pytest.approx(350)
    assert told.core_seconds == pytest.approx(310)
    assert told.money == pytest.approx(3.5)
    assert (told.fetched, told.written) == (4_000_000_000, 20_000)
    assert told.bottleneck.startswith("images: its steps one after the other")


def test_a_sample_without_images_says_nothing_of_images():
    """A sample of 45 articles had none: all of PubMed Central's were to be verified in 12 seconds."""
    nothing = stage("images", wall=Line(each=0.02), processor=Line(each=0.02), units=0)
    told = forecast(BOTH, CONTENTS, rates(nothing, WHOLE), Hardware(cores=2))
    assert [s.asset for s in told.stages if s.asset == "images"] == []
    assert [asset for asset, why in told.without if "the sample held no images" in why] == ["images"]


def test_side_by_side_is_limited_by_the_cores():
    told = forecast(CHUNKS, CONTENTS, rates(IMAGES), Hardware(cores=2, jobs=8))
    assert one(told, "images").seconds == pytest.approx(230 / (2 * 0.8))
    assert one(told, "images").limit == "processor"
    assert told.peak_bytes == 8 << 30


def test_machines_share_chunks_and_not_what_is_made_as_a_whole():
    told = forecast(BOTH, CONTENTS, rates(IMAGES, WHOLE), Hardware(cores=64, jobs=5, machines=2, price=36.0))
    assert one(told, "images").seconds == pytest.approx(25)
    assert one(told, "release").seconds == pytest.approx(100)
    assert told.money == pytest.approx(2.5)
    assert told.bottleneck.startswith("release")


def test_bytes_through_the_network_are_a_limit_of_their_own():
    told = forecast(CHUNKS, CONTENTS, rates(IMAGES), Hardware(cores=64, jobs=8, bandwidth=1e6))
    assert one(told, "images").seconds == pytest.approx(4000)
    assert told.bottleneck == "images: bytes through the network: more bandwidth"


def test_a_card_takes_the_place_of_cores():
    slow = stage("embeddings", wall=Line(unit=10.0), processor=Line(unit=10.0))
    card = CardRate(
        asset="embeddings", model="vit", card="a card", per_second=20, cores=16, date="2026-01-01", command="none"
    )
    planned = [Planned("embeddings", "chunk", 0, model="vit")]

    def made(cores=16, **hardware):
        given = Hardware(cores=cores, **hardware)
        return one(forecast(planned, CONTENTS, rates(slow), given, cards=[card]), "embeddings")

    assert made().seconds == pytest.approx(20_000)
    assert made(cards=1, card="a card").seconds == pytest.approx(100)
    assert made(cards=1, card="another").seconds == pytest.approx(20_000)
    assert made(cards=2, card="a card", jobs=2, cores=64).seconds == pytest.approx(50)
    # The rate was measured with 16 cores that fed one card: as many do not feed two.
    assert made(cards=2, card="a card", jobs=2).limit == "processor"


def test_a_training_is_counted_in_samples_and_each_recipe_is_one():
    card = CardRate(
        asset="checkpoints",
        model="ViT-B-32",
        card="a card",
        per_second=100,
        cores=16,
        date="2026-01-01",
        command="none",
    )
    planned = [Planned("checkpoints", "recipe", 0, model="ViT-B-32", samples=50_000)]
    told = forecast(planned, CONTENTS, rates(), Hardware(cores=16, cards=1, card="a card"), cards=[card])
    assert one(told, "checkpoints").seconds == pytest.approx(3 * 500)


def test_what_runs_cost_beside_their_steps_is_in_it():
    given = rates(
        IMAGES,
        start=Line(once=7),
        run=Line(each=0.5, unit=0.2),
        runs={"chunk": 2.0, "shelf": 1.0, "recipe": 1.0, "none": 1.0},
        close=Line(each=0.1),
    )
    told = forecast(CHUNKS, CONTENTS, given, Hardware(cores=2))
    assert [one(told, name).seconds for name in (START, RUNS, CLOSE)] == [7, pytest.approx(12), pytest.approx(1)]
    assert told.seconds == pytest.approx(270)


def test_wall_times_of_a_busy_machine_are_believed_only_where_they_were_measured_just_now():
    busy = rates(IMAGES, load=4.0)
    assert forecast(CHUNKS, CONTENTS, busy, Hardware(cores=2)).seconds == pytest.approx(230)
    assert forecast(CHUNKS, CONTENTS, busy, Hardware(cores=2), here=True).seconds == pytest.approx(250)


def test_what_is_not_known_is_named_and_not_counted_as_nothing():
    planned = [*CHUNKS, Planned("annotations", "none", 1, "waits for votes"), Planned("release", "none", 1)]
    told = forecast(planned, CONTENTS, rates(IMAGES), Hardware(cores=2))
    assert dict(told.without) == {"annotations": "waits for votes", "release": "not measured"}


def test_a_forecast_far_beyond_what_was_measured_says_so():
    told = forecast(CHUNKS, CONTENTS.scaled(1_000_000, chunks=100, shelves=5), rates(IMAGES), Hardware(cores=2))
    assert told.assumptions[-1].startswith("1 stages reach far beyond what was measured, images 20,000 times")


def test_contents_are_scaled_by_articles():
    half = CONTENTS.scaled(500, chunks=5, shelves=1)
    assert (half.figures, half.images, half.xml_bytes, half.chunks, half.recipes) == (1500, 1000, 50_000_000, 5, 3)
