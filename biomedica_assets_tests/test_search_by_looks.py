"""Pictures looked for by words for what they show: the text tower of the CLIP model that their vectors are from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from biomedica_assets import settings
from biomedica_assets.commands.search import describer_of
from biomedica_assets.lib.embed import open_encoder
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.explore.web.app import create_app
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import EMBEDDING_SHELF
from biomedica_assets_tests.lib.explore.world import CHUNK, Thing, make

pytestmark = pytest.mark.full  # opens a model

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SHOWN = (
    "a fundus photograph of the retina",
    "a line plot of survival",
    "a gel with bands",
    "an axial slice of a brain",
)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """Settings whose encoder is a CLIP model with weights that were drawn, and vectors of it in the data directory."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("looks")
    (root / "tiny-looks.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(root / "tiny-looks.json")
    torch.manual_seed(1)
    model = open_clip.create_model("tiny-looks").eval()
    save_file(model.state_dict(), root / "tiny.safetensors")
    with torch.inference_mode():
        vectors = model.encode_text(open_clip.get_tokenizer("tiny-looks")(list(SHOWN))).numpy()
    lake = make(root / "data", [Thing(n) for n in range(len(SHOWN))])
    found = settings.Settings(
        data_dir=root / "data", encoder="open_clip/tiny-looks", encoder_weights=root / "tiny.safetensors", device="cpu"
    )
    encoder = open_encoder(found.encoder, weights=found.encoder_weights, device="cpu")
    rows = [{"media_id": Thing(n).media_id, "row": n, "source_chunk": CHUNK} for n in range(len(SHOWN))]
    folder = lake.root / "embeddings" / encoder.name / "shelf=PMC000"
    entry = write_vectors(lake, folder, [vectors.astype(np.float16)], *vectors.shape)
    metrics = {"encoder": encoder.name, "encoder_digest": encoder.digest}
    lake.publish(
        EMBEDDING_SHELF, "PMC000", EMBEDDING_SHELF.frame(rows), code_version="t", inputs={}, config={},
        n_in=len(rows), n_out=len(rows), files=[entry], metrics=metrics,
    )  # fmt: skip
    return lake, found


def test_words_find_the_picture_whose_vector_is_theirs(values):
    lake, found = values
    client = TestClient(create_app(lake, describe=describer_of(lake, found)), base_url="http://localhost:8766")
    assert "by-looks" in client.get("/").text
    for n, words in enumerate(SHOWN):
        items = client.get("/api/page", params={"looks": words}).json()["items"]
        assert items[0]["media_id"] == Thing(n).media_id and len(items) == len(SHOWN)
    both = client.get("/api/page", params={"looks": SHOWN[2], "q": "fundus", "license": "CC BY"}).json()["items"]
    assert {item["media_id"] for item in both} == {Thing(n).media_id for n in range(len(SHOWN))}
    assert client.get("/api/page", params={"looks": SHOWN[0], "like": Thing(0).media_id}).status_code == 400


def test_without_a_model_of_both_it_says_so(values):
    lake, found = values
    client = TestClient(create_app(lake), base_url="http://localhost:8766")
    assert "by-looks" not in client.get("/").text
    assert "CLIP model" in client.get("/api/page", params={"looks": "a gel"}).json()["problem"]
    texture = found.model_copy(update={"encoder": "texture", "encoder_weights": None})
    with pytest.raises(PermanentFailure, match="only by a CLIP model"):
        describer_of(lake, texture)
    other = found.model_copy(update={"preprocessing": "biomedica"})
    with pytest.raises(PermanentFailure, match="made by another encoder"):
        describer_of(lake, other)("a gel")
