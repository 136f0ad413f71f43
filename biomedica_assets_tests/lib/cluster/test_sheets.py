"""The stage ``contact_sheets``: who is shown, the pictures, the pages."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from biomedica_assets.lib.cluster import FitSettings, SheetSettings, assign_chunk, fit_clusters, make_contact_sheets
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.embed import embed_chunk, open_encoder, shelve
from biomedica_assets.lib.errors import PermanentFailure, StoreError
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CLUSTERS, CONTACT_SHEETS
from biomedica_assets_tests.lib.embed.lakes import KINDS, fill, kinds, lake_of
from biomedica_assets_tests.support.garbage import take_out

SERIAL = LocalEngine("serial")
CHUNKS = ("PMC001-0000", "PMC001-0020")
SMALL = SheetSettings(per_role=3, side=48, seed=1)


def clustered(lake: Lake, k: int = 3) -> None:
    """Run the stages up to ``clusters``."""
    encoder = open_encoder("texture")
    for chunk in CHUNKS:
        embed_chunk(lake, chunk, encoder=encoder, engine=SERIAL)
    shelve(lake, "PMC001")
    fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=k))
    for chunk in CHUNKS:
        assign_chunk(lake, chunk, engine=SERIAL)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A lake with 60 images in 3 clusters; tests take copies of it."""
    lake = lake_of(tmp_path_factory.mktemp("prepared"), 60)
    clustered(lake)
    return lake.root


@pytest.fixture
def lake(prepared, tmp_path) -> Lake:
    return Lake(shutil.copytree(prepared, tmp_path / "lake"))


def test_clusters_of_texture_vectors_are_the_kinds_of_the_pictures(lake):
    """Purity on known truth: charts, stains and scans never share a cluster."""
    rows = lake.scan(CLUSTERS).with_columns(kind=pl.col("media_id").str.split("-").list.last()).collect()
    assert rows.group_by("cluster").agg(pl.col("kind").n_unique())["kind"].to_list() == [1] * len(KINDS)


def test_central_border_and_random_images_are_those_by_distance_margin_and_seed(lake):
    make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    sheets = lake.read(CONTACT_SHEETS, None)
    every = lake.scan(CLUSTERS).with_columns(margin=pl.col("runner_up_distance") - pl.col("distance")).collect()
    for number in range(3):
        members = every.filter(pl.col("cluster") == number)
        shown = {
            role: sheets.filter(cluster=number, role=role).sort("rank") for role in ("central", "border", "random")
        }
        central = members.sort("distance", "media_id")["media_id"][:3].to_list()
        assert shown["central"]["media_id"].to_list() == central
        border = members.filter(~pl.col("media_id").is_in(central)).sort("margin", "media_id")["media_id"][:3].to_list()
        assert shown["border"]["media_id"].to_list() == border
        rest = shown["random"]["media_id"].to_list()
        assert len(rest) == 3
        assert not set(rest) & {*central, *border}
        assert set(rest) <= set(members["media_id"])
        assert sheets.filter(cluster=number)["n_images"].unique().to_list() == [members.height]


def test_the_seed_changes_only_the_random_images(lake):
    make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    first = lake.read(CONTACT_SHEETS, None)
    make_contact_sheets(lake, engine=SERIAL, settings=SheetSettings(per_role=3, side=48, seed=2))
    second = lake.read(CONTACT_SHEETS, None)
    same = {
        role: first.filter(role=role)["media_id"].equals(second.filter(role=role)["media_id"])
        for role in ("central", "border", "random")
    }
    assert same == {"central": True, "border": True, "random": False}


def test_a_cell_of_the_sheet_shows_its_image(lake):
    make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    white = {"chart": True, "stain": False, "scan": False}
    for row in lake.read(CONTACT_SHEETS, None).iter_rows(named=True):
        with Image.open(lake.root / row["sheet"]) as sheet:
            assert sheet.format == "WEBP"
            cell = np.asarray(sheet.convert("RGB").crop((row["x"], row["y"], row["x"] + 48, row["y"] + 48)))
        middle = cell[20:28, 6:42].reshape(-1, 3)
        kind = row["media_id"].split("-")[-1]
        assert (np.median(middle) > 240) == white[kind]
        assert (middle[:, 0].mean() - middle[:, 1].mean() > 40) == (kind == "stain")


