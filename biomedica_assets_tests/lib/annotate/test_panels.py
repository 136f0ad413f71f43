"""Single or compound: gutters on drawn pictures, letters in captions, accuracy on hand-checked real figures."""

import csv
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lxml import etree
from PIL import Image

from biomedica_assets.lib.annotate import panels
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.tables import CAPTIONS, IMAGES, PANELS
from biomedica_assets_tests.lib.annotate.synthetic import CHUNK, KINDS, draw, publish, synthetic_lake

MIRROR = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "mirror"
HAND_LABELS = Path(__file__).with_name("panel_types.csv")
XLINK = "{http://www.w3.org/1999/xlink}href"


def filled(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (300, 400), ground: int = 255) -> np.ndarray:
    """A picture with textured boxes (top, left, bottom, right) on a plain ground."""
    gray = np.full(size, ground, dtype=np.uint8)
    noise = np.random.default_rng(0).integers(60, 180, size).astype(np.uint8)
    for top, left, bottom, right in boxes:
        gray[top:bottom, left:right] = noise[top:bottom, left:right]
    return gray


@pytest.mark.parametrize(
    ("boxes", "n"),
    [
        ([(10, 10, 290, 390)], 1),
        ([(10, 10, 290, 190), (10, 210, 290, 390)], 2),
        ([(10, 10, 140, 390), (160, 10, 290, 390)], 2),
        ([(10, 10, 140, 190), (10, 210, 140, 390), (160, 10, 290, 190), (160, 210, 290, 390)], 4),
        ([(10, 10, 290, 190), (10, 210, 140, 390), (160, 210, 290, 390)], 3),
        ([(40, 10, 290, 390), (5, 100, 25, 300)], 1),  # a title is no panel
        ([(10, 60, 290, 390), (60, 10, 240, 30)], 1),  # nor is the label of an axis
        ([(0, 0, 300, 199), (0, 201, 300, 400)], 2),  # photographs parted by a line of two pixels
        ([], 1),
    ],
)
def test_gutters_cut_a_picture_into_its_panels(boxes, n):
    assert panels.blocks_of(filled(*boxes))[0] == n


def test_white_gutters_between_dark_photographs_are_seen_although_the_edge_is_dark():
    gray = filled((0, 0, 300, 400))
    gray[:, 195:205] = 255
    assert panels.blocks_of(gray)[0] == 2


@pytest.mark.parametrize(
    ("caption", "n"),
    [
        ("(A) Before. (B) After.", 2),
        ("Cells (a, b) and tissue (c).", 3),
        ("Overview (A-D) and detail (E).", 5),
        ("A. Scheme. B. Result. C. Control.", 3),
        ("A, Western blot. B, quantification.", 2),
        ("(A and B) Two views. (C) Third.", 3),
        ("Left panel: cells. Right panel: tissue.", 2),
        ("Kaplan-Meier curve (n = 24).", 0),
        ("Patients of group (B) only.", 0),
        ("Hepatitis (A) virus.", 0),
        ("A plot of the data. It shows a rise.", 0),
        ("", 0),
    ],
)
def test_letters_count_only_as_a_row_that_starts_with_a(caption, n):
    assert panels.letters_of(caption) == n


def test_both_kinds_of_evidence_raise_the_probability():
    p = {(b, n): panels.Evidence(b, 0.1, n).p_multiple for b in (1, 2, 4) for n in (0, 2, 4)}
    assert p[1, 0] < 0.5 < min(p[2, 0], p[1, 2])
    assert all(p[b, n] < p[b, m] for b in (1, 2, 4) for n, m in ((0, 2), (2, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_figures_of_each_kind_are_told_apart(kind, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        draw(kind, i).save(path)
    found = {panels.look(path, None).p_multiple >= 0.5 for path in paths}
    assert found == {kind == "halves"}


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_every_mode_of_image_is_looked_at(mode, tmp_path):
    gray = Image.fromarray(filled((10, 10, 290, 190), (10, 210, 290, 390)))
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    picture = deep if mode == "I;16" else gray.convert(mode)
    path = tmp_path / ("x.tif" if mode in {"CMYK", "I;16"} else "x.png")
    picture.save(path)
    assert panels.look(path, None).n_blocks == 2


def test_the_stage_looks_once_again_only_where_image_or_caption_changed(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=4, members=3)
    engine = LocalEngine("threads", 2)
    first = panels.stage_panels(lake, CHUNK, engine)
    assert (first.rows, first.metrics["multiple"], first.metrics["reused"]) == (12, 3, 0)
    captions = lake.read(CAPTIONS, CHUNK)
    change = pl.when(pl.col("figure_id") == "f-m000-00").then(pl.lit("(A) x (B) y")).otherwise("caption")
    publish(lake, CAPTIONS, CHUNK, list(captions.with_columns(caption=change).iter_rows(named=True)))
    second = panels.stage_panels(lake, CHUNK, engine)
    assert (second.metrics["multiple"], second.metrics["reused"]) == (4, 11)
    assert panels.stage_panels(lake, CHUNK, engine).data_version == second.data_version


def test_a_broken_file_is_a_reject_and_the_others_go_on(tmp_path):
    lake = synthetic_lake(tmp_path, clusters=1, members=3)
    (tmp_path / "mirror" / "m000-01.png").write_bytes(b"rubbish")
    report = panels.stage_panels(lake, CHUNK, LocalEngine("threads", 2))
    assert (report.rows, report.rejects, report.reconciles) == (2, {"image_undecodable": 1}, True)
    (reject,) = lake.read_rejects(PANELS, CHUNK).iter_rows(named=True)
    assert (reject["article_id"], reject["subject"]) == ("PMC1.1", "m000-01")
    assert lake.read(IMAGES, CHUNK).height == 3


def caption_of(key: str) -> str | None:
    """Caption of the figure whose graphic names the file, by stem."""
    article, name = key.split("/")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    tree = etree.parse(str(MIRROR / article / f"{article}.xml"), parser)
    for figure in tree.iter("{*}fig", "{*}table-wrap"):
        for graphic in figure.iter("{*}graphic", "{*}inline-graphic"):
            href = Path(graphic.get(XLINK, "")).name
            if href in {name, Path(name).stem} or Path(href).stem == Path(name).stem:
                found = figure.find("{*}caption")
                return None if found is None else " ".join(found.itertext())
    return None


@pytest.mark.corpus
@pytest.mark.parametrize(("fold", "at_least", "n"), [("dev", 0.88, 72), ("test", 0.80, 86)])
def test_accuracy_on_hand_checked_figures_of_real_articles(fold, at_least, n):
    """The list, and how it was checked, is ``panel_types.csv``; the floors lie a little below what was measured."""
    if not MIRROR.is_dir():
        pytest.skip("the corpus is not beside the repository (../shared/corpus)")
    with HAND_LABELS.open() as handle:
        rows = [r for r in csv.DictReader(line for line in handle if not line.startswith("#")) if r["fold"] == fold]
    rows = [r for r in rows if r["panel_type"] != "unclear"]
    assert len(rows) == n
    right = [
        (panels.look(MIRROR / r["key"], caption_of(r["key"])).p_multiple >= 0.5) == (r["panel_type"] == "multiple")
        for r in rows
    ]
    majority = max(sum(r["panel_type"] == kind for r in rows) for kind in ("single", "multiple")) / n
    assert sum(right) / n >= at_least > majority
