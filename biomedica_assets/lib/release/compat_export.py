"""Write a release as BIOMEDICA's WebDataset: one tar per shard, jpg + txt + json, and a note of what differs."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageChops

from biomedica_assets.lib.errors import PermanentFailure, Reject, RejectReason
from biomedica_assets.lib.images.canonical import is_plain, open_canonical
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.release import compat
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release.card import warning
from biomedica_assets.lib.release.compat_rows import ShardRows, shard_rows
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import TAXONOMY

STAGE = "biomedica-compat"
NOTE, SUMMARY, CARD = "KNOWN_DIFFERENCES.md", "export.json", "README.md"
QUALITY = 95


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """What was written: samples in, out and left out, and how many images were encoded anew."""

    n_in: int
    n_out: int
    encoded: int
    rejects: tuple[Reject, ...]
    tars: tuple[str, ...]


def export_biomedica(release: Path, target: Path, progress: Progress = SILENT) -> Export:
    """Write ``<licence group>/<shard>.tar`` below ``target`` for every shard of a release.

    Args:
        release: folder of the release; nothing else is read.
        target: a folder that does not exist or is empty.
        progress: counts shards.

    Raises:
        PermanentFailure: the target holds something.
        StoreError: it is no release, or the disk cannot be written.
    """
    manifest = manifests.load(release)
    if target.exists() and any(target.iterdir()):
        raise PermanentFailure(f"{target} is not empty; name a folder of its own for the export")
    names = dict(scan(release, TAXONOMY).select("concept_id", "label").collect().iter_rows())
    rejects: dict[str, list[Reject]] = {}
    n_in = encoded = 0
    shards = sorted(file.path for file in manifest.kind("shard"))
    parts = shard_rows(release, shards)
    for here in track(parts, progress, "export for BIOMEDICA's readers", len(shards), "shards"):
        n_in += here.samples.height
        left_out = rejects[_tar(here.shard)] = []
        path = target / _tar(here.shard)
        with atomic.replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in _samples(release, here, names):
                if isinstance(sample, Reject):
                    left_out.append(sample)
                    continue
                encoded += sample.encoded
                for extension, data in (("jpg", sample.jpg), ("txt", sample.txt), ("json", sample.json)):
                    member = tarfile.TarInfo(f"{sample.key}.{extension}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    atomic.write_bytes(target / NOTE, compat.DIFFERENCES.encode())
    refused = tuple(reject for _, some in sorted(rejects.items()) for reject in some)
    found = Export(n_in, n_in - len(refused), encoded, refused, tuple(sorted(rejects)))
    atomic.write_bytes(target / CARD, _card(release, manifest, found).encode())
    atomic.write_bytes(target / SUMMARY, _summary(manifest.version, found))
    return found


def _tar(shard: str) -> str:
    return shard.removeprefix("shards/")


@dataclasses.dataclass(frozen=True, slots=True)
class _Sample:
    key: str
    jpg: bytes
    txt: bytes
    json: bytes
    encoded: bool


def _samples(release: Path, here: ShardRows, names: Mapping[str, str]) -> Iterator[_Sample | Reject]:
    with (release / here.shard).open("rb") as tar:
        for row in here.samples.iter_rows(named=True):
            tar.seek(row["image_start"])
            data = tar.read(row["image_bytes"])
            no_derivatives = str(row["license_code"]).endswith("ND")
            # What other readers would see in other colours, or on its side, is encoded again; not against its terms.
            is_jpeg = row["image_ext"] == "jpg" and (no_derivatives or _is_plain(data))
            if not is_jpeg and no_derivatives:
                message = f"{row['image_ext']} under {row['license_code']} cannot be passed on as JPEG"
                yield Reject(row["article_id"], STAGE, RejectReason.LICENSE_NOT_ALLOWED, message, row["sample_key"])
                continue
            mentions = [mention["text"] for mention in here.cited.get(row["figure_id"], ())]
            entry = compat.record(row, here.together.get(row["article_id"], ()), mentions, names)
            yield _Sample(
                row["sample_key"],
                data if is_jpeg else _as_jpeg(data),
                row["caption"].encode(),
                json.dumps(entry, ensure_ascii=False).encode(),
                not is_jpeg,
            )


def _is_plain(data: bytes) -> bool:
    with Image.open(io.BytesIO(data), formats=["JPEG", "MPO"]) as image:
        return is_plain(image)


def _as_jpeg(data: bytes) -> bytes:
    """The canonical picture as JPEG, grey where all of it is."""
    picture = open_canonical(data)
    grey = picture.convert("L")
    buffer = io.BytesIO()
    if ImageChops.difference(grey.convert("RGB"), picture).getbbox() is None:
        picture = grey
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


_BODY = """\
# {name}, in the form of BIOMEDICA

{warning}{samples:,} samples of release `{version}` as WebDataset tars, `<licence group>/<shard>.tar`: image (`jpg`),
caption (`txt`) and a record (`json`) with the 25 other fields of BIOMEDICA, by their names and types. `{note}` says
what differs from BIOMEDICA's own data; titles, authors and licences are in `ATTRIBUTION.csv` of the release.

```python
from datasets import load_dataset

samples = load_dataset(EXPORT, split="train", streaming=True)  # EXPORT: this folder, or its name on the Hub
first = next(iter(samples))
print(first["txt"], first["json"]["article_license"])
```

`load_dataset(EXPORT, "{group}")` takes one licence group. The types of all fields are in the header of this file:
``datasets`` takes them from there when it is given this folder, and guesses when it is given single tars.
"""


def _card(release: Path, manifest: manifests.ReleaseManifest, found: Export) -> str:
    """A card whose header types every field, and whose first words are what a reader must know."""
    groups = sorted({tar.partition("/")[0] for tar in found.tars})
    files = [("all", "*/*.tar"), *((group, f"{group}/*.tar") for group in groups)]
    header = {
        "license": "other",
        "license_name": "per-article",
        "configs": [
            {"config_name": name, **({"default": True} if name == "all" else {}),
             "data_files": [{"split": "train", "path": path}]}
            for name, path in files
        ],
        "dataset_info": [{"config_name": name, "features": compat.FEATURES} for name, _ in files],
    }  # fmt: skip
    warned = warning(release, invented=bool(manifest.settings.get("invented")))
    body = _BODY.format(
        name=manifest.name, warning=f"**{warned}**\n\n" if warned else "", samples=found.n_out,
        version=manifest.version, note=NOTE, group=groups[0] if groups else "commercial",
    )  # fmt: skip
    # No anchors: the types are the same in each configuration, and readers of cards know no references.
    return f"---\n{yaml.dump(header, Dumper=_Plain, sort_keys=False, width=120)}---\n\n{body}"


class _Plain(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def _summary(version: str, found: Export) -> bytes:
    values = {
        "release": version, "fields": list(compat.FIELDS), "samples_in": found.n_in, "samples_out": found.n_out,
        "encoded_as_jpeg": found.encoded, "left_out": dict(Counter(r.reason.value for r in found.rejects)),
        "left_out_samples": [[r.subject, r.reason.value, r.message] for r in found.rejects], "tars": list(found.tars),
    }  # fmt: skip
    return (json.dumps(values, indent=1) + "\n").encode()
