"""The same numbers as clip_benchmark, on the same weights and real images; the larger comparison is a benchmark."""

import csv
import json

import pytest
import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from PIL import Image

from biomedica_assets.lib.evaluate import scoring
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.encoder import OpenClipEncoder
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets.lib.evaluate.task import Item
from biomedica_assets_tests.lib.evaluate.fakes import eval_images
from biomedica_assets_tests.lib.evaluate.test_encoder import TINY

pytestmark = pytest.mark.corpus
CONFIG = scoring.EvalConfig(replicates=10, with_probes=False)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return OpenClipEncoder(ModelSpec("tiny", str(path), None, "ours", seed=1))


@pytest.fixture(scope="module")
def rows():
    if not eval_images().is_dir():
        pytest.skip("../shared/eval_images is not there")
    with (eval_images() / "labels.csv").open(newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["dataset"] == "mednist"][::5]


def loader(encoder, items, target):
    def pixels(item):
        with Image.open(item.image) as image:
            return encoder._transform(image.convert("RGB"))

    data = [(pixels(item), target(item)) for item in items]
    return [(torch.stack([p for p, _ in data]), [t for _, t in data])]


def test_accuracy_and_balanced_accuracy_equal_clip_benchmark(encoder, rows):
    task = load_registry()["mednist"]
    index = task.class_index()
    items = [Item(r["path"], eval_images() / r["path"], answer=index[r["label"]]) for r in rows]
    source = list_source(task, items)
    ours = scoring.score_zero_shot(source, index_task(source), encoder, None, CONFIG)
    assert not ours.answers.tied.any()
    captions = {c.name: list(c.captions) for c in task.classes}
    ((pixels, truth),) = loader(encoder, items, lambda i: i.answer)
    classifier = zeroshot_classification.zero_shot_classifier(
        encoder._model, encoder._tokenizer, list(captions), captions, "cpu", amp=False
    )
    logits, target = zeroshot_classification.run_classification(
        encoder._model, classifier, [(pixels, torch.tensor(truth))], "cpu", amp=False
    )
    found = {s.metric: s.estimate.value for s in ours.metrics if s.class_name is None}
    predicted = logits.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(float((predicted == target).float().mean()), abs=1e-6)
    balanced = zeroshot_classification.balanced_accuracy_score(target, predicted)
    assert found["balanced_accuracy"] == pytest.approx(balanced, abs=1e-6)


def pairs(rows, caption):
    return [
        Item(r["path"], eval_images() / r["path"], captions=tuple([caption(i, r)] + [f"again {i}"] * (i % 3 == 0)))
        for i, r in enumerate(rows)
    ]


def both(encoder, items):
    source = list_source(retrieval_task("r", "R", domain="d"), items)
    ours = scoring.score_retrieval(source, index_task(source), encoder, None, CONFIG)
    theirs = zeroshot_retrieval.evaluate(
        encoder._model, loader(encoder, items, lambda i: list(i.captions)), encoder._tokenizer, "cpu",
        amp=False, recall_k_list=[1, 10, 100],
    )  # fmt: skip
    names = {"image_to_text": "text_retrieval", "text_to_image": "image_retrieval"}
    for direction, metrics in ours.retrieved.items():
        for scored in metrics[:3]:
            k = scored.metric.rpartition("_")[2]
            yield scored.estimate.value, theirs[f"{names[direction]}_recall@{k}"], ours.ranks


def test_recall_both_ways_equals_clip_benchmark_with_several_captions(encoder, rows):
    found = list(both(encoder, pairs(rows, lambda i, r: f"{r['label']} number {i}")))
    assert len(found) == 6
    for ours, theirs, _ in found:
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_where_captions_repeat_ours_is_the_stricter(encoder, rows):
    found = list(both(encoder, pairs(rows, lambda i, r: r["label"])))
    assert all(ours <= theirs + 1e-6 for ours, theirs, _ in found)
    assert found[0][2].tied_images.any()
