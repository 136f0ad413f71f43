"""The stage ``embeddings``: reuse, rejects, memory of the device, equal bytes whatever the workers."""

from __future__ import annotations

import dataclasses
import io
import tracemalloc

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.embed import chunk as chunk_module
from biomedica_assets.lib.embed import embed_chunk, open_encoder
from biomedica_assets.lib.embed.encoder import BatchTooLarge
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import vectors_of, with_vectors
from biomedica_assets.lib.tables import EMBEDDINGS
from biomedica_assets_tests.lib.embed.lakes import draw, fill, kinds
from biomedica_assets_tests.support.garbage import take_out

CHUNK = "PMC001-0000"
SERIAL = LocalEngine("serial")


def mean_colour(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((1, 1), Image.Resampling.BOX), np.float32).ravel()


@dataclasses.dataclass
class MeanColour:
    """An encoder that a test can look through: the vector is the mean colour; it has room for ``room`` images."""

    room: int = 1000
    scale: float = 1.0
    digest: str = "mean-1"
    name: str = "mean"
    dimension: int = 3
    preprocessing: str = "none"
    device: str = "cpu"
    prepare = staticmethod(mean_colour)

    def __post_init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, batch: np.ndarray) -> np.ndarray:
        if len(batch) > self.room:
            raise BatchTooLarge(f"no room for {len(batch)}")
        self.batches.append(len(batch))
        return batch * np.float32(self.scale)


def run(lake: Lake, encoder=None, **options):
    return embed_chunk(lake, CHUNK, encoder=encoder or MeanColour(), engine=SERIAL, **options)


def vectors_by_id(lake: Lake) -> dict[str, list[float]]:
    table = lake.read(EMBEDDINGS, CHUNK)
    found = vectors_of(lake, EMBEDDINGS, CHUNK).map()
    return {row["media_id"]: found[row["row"]].tolist() for row in table.iter_rows(named=True)}


@pytest.fixture
def lake(tmp_path) -> Lake:
    lake = Lake(tmp_path)
    fill(lake, CHUNK, kinds(7))
    return lake


def test_each_image_has_the_vector_of_its_own_pixels(lake):
    report = run(lake, batch_size=3)
    for media_id, found in vectors_by_id(lake).items():
        data = (lake.root / "mirror" / CHUNK / f"{media_id}.jpg").read_bytes()
        np.testing.assert_allclose(found, mean_colour(Image.open(io.BytesIO(data))), rtol=1e-3)
    assert (report.rows, report.n_in, report.n_out, report.metrics["images_embedded"]) == (7, 7, 7, 7)


@pytest.mark.parametrize("n", [6, 7, 1])
def test_the_last_batch_may_hold_any_number_of_images(tmp_path, n):
    """n = k x batch + 1 once gave a ragged array."""
    lake = Lake(tmp_path)
    fill(lake, CHUNK, kinds(n))
    run(lake, batch_size=3)
    assert vectors_of(lake, EMBEDDINGS, CHUNK).map().shape == (n, 3)


def test_order_of_the_images_table_does_not_change_a_byte(tmp_path):
    versions = []
    for name, files in (("a", kinds(6)), ("b", dict(reversed(kinds(6).items())))):
        lake = Lake(tmp_path / name)
        fill(lake, CHUNK, files)
        versions.append(run(lake).data_version)
    assert versions[0] == versions[1]


@pytest.mark.parametrize(("kind", "workers"), [("threads", 1), ("threads", 3), ("processes", 2)])
def test_equal_bytes_whatever_the_number_of_workers(lake, kind, workers, monkeypatch):
    monkeypatch.setattr("biomedica_assets.lib.compute.local._ALONE_SECONDS", 0)  # else small work never leaves home
    encoder = open_encoder("texture")
    expected = run(lake, encoder).data_version
    lake.remove(EMBEDDINGS, CHUNK)
    engine = LocalEngine(kind, workers)
    assert embed_chunk(lake, CHUNK, encoder=encoder, engine=engine, batch_size=2).data_version == expected


