"""How pure clusters are on images whose label is known, and contact sheets to look at.

Embeds the figures of a generated mirror, whose kinds are known, the labelled images of ``../shared/eval_images`` and
the figures of ``../shared/corpus`` where those are present, fits PCA and k-means, draws the contact sheets, all through
the stages of the library. Purity is the share of images whose label is that of most images in their cluster. Peers:
the same pipeline on 16 x 16 grey pixels, and the share of the commonest label.

    python benchmarks/cluster_purity.py [--encoder texture] [--keep DIRECTORY]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from biomedica_assets.lib.cluster import FitSettings, assign_chunk, fit_clusters, make_contact_sheets
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.demo import load_truth, write_mirror
from biomedica_assets.lib.embed import Encoder, embed_chunk, open_encoder, shelve
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.manifest import digest
from biomedica_assets.lib.tables import CLUSTERS, IMAGES

SHARED = Path(__file__).resolve().parents[2] / "shared"
CHUNK = "PMC001-0000"


class GreyPixels:
    """The peer: a 16 x 16 grey thumbnail is the vector."""

    name, preprocessing, device, dimension, digest = "grey-pixels", "grey-16", "cpu", 256, digest("grey-16")

    @staticmethod
    def prepare(image: Image.Image) -> NDArray[np.float32]:
        """Image to 256 numbers."""
        small = image.convert("L").resize((16, 16), Image.Resampling.BOX)
        return np.asarray(small, np.float32).ravel() / 255

    def encode(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The numbers themselves."""
        return batch


def publish_images(lake: Lake, paths: Sequence[Path], names: Sequence[str]) -> None:
    """Publish one chunk of ``images`` whose ids count the files and whose figure ids are ``names``."""
    rows: list[dict[str, object]] = []
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        data = path.read_bytes()
        copy = lake.root / "mirror" / f"{number:05d}{path.suffix}"
        atomic.write_bytes(copy, data)
        with Image.open(path) as image:
            width, height, mode, kind = image.width, image.height, image.mode, (image.format or "").lower()
        sha = hashlib.sha256(data).hexdigest()
        rows.append(
            {"media_id": f"m{number:05d}", "figure_id": name, "article_id": "PMC1000001.1", "position": 0}
            | {"href": path.name, "key": path.name, "path": lake.path_below(copy), "match": "exact", "format": kind}
            | {"width": width, "height": height, "mode": mode, "n_frames": 1, "bytes": len(data), "sha256": sha}
            | {"md5": hashlib.md5(data).hexdigest(), "pixel_hash": sha, "phash": 0, "license_group": "other"}
        )
    frame = pl.DataFrame(rows, schema=IMAGES.schema)
    n = frame.height
    lake.publish(IMAGES, CHUNK, frame, code_version="benchmark", inputs={}, config={}, n_in=n, n_out=n)


def cluster(lake: Lake, encoder: Encoder, k: int, seed: int) -> pl.DataFrame:
    """Run the stages; returns ``clusters``."""
    engine = LocalEngine("threads")
    embed_chunk(lake, CHUNK, encoder=encoder, engine=engine)
    shelve(lake, CHUNK[:6])
    fit_clusters(lake, engine=engine, settings=FitSettings(k=k, seed=seed, points_per_cluster=1))
    assign_chunk(lake, CHUNK, engine=engine)
    return lake.read(CLUSTERS, CHUNK)


def purity(clusters: Sequence[int], labels: Sequence[str]) -> float:
    """Share of images that bear the commonest label of their cluster."""
    members: dict[int, Counter[str]] = {}
    for number, label in zip(clusters, labels, strict=True):
        members.setdefault(number, Counter())[label] += 1
    return sum(counts.most_common(1)[0][1] for counts in members.values()) / len(labels)


