"""Codes of vectors, one bit a dimension: they propose which vectors of a shelf are worth comparing exactly.

RaBitQ (Gao and Long 2024) as faiss has it: 104 bytes for a vector of 768 dimensions, where float16 takes 1 536; 2.5 GB
for 24 million, mapped from the disk. All codes are looked at, so a filter inside the search loses nothing: an inverted
file that looks at some cells finds what is near, and little of what is near and allowed. Measured on 40 000 generated
vectors of 768 dimensions, recall at 10 after the exact comparison, without a filter and under one that 5 % pass:

    RaBitQ, 100 candidates       104 bytes   1.00   1.00
    512 cells, 64 of them, PQ    163 bytes   0.86   0.50
    usearch (HNSW, float16)    1 684 bytes   0.98   takes no filter, and threads build another graph each time

Codes are made without random numbers: equal vectors give equal bytes. A shelf of fewer than ``LEAST`` vectors needs
none, and without faiss (the extra ``faiss``) every vector is compared.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store import atomic, damage, named
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.store.manifest import FileEntry
from biomedica_assets.lib.store.vectors import VectorFile, vectors_of
from biomedica_assets.lib.tables import EMBEDDING_SHELF, SEARCH_VECTORS

VERSION = "1"
LEAST = 20_000
"""So many vectors are compared one by one in some hundredths of a second."""
CANDIDATES, AT_LEAST = 10, 200
"""Candidates for each result that is wanted, and how many at the least."""
_BITS = 4
"""Of the query's own numbers; 2 halve the time and lost 0.5 % at 50 candidates, 8 gain nothing."""
_BLOCK = 65_536
_SAMPLE = 50_000
"""Vectors whose mean the codes are taken about."""


def code_shelf(lake: Lake, shelf: str, *, progress: Progress = SILENT, least: int = LEAST) -> Report:
    """Fill one partition of ``search_vectors``.

    Memory holds the codes of the shelf and one block of vectors.

    Args:
        lake: the data directory.
        shelf: partition key.
        progress: told of each block.
        least: vectors from which on there are codes.

    Raises:
        StoreError: the vectors cannot be read, or the disk not be written.
    """
    began = time.monotonic()
    file = vectors_of(lake, EMBEDDING_SHELF, shelf)
    entry = _write(lake, shelf, file, progress) if file.rows >= max(1, least) and available() else None
    row: dict[str, object] = {
        "kind": "codes" if entry else "exact",
        "vectors": file.rows,
        "dimension": file.dimension,
        "bytes": entry.bytes if entry else 0,
        "library": f"faiss {importlib.import_module('faiss').__version__}" if entry else None,
    }
    manifest = lake.publish(
        SEARCH_VECTORS,
        shelf,
        SEARCH_VECTORS.frame([row]),
        code_version=VERSION,
        inputs=lake.inputs((EMBEDDING_SHELF, shelf)),
        config={},
        n_in=1,
        n_out=1,
        files=[entry] if entry else [],
    )
    return Report(
        asset=SEARCH_VECTORS.name,
        partition=shelf,
        data_version=manifest.data_version,
        rows=manifest.rows,
        n_in=1,
        n_out=1,
        bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={"vectors": file.rows, "kind": str(row["kind"])},
    )


def available() -> bool:
    """Whether codes can be made and read here."""
    return importlib.util.find_spec("faiss") is not None


def candidates(
    lake: Lake, shelf: str, wanted: NDArray[np.float32], most: int, rows: NDArray[np.int64] | None = None
) -> NDArray[np.int64] | None:
    """Rows of a shelf that are worth comparing, in their order.

    Args:
        lake: the data directory.
        shelf: partition key.
        wanted: [dimension] float32, of length one.
        most: how many results are wanted.
        rows: only these.

    Returns:
        None where the shelf has no codes of the vectors that it has now: compare all of them.

    Raises:
        DamagedFile: the codes are not what was written.
    """
    manifest = lake.manifest(SEARCH_VECTORS, shelf)
    if manifest is None or not manifest.files or not available():
        return None
    if manifest.inputs.get(input_name(EMBEDDING_SHELF.name, shelf)) != lake.version(EMBEDDING_SHELF, shelf):
        return None
    path = damage.checked(lake.root, manifest.files[0], SEARCH_VECTORS.name, shelf)
    faiss, index = _open(str(path), manifest.files[0].sha256)
    asked = faiss.RaBitQSearchParameters()
    asked.qb, asked.centered = _BITS, False
    selector = None if rows is None else faiss.IDSelectorBatch(np.sort(rows))
    if selector is not None:
        asked.sel = selector
    number = min(index.ntotal, max(AT_LEAST, CANDIDATES * most))
    _, found = index.search(np.ascontiguousarray(wanted[None, :], np.float32), number, params=asked)
    return np.sort(found[0][found[0] >= 0])


@functools.lru_cache(maxsize=64)
def _open(path: str, digest: str) -> tuple[Any, Any]:
    """Library and index of a file, mapped; the digest is part of the key."""
    del digest
    faiss: Any = importlib.import_module("faiss")
    try:
        return faiss, faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise StoreError(f"{path} cannot be read as codes ({error}); materialise search_vectors again") from error


def _write(lake: Lake, shelf: str, file: VectorFile, progress: Progress) -> FileEntry:
    faiss: Any = importlib.import_module("faiss")
    index: Any = faiss.IndexRaBitQ(file.dimension, faiss.METRIC_INNER_PRODUCT)
    step = max(1, file.rows // _SAMPLE)
    index.train(unit(file.map()[::step].astype(np.float32)))
    starts = range(0, file.rows, _BLOCK)
    for start in track(starts, progress, f"code {shelf}", len(starts), "blocks"):
        index.add(unit(file.read(start, start + _BLOCK).astype(np.float32)))
    draft = lake.root / "search" / f"shelf={shelf}" / "codes.faiss"
    atomic.sweep(draft.parent)
    with atomic.replacing(draft) as temporary:
        faiss.write_index(index, str(temporary))
    return named.keep(lake, draft)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one; a row of zeros stays."""
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)