def test_a_rerun_embeds_only_the_changed_image_and_equals_a_run_from_scratch(lake, tmp_path):
    run(lake)
    before = vectors_by_id(lake)
    files = kinds(7) | {"m003-chart": draw("stain", 99)}
    fill(lake, CHUNK, files)
    encoder = MeanColour()
    report = run(lake, encoder)
    assert encoder.batches == [1]
    assert (report.metrics["images_embedded"], report.metrics["images_reused"]) == (1, 6)
    after = vectors_by_id(lake)
    assert {name for name in before if before[name] != after[name]} == {"m003-chart"}
    scratch = Lake(tmp_path / "scratch")
    fill(scratch, CHUNK, files)
    assert run(scratch).data_version == report.data_version


def test_added_and_removed_images_keep_the_vectors_of_the_others(lake):
    run(lake)
    before = vectors_by_id(lake)
    files = kinds(7)
    del files["m000-chart"]
    fill(lake, CHUNK, files | {"a-first": draw("scan", 50)})
    encoder = MeanColour()
    run(lake, encoder)
    after = vectors_by_id(lake)
    assert encoder.batches == [1]
    assert set(after) - set(before) == {"a-first"}
    assert all(after[name] == before[name] for name in set(before) & set(after))


def test_another_encoder_reuses_nothing(lake):
    run(lake)
    other = MeanColour(digest="mean-2", scale=0.5)
    assert run(lake, other).metrics["images_reused"] == 0
    assert lake.read(EMBEDDINGS, CHUNK)["encoder_digest"].unique().to_list() == ["mean-2"]


def test_lost_vectors_are_made_again(lake):
    first = run(lake)
    (lake.root / lake.manifest(EMBEDDINGS, CHUNK).files[0].path).unlink()
    again = run(lake)
    assert again.metrics["images_embedded"] == 7
    assert again.data_version == first.data_version


def test_equal_images_are_embedded_once(tmp_path):
    lake = Lake(tmp_path)
    data = draw("scan", 1)
    fill(lake, CHUNK, {"a": data, "b": data, "c": draw("stain", 2)})
    encoder = MeanColour()
    report = run(lake, encoder)
    assert encoder.batches == [2]
    assert report.metrics["duplicates"] == 1
    found = vectors_by_id(lake)
    assert found["a"] == found["b"] != found["c"]


def test_what_changed_behind_our_back_is_rejected_by_reason_and_the_rest_goes_on(lake):
    folder = lake.root / "mirror" / CHUNK
    (folder / "m000-chart.jpg").unlink()
    (folder / "m001-stain.jpg").write_bytes(b"other bytes")
    report = run(lake)
    assert report.rejects == {"object_missing": 1, "checksum_mismatch": 1}
    assert report.reconciles
    rejects = lake.read_rejects(EMBEDDINGS, CHUNK)
    assert set(rejects["subject"]) == {"m000-chart", "m001-stain"}
    assert set(rejects["stage"]) == {"embeddings"}
    assert "materialise images again" in rejects["message"][0]
    assert len(vectors_by_id(lake)) == 5


def test_an_image_that_no_longer_decodes_is_rejected(tmp_path):
    lake = Lake(tmp_path)
    fill(lake, CHUNK, {"a": draw("scan", 1), "b": b"\xff\xd8\xff not a jpeg"})
    assert run(lake).rejects == {"image_undecodable": 1}


def test_all_copies_of_a_broken_image_are_rejected(tmp_path):
    lake = Lake(tmp_path)
    fill(lake, CHUNK, {"a": b"broken", "b": b"broken"})
    report = run(lake)
    assert (report.n_in, report.n_out, report.n_rejected) == (2, 0, 2)


def test_a_batch_without_room_is_halved_and_the_vectors_stay_the_same(lake):
    expected = run(lake).data_version
    lake.remove(EMBEDDINGS, CHUNK)
    small = MeanColour(room=2)
    report = run(lake, small, batch_size=7)
    assert report.data_version == expected
    assert max(small.batches) <= 2
    assert report.metrics["smallest_batch_size"] == 1  # 7 -> 3 -> 1


