"""A data directory from Python, on a small lake and in an interpreter of its own."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import biomedica_assets as bm
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.select.definition import RecipeError
from biomedica_assets.lib.select.search import stage
from biomedica_assets.lib.shards.config import ShardConfig
from biomedica_assets.lib.shards.stage import build_shards
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.tables import FIGURE_LABELS, TABLES
from biomedica_assets_tests.lib.images.generated import publish
from biomedica_assets_tests.lib.shards.world import CHUNK, World, jpeg
from biomedica_assets_tests.support.recipes import over_all_shards


def gif(seed):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(jpeg(seed))).convert("P").save(buffer, "GIF")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def given():
    """Bytes by image."""
    return {f"pmc7-1-f{i}-0": gif(i) if i == 4 else jpeg(i) for i in range(9)}


@pytest.fixture(scope="module")
def lake(tmp_path_factory, given):
    world = World(tmp_path_factory.mktemp("data"))
    for i, (media_id, data) in enumerate(given.items()):
        caption = "A fundus photograph." if i == 3 else f"Caption {i}."
        world.add(
            media_id.removesuffix("-0"), [data], caption=caption, group="noncommercial" if i % 2 else "commercial"
        )
    made = world.publish()
    publish(made, FIGURE_LABELS, CHUNK, [])
    build_shards(made, CHUNK, config=ShardConfig())
    stage.index_shelf(made, "PMC000")
    over_all_shards(made, "all")
    over_all_shards(made, "full")
    return made


@pytest.fixture
def data(lake):
    return bm.open(lake.root)


def test_tables_and_sql_answer_alike(data, given):
    assert set(data.tables) == set(TABLES)
    assert data.tables["shards"].collect().height == len(given)
    assert data.sql("select count(*) as n from shards")["n"].to_list() == [len(given)]
    assert data.sql("select max(width) as w from samples")["w"].to_list() == [40]
    with pytest.raises(KeyError):
        data.tables["figure"]
    with pytest.raises(PermanentFailure, match="refused: Catalog Error"):
        data.sql("select * from nothing")


def test_figures_are_those_that_meet_the_condition(data, given):
    assert data.figures()["sample_key"].to_list() == sorted(given)
    found = data.figures("license_group = 'commercial' -- of these")
    assert found["media_id"].to_list() == [key for i, key in enumerate(sorted(given)) if i % 2 == 0]
    with pytest.raises(RecipeError):
        data.figures("nonsense = 1")


def test_bytes_are_the_original_and_pictures_the_canonical(data, given):
    for media_id, content in given.items():
        assert data.read(media_id) == content
        assert np.array_equal(data.image(media_id), open_canonical(content))
    with pytest.raises(PermanentFailure, match="no sample has the id"):
        data.read("pmc7-1-f99-0")


def test_search_goes_by_words_and_condition(data):
    assert data.search("photographs")["media_id"].to_list() == ["pmc7-1-f3-0"]
    assert data.search("photographs", where="license_group = 'commercial'").is_empty()
    with pytest.raises(PermanentFailure, match="no inventory yet"):  # this lake begins at the images
        data.trace("pmc7-1-f3")


def test_a_recipe_is_the_same_samples_in_every_form(data, given):
    recipe = data.recipe("all")
    assert data.recipes == ["all", "full"] and recipe.splits == {"train": len(given)}
    plain = list(recipe.samples())
    assert sorted(sample.key for sample in plain) == sorted(given)
    for sample in plain:
        assert np.array_equal(sample.image, open_canonical(given[sample.key]))
        assert sample.text in {"A fundus photograph.", *(f"Caption {i}." for i in range(9))}
        assert sample.record["license_group"] in {"commercial", "noncommercial"}
    halves = [[s.key for s in recipe.samples(reader=n, readers=2)] for n in range(2)]
    assert sorted(halves[0] + halves[1]) == sorted(given)
    texts = sorted(text for _, text in recipe.torch(tokenize=str.upper))
    assert texts == sorted(sample.text.upper() for sample in plain)
    assert {row["key"] for row in recipe.datasets()} == set(given)
    assert {row["__key__"] for row in recipe.webdataset(of=2)} == set(given)


def test_workers_of_a_loader_share_an_epoch(data, given):
    from torch.utils.data import DataLoader

    def size(picture):
        return picture.size[0]

    loaded = DataLoader(data.recipe("all").torch(size, len), batch_size=2, num_workers=2)
    assert sum(len(batch[0]) for batch in loaded) == len(given)


def test_what_is_no_data_directory_and_no_recipe_says_what_is(data, tmp_path):
    with pytest.raises(PermanentFailure, match="has no tables: open takes a data directory"):
        bm.open(tmp_path)
    with pytest.raises(PermanentFailure, match="is no directory"):
        bm.open(tmp_path / "mistyped")
    with pytest.raises(StreamError, match="built are: all, full"):
        data.recipe("al")


def test_a_lost_shard_is_an_error_and_no_shorter_epoch(lake, tmp_path):
    import shutil

    shutil.copytree(lake.root, tmp_path / "copy")
    next((tmp_path / "copy" / "shards").rglob("*.tar")).unlink()
    with pytest.raises(StreamError):
        list(bm.open(tmp_path / "copy").recipe("all").samples())


def test_reading_needs_neither_dagster_nor_torch(lake):
    program = (
        "import sys, biomedica_assets as bm; d = bm.open(sys.argv[1]); d.search('fundus'); d.figures(); "
        "list(d.recipe('all').samples()); d.read('pmc7-1-f3-0'); "
        "print([m for m in ('dagster', 'torch', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(lake.root)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_lines_of_the_readme_run(lake):
    """As they stand there, over these data and with an id that they have."""
    readme = Path(bm.__file__).parents[1] / "README.md"
    (block,) = re.findall(r"```python\nimport biomedica_assets as bm\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    assert "d.search(" in block and "d.recipe(" in block
    block = re.sub(r"pmc\d+-1-[0-9a-f]+-0", "pmc7-1-f3-0", block).replace("data/demo", str(lake.root))
    exec(compile(block, "README.md", "exec"), {"bm": bm, "transform": None, "tokenize": None})
