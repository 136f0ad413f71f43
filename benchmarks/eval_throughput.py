"""Images a second of the evaluation (read, decode, preprocess in threads, forward) against the bare model forward.

Claim: at least 0.85 of the bare forward on a CPU, 0.9 on a GPU. The bare forward gets ready tensors from memory, in the
same batches, in the same run, alternating; the evaluation starts from the files and keeps nothing in a cache.

    python benchmarks/eval_throughput.py [--model ViT-B-32] [--images 192] [--device cpu]
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import torch

from biomedica_assets.lib.evaluate.adapters.memory import list_source
from biomedica_assets.lib.evaluate.adapters.opening import TaskRoots, open_task
from biomedica_assets.lib.evaluate.encoder import OpenClipEncoder
from biomedica_assets.lib.evaluate.features import image_features
from biomedica_assets.lib.evaluate.index import TaskIndex, index_task
from biomedica_assets.lib.evaluate.models import ModelSpec
from biomedica_assets.lib.evaluate.registry import load_registry
from biomedica_assets.lib.evaluate.task import Item, TaskSource

SHARED = Path(__file__).resolve().parents[2] / "shared" / "eval_images"


def images(n: int) -> tuple[TaskSource, TaskIndex, list[Item]]:
    """A task of n distinct real images: JPEG of 64 and BMP of 120 pixels."""
    roots = TaskRoots(SHARED / "none", {"eval_images": SHARED})
    (source,) = open_task(load_registry()["mednist"], roots)
    items = [item for item in source.read() if isinstance(item, Item)]
    seen: dict[str, Item] = {}
    for item in items:
        seen.setdefault(index_task(list_source(source.task, [item])).images[0], item)
    chosen = list(seen.values())[:n]
    made = list_source(source.task, chosen)
    return made, index_task(made), chosen


def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-32", help="open_clip architecture, random weights")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not SHARED.is_dir():
        raise SystemExit(f"{SHARED} is not there")
    source, index, items = images(arguments.images)
    encoder = OpenClipEncoder(ModelSpec("m", arguments.model, None, "ours"), arguments.device, arguments.precision)
    ready = [encoder.prepare(item.image) for item in items]
    batches = [ready[i : i + arguments.batch] for i in range(0, len(ready), arguments.batch)]
    bare: list[float] = []
    whole: list[float] = []
    for repeat in range(arguments.repeats + 1):
        began = time.perf_counter()
        for batch in batches:
            encoder.images(batch)
        middle = time.perf_counter()
        image_features(source, index, encoder, None, batch_size=arguments.batch)
        if repeat:  # the first round warms up
            bare.append(middle - began)
            whole.append(time.perf_counter() - middle)
    n = len(items)
    limit, ours = n / statistics.median(bare), n / statistics.median(whole)
    where = f"{arguments.model} on {arguments.device}, {torch.get_num_threads()} threads"
    print(f"{where}, {n} images, {len(bare)} rounds")
    print(f"bare forward: {limit:7.1f} images/s")
    print(f"evaluation:   {ours:7.1f} images/s")
    ratios = ", ".join(f"{b / w:.2f}" for b, w in zip(bare, whole, strict=True))
    claim = 0.85 if arguments.device == "cpu" else 0.9
    print(f"ratio of medians: {ours / limit:.3f} (claim: at least {claim}); each round: {ratios}")


if __name__ == "__main__":
    main()
