"""MedMNIST ``.npz``: ``<split>_images`` (n x h x w, or x 3; uint8) and ``<split>_labels`` (n x 1, or n x classes).

Rows are read one by one out of the archive: the 224-pixel OrganAMNIST test set is 0.9 GB unpacked, an array of it does
not belong in memory. Pickled arrays are refused.

Source of the layout: MedMNIST, ``medmnist/info.py`` and its ``.npz`` files.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.errors import Reject
from biomedica_assets.lib.evaluate.adapters.common import presence, reject, whole
from biomedica_assets.lib.evaluate.task import Item, Task, TaskError

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError, RuntimeError)
"""What reading a damaged archive raises: ``zipfile`` a NotImplementedError for a method of compression it does not
know and a RuntimeError for a member that is encrypted, NumPy a ValueError for a header."""


def read_npz(task: Task, path: Path) -> Iterator[Item | Reject]:
    """Items of one split, in the order of the file.

    Raises:
        TaskError: an array is missing, is pickled, or the numbers of images and labels differ.
    """
    split = str(task.source.get("split", "test"))
    try:
        with zipfile.ZipFile(path) as archive:
            labels = [row.reshape(-1) for row in npy_rows(archive, f"{split}_labels", path)]
            n = 0
            for n, image in enumerate(npy_rows(archive, f"{split}_images", path), start=1):
                if n > len(labels):
                    break
                yield _item(task, f"{split}_{n - 1:06d}", image, labels[n - 1], f"{path.name} row {n - 1}")
    except DAMAGED as error:
        raise TaskError(f"task {task.name}: {path} cannot be read as .npz ({error}); get it again") from error
    if n != len(labels):
        raise TaskError(f"task {task.name}: {path} has {len(labels):,} labels but not as many images in {split}")


def _item(
    task: Task, item_id: str, image: NDArray[np.generic], label: NDArray[np.generic], where: str
) -> Item | Reject:
    found = labels_of(task, label.tolist())
    if isinstance(found, str):
        return reject(task, item_id, found, where=where)
    if fault := _fault(image):
        return reject(task, item_id, fault, where=where)
    pixels = image.astype(np.uint8, copy=False)
    if task.kind == "multi_label":
        return Item(item_id, pixels, labels=tuple(found), where=where)
    return Item(item_id, pixels, answer=found[0], where=where)


def _fault(image: NDArray[np.generic]) -> str | None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        return f"image is {image.dtype} {image.shape}, expected uint8 h x w or h x w x 3"
    return f"image has no pixels: {image.shape}" if 0 in image.shape else None


def labels_of(task: Task, given: list[Any]) -> list[int] | str:
    """Truth per class, or the index of the one class; or what is wrong with it."""
    if task.kind == "multi_label":
        labels = [presence(value) for value in given]
        known = [n for n in labels if n is not None]
        return known if len(known) == len(labels) else f"labels {given} are not all 1, 0 or -1 (not known)"
    if len(given) != 1:
        return f"{len(given)} labels, expected one"
    answer = whole(given[0])
    return [answer] if answer is not None else f"label {given[0]!r} is no class index"


def npy_rows(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[NDArray[np.generic]]:
    """Rows (along the first axis) of one array of an ``.npz``, without holding the array.

    Raises:
        TaskError: there is no such array, it holds Python objects, or its order is not C.
    """
    shape, dtype, start = npy_header(archive, name, path)
    with archive.open(f"{name}.npy") as stream:
        stream.read(start)
        size = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        for _ in range(shape[0]):
            data = stream.read(size)
            if len(data) != size:
                raise EOFError(f"array {name} ends early")
            yield np.frombuffer(data, dtype).reshape(shape[1:])


def npy_header(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    """Shape and type of one array of an ``.npz``, and the byte at which its rows begin.

    Raises:
        TaskError: there is no such array, it holds Python objects, or its order is not C.
    """
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(sorted(n.removesuffix(".npy") for n in archive.namelist()))
        raise TaskError(f"{path} has no array {name}; it has {held}")
    with archive.open(f"{name}.npy") as stream:
        shape, fortran, dtype = _header(stream)
        start = stream.tell()
    if dtype.hasobject:
        raise TaskError(f"{path}: array {name} holds pickled Python objects, which are never loaded")
    if fortran or not shape:
        raise TaskError(f"{path}: array {name} is not a C-ordered array of rows")
    return shape, dtype, start


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
