"""Who labels what, in which order, and what is shown."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.annotate.tasks import assigned, read_sheets, work_order
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CONTACT_SHEETS
from biomedica_assets_tests.lib.annotate.synthetic import MODEL, publish, synthetic_lake

NAMES = [f"p{i}" for i in range(7)]


@given(st.sets(st.sampled_from(NAMES)), st.integers(0, 5), st.integers(0, 10_000), st.integers(0, 3))
def test_each_cluster_gets_as_many_people_as_asked_or_all_there_are(people, overlap, cluster, seed):
    chosen = assigned(cluster, people, overlap, seed)
    assert len(chosen) == min(overlap, len(people)) == len(set(chosen))
    assert set(chosen) <= people
    assert chosen == assigned(cluster, sorted(people, reverse=True), overlap, seed)


def test_one_more_person_only_takes_over_clusters():
    for cluster in range(300):
        before, after = (set(assigned(cluster, names, 3, 0)) for names in (NAMES[:6], NAMES))
        assert after - before <= {"p6"}
        assert len(before - after) == len(after - before)


def test_work_is_spread_evenly_and_every_pair_meets():
    load_of, pairs = Counter(), Counter()
    for cluster in range(2000):
        people = assigned(cluster, NAMES, 3, 0)
        load_of.update(people)
        pairs.update((a, b) for a in people for b in people if a < b)
    # 857 each on average, standard deviation 22: five of them are allowed
    assert all(abs(n - 2000 * 3 / 7) < 110 for n in load_of.values())
    assert len(pairs) == 21


def test_the_order_of_work_is_shared_and_follows_the_seed():
    assert work_order(range(50), 1) == work_order(reversed(range(50)), 1)
    assert sorted(work_order(range(50), 1)) == list(range(50))
    assert work_order(range(50), 1) != work_order(range(50), 2)


def test_sheets_show_central_then_random_then_border_with_captions_and_files(tmp_path):
    sheets = read_sheets(synthetic_lake(tmp_path, clusters=2, members=6), audit=["m001-05", "unknown"])
    assert [p.role for p in sheets.clusters[0]] == ["central"] * 3 + ["random"] * 2 + ["border"]
    assert sheets.clusters[0][0].caption == "Figure 1. Cluster 0, picture 0 of kind bars."
    assert sheets.clusters[0][0].path == "mirror/m000-00.png"
    assert (sheets.model, sheets.sizes[0], sheets.audit) == (MODEL, 6, ("m001-05",))


def test_an_image_that_a_small_sheet_shows_in_two_roles_stands_once(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=1, members=2)
    rows = list(lake.read(CONTACT_SHEETS, None).iter_rows(named=True))
    publish(lake, CONTACT_SHEETS, None, [*rows, rows[0] | {"role": "random", "rank": 0}])
    assert [p.media_id for p in read_sheets(lake).clusters[0]] == ["m000-00", "m000-01"]


def test_sheets_of_two_cluster_models_are_refused(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=2, members=2)
    frame = lake.read(CONTACT_SHEETS, None)
    mixed = frame.with_columns(model=pl.when(pl.col("cluster") == 1).then(pl.lit("other")).otherwise("model"))
    publish(lake, CONTACT_SHEETS, None, list(mixed.iter_rows(named=True)))
    with pytest.raises(PermanentFailure, match="mixes cluster models"):
        read_sheets(lake)


def test_without_contact_sheets_the_error_names_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="contact_sheets has not been materialised"):
        read_sheets(Lake(tmp_path))
