"""The readers people train with take virtual shards as they are, and see every id exactly once."""

from __future__ import annotations

import functools
import hashlib
import io
import random
import tarfile
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.stream import export as export_module
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.stream.urls import pipe_pattern, pipe_urls
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets_tests.lib.stream.conftest import Physical, build, key_of, read_tar


@pytest.fixture
def selected(tmp_path: Path) -> tuple[Physical, Index, list[str]]:
    physical = build(tmp_path / "the lake", shards=3, samples=12)
    keys = list(physical.where)[::2]
    return physical, physical.index(keys), keys


def test_webdataset_reads_pipe_urls(selected: tuple[Physical, Index, list[str]]) -> None:
    import webdataset

    physical, index, keys = selected
    urls = pipe_urls(index.path, str(physical.root), Selection(), of=3)
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert Counter(sample["__key__"] for sample in samples) == Counter(keys)
    assert all({"jpg", "txt", "json"} <= set(sample) for sample in samples)


def test_webdataset_does_not_take_a_broken_stream_for_a_short_one(
    selected: tuple[Physical, Index, list[str]],
) -> None:
    """Seen by its exit status if the command ended before the last read, else by the member that breaks off."""
    import webdataset

    physical, index, _ = selected
    path = physical.root / physical.shards[2][0]
    path.write_bytes(bytes(path.stat().st_size))
    urls = pipe_urls(index.path, str(physical.root), Selection(shuffle=False), of=1)
    with pytest.raises((OSError, tarfile.ReadError), match=r"exit 1|unexpected end of data"):
        list(webdataset.WebDataset(urls, shardshuffle=False))


def test_hugging_face_datasets_reads_an_export(tmp_path: Path) -> None:
    """One format to a file: a reader that takes the members of the first sample for those of all loses no image."""
    import datasets

    physical = build(tmp_path / "lake", shards=4, samples=12, exts=("png", "jpg"))
    keys = list(physical.where)[::2]
    written = export_module.export(physical.index(keys), str(physical.root), tmp_path / "out", Selection(of=2))
    seen: Counter[str] = Counter()
    for ext in ("jpg", "png"):
        files = [str(tmp_path / "out" / shard.name) for shard in written if f"-{ext}-" in shard.name]
        stream = datasets.load_dataset("webdataset", data_files={"train": files}, split="train", streaming=True)
        stream = stream.cast_column(ext, datasets.Image(decode=False))
        seen.update(row["__key__"] for row in stream if row[ext]["bytes"])
    assert seen == Counter(keys)


