"""Tables of compound figures: what a caption says of each panel, and where the panels lie."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.figures import SPANS
from biomedica_assets.lib.tables.model import F32, I32, I64, STRINGS, S, Table
from biomedica_assets.lib.tables.model import column as _c

SUBCAPTIONS = Table(
    "subcaptions",
    "What each caption says of which panels, as exact spans into it; a caption that cannot be cut surely has no row.",
    "chunk",
    ("figure_id", "part"),
    (
        _c("figure_id", S, "figure whose caption it is", src="captions.figure_id"),
        _c("article_id", S, "PMC123.1", src="captions.article_id"),
        _c("part", I32, "place among the sub-captions of the figure, from 0, in the order of the caption"),
        _c("labels", STRINGS, "panels it speaks of, as printed, ranges expanded; or words of place: left, top"),
        _c("kind", S, "how the panels are named: letter (A), part (Ai, B2; at least one of them) or place (left)"),
        _c(
            "text",
            S,
            "what a reader of these panels alone should read: shared and own words in order, in the reading form",
            src="captions.caption_reading captions.caption",
        ),
        _c(
            "words",
            STRINGS,
            "the text in pieces, one for each span",
            src="captions.caption_reading captions.caption",
        ),
        _c("spans", SPANS, "those words in captions.caption, in characters, end excluded", src="captions.caption"),
        _c("own", SPANS, "of these, the words that speak of these panels alone", src="captions.caption"),
    ),
)

PANEL_BOXES = Table(
    "panel_boxes",
    "Where the panels of each picture lie, and which sub-captions speak of each; a single picture is one panel.",
    "chunk",
    ("media_id", "panel"),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("figure_id", S, "figure it belongs to", src="images.figure_id"),
        _c("article_id", S, "PMC123.1", src="images.article_id"),
        _c("panel", I32, "place on the picture, from 0: in the order of the letters, else in reading order"),
        _c("n_panels", I32, "panels of the picture"),
        _c(
            "label",
            S,
            "letter as read or, where none was, as the caption names the panel at its place; null if not known",
            null=True,
            src="subcaptions.labels",
        ),
        _c("x0", I32, "left edge in pixels of the upright picture"),
        _c("y0", I32, "upper edge in pixels"),
        _c("x1", I32, "one past the right edge"),
        _c("y1", I32, "one past the lower edge"),
        _c("score", F32, "how sure cuts and letter are, 0..1; no probability"),
        _c("method", S, "letters (cut so that each letter has a panel), gutters, grid (a montage), or whole (single)"),
        _c(
            "parts",
            pl.List(pl.Int32()),
            "sub-captions that speak of it, places as in subcaptions.part; null if none was linked",
            null=True,
            src="subcaptions.part",
        ),
        _c("link_score", F32, "how far the link can be trusted, 0..1: the score, half of it by order", null=True),
        _c("link_method", S, "label (the same letter) or order (no letters, equal numbers); null likewise", null=True),
        _c("sha256", S, "file that was looked at", src="images.sha256"),
        _c("told", S, "digest of the labels that were known when it was looked at", src="subcaptions.labels"),
    ),
)

PANEL_SHARDS = Table(
    "panel_shards",
    "One row per panel that is a sample of its own, cropped, with the words that speak of it; empty unless a recipe "
    "takes panels.",
    "chunk",
    ("sample_key",),
    (
        _c("sample_key", S, "key of the sample: that of the whole picture and the panel, [a-z0-9_-]"),
        _c("media_id", S, "image that the panel was cut from", src="panel_boxes.media_id"),
        _c("figure_id", S, "figure of that image", src="panel_boxes.figure_id"),
        _c("article_id", S, "PMC123.1", src="panel_boxes.article_id"),
        _c("license_group", S, "commercial, noncommercial or other", src="shards.license_group"),
        _c("panel", I32, "place on the picture", src="panel_boxes.panel"),
        _c("link_score", F32, "how far it is sure that these are its words, 0..1", src="panel_boxes.link_score"),
        _c("source_sha256", S, "SHA-256 of the file that it was cut from", src="shards.sha256"),
        _c("shard", S, "path of the tar below the data directory"),
        _c("position", I32, "position of the sample in its shard"),
        _c("start", I64, "first byte of the sample (header of its first member)"),
        _c("end", I64, "one past its last byte, padding included"),
        _c("image_ext", S, "extension of the image member: jpg where the whole picture is one, else png"),
        _c("image_start", I64, "first byte of the image's data"),
        _c("image_bytes", I64, "size of the image"),
        _c("txt_start", I64, "first byte of the text"),
        _c("txt_bytes", I64, "size of the text in UTF-8", src="subcaptions.text"),
        _c("json_start", I64, "first byte of the JSON's data"),
        _c("json_bytes", I64, "size of the JSON"),
        _c("sha256", S, "SHA-256 of the image bytes"),
        _c("check", pl.UInt32(), "CRC-32 of the image XOR CRC-32 of all other bytes from start to end"),
    ),
)
