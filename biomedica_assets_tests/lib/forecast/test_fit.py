"""Rates of observations: a straight line that has no negative part and keeps the sum of what was observed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.forecast.fit import Observation, line, stage_rate

points = st.lists(st.tuples(st.integers(0, 500), st.floats(0, 100)), min_size=1, max_size=20)


def test_what_a_partition_costs_is_told_from_what_is_in_it():
    found = line([(n, 2.0 + 0.5 * n) for n in (4, 1, 10, 7)], "chunk")
    assert (found.once, found.each, found.unit) == (pytest.approx(0), pytest.approx(2.0), pytest.approx(0.5))


def test_the_first_pays_for_imports_and_is_not_multiplied():
    found = line([(5, 4.5 + 10.0), *((n, 2.0 + 0.5 * n) for n in (1, 10, 7))], "chunk")
    assert found.once == pytest.approx(10.0)
    assert found.of(100, 500) == pytest.approx(10.0 + 200.0 + 250.0)


@given(points, st.sampled_from(["chunk", "shelf", "recipe", "none"]))
def test_no_part_is_negative_and_what_was_observed_is_forecast(observed, per):
    found = line(observed, per)
    assert min(found.once, found.each, found.unit) >= 0
    again = found.of(len(observed), sum(units for units, _ in observed))
    # A first step that was faster than the line is not taken off.
    assert again >= sum(seconds for _, seconds in observed) * (1 - 1e-9) - 1e-9


@pytest.mark.parametrize("per", ["chunk", "shelf"])
def test_chunks_of_one_size_are_taken_to_grow_with_what_is_in_them(per):
    """A sample of equal chunks says nothing of larger ones; that they cost no more would be the worst guess."""
    assert line([(5, 1.0)] * 4, per).of(1, 10_000) == pytest.approx(2000.0)


@pytest.mark.parametrize("per", ["none", "recipe"])
def test_one_look_at_what_is_there_once_is_no_slope(per):
    assert line([(200, 3.0)], per).of(1, 8_000_000) == pytest.approx(3.0)


def test_a_stage_is_summed_up_over_its_partitions():
    seen = [Observation("images", f"c{n}", n, 2.0 + n, 1.0 + n, 100 * n, n << 20) for n in (3, 1, 4, 2)]
    rate = stage_rate(seen, "chunk", "images")
    assert (rate.partitions, rate.units, rate.written, rate.peak_bytes) == (4, 10, 100.0, 4 << 20)
    assert (rate.wall.each, rate.processor.each) == (pytest.approx(2.0), pytest.approx(1.0))
