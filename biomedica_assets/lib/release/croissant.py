"""``croissant.json``: the release described to machines, by MLCommons' vocabulary (Croissant 1.0).

Every file is a ``FileObject`` with its SHA-256; a table is read through a ``FileSet`` relative to the description, so
that it works in a folder on the disk and in a repository alike.
Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from biomedica_assets.lib.release import pairs
from biomedica_assets.lib.release.manifest import ReleaseFile, entry
from biomedica_assets.lib.release.papers import files_of
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.tables import RECIPE, Table

_CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
_MEDIA = {"parquet": "application/x-parquet", "tar": "application/x-tar", "csv": "text/csv", "md": "text/markdown",
          "png": "image/png"}  # fmt: skip


def write(
    release: Path, name: str, version: str, snapshot: str, files: Sequence[ReleaseFile], tables: Sequence[Table],
    *, warning: str = "",
) -> ReleaseFile:  # fmt: skip
    """Write ``croissant.json`` for the files and tables of a release.

    Args:
        release: the folder.
        name: of the dataset.
        version: of the release.
        snapshot: inventory it was made from.
        files: of the release.
        tables: that it has files of.
        warning: what a reader must know before all else, as in the card; its description begins with it.
    """
    with_rows = [PurePosixPath(file.path) for file in files if file.rows]
    whole = [t for t in tables if t is not RECIPE and any(path.match(files_of(t)) for path in with_rows)]
    text = f"Figures and captions of the PubMed Central Open Access Subset, inventory {snapshot}."
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": f"{warning} {text}".strip(),
        "license": "ATTRIBUTION.csv",
        "url": "https://pmc.ncbi.nlm.nih.gov/tools/openftlist/",
        "version": version,
        "citeAs": f"{name}, release {version}, from the PubMed Central Open Access Subset, inventory {snapshot}",
        "distribution": [
            *map(_object, files),
            *(_set(t.name, files_of(t)) for t in whole),
            *([_set(pairs.FOLDER, f"{pairs.FOLDER}/*/*.parquet")] if any(f.kind == pairs.KIND for f in files) else []),
        ],
        "recordSet": [
            *([_pairs()] if any(f.kind == pairs.KIND for f in files) else []),
            *(_records(table) for table in whole),
        ],
    }
    path = release / "croissant.json"
    atomic.write_bytes(path, (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode())
    return entry(release, path, "metadata")


def _object(file: ReleaseFile) -> dict[str, Any]:
    media = _MEDIA.get(file.path.rpartition(".")[2], "application/octet-stream")
    return {
        "@type": "cr:FileObject", "@id": file.path, "name": file.path, "contentUrl": file.path,
        "contentSize": f"{file.bytes} B", "encodingFormat": media, "sha256": file.sha256,
    }  # fmt: skip


def _set(name: str, paths: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet", "@id": f"{name}-files", "name": f"{name}-files",
        "description": f"Parquet files of {name}.", "encodingFormat": _MEDIA["parquet"], "includes": paths,
    }  # fmt: skip


def _pairs() -> dict[str, Any]:
    """Image, caption, licence and labels of each sample."""
    types = {
        "integer": "sc:Integer", "group": "sc:Integer", "panel": "sc:Integer", "boolean": "sc:Boolean",
        "confidence": "sc:Float", "date": "sc:Date", "image": "sc:ImageObject",
    }  # fmt: skip
    fields: list[dict[str, Any]] = []
    for name, kind, meaning in pairs.COLUMNS:
        source: dict[str, Any] = {"fileSet": {"@id": f"{pairs.FOLDER}-files"}, "extract": {"column": name}}
        if kind == "image":
            source["transform"] = {"jsonPath": "bytes"}
        field = {
            "@type": "cr:Field", "@id": f"{pairs.FOLDER}/{name}", "name": f"{pairs.FOLDER}/{name}",
            "description": meaning, "dataType": types.get(kind, "sc:Text"), "source": source,
        }  # fmt: skip
        fields.append(field | ({"repeated": True} if kind == "strings" else {}))
    return {
        "@type": "cr:RecordSet", "@id": pairs.FOLDER, "name": pairs.FOLDER,
        "description": "One record for each sample: image, caption, licence, labels.",
        "key": [{"@id": f"{pairs.FOLDER}/sample_key"}], "field": fields,
    }  # fmt: skip


def _records(table: Table) -> dict[str, Any]:
    # Readers have no type for a list of structures: mlcroissant 1.1 ends with a TypeError on one that is called text.
    flat = [c for c in table.columns if not _is_structured(c.dtype)]
    nested = ", ".join(c.name for c in table.columns if _is_structured(c.dtype))
    more = f" The Parquet files also hold the structured columns {nested}." if nested else ""
    return {
        "@type": "cr:RecordSet", "@id": table.name, "name": table.name, "description": table.meaning + more,
        "key": [{"@id": f"{table.name}/{column}"} for column in table.key],
        "field": [
            _field(f"{table.name}/{c.name}", c.name, c.meaning, c.dtype, f"{table.name}-files") for c in flat
        ],
    }  # fmt: skip


def _field(identity: str, column: str, meaning: str, dtype: pl.DataType, source: str) -> dict[str, Any]:
    repeated = isinstance(dtype, pl.List)
    inner: Any = dtype.inner if isinstance(dtype, pl.List) else dtype
    field: dict[str, Any] = {
        "@type": "cr:Field", "@id": identity, "name": identity, "description": meaning, "dataType": _data_type(inner),
        "source": {"fileSet": {"@id": source}, "extract": {"column": column}},
    }  # fmt: skip
    return field | ({"repeated": True} if repeated else {})


def _is_structured(dtype: Any) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return bool(inner.is_nested())


def _data_type(dtype: Any) -> str:
    if dtype == pl.Boolean():
        return "sc:Boolean"
    if dtype == pl.Date():
        return "sc:Date"
    if dtype.is_integer():
        return "sc:Integer"
    return "sc:Float" if dtype.is_float() else "sc:Text"