def test_equal_work_gives_equal_bytes_and_an_interrupted_run_is_continued(lake, tmp_path):
    first = make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    other = lake_of(tmp_path / "other", 60)
    clustered(other)
    assert (
        make_contact_sheets(other, engine=LocalEngine("processes", 2), settings=SMALL).data_version
        == first.data_version
    )
    folder = Path(lake.root / str(first.metrics["index"])).parent
    kept = folder / "cluster-00000.webp"
    kept.with_name("cluster-00001.webp").unlink()
    stamp = kept.stat().st_mtime_ns
    assert make_contact_sheets(lake, engine=SERIAL, settings=SMALL).data_version == first.data_version
    assert kept.stat().st_mtime_ns == stamp


class Links(HTMLParser):
    """Collects links, images and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.targets += [found[name] for name in ("href", "src") if found.get(name)]
        self.targets += re.findall(r"url\(([^)]*)\)", found.get("style") or "")

    def handle_data(self, data):
        self.text += data


def page(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def test_every_link_of_every_page_leads_to_a_file_and_captions_stand_beside(lake):
    report = make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    index = lake.root / str(report.metrics["index"])
    pages = sorted(index.parent.glob("*.html"))
    assert len(pages) == 4
    for path in pages:
        for target in page(path).targets:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
    shown = lake.read(CONTACT_SHEETS, None).filter(cluster=0)
    text = page(index.with_name("cluster-00000.html")).text
    assert all(caption in text for caption in shown["caption"])


def test_captions_cannot_carry_markup_into_a_page(lake):
    report = make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    source = (lake.root / str(report.metrics["index"])).with_name("cluster-00000.html").read_text()
    assert "Caption of <m" not in source
    assert "Caption of &lt;m" in source


def test_images_without_caption_are_shown_without(tmp_path):
    lake = Lake(tmp_path)
    for i, chunk in enumerate(CHUNKS):
        fill(lake, chunk, kinds(15, first=15 * i), captions=False)
    clustered(lake, k=1)
    report = make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    assert lake.read(CONTACT_SHEETS, None)["caption"].null_count() == 9
    assert "No caption." in (lake.root / str(report.metrics["index"])).with_name("cluster-00000.html").read_text()


def test_the_manifest_lists_all_sheets_and_the_earlier_ones_are_garbage(lake):
    make_contact_sheets(lake, engine=SERIAL)
    earlier = {entry.path for entry in lake.manifest(CONTACT_SHEETS, None).files}
    make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    assert all((lake.root / path).exists() for path in earlier), "people may be looking at them"
    assert earlier <= take_out(lake)
    below = {lake.path_below(p) for p in (lake.root / "annotations" / "contact_sheets").rglob("*") if p.is_file()}
    assert below == {entry.path for entry in lake.manifest(CONTACT_SHEETS, None).files}


def test_clusters_of_an_older_model_are_named(lake):
    fit_clusters(lake, engine=SERIAL, settings=FitSettings(k=2))
    assign_chunk(lake, CHUNKS[0], engine=SERIAL)
    with pytest.raises(PermanentFailure, match="clusters of PMC001-0020 come from another model"):
        make_contact_sheets(lake, engine=SERIAL, settings=SMALL)


def test_images_that_went_away_are_named_with_the_way_out(lake):
    fill(lake, CHUNKS[0], kinds(3))
    with pytest.raises(
        PermanentFailure, match="no longer in images; materialise embeddings and clusters of PMC001-0000"
    ):
        make_contact_sheets(lake, engine=SERIAL, settings=SMALL)


def test_a_picture_that_cannot_be_read_is_named(lake):
    for path in (lake.root / "mirror" / CHUNKS[0]).iterdir():
        path.write_bytes(b"gone")
    with pytest.raises(StoreError, match=r"mirror/PMC001-0000/.* cannot be shown on a contact sheet"):
        make_contact_sheets(lake, engine=SERIAL, settings=SMALL)


def test_the_preview_is_a_picture(lake):
    report = make_contact_sheets(lake, engine=SERIAL, settings=SMALL)
    assert [picture.media_type for picture in report.pictures] == ["image/webp"]
    assert report.pictures[0].data[8:12] == b"WEBP"
    assert lake.inputs((CAPTIONS, CHUNKS[0])).items() <= lake.manifest(CONTACT_SHEETS, None).inputs.items()
