"""The identity of a release: ``MANIFEST.json``, which names every other file with its digest and what it was made of.

No clock, machine or path of this computer goes in: the same data, settings and code give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import StoreError

NAME = "MANIFEST.json"
FORMAT = "biomedica-release-1"


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseFile:
    """One file: path below the release, kind (see ``tables.RELEASE``), size, digest, rows or samples if it has any."""

    path: str
    kind: str
    bytes: int
    sha256: str
    rows: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseManifest:
    """What a release is.

    Attributes:
        name: of the dataset.
        version: of the release; also the name of its folder.
        key: digest of everything that went in; equal keys mean equal content.
        inventory: ``snapshot`` (name), ``article_versions`` and ``chunks`` (key -> data version of its listing).
        rules: which licences it takes.
        settings: all settings that shape content.
        code_versions: table -> versions of the algorithms that made its partitions.
        packages: versions of Python and the packages that decide about bytes.
        inputs: what the release read, as a partition's manifest names it.
        counts: rows by table, samples, articles and so on.
        left_out: figures left out by reason.
        files: every file but the manifest itself, by path.
        made_of: digest of what went in but for the release before.
        before: ``version`` and ``key`` of the release before; empty of the first of its series.
    """

    name: str
    version: str
    key: str
    inventory: Mapping[str, Any]
    rules: Mapping[str, Any]
    settings: Mapping[str, Any]
    code_versions: Mapping[str, list[str]]
    packages: Mapping[str, str]
    inputs: Mapping[str, str]
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    files: tuple[ReleaseFile, ...]
    made_of: str = ""
    before: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    def to_json(self) -> bytes:
        """Canonical JSON."""
        values = {"format": FORMAT, **dataclasses.asdict(self)}
        return (json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()

    def kind(self, kind: str) -> list[ReleaseFile]:
        """Files of one kind."""
        return [file for file in self.files if file.kind == kind]


def load(release: Path) -> ReleaseManifest:
    """The manifest of a release folder.

    Raises:
        StoreError: there is none, or it is not one of this format.
    """
    path = release / NAME
    try:
        raw = json.loads(path.read_bytes())
        if raw.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        files = tuple(ReleaseFile(**entry) for entry in raw.pop("files"))
        return ReleaseManifest(**raw, files=files)
    except FileNotFoundError:
        raise StoreError(f"{release} is no release: it has no {NAME}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is not the manifest of a release: {error!r}; fetch the release again") from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def entry(release: Path, path: Path, kind: str, rows: int | None = None, sha256: str | None = None) -> ReleaseFile:
    """Entry for a file below a release; hashed unless its digest is known."""
    name = path.relative_to(release).as_posix()
    return ReleaseFile(name, kind, path.stat().st_size, sha256 or sha256_of(path), rows)