@pytest.mark.parametrize("seed", range(4))
def test_nullable_fields_of_an_export_have_types_whichever_samples_come_first(tmp_path: Path, seed: int) -> None:
    """datasets fixes types by the first five samples: "Couldn't cast array of type string to null" behind those."""
    fields = ("pmid", "doi", "title", "label", "mentions")
    values = {
        "pmid": 5,
        "doi": "10.1/x",
        "title": "t",
        "label": "Figure 1",
        "mentions": [{"text": "see", "section": "S"}],
    }
    # One sample of each format fills each field; shards are png, jpg, png, jpg, of ten samples.
    of = {"png": [n for n in range(40) if n // 10 % 2 == 0], "jpg": [n for n in range(40) if n // 10 % 2]}
    rare = {
        key_of(n): name
        for numbers in of.values()
        for n, name in zip(random.Random(seed).sample(numbers, len(fields)), fields, strict=True)
    }

    def record(key: str) -> dict[str, object]:
        empty: dict[str, object] = {**dict.fromkeys(fields), "mentions": []}
        return empty | ({rare[key]: values[rare[key]]} if key in rare else {})

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    physical = build(
        tmp_path / "lake", shards=4, samples=10, exts=("png", "jpg"), draw=lambda rng: buffer.getvalue(), record=record
    )
    keys = list(physical.where)
    written = export_module.export(physical.index(keys), str(physical.root), tmp_path / "out", Selection(of=3))
    for ext in ("jpg", "png"):
        files = [str(tmp_path / "out" / shard.name) for shard in written if f"-{ext}-" in shard.name]
        rows = _loaded(files, tmp_path / ext)
        assert len(rows) == len({row["__key__"] for row in rows}) == 20
        filled = {(row["__key__"], name) for row in rows for name in fields if row["json"][name]}
        assert filled == {(key, name) for key, name in rare.items() if int(key[1:]) in of[ext]}
    assert len(_loaded([str(tmp_path / "out" / shard.name) for shard in written], tmp_path / "both")) == 40
    listed_digests = {shard.name: shard.sha256 for shard in written}
    for name, digest in listed_digests.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


def _loaded(files: list[str], cache: Path) -> Any:
    """All rows, through the copy that ``load_dataset`` makes: there every value is cast to the types it has fixed."""
    import datasets

    found = datasets.load_dataset("webdataset", data_files={"train": files}, split="train", cache_dir=str(cache))
    return [*found.remove_columns([name for name in ("jpg", "png") if name in found.column_names])]


def test_files_of_an_export_are_numbered_without_holes(tmp_path: Path) -> None:
    """More virtual shards than a format has blocks leave some without a sample."""
    physical = build(tmp_path / "lake", shards=4, samples=3, exts=("png", "jpg"))
    index = physical.index()
    written = export_module.export(index, str(physical.root), tmp_path / "out", Selection(of=6))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == sorted(shard.name for shard in written)
    for ext in ("jpg", "png"):
        names = [shard.name for shard in written if f"-{ext}-" in shard.name]
        assert 0 < len(names) < 6
        assert names == [f"{index.recipe}-train-{ext}-{n:06d}.tar" for n in range(len(names))]


def test_exports_are_deterministic_and_listed(selected: tuple[Physical, Index, list[str]], tmp_path: Path) -> None:
    physical, index, keys = selected
    first = export_module.export(index, str(physical.root), tmp_path / "a", Selection(of=2))
    again = export_module.export(index, str(physical.root), tmp_path / "b", Selection(of=2))
    assert first == again
    found = [key for shard in first for key in read_tar((tmp_path / "a" / shard.name).read_bytes())]
    assert Counter(found) == Counter(keys)
    assert (tmp_path / "a" / "export.json").read_bytes() == (tmp_path / "b" / "export.json").read_bytes()


def test_open_clip_train_reads_the_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the data pipeline of open_clip_train itself; the caption, a different one for each sample, is the id."""
    import open_clip_train.data
    from open_clip_train.data import get_wds_dataset

    # open_clip_train 3.3 wants webdataset <= 0.2.86: later ones mark the end of a shard with {}, which its grouping of
    # training samples cannot read (webdataset issue 384).
    unmarked = functools.partial(open_clip_train.data.tar_file_expander, eof_value=None)
    monkeypatch.setattr(open_clip_train.data, "tar_file_expander", unmarked)
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG")
    physical = build(tmp_path, shards=2, samples=9, draw=lambda rng: buffer.getvalue())
    index = physical.index()
    arguments = types.SimpleNamespace(
        train_data=None,
        val_data=pipe_pattern(index.path, str(tmp_path), Selection(), of=4),
        val_num_samples=18,
        train_data_upsampling_factors=None,
        batch_size=4,
        workers=0,
        world_size=1,
        seed=0,
    )
    seen: list[str] = []

    def tokenize(text: str) -> list[str]:
        seen.append(text)
        return [text]

    data = get_wds_dataset(arguments, lambda picture: np.zeros(1), is_train=False, tokenizer=tokenize)
    assert sum(len(texts) for _, texts in data.dataloader) == 18
    assert Counter(seen) == Counter(f"text of {key}" for key in physical.where)
    arguments.train_data, arguments.train_num_samples = arguments.val_data, 16
    seen.clear()
    data = get_wds_dataset(arguments, lambda picture: np.zeros(1), is_train=True, tokenizer=tokenize)
    batches = [texts for _, texts in data.dataloader]
    assert [len(texts) for texts in batches] == [4] * 4
    assert set(seen) <= {f"text of {key}" for key in physical.where}
