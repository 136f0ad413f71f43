"""Files of model weights as disks and downloads leave them: what is no weights file is refused in one line.

Training, evaluation and embedding read weights with different libraries, which say different things, over many lines,
of a file that is a pointer, a web page or half of what it was. Here it is said once. No weights are loaded for it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.errors import PermanentFailure

_NO_WEIGHTS = (
    (b"version https://git-lfs", "is a Git LFS pointer and holds no weights; fetch the file itself (git lfs pull)"),
    (b"<", "is a web page and holds no weights; download the file itself"),
)
_PICKLE = b"\x80"
_LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors format's own limit."""


class BadWeights(PermanentFailure):
    """A file is no whole file of weights, or holds numbers that are none."""


def check_file(path: Path) -> None:
    """Refuse a file that cannot be one of weights, by its first bytes and its length.

    Args:
        path: safetensors, ``torch.save``'s archive or a pickle of tensors, open_clip's ``.npz``.

    Raises:
        BadWeights: it is missing, empty, a Git LFS pointer, a web page, cut off, or of no format that holds weights;
            the message is one line that names the file, what it is, and the way out.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
            found = _fault(path, head, size, file)
    except OSError as error:
        raise _unreadable(path, error) from error
    if found:
        raise BadWeights(f"{path} {found}")


def _fault(path: Path, head: bytes, size: int, file: Any) -> str | None:
    for start, said in _NO_WEIGHTS:
        if head.lstrip().startswith(start):
            return said
    if not head:
        return "is empty; copy or download it again"
    if path.suffix == ".safetensors":
        return _safetensors_fault(head, size, file)
    if head.startswith(b"PK"):
        return None if zipfile.is_zipfile(path) else "is cut off (an archive without its end); copy it again"
    if head.startswith(_PICKLE):
        return None
    return "is no file of weights (safetensors, or what torch.save writes)"


def _safetensors_fault(head: bytes, size: int, file: Any) -> str | None:
    if size < 8:
        return f"is cut off after {size} bytes; copy or download it again"
    (length,) = struct.unpack("<Q", head[:8])
    if length > _LONGEST_HEADER or head[8:9] not in (b"{", b""):
        return "is no safetensors file, whatever its name says"
    if 8 + length > size:
        return f"is cut off: {size:,} bytes, its header alone has {8 + length:,}; copy or download it again"
    file.seek(8)
    try:
        header: dict[str, Any] = json.loads(file.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "has a damaged safetensors header; copy or download it again"
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        return f"is cut off: {size:,} of {whole:,} bytes; copy or download it again"
    return None


def check_finite(weights: Mapping[str, Any], where: object) -> None:
    """Refuse weights that hold NaN or infinity.

    Args:
        weights: parameter name -> torch tensor.
        where: what to call them, a path or a model.

    Raises:
        BadWeights: the message names the first such parameter and how many of its numbers are none.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            bad = int((~tensor.isfinite()).sum())
            raise BadWeights(
                f"{where} cannot be used: {bad} of {tensor.numel()} numbers of the parameter {name} are NaN or infinite"
            )


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes; asked again for a file that has not changed, it is remembered.

    Raises:
        BadWeights: it cannot be read.
    """
    try:
        status = path.stat()
        return _sha256(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> BadWeights:
    return BadWeights(f"{path} cannot be read ({error.strerror or error}); name a file that exists")


@functools.lru_cache(maxsize=64)
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(error: BaseException, most: int = 300) -> str:
    """What an exception says, on one line."""
    return " ".join(str(error).split())[:most] or type(error).__name__
