"""What training costs on a card: samples per second in bf16, their share of the card's matrix rate, and the loader.

On a GPU: ViT-B-32 and ViT-L-14 on one batch of synthetic images that stays on the card, as a share of the rate of one
large matrix product measured on the same card; then the supervised worker on JPEG shards with some numbers of loader
workers, as a share of the rate without a loader (wanted: >= 0.95). Without a GPU it says so and prints an estimate from
the operations a sample takes and an assumed share of a card's peak. Either way it measures how many samples a core
prepares in a second, and prints what 216 million samples (BMC-CLIP's budget, arXiv 2501.07171) cost.

``--device cpu --models biomedica-demo --batch 8`` runs the same code where there is no GPU.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import PIL.Image
from training_throughput import shards

from biomedica_assets.lib.clip import accounting, interpolate, models, profile, streams, supervise, training
from biomedica_assets.lib.progress import SILENT

BUDGET = 216_000_000
PEAKS = {"A100": 312e12, "H100 or H200": 989e12}
"""Dense bf16 operations a second, NVIDIA's data sheets (SXM)."""
SHARE = 0.4
"""Assumed share of the peak; what training of transformers of this size is often reported to reach."""


def operations(torch: Any, name: str) -> int:
    """Operations of one sample, forward and backward, counted without memory for weights."""
    open_clip: Any = importlib.import_module("open_clip")
    chosen = models.architecture(name)
    with torch.device("meta"):
        model = open_clip.create_model(chosen.name, device="meta")
        return accounting.flops_per_sample(
            model, models.image_size(chosen.config), chosen.config["text_cfg"].get("context_length", 77)
        )


