"""Scores against an independent implementation, ``clip_benchmark``, on the same weights and images.

Claim: accuracy, mean per-class recall, and recall@k both ways are equal to 1e-6 where the rule is the same. Our rule is
stricter where similarities tie (equal images, equal captions, a collapsed model); then the difference is the ties.

    python benchmarks/clip_benchmark_agreement.py [--model ViT-B-32] [--images 200] [--demo data/demo]

Images: ``../shared/eval_images``, and the held-out articles of the demo where it was made. Models: the demo's trained
one (a tiny random one where there is no demo), a random ViT-B-32, and any open_clip architecture.
"""

import argparse
import csv
import dataclasses
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from PIL import Image

from biomedica_assets import evaluation
from biomedica_assets.lib.evaluate import ranks, scoring, zero_shot
from biomedica_assets.lib.evaluate.adapters.memory import list_source, retrieval_task
from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, open_task
from biomedica_assets.lib.evaluate.encoder import OpenClipEncoder
from biomedica_assets.lib.evaluate.features import ensemble, image_features
from biomedica_assets.lib.evaluate.index import index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets.lib.evaluate.task import Item, TaskSource
from biomedica_assets.lib.store.lake import Lake

SHARED = Path(__file__).resolve().parents[2] / "shared" / "eval_images"
DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


class Images(torch.utils.data.Dataset):
    """The images of a task as clip_benchmark wants them: preprocessed, with a class or with captions."""

    def __init__(self, items: list[Item], transform: object, classes: list[str]) -> None:
        self.items, self.transform, self.classes = items, transform, classes

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    def __getitem__(self, i: int) -> tuple[object, object]:
        """Pixels and target of an item."""
        item = self.items[i]
        with Image.open(item.image) as image:
            pixels = self.transform(image.convert("RGB"))
        return pixels, list(item.captions) if item.captions else item.answer


def theirs_classification(encoder: OpenClipEncoder, items: list[Item], source: TaskSource) -> dict[str, float]:
    """clip_benchmark's zero-shot numbers; each class has its own captions.

    Its classifier, its logits, its rule (argmax, balanced accuracy of scikit-learn). Its ``evaluate`` adds up the hits
    by ``float`` of an array of one element, which NumPy 2.4 refuses, so the last step is made here.
    """
    captions = {c.name: list(c.captions) for c in source.task.classes}
    loader = torch.utils.data.DataLoader(Images(items, encoder._transform, list(captions)), batch_size=64)
    classifier = zeroshot_classification.zero_shot_classifier(
        encoder._model, encoder._tokenizer, list(captions), captions, "cpu", amp=False
    )
    logits, target = zeroshot_classification.run_classification(encoder._model, classifier, loader, "cpu", amp=False)
    predicted = logits.argmax(axis=1)
    return {
        "acc1": int((predicted == target).sum()) / len(target),
        "mean_per_class_recall": float(zeroshot_classification.balanced_accuracy_score(target, predicted)),
    }


def theirs_retrieval(encoder: OpenClipEncoder, items: list[Item], at: list[int]) -> dict[str, float]:
    """clip_benchmark's retrieval numbers."""
    loader = torch.utils.data.DataLoader(
        Images(items, encoder._transform, []),
        batch_size=64,
        collate_fn=lambda rows: (torch.stack([p for p, _ in rows]), [c for _, c in rows]),
    )
    return zeroshot_retrieval.evaluate(encoder._model, loader, encoder._tokenizer, "cpu", amp=False, recall_k_list=at)


def compare(label: str, ours: float, theirs: float, ties: int) -> float:
    """Print one line; returns the difference."""
    verdict = "equal" if abs(ours - theirs) <= 1e-6 else f"{ties} units tie" if ties else "DIFFERS"
    print(f"  {label:38s} ours {ours:.6f}  clip_benchmark {theirs:.6f}  {verdict}")
    return abs(ours - theirs) if not ties else 0.0


def classification(encoder: OpenClipEncoder, source: TaskSource) -> float:
    """Compare one classification task."""
    index = index_task(source)
    features = image_features(source, index, encoder, None)
    images = features.vectors[[features.row[e.sha256] for e in index.entries]]
    captions = ensemble([c.captions for c in source.task.classes], encoder, None)
    answers = zero_shot.answer_classes(index, images, captions, encoder.logit_scale)
    found = {
        (s.metric, s.class_name): s.estimate.value for s in zero_shot.score_answers(answers, replicates=10, seed=0)
    }
    items = [i for i in source.read() if isinstance(i, Item)]
    theirs = theirs_classification(encoder, items, source)
    ties = int(answers.tied.sum())
    print(f" {source.task.name}: {len(items)} images")
    return max(
        compare("accuracy", found["accuracy", None], theirs["acc1"], ties),
        compare("balanced accuracy", found["balanced_accuracy", None], theirs["mean_per_class_recall"], ties),
    )


