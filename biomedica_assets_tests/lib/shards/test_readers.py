"""The programs people train with read these shards: webdataset, Hugging Face datasets, open_clip_train, both tars."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tarfile
from types import SimpleNamespace

import pytest

from biomedica_assets.lib.shards import sample as records
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets_tests.lib.images.generated import encode, texture
from biomedica_assets_tests.lib.shards.world import World, jpeg, members, record, samples, shards_of

N = 24

# webdataset leaves it to the garbage collector to close its tars.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two jpg shards and a png shard in which most optional fields are rare, as they are in real articles."""
    world = World(tmp_path_factory.mktemp("readers"))
    for i in range(N):
        world.add(
            f"f{i}",
            [jpeg(i)],
            caption=f"Caption {i}.",
            label=f"Figure {i}" if i == 3 else None,
            group_caption="The group." if i == 11 else None,
            attribution="Courtesy of nobody." if i == 17 else None,
            section="Results > Cells" if i == 20 else None,
            mentions=["See Figure 5."] if i in {5, 19} else [],
            article_id=f"PMC{i // 4 + 1}.1",
            article={"pmid": 1000 + i, "doi": "10.1/x"} if i == 8 else None,
        )
    world.add("p", [encode(texture(40, 30, seed=7), "PNG")], caption="A PNG.")
    build_shards(world.publish(), "PMC000-0000", config=ShardConfig(max_samples=N // 2))
    return shards_of(world.lake)


def jpg(shards):
    return [str(path) for path in shards if "-jpg-" in path.name]


def test_webdataset_groups_and_decodes_all_samples(shards):
    import webdataset

    dataset = webdataset.WebDataset([str(path) for path in shards], shardshuffle=False).decode("pil")
    found = {sample["__key__"]: sample for sample in dataset}
    expected = samples(shards)
    assert found.keys() == expected.keys()
    for key, sample in found.items():
        assert sample["txt"].encode() == expected[key]["txt"]
        assert sample["json"] == record(expected[key])
        image = sample["png"] if key == "p-0" else sample["jpg"]
        assert image.size == (40, 30)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("typed", [False, True])
def test_hugging_face_loads_all_shards_with_and_without_given_types(shards, tmp_path, streaming, typed):
    """Without types the reader infers them from five samples; rare fields must show themselves among these."""
    import datasets

    features = records.hf_features() if typed else None
    loaded = datasets.load_dataset(
        "webdataset",
        data_files=jpg(shards)[:1] if not typed else jpg(shards),
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path),
        features=features,
    )
    found = {row["__key__"]: row for row in loaded}
    expected = samples([path for path in shards if str(path) in (jpg(shards)[:1] if not typed else jpg(shards))])
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert row["jpg"].size == (40, 30)
        assert row["json"] == record(expected[key])


def test_hugging_face_loads_several_formats_together_when_they_are_named(shards, tmp_path):
    import datasets

    loaded = datasets.load_dataset(
        "webdataset",
        data_files=[str(path) for path in shards],
        split="train",
        cache_dir=str(tmp_path),
        features=records.hf_features(["jpg", "png"]),
    )
    rows = {row["__key__"]: row for row in loaded}
    assert len(rows) == N + 1
    assert rows["p-0"]["png"].size == (40, 30)
    assert rows["p-0"]["jpg"] is None
    assert all(row["jpg"] is not None for key, row in rows.items() if key != "p-0")


def open_clip_pipeline(shards, is_train: bool):
    """What ``get_wds_dataset`` builds, without the worker processes around it."""
    import torch
    from open_clip_train import data

    args = SimpleNamespace(
        train_data="::".join(map(str, shards)),
        val_data="::".join(map(str, shards)),
        dataset_resampled=False,
        train_num_samples=N + 1,
        val_num_samples=N + 1,
        train_data_upsampling_factors=None,
        seed=0,
        batch_size=5,
        workers=1,
        world_size=1,
    )
    info = data.get_wds_dataset(
        args,
        preprocess_img=lambda image: torch.tensor(image.size),
        is_train=is_train,
        tokenizer=lambda text: [torch.tensor([len(text)])],
    )
    return info.dataloader.pipeline[0].dataset


@pytest.mark.parametrize("is_train", [True, False])
def test_open_clip_train_reads_every_sample(shards, monkeypatch, is_train):
    import torch
    import webdataset.tariterators
    from open_clip_train import data

    # open_clip_train 3.3 names webdataset <= 0.2.86; newer ones put a marker ({}) behind each shard, at which its
    # training reader stops with KeyError 'fname', whoever wrote the shard. Without the marker it is the old behaviour.
    without_marker = functools.partial(webdataset.tariterators.tar_file_expander, eof_value=None)
    monkeypatch.setattr(data, "tar_file_expander", without_marker)
    batches = list(open_clip_pipeline(shards, is_train))
    sizes = torch.cat([images for images, _ in batches])
    assert len(sizes) == N + 1
    assert sizes.unique(dim=0).tolist() == [[40, 30]]


def test_gnu_tar_lists_the_members_in_order_and_finds_no_fault(shards):
    tar = shutil.which("tar")
    if tar is None:
        pytest.skip("no tar on this machine")
    for path in shards:
        done = subprocess.run([tar, "-tvf", str(path)], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        names = [line.split()[-1] for line in done.stdout.splitlines()]
        assert names == list(members(path))


def test_headers_carry_no_user_no_time_and_no_extension_record(shards):
    for path in shards:
        with tarfile.open(path) as archive:
            for member in archive:
                described = (member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode)
                assert described == (0, 0, 0, "", "", 0o644)
                assert member.pax_headers == {}
