"""The JSON record of a sample: its data dictionary, and how a record is made from the tables.

The dictionary is an allow-list: a field that is not in ``FIELDS`` is not written, no path of this machine can slip in.
Null means unknown or not stated; a list that has nothing in it is empty. The caption itself is the ``.txt`` member.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

Kind = Literal["string", "integer", "number", "boolean", "mentions"]


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of the record: name, JSON type, meaning, and whether it may be null."""

    name: str
    kind: Kind
    meaning: str
    nullable: bool = False


MENTION_FIELDS: tuple[Field, ...] = (
    Field("text", "string", "paragraph, title, cell or list item that cites the figure"),
    Field("spans", "string", "places in text that cite it: list of {start, end}, in characters, end excluded"),
    Field("section", "string", "section titles from the outside in, joined by ' > '", nullable=True),
    Field("inferred", "boolean", "true if the figure is only implied by a range such as Figs 2-4"),
)

FIELDS: tuple[Field, ...] = (
    Field("sample_key", "string", "key of the sample, the name of its members up to the dot"),
    Field("media_id", "string", "image in the images table"),
    Field("figure_id", "string", "figure in the figures table; images of one figure share it and the caption"),
    Field("article_id", "string", "article version: PMC id, dot, version"),
    Field("pmcid", "integer", "PMC id as a number"),
    Field("version", "integer", "version of the article in PMC"),
    Field("pmid", "integer", "PubMed id", nullable=True),
    Field("doi", "string", "DOI of the article", nullable=True),
    Field("title", "string", "title of the article", nullable=True),
    Field("journal", "string", "title of the journal", nullable=True),
    Field("year", "integer", "year of publication", nullable=True),
    Field(
        "date", "string", "date of publication, ISO, as precise as known: 2021, 2021-03 or 2021-03-09", nullable=True
    ),
    Field("license_code", "string", "licence in force for the figure, for example CC BY-NC", nullable=True),
    Field("license_group", "string", "commercial, noncommercial or other"),
    Field("license_url", "string", "licence URL as the article or the figure states it", nullable=True),
    Field("attribution", "string", "credit line of the figure", nullable=True),
    Field("copyright", "string", "copyright statement of the figure's own permissions", nullable=True),
    Field("kind", "string", "figure, scheme, chart, map, plate, algorithm, ..."),
    Field("label", "string", "label of the figure, for example Figure 2", nullable=True),
    Field("position", "integer", "position of the image among the graphics of the figure, from 0"),
    Field("caption_title", "string", "title of the caption, which the .txt member begins with", nullable=True),
    Field("caption_inherited", "boolean", "true if the caption is the one of the figure's group"),
    Field("group_label", "string", "label of the group of figures", nullable=True),
    Field("group_caption", "string", "caption of the group of figures", nullable=True),
    Field("section", "string", "section the figure stands in, titles joined by ' > '", nullable=True),
    Field("language", "string", "language in force, as xml:lang has it", nullable=True),
    Field("mentions", "mentions", "text that cites the figure, in document order, as far as it fits the size limit"),
    Field("n_mentions", "integer", "blocks of text that cite the figure, also those left out for size"),
    Field("image_format", "string", "jpeg, png, gif, tiff, webp or bmp, by content"),
    Field("image_mode", "string", "Pillow mode: RGB, L, P, CMYK, I;16, ..."),
    Field("width", "integer", "pixels of the upright picture"),
    Field("height", "integer", "pixels of the upright picture"),
    Field("orientation", "integer", "EXIF orientation 1..8 of the bytes; applied in width and height", nullable=True),
    Field("n_frames", "integer", "frames or pages of the file"),
    Field("image_bytes", "integer", "size of the image file"),
    Field("sha256", "string", "SHA-256 of the image file, equal to the source's bytes"),
    Field("pixel_hash", "string", "BLAKE3 of the decoded pixels in canonical form, 64 hex digits"),
    Field("phash", "string", "64-bit perceptual hash, 16 hex digits"),
    Field("source_key", "string", "key of the image in the PMC bucket"),
    Field("source_href", "string", "name of the image in the article's XML"),
    Field("xml_md5", "string", "MD5 of the XML that was parsed"),
    Field("parser_version", "string", "version of the parser"),
    Field("images_version", "string", "version of the code that verified and measured the image"),
    Field("invented", "boolean", "true if the article comes from a generator"),
)