def retrieval(encoder: OpenClipEncoder, items: list[Item]) -> float:
    """Compare retrieval both ways, two captions for every third image."""
    at = [k for k in (1, 10, 100) if k <= len(items)]
    task = retrieval_task("pairs", "Pairs", domain="several")
    source = list_source(task, items)
    scores = scoring.score_retrieval(source, index_task(source), encoder, None, scoring.EvalConfig(replicates=10))
    theirs = theirs_retrieval(encoder, items, at)
    assert isinstance(scores.ranks, ranks.Ranks)
    ties = {"image_to_text": scores.ranks.tied_images, "text_to_image": scores.ranks.tied_texts}
    names = {"image_to_text": "text_retrieval", "text_to_image": "image_retrieval"}
    print(f" retrieval: {len(items)} images, {scores.ranks.text_to_image.size} captions")
    worst = 0.0
    for direction, metrics in scores.retrieved.items():
        for scored in metrics[: len(at)]:
            k = scored.metric.rpartition("_")[2]
            theirs_value = theirs[f"{names[direction]}_recall@{k}"]
            label = f"{direction.replace('_', ' ')} recall@{k}"
            worst = max(worst, compare(label, scored.estimate.value, theirs_value, int(np.sum(ties[direction]))))
    return worst


def pairs(n: int) -> list[Item]:
    """Distinct real images with distinct captions made of their label and number."""
    with (SHARED / "labels.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    step = max(1, len(rows) // n)
    seen: set[bytes] = set()
    items: list[Item] = []
    for i, row in enumerate(rows[::step]):
        path = SHARED / row["path"]
        if (data := path.read_bytes()) in seen:
            continue
        seen.add(data)
        captions = [f"{row['label']} picture number {i}"] + [f"figure {i} shows {row['label']}"] * (i % 3 == 0)
        items.append(Item(f"{i}", path, captions=tuple(captions)))
    return items


def repeated(items: list[Item]) -> list[Item]:
    """The same images with their label as the only caption: equal captions cannot be told apart."""
    return [dataclasses.replace(item, captions=(item.captions[0].split()[0],)) for item in items]


def agreement(spec: ModelSpec, tasks: list[str], n_pairs: int) -> float:
    """Largest difference over all numbers where nothing ties."""
    encoder = OpenClipEncoder(spec)
    print(f"{spec.name} ({spec.weights or f'random weights, seed {spec.seed}'})")
    registry = load_registry()
    roots = TaskRoots(SHARED / "none", {"eval_images": SHARED})
    worst = [classification(encoder, source) for name in tasks for source in open_task(registry[name], roots)]
    worst.append(retrieval(encoder, pairs(n_pairs)))
    print(" the same with equal captions for images of a class, where the rules differ:")
    return max([*worst, retrieval(encoder, repeated(pairs(n_pairs)))])


def held_out_agreement(encoder: OpenClipEncoder, data_dir: Path) -> float:
    """A model on the articles that the demo keeps from training."""
    worst = 0.0
    for source in evaluation.held_out(Lake(data_dir)):
        items = [item for item in source.read() if isinstance(item, Item)]
        single = source.task.kind == "single_label"
        worst = max(worst, classification(encoder, source) if single else retrieval(encoder, items))
    return worst


def trained(data_dir: Path, recipe: str) -> ModelSpec:
    """The model that a recipe of the demo trained."""
    (spec,) = (m for m in evaluation.models(Lake(data_dir), recipe) if m.provenance == "ours")
    return spec


def main() -> None:
    """Compare a small model and a larger one, on the same images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32", help="open_clip architecture of the larger model")
    parser.add_argument("--weights", default=None, help="file or tag of its weights (default: random)")
    parser.add_argument("--images", type=int, default=200, help="real pairs for its retrieval (default 200)")
    parser.add_argument("--recipe", default="full", help="recipe of the demo's model and of its held-out articles")
    parser.add_argument("--demo", type=Path, default=DEMO, help="data directory of a finished demo")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not SHARED.is_dir():
        raise SystemExit(f"{SHARED} is not there: nothing to compare on")
    tasks = ["mednist", "wbc_blood_smear"]
    larger = ModelSpec(arguments.model, arguments.model, arguments.weights, "ours", seed=1)
    if (arguments.demo / "checkpoints").is_dir():
        small = trained(arguments.demo, arguments.recipe)
        worst = max(agreement(small, tasks, 900), agreement(larger, tasks, arguments.images))
        for spec in (small, larger):
            print(f"{spec.name}, on the held-out articles of the demo")
            worst = max(worst, held_out_agreement(OpenClipEncoder(spec), arguments.demo))
    else:
        print(f"no demo in {arguments.demo}: a tiny model with random weights instead of its trained one")
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "tiny.json"
            config.write_text(json.dumps(TINY))
            worst = agreement(ModelSpec("tiny", str(config), None, "ours", seed=1), tasks, 900)
        worst = max(worst, agreement(larger, tasks, arguments.images))
    print(f"largest difference where nothing ties: {worst:.1e} (claim: at most 1e-6)")


if __name__ == "__main__":
    main()
