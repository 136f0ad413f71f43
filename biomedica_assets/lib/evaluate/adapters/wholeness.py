"""Whether the files of a task are whole, as far as their own bookkeeping tells; no picture is read for it.

Belongs here: one look per format, at ends, columns, shapes, folders and labels. A download that was cut off, arrays
that do not fit one another and labels that are no numbers show here; what is wrong with single items, readers say.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from biomedica_assets.lib.evaluate.adapters.common import IMAGE_SUFFIXES
from biomedica_assets.lib.evaluate.adapters.npz import DAMAGED, labels_of, npy_header, npy_rows
from biomedica_assets.lib.evaluate.adapters.parquet import check_columns, columns_of
from biomedica_assets.lib.evaluate.adapters.webdataset import check_end
from biomedica_assets.lib.evaluate.task import Task, TaskError


def whole(task: Task, paths: Sequence[Path]) -> None:
    """Refuse a task whose files are not whole.

    Args:
        task: whose.
        paths: its files, or its folder, as ``opening`` found them.

    Raises:
        TaskError: naming the file and what is wrong with it.
    """
    look = _LOOKS.get(str(task.source.get("adapter")))
    if look is not None:
        look(task, paths)


def _npz(task: Task, paths: Sequence[Path]) -> None:
    path, split = paths[0], str(task.source.get("split", "test"))
    try:
        with zipfile.ZipFile(path) as archive:
            (images, *_), *_ = npy_header(archive, f"{split}_images", path)
            given = [row.reshape(-1).tolist() for row in npy_rows(archive, f"{split}_labels", path)]
    except DAMAGED as error:
        raise TaskError(f"{path} cannot be read as .npz ({error}); get it again") from error
    if images != len(given):
        raise TaskError(f"{path} has {len(given):,} labels and {images:,} images in {split}; get it again")
    faults = [found for found in (labels_of(task, labels) for labels in given) if isinstance(found, str)]
    if len(faults) * 2 > len(given):
        raise TaskError(f"{path}: {len(faults):,} of {len(given):,} labels cannot be used; the first: {faults[0]}")


def _parquet(task: Task, paths: Sequence[Path]) -> None:
    for path in paths:
        check_columns(task, path, columns_of(task))


def _webdataset(task: Task, paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            with tarfile.open(path, "r:") as tar:
                for _ in tar:  # headers alone: what lies between them is skipped
                    pass
                check_end(tar, path)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise TaskError(f"{path} cannot be read as tar ({error}); get it again") from error


def _folder(task: Task, paths: Sequence[Path]) -> None:
    if task.source.get("csv"):
        return  # its header is looked at when the first row is read
    for one in task.classes:
        below = paths[0] / (one.value or one.name)
        if not below.is_dir():
            raise TaskError(f"there is no folder {below.name} in {paths[0]}, for the class {one.name}")
        if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in below.rglob("*")):
            raise TaskError(f"the folder {below}, for the class {one.name}, holds no pictures")


_LOOKS: Mapping[str, Callable[[Task, Sequence[Path]], None]] = {
    "npz": _npz,
    "parquet": _parquet,
    "webdataset": _webdataset,
    "folder": _folder,
}