def matrix_peak(torch: Any, device: str, size: int) -> float:
    """Operations per second of one large bf16 product."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    began = _now(torch, device)
    for _ in range(10):
        a @ b
    return 10 * 2 * size**3 / (_now(torch, device) - began)


def in_memory(torch: Any, name: str, device: str, batch: int, steps: int) -> float:
    """Samples/s of forward, backward and update on one batch that stays on the device."""
    open_clip: Any = importlib.import_module("open_clip")
    chosen = models.architecture(name)
    config = chosen.config
    size, context = models.image_size(config), config["text_cfg"].get("context_length", 77)
    model = open_clip.create_model(chosen.name, output_dict=True).to(device)
    loss, optimiser = open_clip.ClipLoss(), torch.optim.AdamW(model.parameters(), lr=1e-6, fused=device == "cuda")
    images = torch.randn(batch, 3, size, size, device=device)
    texts = torch.randint(1, 49000, (batch, context), device=device)
    began, value = 0.0, None
    for step in range(steps + 3):
        if step == 3:
            began = _now(torch, device)
        optimiser.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            value = loss(**model(images, texts))
        value.backward()
        optimiser.step()
    rate = steps * batch / (_now(torch, device) - began)
    # The worker is another process: what this one keeps of the card's memory is lost to it.
    del model, optimiser, images, texts, value, loss
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return rate


def _now(torch: Any, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def prepared_per_core(work: Path, side: int, samples: int = 512) -> float:
    """Samples that one core reads, decodes, augments to 224 pixels and tokenizes in a second of its CPU time."""
    open_clip: Any = importlib.import_module("open_clip")
    (path,) = shards(work, 1, samples, side)
    prepare: Any = importlib.import_module("open_clip.transform").image_transform(224, is_train=True)
    tokenize = open_clip.get_tokenizer("ViT-B-32")
    rates: list[float] = []
    for _ in range(3):
        began = time.process_time()
        for sample in streams.read(f"pipe:cat {path}"):
            prepare(PIL.Image.open(io.BytesIO(sample["jpg"])).convert("RGB"))
            tokenize(sample["txt"].decode())
        rates.append(samples / (time.process_time() - began))
    return statistics.median(rates)


def through_loader(work: Path, name: str, device: str, batch: int, workers: int) -> float:
    """Samples/s of a real run of the worker on JPEG shards, its second epoch."""
    folder = work / f"loader-{name}-{workers}"
    folder.mkdir()
    samples = batch * workers * 4
    shards(folder, workers, samples, 512)
    chosen = models.architecture(name)
    settings = profile.parse(
        {
            "model": name, "pretrained": None, "batch_size": batch, "learning_rate": 1e-6, "epochs": 2,
            "source": "benchmark", "precision": "amp_bf16",
        },
        "benchmark", "benchmark",
    )  # fmt: skip
    interpolate.save(models.create(chosen, settings, 0).state_dict(), folder / "base.safetensors", {})
    data = training.TrainingData(f"pipe:cat {folder}/s{{0..{workers - 1}}}.tar", samples, workers)
    plan = training.Plan(
        folder / "run", folder / "base.safetensors", chosen, settings, data, 2, supervise.Device(device, 1, workers, 2)
    )
    plan.folder.mkdir()
    told = training.train(plan, training.Limits(sample_buffer=500), SILENT)
    return told.epochs[1]["samples"] / told.epochs[1]["seconds"]


def estimate(name: str, each: int, core: float) -> None:
    """Print what the budget costs by arithmetic alone."""
    for card, peak in PEAKS.items():
        rate = SHARE * peak / each
        print(
            f"  ESTIMATE, no card at hand: {name} on one {card} at {SHARE:.0%} of {peak / 1e12:.0f} TFLOP/s: "
            f"{rate:,.0f} samples/s, {_hours(rate)}; {math.ceil(rate / core)} cores to feed it"
        )


def _hours(rate: float) -> str:
    hours = BUDGET / rate / 3600
    return f"{BUDGET / 1e6:.0f} million samples in {hours:,.1f} h"


def main() -> None:
    """Measure on a GPU, or estimate."""
    torch: Any = importlib.import_module("torch")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1024, 256], help="one for all models, or one for each")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--side", type=int, default=512, help="pixels of the images that a core prepares")
    parser.add_argument("--matrix", type=int, help="side of the matrices (8192 on a GPU, 512 on the CPU)")
    parser.add_argument(
        "--loader-workers", type=int, nargs="+", help="numbers of loader workers (4 8 16; 1 on the CPU)"
    )
    options = parser.parse_args()
    on_card = torch.cuda.is_available() and options.device != "cpu"
    if options.device == "cuda" and not on_card:
        parser.error("torch sees no CUDA device here")
    device = "cuda" if on_card else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(1)
        core = prepared_per_core(Path(folder), options.side)
        print(f"one core prepares {core:,.0f} samples/s of {options.side} x {options.side * 4 // 5} pixels")
        if device == "cpu" and options.device == "auto":
            print("no GPU here, nothing is measured on one")
        else:
            peak = matrix_peak(torch, device, options.matrix or (8192 if on_card else 512))
            where = torch.cuda.get_device_name() if on_card else "this CPU"
            print(f"{where}: {peak / 1e12:,.3g} TFLOP/s in one bf16 matrix product")
        batches = options.batch * len(options.models) if len(options.batch) == 1 else options.batch
        for name, batch in zip(options.models, batches, strict=True):
            each = operations(torch, name)
            print(f"{name}: {each / 1e9:,.1f} GFLOP a sample, forward and backward")
            if device == "cpu" and options.device == "auto":
                estimate(name, each, core)
                continue
            rate = in_memory(torch, name, device, batch, options.steps)
            print(
                f"  bf16, batch {batch}: {rate:,.1f} samples/s, {rate * each / peak:.1%} of that rate; {_hours(rate)}"
            )
            for workers in options.loader_workers or ((4, 8, 16) if on_card else (1,)):
                loaded = through_loader(Path(folder), name, device, batch, workers)
                print(f"  with {workers} loaders: {loaded:,.1f} samples/s, {loaded / rate:.3f} of it (wanted: >= 0.95)")


if __name__ == "__main__":
    main()
