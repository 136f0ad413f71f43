"""The shards stage: who becomes a sample, in which shard, with which bytes; what survives a kill and a second run."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.shards import sample as records
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.checks import check_of
from biomedica_assets.lib.tables import ARTICLES, FIGURES, SHARDS
from biomedica_assets_tests.lib.images.generated import encode, texture
from biomedica_assets_tests.lib.shards.world import CHUNK, World, jpeg, members, record, samples, shards_of

IMAGES_16 = [jpeg(seed) for seed in range(16)]


def sixteen(root, order=lambda rows: rows, n: int = 16) -> Lake:
    world = World(root)
    for i in range(n):
        world.add(f"pmc7-f{i}", [IMAGES_16[i]], caption=f"Caption {i}.", mentions=["Fig 1 shows."] * (i % 3))
    return world.publish(order)


def bytes_of(lake: Lake) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards_of(lake)}


def test_each_sample_has_its_image_unchanged_its_caption_and_its_record(tmp_path):
    lake = sixteen(tmp_path)
    report = build_shards(lake, CHUNK, config=ShardConfig())
    assert (report.n_in, report.n_out, report.rejects) == (16, 16, {})
    found = samples(shards_of(lake))
    assert len(found) == 16
    for i in range(16):
        sample = found[f"pmc7-f{i}-0"]
        assert list(sample) == ["jpg", "txt", "json"]
        assert sample["jpg"] == IMAGES_16[i]
        assert sample["txt"] == f"Caption {i}.".encode()
        assert record(sample)["sha256"] == hashlib.sha256(IMAGES_16[i]).hexdigest()
        assert record(sample)["n_mentions"] == i % 3


def test_index_gives_the_bytes_of_every_member_without_reading_the_tar(tmp_path):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=5))
    found = samples(shards_of(lake))
    for row in lake.read(SHARDS, CHUNK).iter_rows(named=True):
        data = (lake.root / row["shard"]).read_bytes()
        sample = found[row["sample_key"]]
        for member, extension in (("image", row["image_ext"]), ("txt", "txt"), ("json", "json")):
            start, size = row[f"{member}_start"], row[f"{member}_bytes"]
            assert data[start : start + size] == sample[extension]
        assert data[row["start"] : row["start"] + 512].startswith(f"{row['sample_key']}.jpg\0".encode())
        assert row["start"] % 512 == row["end"] % 512 == 0
        assert row["check"] == check_of(data[row["start"] : row["end"]])


def test_samples_of_a_shard_follow_each_other_without_a_gap(tmp_path):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=7))
    for (shard,), rows in lake.read(SHARDS, CHUNK).group_by("shard", maintain_order=True):
        assert rows["position"].to_list() == list(range(rows.height))
        assert rows["start"].to_list() == [0, *rows["end"].to_list()[:-1]]
        assert (lake.root / str(shard)).stat().st_size == rows["end"][-1] + 1024


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3), st.integers(1, 20))
def test_order_of_the_input_does_not_show_in_the_bytes(tmp_path_factory, rng, seed, max_samples):
    config = ShardConfig(seed=seed, max_samples=max_samples)
    versions = []
    for shuffled in (False, True):
        lake = sixteen(
            tmp_path_factory.mktemp("w"), (lambda rows: rng.sample(rows, len(rows))) if shuffled else list, 8
        )
        build_shards(lake, CHUNK, config=config)
        versions.append(bytes_of(lake))
    assert versions[0] == versions[1]


def test_seed_changes_the_order_and_nothing_else(tmp_path):
    found = []
    for seed in (1, 2):
        lake = sixteen(tmp_path / str(seed))
        build_shards(lake, CHUNK, config=ShardConfig(seed=seed))
        found.append(samples(shards_of(lake)))
    assert found[0] == found[1]
    assert list(found[0]) != list(found[1])


def test_shards_are_cut_by_number_and_by_size(tmp_path):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=6))
    index = lake.read(SHARDS, CHUNK)
    assert index.group_by("shard", maintain_order=True).len()["len"].to_list() == [6, 6, 4]
    limit = 12_000
    build_shards(lake, CHUNK, config=ShardConfig(max_bytes=limit))
    sizes = [(lake.root / entry.path).stat().st_size for entry in lake.manifest(SHARDS, CHUNK).files]
    assert len(sizes) > 3
    assert max(sizes) <= limit


def test_a_sample_larger_than_a_shard_gets_one_of_its_own(tmp_path):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig(max_bytes=1))
    assert [len(members(path)) for path in shards_of(lake)] == [3] * 16


def test_licence_groups_and_formats_have_shards_of_their_own(tmp_path):
    world = World(tmp_path)
    png = encode(texture(40, 30), "PNG")
    world.add("f1", [jpeg(1), png])
    world.add("f2", [jpeg(2)], group="noncommercial", license_url="https://creativecommons.org/licenses/by-nc/4.0/")
    lake = world.publish()
    build_shards(lake, CHUNK, config=ShardConfig())
    groups = {(p.parent.name, p.name.split("-")[2]): list(members(p)) for p in shards_of(lake)}
    assert groups == {
        ("commercial", "jpg"): ["f1-0.jpg", "f1-0.txt", "f1-0.json"],
        ("commercial", "png"): ["f1-1.png", "f1-1.txt", "f1-1.json"],
        ("noncommercial", "jpg"): ["f2-0.jpg", "f2-0.txt", "f2-0.json"],
    }


def test_every_image_that_is_no_sample_has_its_reason(tmp_path):
    world = World(tmp_path)
    world.add("good", [jpeg(1)])
    world.add("uncaptioned", [jpeg(2)], caption=None)
    world.add("blank", [jpeg(3)], caption=" \n ")
    world.add("other", [jpeg(4)], group="other")
    world.add("gone", [jpeg(5)])
    world.add("changed", [jpeg(6)])
    world.add("changed-too", [jpeg(6)])
    world.add("resized", [jpeg(7)])
    world.add("retracted", [jpeg(7), jpeg(8)], article_id="PMC8.1", article={"is_retracted": True})
    next(row for row in world.images if row["media_id"] == "changed-too-0")["crc32"] = None
    lake = world.publish()
    paths = {row["media_id"]: lake.root / row["path"] for row in world.images}
    paths["gone-0"].unlink()
    flipped = bytearray(jpeg(6))
    flipped[300] ^= 1
    paths["changed-0"].write_bytes(flipped)
    paths["changed-too-0"].write_bytes(flipped)
    paths["resized-0"].write_bytes(jpeg(99, 90, 90))
    report = build_shards(lake, CHUNK, config=ShardConfig())
    assert report.reconciles
    rejects = lake.read_rejects(SHARDS, CHUNK)
    assert dict(rejects.select("subject", "reason").iter_rows()) == {
        "uncaptioned-0": "caption_missing",
        "blank-0": "caption_missing",
        "other-0": "license_not_allowed",
        "gone-0": "object_missing",
        "changed-0": "checksum_mismatch",
        "changed-too-0": "checksum_mismatch",
        "resized-0": "checksum_mismatch",
        "retracted-0": "retracted",
        "retracted-1": "retracted",
    }
    assert list(samples(shards_of(lake))) == ["good-0"]
    assert [p.name for p in (lake.root / "shards").rglob("*") if p.is_file()] == [shards_of(lake)[0].name]


def test_group_other_goes_in_when_it_is_asked_for(tmp_path):
    world = World(tmp_path)
    world.add("f", [jpeg(4)], group="other")
    lake = world.publish()
    build_shards(lake, CHUNK, config=ShardConfig(license_groups=("other",)))
    assert [path.parent.name for path in shards_of(lake)] == ["other"]


def test_a_chunk_of_which_nothing_is_left_has_no_shard_and_no_stray_file(tmp_path):
    world = World(tmp_path)
    world.add("f", [jpeg(4)])
    lake = world.publish()
    (lake.root / world.images[0]["path"]).unlink()
    report = build_shards(lake, CHUNK, config=ShardConfig())
    assert (report.rows, report.metrics["shards"]) == (0, 0)
    assert [p for p in (lake.root / "shards").rglob("*") if p.is_file()] == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=60).filter(lambda s: "\x00" not in s), unique=True, min_size=1, max_size=6)
)
def test_whatever_publishers_call_their_files_the_same_samples_come_out(tmp_path_factory, names):
    world = World(tmp_path_factory.mktemp("w"))
    names = [name.encode("utf-8", "replace").decode() for name in names]
    for i, name in enumerate(names):
        world.add(f"f{i}", [IMAGES_16[i]], names=[name])
    lake = world.publish()
    build_shards(lake, CHUNK, config=ShardConfig())
    found = samples(shards_of(lake))
    assert {record(sample)["source_href"]: sample["jpg"] for sample in found.values()} == {
        name: IMAGES_16[i] for i, name in enumerate(names)
    }


def test_captions_of_any_script_arrive_byte_for_byte(tmp_path):
    caption = 'Größe der Zellen (µm²)\nA: 心臓; B: قلب; C: \U0001f9ec; “quoted” \\ and "plain"'
    world = World(tmp_path)
    world.add("f", [jpeg(1)], caption=caption, label="Abb. 1 · Σ")
    build_shards(world.publish(), CHUNK, config=ShardConfig())
    (sample,) = samples(shards_of(world.lake)).values()
    assert sample["txt"].decode() == caption
    assert record(sample)["label"] == "Abb. 1 · Σ"


def test_the_text_of_a_sample_is_the_reading_form_of_its_caption(tmp_path):
    world = World(tmp_path)
    world.add("f", [jpeg(1)], caption="106 cells", reading="10^6 cells")
    build_shards(world.publish(), CHUNK, config=ShardConfig())
    (sample,) = samples(shards_of(world.lake)).values()
    assert sample["txt"] == b"10^6 cells"


def test_record_holds_exactly_the_fields_of_the_dictionary_with_their_types(tmp_path):
    world = World(tmp_path)
    world.add("bare", [jpeg(1)])
    world.add("rich", [jpeg(2)], label="Figure 2", mentions=["Figure 2 shows it."], group_caption="All.")
    build_shards(world.publish(), CHUNK, config=ShardConfig())
    types = {"string": str, "integer": int, "boolean": bool, "mentions": list}
    for sample in samples(shards_of(world.lake)).values():
        entry = record(sample)
        assert list(entry) == [field.name for field in records.FIELDS]
        for field in records.FIELDS:
            value = entry[field.name]
            assert (value is None and field.nullable) or type(value) is types[field.kind], field.name
            assert value not in ("", "None", [""]), field.name
        for mention in entry["mentions"]:
            assert list(mention) == [field.name for field in records.MENTION_FIELDS]
        assert str(world.lake.root) not in sample["json"].decode()
        assert "mirror/" not in sample["json"].decode()


def test_the_articles_licence_url_is_not_given_for_a_figure_with_another_licence(tmp_path):
    world = World(tmp_path)
    world.add("own", [jpeg(1)], group="noncommercial")
    world.add("same", [jpeg(2)])
    build_shards(world.publish(), CHUNK, config=ShardConfig())
    found = samples(shards_of(world.lake))
    assert record(found["own-0"])["license_url"] is None
    assert record(found["same-0"])["license_url"] == "https://creativecommons.org/licenses/by/4.0/"


def test_mentions_are_whole_and_stop_at_the_limit_but_are_all_counted(tmp_path):
    world = World(tmp_path)
    world.add("f", [jpeg(1)], mentions=["a" * 60, "b" * 30, "c" * 20])
    build_shards(world.publish(), CHUNK, config=ShardConfig(max_mention_chars=100))
    (sample,) = samples(shards_of(world.lake)).values()
    entry = record(sample)
    assert [m["text"] for m in entry["mentions"]] == ["a" * 60, "b" * 30]
    assert entry["n_mentions"] == 3


def test_a_second_run_writes_the_same_and_removes_nothing(tmp_path):
    lake = sixteen(tmp_path)
    first, before = build_shards(lake, CHUNK, config=ShardConfig()), bytes_of(lake)
    second = build_shards(lake, CHUNK, config=ShardConfig())
    assert bytes_of(lake) == before
    assert first.data_version == second.data_version


def test_a_rerun_writes_beside_the_old_shards_and_takes_none_away(tmp_path):
    """Recipes, streams and trainings were made from the old ones and go on reading them."""
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig())
    old = bytes_of(lake)
    folder = lake.root / "shards" / "commercial"
    (folder / f".tmp-{CHUNK}-jpg-000000.tar-999999999-0123abcd").write_bytes(b"left by a killed run")
    build_shards(lake, CHUNK, config=ShardConfig(seed=5))
    assert old.items() < bytes_of(lake).items()
    assert not {entry.path.rpartition("/")[2] for entry in lake.manifest(SHARDS, CHUNK).files} & old.keys()
    assert [p for p in folder.iterdir() if p.name.startswith(".tmp")] == []


def test_killed_before_the_manifest_the_old_one_still_names_shards_that_exist(tmp_path, monkeypatch):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig())

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        build_shards(lake, CHUNK, config=ShardConfig(seed=5))
    monkeypatch.undo()
    for entry in lake.manifest(SHARDS, CHUNK).files:
        assert hashlib.sha256((lake.root / entry.path).read_bytes()).hexdigest() == entry.sha256
    resumed = build_shards(lake, CHUNK, config=ShardConfig(seed=5))
    untouched = build_shards(sixteen(tmp_path / "b"), CHUNK, config=ShardConfig(seed=5))
    assert resumed.data_version == untouched.data_version
    assert all((lake.root / entry.path).exists() for entry in lake.manifest(SHARDS, CHUNK).files)


def test_manifest_names_every_shard_with_its_digest(tmp_path):
    lake = sixteen(tmp_path)
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=4))
    files = lake.manifest(SHARDS, CHUNK).files
    assert [f.path for f in files] == lake.read(SHARDS, CHUNK)["shard"].unique(maintain_order=True).to_list()
    for entry in files:
        data = (lake.root / entry.path).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert entry.sha256[:12] in entry.path


def test_images_whose_figures_are_gone_stop_the_run(tmp_path):
    world = World(tmp_path)
    world.add("f", [jpeg(1)])
    world.figures.clear()
    with pytest.raises(PermanentFailure, match="f-0; materialise images"):
        build_shards(world.publish(), CHUNK, config=ShardConfig())


def test_kinds_of_samples_are_spread_evenly_over_shards(tmp_path):
    """Samples in the order of the input would put all of one article into one shard."""
    world = World(tmp_path)
    for i in range(160):
        world.add(f"f{i}", [IMAGES_16[i % 16]], article_id=f"PMC{i // 80 + 1}.1")
    build_shards(world.publish(), CHUNK, config=ShardConfig(max_samples=40))
    mix = world.lake.read(SHARDS, CHUNK).group_by("shard").agg((pl.col("article_id") == "PMC1.1").mean())
    assert mix["article_id"].min() > 0.2
    assert mix["article_id"].max() < 0.8


@pytest.mark.parametrize(
    "wrong", [{"max_samples": 0}, {"max_bytes": 0}, {"license_groups": ("../etc",)}, {"max_mention_chars": -1}]
)
def test_settings_that_make_no_sense_are_refused_by_name(wrong):
    with pytest.raises(PermanentFailure, match=r"max_|licence group"):
        ShardConfig(**wrong)


def test_random_is_not_needed_to_shuffle(tmp_path):
    """The order comes from hashes: the state of Python's generator does not show."""
    versions = set()
    for seed in (1, 2):
        random.seed(seed)
        versions.add(build_shards(sixteen(tmp_path / str(seed)), CHUNK, config=ShardConfig()).data_version)
    assert len(versions) == 1