def test_a_device_without_room_for_one_image_is_an_error_that_says_what_to_change(lake):
    with pytest.raises(PermanentFailure, match="Not even one image fits; take a smaller encoder or device cpu"):
        run(lake, MeanColour(room=0))


def test_vectors_beyond_float16_are_an_error_and_nothing_is_published(lake):
    with pytest.raises(PermanentFailure, match="not finite in float16"):
        run(lake, MeanColour(scale=1e6))
    assert lake.manifest(EMBEDDINGS, CHUNK) is None


def test_a_chunk_without_images_gives_an_empty_partition(tmp_path):
    lake = Lake(tmp_path)
    fill(lake, CHUNK, {})
    report = run(lake)
    assert report.rows == 0
    assert vectors_of(lake, EMBEDDINGS, CHUNK).map().shape == (0, 3)


def test_a_chunk_whose_images_were_never_made_is_named(tmp_path):
    with pytest.raises(StoreError, match="images@PMC001-0000 has not been materialised"):
        run(Lake(tmp_path))


def test_numpy_maps_the_vectors_and_polars_and_duckdb_query_them(lake):
    run(lake)
    file = vectors_of(lake, EMBEDDINGS, CHUNK)
    mapped = np.load(file.path, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, file.map())
    frame = with_vectors(lake.read(EMBEDDINGS, CHUNK).select("media_id"), file)
    assert frame.schema["vector"] == pl.Array(pl.Float16, 3)
    np.testing.assert_array_equal(frame["vector"].to_numpy(allow_copy=False), mapped)
    wide = with_vectors(lake.read(EMBEDDINGS, CHUNK).select("media_id"), file, pl.Float32)
    found = duckdb.sql("select media_id, vector[1], array_distance(vector, vector) from wide order by 1").fetchall()
    assert found == [(name, vector[0], 0.0) for name, vector in sorted(vectors_by_id(lake).items())]
    assert wide["vector"].dtype == pl.Array(pl.Float32, 3)


def test_vectors_of_an_earlier_run_stay_for_their_readers_until_nothing_names_them(lake):
    run(lake)
    old = vectors_of(lake, EMBEDDINGS, CHUNK)
    fill(lake, CHUNK, kinds(5))
    run(lake)
    assert len(old.map()) == old.rows
    take_out(lake)
    files = list((lake.root / "embeddings" / "mean" / f"chunk={CHUNK}").iterdir())
    assert [file.name for file in files] == [lake.manifest(EMBEDDINGS, CHUNK).files[0].path.rsplit("/", 1)[1]]


def test_a_run_that_dies_before_publishing_leaves_the_old_partition_whole(lake, monkeypatch):
    run(lake)
    before = vectors_by_id(lake)
    fill(lake, CHUNK, kinds(4))
    monkeypatch.setattr(Lake, "publish", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(lake)
    monkeypatch.undo()
    assert vectors_by_id(lake) == before


class Wide(MeanColour):
    """Vectors of many numbers: what is kept of them decides about memory, not the pictures."""

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return np.repeat(super().encode(batch).mean(axis=1, keepdims=True), self.dimension, axis=1)


def test_memory_holds_the_vectors_of_a_chunk_once_and_they_are_written_once(tmp_path, monkeypatch):
    """BIOMEDICA kept all features as 32-bit numbers and wrote them anew every ten batches."""
    lake = Lake(tmp_path)
    fill(lake, CHUNK, kinds(240))
    monkeypatch.setattr(chunk_module, "BLOCK", 16)
    stored: list[int] = []
    write = chunk_module.write_vectors
    monkeypatch.setattr(chunk_module, "write_vectors", lambda *a: stored.append(1) or write(*a))
    tracemalloc.start()
    try:
        run(lake, Wide(dimension=8192), batch_size=8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = 240 * 8192 * 2
    assert vectors_of(lake, EMBEDDINGS, CHUNK).map().nbytes == kept
    assert peak < 1.6 * kept, f"{peak / kept:.2f} times the vectors"
    assert len(stored) == 1