def labelled_images() -> tuple[list[Path], list[str]]:
    """Paths and labels of the evaluation images."""
    with (SHARED / "eval_images" / "labels.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return [SHARED / "eval_images" / row["path"] for row in rows], [row["label"] for row in rows]


def demo_images(root: Path) -> tuple[list[Path], list[str]]:
    """Paths and true visual kinds of the figures of a generated mirror; compound figures count as one kind, mixed."""
    write_mirror(root / "source", seed=7)
    truth = load_truth(next(root.rglob("*truth.json"))).kinds()
    found = [(root / "source" / key, kind) for key, kind in sorted(truth.items()) if (root / "source" / key).is_file()]
    readable = [(path, kind) for path, kind in found if _opens(path)]
    return [path for path, _ in readable], [kind for _, kind in readable]


def _opens(path: Path) -> bool:
    """Whether a file is an image: the mirror has broken ones, which ``images`` would reject."""
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):
        return False
    return True


def measure(what: str, lake: Lake, paths: list[Path], labels: list[str], encoder: Encoder, seeds: int) -> None:
    """Print purity for several k, mean and range over seeds, against both peers."""
    from sklearn.metrics import adjusted_rand_score

    publish_images(lake, paths, labels)
    commonest = Counter(labels).most_common(1)[0][1] / len(labels)
    print(f"{what}: {len(labels)} images, {len(set(labels))} labels; the commonest holds {commonest:.3f}")
    print(f"{'encoder':<14}{'k':>5}{'purity':>9}{'range over seeds':>20}{'adjusted Rand':>16}{'x grey pixels':>15}")
    for k in (len(set(labels)), 50, 100):
        base = 0.0
        for peer in (GreyPixels(), encoder):
            found: list[float] = []
            rand: list[float] = []
            for seed in range(seeds):
                assigned = cluster(lake, peer, k, seed)["cluster"].to_list()
                found.append(purity(assigned, labels))
                rand.append(float(adjusted_rand_score(labels, assigned)))
            mean = float(np.mean(found))
            base = base or mean
            span = f"{min(found):.3f} to {max(found):.3f}"
            print(f"{peer.name:<14}{k:>5}{mean:>9.3f}{span:>20}{np.mean(rand):>16.3f}{mean / base:>15.2f}")


def figures(lake: Lake, encoder: Encoder, k: int) -> None:
    """Cluster the real figures of the corpus."""
    suffixes = {".jpg", ".jpeg", ".png", ".gif", ".tif", ".tiff"}
    paths = sorted(p for p in (SHARED / "corpus" / "mirror").rglob("*") if p.suffix.lower() in suffixes)
    publish_images(lake, paths, [p.stem for p in paths])
    found = cluster(lake, encoder, k, seed=0)
    sizes = found["cluster"].value_counts()["count"].sort(descending=True).to_list()
    print(f"{len(paths)} figures of real articles in {len(sizes)} clusters of {sizes} images")


def main() -> None:
    """Run both and say where the contact sheets lie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="texture")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="directory that keeps the lakes and the contact sheets")
    args = parser.parse_args()
    encoder = open_encoder(args.encoder, weights=args.weights)
    with tempfile.TemporaryDirectory() as temporary:
        root = args.keep or Path(temporary)
        names = ["demo"]
        measure("generated mirror", Lake(root / "demo"), *demo_images(Path(temporary) / "mirror"), encoder, args.seeds)
        if SHARED.is_dir():
            measure("evaluation images", Lake(root / "labelled"), *labelled_images(), encoder, args.seeds)
            figures(Lake(root / "figures"), encoder, k=16)
            names += ["labelled", "figures"]
        else:
            print(f"{SHARED} is absent: no labelled images and no real figures to cluster")
        for name in names:
            report = make_contact_sheets(Lake(root / name), engine=LocalEngine("threads"))
            where = f" at {root / name / str(report.metrics['index'])}" if args.keep else ""
            print(f"{name}: {report.metrics['sheets']} contact sheets{where}")


if __name__ == "__main__":
    main()