def test_tables_are_read_once_for_a_chunk_however_many_images_it_has(tmp_path, monkeypatch):
    """BIOMEDICA loaded two hundred articles with their texts anew for each image."""
    lake = sixteen(tmp_path)
    reads: Counter[str] = Counter()
    for name in ("read", "read_lazy"):
        real = getattr(Lake, name)
        monkeypatch.setattr(
            Lake, name, lambda self, table, chunk, real=real: (reads.update([table.name]), real(self, table, chunk))[1]
        )
    build_shards(lake, CHUNK, config=ShardConfig(max_samples=3))
    # ``read`` goes through ``read_lazy`` or not, whichever way the store takes: each table by one door, once
    assert set(reads) == {"images", "figures", "captions", "mentions", "articles"}
    assert set(reads.values()) <= {1, 2} and max(reads.values()) == min(reads.values())


def test_a_sample_is_as_large_in_an_article_of_thirty_figures_as_in_one_of_its_own(tmp_path):
    """BIOMEDICA's samples hold the whole article's text and all its figures: 27 TB for 24 million images."""
    sizes = {}
    for n in (1, 30):
        world = World(tmp_path / str(n))
        article = {"title": "T" * 100, "abstract": "An abstract. " * 400}
        for i in range(n):
            world.add(f"pmc7-f{i:02d}", [IMAGES_16[i % 16]], caption=f"{i:02d} " + "caption " * 100, article=article,
                      mentions=[f"Figure {i:02d} shows what it shows."])  # fmt: skip
        lake = world.publish()
        build_shards(lake, CHUNK, config=ShardConfig())
        found = samples(shards_of(lake))
        sizes[n] = sum(len(sample["json"]) for sample in found.values()) / n
        texts = [b"".join(sample.values()) for sample in found.values()]
        assert all(sum(f"{i:02d} caption".encode() in text for text in texts) == 1 for i in range(n))
        assert not any(b"An abstract. An abstract." in text for text in texts)
        records_ = [record(sample) for sample in found.values()]
        for table, key in ((FIGURES, "figure_id"), (ARTICLES, "article_id")):
            assert {r[key] for r in records_} == set(lake.read(table, CHUNK)[key])
    assert sizes[30] <= 1.02 * sizes[1]
    assert sizes[1] < 2500