PANEL_FIELDS: tuple[Field, ...] = (
    Field("panel", "integer", "place of the panel on the picture that media_id names, from 0"),
    Field("panel_label", "string", "its letter, as read or as the caption has it", nullable=True),
    Field("panel_x0", "integer", "left edge of its box in pixels of that picture"),
    Field("panel_y0", "integer", "upper edge"),
    Field("panel_x1", "integer", "one past the right edge"),
    Field("panel_y1", "integer", "one past the lower edge"),
    Field("panel_method", "string", "how it was found: letters, gutters or grid"),
    Field("panel_link_score", "number", "how far it is sure that the text speaks of it, 0..1"),
)
"""What the record of a panel has beside ``FIELDS``; what is measured there is then the panel, cropped."""

# What can be null or empty in one record and filled in the next; see ``filled``.
_OPTIONAL = tuple(field.name for field in FIELDS if field.nullable or field.kind == "mentions")


def record(values: Mapping[str, Any], mentions: Sequence[Mapping[str, Any]], max_mention_chars: int) -> dict[str, Any]:
    """The record of one sample.

    Args:
        values: every field of ``FIELDS`` except ``mentions`` and ``n_mentions``; others are ignored.
        mentions: all mentions of the figure, in document order, with the names of ``MENTION_FIELDS``.
        max_mention_chars: how much text of mentions is kept.
    """
    kept = {"mentions": list(_that_fit(mentions, max_mention_chars)), "n_mentions": len(mentions)}
    return {field.name: kept[field.name] if field.name in kept else values[field.name] for field in FIELDS}


def panel_record(whole: Mapping[str, Any], measured: Mapping[str, Any], panel: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a panel: that of the picture it was cut from, with what differs.

    Args:
        whole: record of the picture.
        measured: those of ``FIELDS`` that speak of the sample and its image file.
        panel: the fields of ``PANEL_FIELDS``; others are ignored.
    """
    return {**whole, **measured, **{field.name: panel[field.name] for field in PANEL_FIELDS}}


def encode(entry: Mapping[str, Any]) -> bytes:
    """Record as JSON: UTF-8, fields in the order of the dictionary, no white space."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()


def filled(entry: Mapping[str, Any]) -> int:
    """Bit set of the optional fields that have a value here, so that ``order`` can see who shows the type of what."""
    bits = sum(1 << i for i, name in enumerate(_OPTIONAL) if entry[name] not in (None, []))
    return bits | (1 << len(_OPTIONAL) if any(m["section"] for m in entry["mentions"]) else 0)


def hf_features(image_extensions: Iterable[str] = ("jpg",)) -> Any:
    """Types for ``datasets.load_dataset("webdataset", features=...)``, so that nothing has to be guessed.

    Args:
        image_extensions: image members to load; name all that occur when shards of several formats are loaded together.
    """
    import datasets  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

    types = {field.name: _hf_type(datasets, field) for field in FIELDS}
    images = {extension: datasets.Image() for extension in image_extensions}
    text = datasets.Value("string")
    return datasets.Features({**images, "txt": text, "json": types, "__key__": text, "__url__": text})


def _that_fit(mentions: Sequence[Mapping[str, Any]], max_chars: int) -> Iterable[dict[str, Any]]:
    left = max_chars
    for mention in mentions:
        left -= len(mention["text"])
        if left < 0:
            return
        yield {field.name: mention[field.name] for field in MENTION_FIELDS}


def _hf_type(datasets: Any, field: Field) -> Any:
    if field.kind != "mentions":
        return datasets.Value(
            {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool"}[field.kind]
        )
    span = {"start": datasets.Value("int64"), "end": datasets.Value("int64")}
    parts = {part.name: _hf_type(datasets, part) for part in MENTION_FIELDS}
    return datasets.List(parts | {"spans": datasets.List(span)})
