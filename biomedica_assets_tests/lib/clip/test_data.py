"""What is recorded of the texts before training."""

import io
import tarfile

import pytest

from biomedica_assets.lib.clip import data, models, profile
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import RECIPE, SHARDS
from biomedica_assets_tests.lib.select.lakes import CHUNKS, publish


def stream(texts):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for n, text in enumerate(texts):
            for name, content in ((f"{n}.jpg", b"\xff" * 700), (f"{n}.txt", text.encode())):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("size", [1, 511, 4096])
def test_texts_are_read_as_the_stream_gives_them_wherever_it_is_cut(size):
    whole = stream(["one", "zwei", "trois"])
    pieces = (memoryview(whole)[n : n + size] for n in range(0, len(whole), size))
    assert data.texts(pieces) == ["one", "zwei", "trois"]
    assert data.texts(iter([whole]), most=2) == ["one", "zwei"]


def test_every_format_that_the_stream_hands_on_counts_and_repetitions_do(tmp_path):
    """A gif or tiff is handed on as a PNG (``as_others_see_it``); a format that no picture can be read from is not."""
    lake = Lake(tmp_path)
    formats = {"jpg": 1, "png": 1, "gif": 3, "tif": 1, "bmp": 1, "webp": 1, "svg": 2}
    publish(lake, SHARDS, CHUNKS[0], [{"sample_key": name, "image_ext": name} for name in formats])
    rows = [{"sample_key": name, "repeat": n, "split": "train"} for name, n in formats.items()]
    publish(lake, RECIPE, "r", rows)
    assert data.training_samples(lake, "r") == (8, 2)


def test_truncation_counts_texts_and_tokens_that_are_cut_off():
    """Start and end marks are tokens too: ten words are twelve."""
    found = data.truncation(["a " * 10, "a " * 20], "ViT-B-32", 12)
    assert found == {
        "texts_looked_at": 2.0, "mean_tokens": 17.0, "max_tokens": 22.0, "truncated_fraction": 0.5,
        "lost_token_fraction": pytest.approx(10 / 34),
    }  # fmt: skip
    assert data.truncation(["a " * 10, "a " * 20], "ViT-B-32", 512)["lost_token_fraction"] == 0
    assert data.truncation([], "ViT-B-32", 12) == {}


def test_a_profile_lengthens_the_context_of_the_architecture():
    given = {"model": "ViT-B-32", "pretrained": None, "batch_size": 1, "learning_rate": 1, "epochs": 1, "source": "x"}
    chosen = models.architecture("ViT-B-32")
    assert models.context_length(chosen, profile.parse(given, "a", "a")) == 77
    long = profile.parse(given | {"context_length": 512}, "a", "a")
    assert models.effective_config(chosen, long)["text_cfg"]["context_length"] == 512
    assert chosen.config["text_cfg"]["context_length"] == 77


@pytest.mark.parametrize(
    ("samples", "workers", "least", "expected"),
    [(0, 3, 0, 3), (625, 2, 2, 2), (625, 2, 3, 4), (8192, 1, 0, 1), (8193, 1, 0, 2), (24_000_000, 64, 0, 2944)],
)
def test_every_loader_worker_has_as_many_streams_and_none_is_long(samples, workers, least, expected):
    found = data.streams_for(samples, workers, least)
    assert found == expected
    assert found % workers == 0 and samples / found <= data.STREAM_SAMPLES
