"""Each recipe that is shipped, by each reader that people train with: every id of its list exactly once per epoch."""

from __future__ import annotations

import functools
import io
import subprocess
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from biomedica_assets.lib.select import definition
from biomedica_assets.lib.select.recipe import build_recipe
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream import index as stream_index
from biomedica_assets.lib.stream.find import find_index
from biomedica_assets.lib.stream.urls import pipe_pattern, pipe_urls
from biomedica_assets.lib.stream.virtual import Selection
from biomedica_assets.lib.tables import RECIPE
from biomedica_assets_tests.lib.select.lakes import Sample, make_lake

# webdataset leaves it to the garbage collector to close its tars.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

RECIPES = ("full", "balanced", "filtered")
OF = 3
CONCEPTS = ("kind-plot", "kind-plot", "kind-plot", "kind-microscopy", "kind-clinical-imaging")


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two physical shards, an article to a sample; the caption is the id, since not every reader hands on the key."""
    samples = [
        Sample(n, article=n if n < 30 else 1_020_000 + n, tops=(CONCEPTS[n % 5],), caption=f"m{n:04d}", image=picture())
        for n in range(60)
    ]
    made = make_lake(tmp_path_factory.mktemp("shipped"), samples)
    for name in RECIPES:
        build_recipe(made, name, definition.load(name), write_index=stream_index.write)
    return made


def listed(lake: Lake, recipe: str) -> Counter[str]:
    """Ids of the training split as the list has them."""
    frame = lake.read(RECIPE, recipe).filter(split="train")
    assert 1 < frame.height < 60
    assert set(frame["repeat"]) == {1}
    return Counter(frame["sample_key"])


def urls(lake: Lake, recipe: str, epoch: int) -> list[str]:
    return pipe_urls(find_index(lake.root, recipe), str(lake.root), Selection(epoch=epoch), OF)


@pytest.mark.parametrize("recipe", RECIPES)
def test_webdataset(lake: Lake, recipe: str) -> None:
    import webdataset

    epochs = [
        [sample["__key__"] for sample in webdataset.WebDataset(urls(lake, recipe, epoch), shardshuffle=False)]
        for epoch in range(2)
    ]
    assert [Counter(keys) for keys in epochs] == [listed(lake, recipe)] * 2


@pytest.mark.parametrize("recipe", RECIPES)
def test_webdataset_with_a_larger_buffer(lake: Lake, recipe: str) -> None:
    """The way to read pipes faster that the README recommends."""
    import webdataset
    from webdataset.tariterators import group_by_keys, tar_file_expander, url_opener

    stages = [functools.partial(url_opener, bufsize=1 << 18), tar_file_expander, group_by_keys]
    data = webdataset.DataPipeline(webdataset.SimpleShardList(urls(lake, recipe, 0)), *stages)
    assert Counter(sample["__key__"] for sample in data) == listed(lake, recipe)


@pytest.mark.parametrize("recipe", RECIPES)
def test_hugging_face_datasets_from_tars(lake: Lake, recipe: str, tmp_path: Path) -> None:
    """Its webdataset reader opens each tar twice, so it takes what the stream wrote to files."""
    import datasets

    files: list[str] = []
    for number, url in enumerate(urls(lake, recipe, 0)):
        files.append(str(tmp_path / f"{number}.tar"))
        with Path(files[-1]).open("wb") as file:
            subprocess.run(url.removeprefix("pipe:"), shell=True, stdout=file, check=True)
    stream = datasets.load_dataset("webdataset", data_files={"train": files}, split="train", streaming=True)
    stream = stream.cast_column("jpg", datasets.Image(decode=False))
    rows = list(stream)
    assert Counter(row["__key__"] for row in rows) == listed(lake, recipe)
    assert all(row["jpg"]["bytes"] == picture() for row in rows)


@pytest.mark.parametrize("recipe", RECIPES)
def test_hugging_face_datasets_from_pipes(lake: Lake, recipe: str) -> None:
    """As an iterable data set whose shards are the virtual shards, so that loader workers share them."""
    import datasets

    data = datasets.IterableDataset.from_generator(read, gen_kwargs={"urls": urls(lake, recipe, 0)})
    assert data.num_shards == OF
    parts = [data.shard(num_shards=OF, index=n) for n in range(OF)]
    assert Counter(row["__key__"] for part in parts for row in part) == listed(lake, recipe)


def read(urls: list[str]) -> Iterator[dict[str, Any]]:
    import webdataset

    yield from webdataset.WebDataset(urls, shardshuffle=False)


@pytest.mark.parametrize("is_train", [True, False], ids=["train", "validation"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_open_clip_train(lake: Lake, recipe: str, is_train: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through its own ``get_wds_dataset``; with batches of one, so that it neither repeats nor drops a last batch."""
    import open_clip_train.data
    from open_clip_train.data import get_wds_dataset

    # open_clip_train 3.3 wants webdataset <= 0.2.86: later ones mark the end of a shard with {}, which its grouping of
    # training samples cannot read (webdataset issue 384).
    unmarked = functools.partial(open_clip_train.data.tar_file_expander, eof_value=None)
    monkeypatch.setattr(open_clip_train.data, "tar_file_expander", unmarked)
    expected = listed(lake, recipe)
    pattern = pipe_pattern(find_index(lake.root, recipe), str(lake.root), Selection(), OF)
    arguments = types.SimpleNamespace(
        train_data=pattern, val_data=pattern, train_num_samples=expected.total(), val_num_samples=expected.total(),
        train_data_upsampling_factors=None, batch_size=1, workers=0, world_size=1, seed=0,
    )  # fmt: skip
    data = get_wds_dataset(arguments, lambda _: np.zeros(1), is_train=is_train, tokenizer=lambda text: [text])
    assert Counter(text for _, texts in data.dataloader for text in texts) == expected
