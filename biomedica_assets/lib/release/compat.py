"""A release in BIOMEDICA's form: WebDataset tars whose samples have its 27 fields, by its names.

Belongs here: which of our values each field gets. ``compat_export.py`` writes the tars. What differs from BIOMEDICA's
own data is in ``DIFFERENCES``, which is written beside every export.
Source of names and types: BIOMEDICA's serialiser, step 06 of github.com/minwoosun/biomedica-etl at b53ded3.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

MEMBERS = ("jpg", "txt")
JSON_FIELDS = (
    "image_file_name", "image_cluster_id", "image_hash", "image_label_id", "image_panel_type", "image_panel_subtype",
    "image_primary_label", "image_secondary_label", "image_size", "image_set", "image_context", "article_accession_id",
    "article_title", "article_journal", "article_date", "article_abstract", "article_mesh_terms", "article_keywords",
    "article_reference_ids", "article_reference_count", "article_reference_list", "article_subject",
    "article_citation", "article_license", "article_text",
)  # fmt: skip
FIELDS = (*MEMBERS, *JSON_FIELDS)
_OTHERWISE: dict[str, dict[str, Any]] = {
    **{
        name: {"list": "string"}
        for name in (
            "image_primary_label", "image_secondary_label", "article_mesh_terms", "article_keywords",
            "article_reference_ids", "article_reference_list", "article_subject",
        )
    },
    "image_size": {"list": "int64"},
    "image_set": {
        "list": [
            {"name": name, "dtype": "string"} for name in ("image_id", "image_file_name", "caption", "hash")
        ]
    },
    # Its keys are names of images: no two samples have the same.
    "image_context": {"dtype": "json"},
    "article_reference_count": {"dtype": "int64"},
}  # fmt: skip
FEATURES: list[dict[str, Any]] = [
    {"name": "jpg", "dtype": "image"},
    {"name": "txt", "dtype": "string"},
    {"name": "json", "struct": [{"name": n, **_OTHERWISE.get(n, {"dtype": "string"})} for n in JSON_FIELDS]},
    {"name": "__key__", "dtype": "string"},
    {"name": "__url__", "dtype": "string"},
]
"""Types of the fields, as the header of a Hugging Face card has them. Left to guess, ``datasets`` takes those of the
first five samples and ends at the first value where those had null."""

DIFFERENCES = """\
# How this export differs from BIOMEDICA's data

The 27 fields, their names and their types are BIOMEDICA's, so code written for it runs. The content differs here:

| field | BIOMEDICA | this export |
|---|---|---|
| any | the string "None", `[""]` or an error text where a value is missing | JSON null |
| `__key__` | number of the image | opaque stable id of the image, without dots |
| `jpg` | every image encoded again at JPEG quality 75 | JPEG files are the publisher's bytes; others are encoded once at quality 95, 4:4:4, and ND-licensed ones among them are left out |
| `txt` | title and paragraphs run together | blocks separated by a line feed |
| `image_cluster_id` | the image's name (the field is misnamed) | the same: the publisher's file name without extension |
| `image_hash` | SHA-256 of a PNG of at most 1000 pixels | BLAKE3 of the decoded pixels at full size |
| `image_label_id` | number of one of 2000 clusters | number of the cluster in the model of this release |
| `image_panel_type`, `..._subtype`, `image_primary_label`, `image_secondary_label` | by cluster | by image, where labels were propagated; null without label |
| `image_size` | that of the image before, if a file could not be read | width and height as stored |
| `image_set` | all images of the article with paths of the server | all samples of the article, without paths |
| `image_context` | paragraphs of all figures of the article, as XML | paragraphs that cite this figure, as text, under `image_cluster_id` |
| `article_date` | Unix seconds in the time zone of the machine | Unix seconds in UTC; a missing month or day counts as the first |
| `article_abstract` | Python text of a list, if structured | text, one line per section |
| `article_mesh_terms` | empty for articles with one heading | all descriptors; null if PubMed was not asked or has no record |
| `article_reference_ids` | raw XML as dictionaries | PMIDs of the references that PubMed knows |
| `article_reference_list` | always `[""]` | citations as PubMed has them |
| `article_text` | the full text in every image of the article | null: see the article by `article_accession_id` |
| order | by cluster | seeded shuffle within each chunk of articles |
| samples | images without caption, with the caption "None" | none without caption, of retracted articles or unlicensed figures |
"""  # noqa: E501  # a Markdown table's rows cannot be broken

_PANEL_TYPES = {"panel-single": "single", "panel-multiple": "multiple"}


def record(
    row: Mapping[str, Any], images: Sequence[Mapping[str, Any]], mentions: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any]:
    """The JSON fields of one sample.

    Args:
        row: the sample joined with its image, figure, article, PubMed record and labels; absent values are None.
        images: all samples of its article: ``key``, ``pixel_hash``, ``caption``.
        mentions: blocks that cite the figure, in order.
        names: concept id -> label.
    """
    image = _stem(row["key"])
    mesh = [heading["descriptor"] for heading in row["mesh"]] if row["mesh"] is not None else None
    references = row["references"]
    return {
        "image_file_name": PurePosixPath(row["key"]).name,
        "image_cluster_id": image,
        "image_hash": row["pixel_hash"],
        "image_label_id": None if row["cluster"] is None else str(row["cluster"]),
        "image_panel_type": _PANEL_TYPES.get(row["panel_type"], row["panel_type"]),
        "image_panel_subtype": names.get(row["panel_subtype"], row["panel_subtype"]),
        "image_primary_label": _labels(row["global"], names),
        "image_secondary_label": _labels(row["local"], names),
        "image_size": [row["width"], row["height"]],
        "image_set": [
            {
                "image_id": _stem(other["key"]),
                "image_file_name": PurePosixPath(other["key"]).name,
                "caption": other["caption"],
                "hash": other["pixel_hash"],
            }
            for other in images
        ],
        "image_context": {image: list(mentions)} if mentions else None,
        "article_accession_id": row["article_id"].partition(".")[0],
        "article_title": row["title"],
        "article_journal": row["journal"],
        "article_date": _seconds(row["date"]),
        "article_abstract": row["pubmed_abstract"] or row["abstract"],
        "article_mesh_terms": mesh,
        "article_keywords": [word for group in row["keywords"] for word in group["keywords"]] or None,
        "article_reference_ids": None if references is None else [str(r["pmid"]) for r in references if r["pmid"]],
        "article_reference_count": row["n_references"],
        "article_reference_list": None if references is None else [r["citation"] for r in references if r["citation"]],
        "article_subject": row["subjects"] or None,
        "article_citation": row["citation"],
        "article_license": row["article_license"],
        "article_text": None,
    }


def _stem(key: str) -> str:
    return PurePosixPath(key).stem


def _labels(concepts: Sequence[str] | None, names: Mapping[str, str]) -> list[str] | None:
    return None if concepts is None else [names.get(concept, concept) for concept in concepts]


def _seconds(date: str | None) -> str | None:
    """``2021-03`` -> seconds of 1 March 2021, 00:00 UTC, as text."""
    if date is None:
        return None
    parts = [int(part) for part in date.split("-")] + [1, 1]
    moment = datetime.datetime(parts[0], parts[1], parts[2], tzinfo=datetime.UTC)
    return str(int(moment.timestamp()))
