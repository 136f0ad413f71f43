"""Embedding a chunk of files against the bare forward pass of the same network on tensors that are ready.

The stage reads, hashes, decodes, resizes, moves, normalises, encodes, converts and writes; the limit only multiplies.
Weights are drawn at random: speed does not depend on them. Images are those of ``../shared`` where it is present, else
generated JPEGs of figure size. Runs alternate; medians are compared.

    python benchmarks/embedding_throughput.py [--model vit_small_patch14_dinov2.lvd142m] [--images 64] [--device auto]

On a GPU: ``--model vit_large_patch14_reg4_dinov2.lvd142m --images 20000 --batch 256 --device cuda``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.embed import embed_chunk, open_encoder
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EMBEDDINGS, IMAGES

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHUNK = "PMC001-0000"


def real_files() -> list[bytes]:
    """The figures of the corpus, distinct, in the order of their paths."""
    suffixes = {".jpg", ".jpeg", ".png", ".gif"}
    paths = sorted(p for p in (SHARED / "corpus" / "mirror").rglob("*") if p.suffix.lower() in suffixes)
    return list({hashlib.sha256(data).digest(): data for data in (path.read_bytes() for path in paths)}.values())


def generated(seed: int) -> bytes:
    """A JPEG of 800 x 600 pixels, about 100 kB."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (75, 100, 3), dtype=np.uint8)).resize((800, 600))
    buffer = io.BytesIO()
    coarse.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def publish(lake: Lake, files: list[bytes]) -> None:
    """Publish files as the images of one chunk."""
    rows: list[dict[str, Any]] = []
    for number, data in enumerate(files):
        path = lake.root / "mirror" / f"{number:06d}"
        atomic.write_bytes(path, data)
        row: dict[str, Any] = {c.name: "x" for c in IMAGES.columns if c.dtype == pl.String()}
        row |= {"media_id": f"m{number:06d}", "path": lake.path_below(path), "sha256": hashlib.sha256(data).hexdigest()}
        row |= {"position": 0, "width": 1, "height": 1, "n_frames": 1, "bytes": len(data), "phash": 0}
        rows.append(row)
    n = len(rows)
    frame = pl.DataFrame(rows, schema=IMAGES.schema)
    lake.publish(IMAGES, CHUNK, frame, code_version="benchmark", inputs={}, config={}, n_in=n, n_out=n)


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_small_patch14_dinov2.lvd142m")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.safetensors"
        save_file(timm.create_model(args.model, pretrained=False, num_classes=0).state_dict(), weights)
        encoder: Any = open_encoder(args.model, weights=weights, device=args.device)
        files = real_files() if SHARED.is_dir() else []
        kind = "real figures" if len(files) >= args.images else "real figures and generated JPEGs"
        files = (files + [generated(i) for i in range(args.images - len(files))])[: args.images]
        lake = Lake(Path(folder) / "lake")
        publish(lake, files)
        arrays = np.stack([encoder.prepare(Image.open(io.BytesIO(data))) for data in files])
        mean, std = encoder._mean.cpu(), encoder._std.cpu()
        tensors = ((torch.from_numpy(arrays).permute(0, 3, 1, 2) / 255 - mean) / std).contiguous().to(encoder.device)

        def bare() -> None:
            with (
                torch.inference_mode(),
                torch.autocast(encoder.device, torch.bfloat16, enabled=encoder.device == "cuda"),
            ):
                for start in range(0, len(tensors), args.batch):
                    encoder._model(tensors[start : start + args.batch])
            if encoder.device == "cuda":
                torch.cuda.synchronize()

        def stage() -> None:
            lake.remove(EMBEDDINGS, CHUNK)
            embed_chunk(lake, CHUNK, encoder=encoder, engine=LocalEngine("threads"), batch_size=args.batch)

        bare()
        stage()
        times: dict[str, list[tuple[float, float]]] = {"bare forward": [], "embed_chunk": []}
        for _ in range(args.repeats):
            for name, work in (("bare forward", bare), ("embed_chunk", stage)):
                began, cpu = time.perf_counter(), time.process_time()
                work()
                times[name].append((time.perf_counter() - began, time.process_time() - cpu))
        size = sum(map(len, files)) / len(files) / 1e3
        print(f"{args.model} on {encoder.device} ({encoder.arithmetic}, {torch.get_num_threads()} threads)")
        print(f"{len(files)} {kind}, {size:.0f} kB on average, batches of {args.batch}, median of {args.repeats}")
        found = {name: tuple(median(column) for column in zip(*both, strict=True)) for name, both in times.items()}
        for name, (seconds, cpu) in found.items():
            print(f"{name:<14}{seconds:>8.2f} s{len(files) / seconds:>10.1f} images/s{cpu:>10.2f} s of CPU")
        limit, ours = found["bare forward"], found["embed_chunk"]
        print(
            f"ratio to the bare forward: {limit[0] / ours[0]:.2f} by the clock, {limit[1] / ours[1]:.2f} by CPU time",
            end="",
        )
        print(" (the one to read on a CPU that others use too)")
        if encoder.device == "cuda":
            print(f"peak memory of the device: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
