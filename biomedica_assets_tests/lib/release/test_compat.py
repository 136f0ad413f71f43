"""The 27 fields."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.release import compat, compat_rows
from biomedica_assets.lib.release.compat_export import export_biomedica
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.stage import ReleaseConfig
from biomedica_assets.lib.tables import IMAGES, SHARDS
from biomedica_assets_tests.lib.release import lakes

FACTS = Path(__file__).resolve().parents[4] / "shared" / "facts" / "biomedica.md"


@pytest.fixture(scope="module")
def exported(tmp_path_factory, release):
    target = tmp_path_factory.mktemp("export") / "biomedica"
    return target, export_biomedica(release, target)


def samples(target):
    for path in sorted(target.rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                yield key, extension, tar.extractfile(member).read()


@pytest.mark.corpus
def test_the_fields_are_those_that_were_published():
    if not FACTS.exists():
        pytest.skip("the published list is not here (../shared/facts)")
    table = FACTS.read_text().split("## 2.1 Fields")[1].split("## 2.2")[0]
    published = re.findall(r"^\| \d+ \| `(\w+)`", table, re.MULTILINE)
    assert len(published) == 27
    assert list(compat.FIELDS) == published


def test_every_sample_has_all_fields_and_no_word_for_nothing(exported):
    target, found = exported
    records = [json.loads(data) for _, extension, data in samples(target) if extension == "json"]
    assert len(records) == found.n_out > 100
    for record in records:
        assert tuple(record) == compat.JSON_FIELDS
        for value in record.values():
            assert value not in ("None", [""], "", "No caption found")
            assert "mirror/" not in json.dumps(value)
    assert any(record["article_mesh_terms"] for record in records)
    assert all(record["article_text"] is None for record in records)


def test_samples_in_are_samples_out_and_left_out(exported, release):
    _, found = exported
    assert found.n_in == scan(release, SHARDS).collect().height == found.n_out + len(found.rejects)


def test_plain_jpegs_keep_their_bytes_and_all_else_becomes_jpeg_once(exported, release):
    target, found = exported
    images = {r["media_id"]: r for r in scan(release, IMAGES).collect().iter_rows(named=True)}
    encoded = 0
    import hashlib

    for key, extension, data in samples(target):
        if extension != "jpg":
            continue
        if (
            images[key]["format"] == "jpeg"
            and images[key]["mode"] != "CMYK"
            and images[key]["orientation"] in {None, 1}
        ):
            assert hashlib.sha256(data).hexdigest() == images[key]["sha256"]
        else:
            encoded += 1
            with Image.open(io.BytesIO(data)) as image:
                assert (image.format, image.size) == ("JPEG", (images[key]["width"], images[key]["height"]))
    assert encoded == found.encoded > 0


def test_tables_are_read_once_for_a_chunk_however_many_shards_it_has(release, tmp_path, monkeypatch):
    """At full size the tables have 24 million rows, and a scan for each of 5 000 shards would read them 5 000 times."""
    scans = Counter()

    def counted(folder, table):
        scans[table.name] += 1
        return scan(folder, table)

    monkeypatch.setattr(compat_rows, "scan", counted)
    found = export_biomedica(release, tmp_path / "export")
    chunks = {"-".join(Path(tar).name.split("-")[:2]) for tar in found.tars}
    assert 1 < len(chunks) < len(found.tars)
    assert scans.pop("shards") == 1 + len(chunks)
    assert set(scans.values()) == {len(chunks)}


def test_samples_lie_in_the_order_of_the_shards(exported, release):
    target, found = exported
    expected = scan(release, SHARDS).collect().sort("shard", "position")
    left_out = {reject.subject for reject in found.rejects}
    keys = [key for key in expected["sample_key"] if key not in left_out]
    assert list(dict.fromkeys(key for key, _, _ in samples(target))) == keys
    assert list(found.tars) == sorted(path.relative_to(target).as_posix() for path in target.rglob("*.tar"))


def test_their_look_up_of_the_context_works(exported):
    """Users of BIOMEDICA look up image_context[image_cluster_id]."""
    target, _ = exported
    contexts = [
        (record["image_cluster_id"], record["image_context"])
        for _, extension, data in samples(target)
        if extension == "json" and (record := json.loads(data))["image_context"]
    ]
    assert contexts
    assert all(context[name] for name, context in contexts)


def test_webdataset_reads_it_as_it_reads_theirs(exported):
    import webdataset

    target, found = exported
    paths = [str(path) for path in sorted(target.rglob("*.tar"))]
    rows = list(webdataset.WebDataset(paths, shardshuffle=False).decode("pil").to_tuple("jpg", "txt", "json"))
    assert len(rows) == found.n_out
    assert all(text and record["image_size"] == list(image.size) for image, text, record in rows)


def test_the_differences_lie_beside_it(exported):
    target, _ = exported
    note = (target / "KNOWN_DIFFERENCES.md").read_text()
    assert "quality 95" in note
    assert json.loads((target / "export.json").read_text())["fields"] == list(compat.FIELDS)


def test_a_folder_that_holds_something_is_left_alone(release, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(PermanentFailure, match="not empty"):
        export_biomedica(release, tmp_path)


@pytest.mark.parametrize(
    ("date", "seconds"), [("1970", "0"), ("1970-02", "2678400"), ("2021-03-09", "1615248000"), (None, None)]
)
def test_dates_are_seconds_in_utc(date, seconds):
    assert compat._seconds(date) == seconds


@pytest.mark.full  # every sample through datasets, twice
@pytest.mark.parametrize("streaming", [False, True], ids=["copied", "streamed"])
def test_datasets_reads_every_sample_with_the_types_of_the_fields(exported, tmp_path, streaming):
    """Nothing is guessed from the first samples, where fields are null that others have."""
    import datasets

    target, found = exported
    loaded = datasets.load_dataset(str(target), split="train", cache_dir=str(tmp_path), streaming=streaming)
    assert {**loaded.features, **loaded.features["json"]}.keys() - {"json", "__key__", "__url__"} == set(compat.FIELDS)
    kinds = {name: type(kind).__name__ for name, kind in loaded.features["json"].items()}
    assert kinds["image_primary_label"] == kinds["article_mesh_terms"] == kinds["image_set"] == "List"
    assert loaded.features["json"]["article_reference_count"].dtype == "int64"
    assert isinstance(loaded.features["jpg"], datasets.Image)
    written = {key: json.loads(data) for key, extension, data in samples(target) if extension == "json"}
    rows = {row["__key__"]: row for row in loaded}
    assert rows.keys() == written.keys() and len(rows) == found.n_out
    for key, row in rows.items():
        assert row["json"] == written[key]
        assert list(row["jpg"].size) == row["json"]["image_size"] and row["txt"]


@pytest.mark.full
def test_one_licence_group_is_loaded_alone(exported, tmp_path):
    import datasets

    target, _ = exported
    loaded = datasets.load_dataset(str(target), "commercial", split="train", cache_dir=str(tmp_path), streaming=True)
    keys = {key for tar in (target / "commercial").glob("*.tar") for key in tarfile_keys(tar)}
    assert {row["__key__"] for row in loaded} == keys


def tarfile_keys(path):
    with tarfile.open(path) as tar:
        return {name.partition(".")[0] for name in tar.getnames()}


def test_what_is_invented_is_called_so_first(lake, tmp_path):
    invented = ReleaseConfig(version="called", pairs=False, invented=True, settings={"invented": True})
    export_biomedica(lakes.release(lake, invented), tmp_path / "export")
    body = (tmp_path / "export" / "README.md").read_text().split("---\n")[2].strip().splitlines()
    assert body[2].startswith("**Not for use as evidence: the articles, figures and captions are invented")
