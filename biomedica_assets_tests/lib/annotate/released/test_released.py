"""Labels of others: every record is joined or counted, renamed files are found, a killed intake goes on."""

import csv
import io
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from biomedica_assets import cli
from biomedica_assets.lib.annotate.released import intake, join
from biomedica_assets.lib.annotate.released.definition import load_definition
from biomedica_assets.lib.annotate.released.readers import records
from biomedica_assets.lib.annotate.sources import claims, combine
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.phash import hash_of_file
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import CAPTIONS, CHUNK_LISTING, IMAGES, RELEASED_LABELS, RELEASED_RECORDS
from biomedica_assets_tests.lib.annotate.sources.test_scores import JUDGED, stem_of
from biomedica_assets_tests.lib.annotate.synthetic import publish, row

TAXONOMY = load()
CHUNK = "PMC000-0000"
GLOBAL = {"kind-plot": "Plots and Charts", "kind-microscopy": "Microscopy", "kind-map": "Maps"}


def jpeg(data: bytes, side: int = 1000) -> bytes:
    """A picture as BIOMEDICA wrote it: JPEG of quality 75, at most 1000 pixels a side."""
    with Image.open(io.BytesIO(data)) as image:
        picture = image.convert("RGB")
    picture.thumbnail((side, side))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=75)
    return out.getvalue()


def released(pmcid, name, kinds=("Plots and Charts",), local=(), **more):
    """A record with BIOMEDICA's fields as step 06 of its code types them; fields that are not read are short."""
    image = name.rsplit(".", 1)[0]
    return {
        "image_file_name": name, "image_cluster_id": image, "image_hash": "0" * 64, "image_label_id": "191",
        "image_panel_type": "single", "image_panel_subtype": "single panel", "image_primary_label": list(kinds),
        "image_secondary_label": list(local), "image_size": [400, 300], "image_set": [{"image_id": image}],
        "image_context": None, "article_accession_id": pmcid, "article_title": "T", "article_journal": "",
        "article_date": "None", "article_abstract": "", "article_mesh_terms": None, "article_keywords": None,
        "article_reference_ids": [""], "article_reference_count": [""], "article_reference_list": [""],
        "article_subject": [""], "article_citation": "", "article_license": "CC BY", "article_text": "FULLTEXT",
        **more,
    }  # fmt: skip


def shard(path: Path, *samples) -> Path:
    """A tar of samples: fields, caption (None is written as BIOMEDICA does) and picture."""
    with tarfile.open(path, "w") as tar:
        for number, (fields, caption, picture) in enumerate(samples):
            members = {"json": json.dumps(fields).encode(), "txt": str(caption).encode(), "jpg": picture}
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{fields['article_accession_id']}_{number}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def noise(seed: int) -> bytes:
    small = Image.effect_noise((24, 18), 90 + seed)
    out = io.BytesIO()
    small.resize((240, 180)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def lake(tmp_path):
    """Two articles: one with four pictures, two of which share a caption; one with one."""
    lake = Lake(tmp_path / "data")
    images, captions, data = [], [], {}
    for number, (article, file, caption) in enumerate(
        [
            ("PMC1.1", "a-g001.png", "Growth of cells."),
            ("PMC1.1", "a-g002.png", "Shared caption."),
            ("PMC1.1", "a-g003.png", "Shared caption."),
            ("PMC1.1", "a-g004.tif", None),
            ("PMC2.1", "a-g001.png", "Another article's picture."),
        ]
    ):
        media = f"m{number}"
        data[media] = noise(number)
        seen = {"media_id": media, "figure_id": f"f{number}", "article_id": article, "key": f"{article}/{file}"}
        images.append(row(IMAGES, **seen, href=file.split(".")[0], phash=hash_of_file(data[media])))
        captions.append(row(CAPTIONS, figure_id=f"f{number}", article_id=article, caption=caption or ""))
    publish(lake, IMAGES, CHUNK, images)
    publish(lake, CAPTIONS, CHUNK, captions)
    publish(lake, CHUNK_LISTING, CHUNK, [row(CHUNK_LISTING, article_id="PMC1.1")])
    return lake, {media: jpeg(picture) for media, picture in data.items()}


def taken(lake, *places, **options):
    definition = options.pop("definition", None) or load_definition(None, "biomedica", TAXONOMY)
    return intake.take_in(
        lake, definition, [str(place) for place in places], chunk_span=20_000, hash_picture=hash_of_file, **options
    )


def ways(lake):
    return {(m, c): w for m, c, w in lake.read(RELEASED_LABELS, CHUNK).select("media_id", "concept_id", "way").rows()}


def test_records_are_joined_by_name_then_caption_then_picture_and_the_rest_is_counted(lake, tmp_path):
    """Every record that came in is in exactly one count."""
    lake, pictures = lake
    path = shard(
        tmp_path / "000000.tar",
        (released("PMC1", "A-G001.jpg"), "whatever", pictures["m0"]),  # its name
        (released("PMC2", "a-g001.jpg", ["Microscopy"], ["confocal microscopy"]), "x", pictures["m4"]),
        (released("PMC1", "renamed1.jpg", ["Maps"]), " growth OF  cells", pictures["m0"]),  # its caption
        (released("PMC1", "renamed2.jpg"), "Shared caption.", pictures["m2"]),  # caption of two, one looks like it
        (released("PMC1", "renamed3.jpg"), "Shared caption.", jpeg(noise(77))),  # neither looks like it
        (released("PMC1", "renamed4.jpg"), None, pictures["m3"]),  # its looks alone
        (released("PMC1", "gone.jpg"), None, jpeg(noise(78))),
        (released("PMC3", "x.jpg"), "x", pictures["m0"]),  # an article that is not here
        (released("PMC7000000", "x.jpg"), "x", pictures["m0"]),  # nor its chunk
        (released("None", "a-g001.jpg"), "x", pictures["m0"]),
        (released("PMC1", "a-g001.jpg", ["No such class"]), "x", pictures["m0"]),
    )
    found = taken(lake, path)
    assert (found.records, found.left_out) == (11, {"elsewhere": 1, "no_concept": 1, "no_pmcid": 1})
    assert found.strange == 1
    assert lake.read(RELEASED_RECORDS, CHUNK).height == 8
    report = join.stage_labels(lake, CHUNK)
    counts = {name: report.metrics[name] for name in report.metrics if name not in {"images", "records"}}
    assert counts == {
        "joined_by_file": 2, "joined_by_caption": 2, "joined_by_picture": 1,
        "article_absent": 1, "image_absent": 1, "ambiguous": 1,
    }  # fmt: skip
    assert sum(counts.values()) == report.metrics["records"] == report.n_in
    assert ways(lake) == {
        ("m0", "kind-plot"): "file", ("m0", "kind-map"): "caption", ("m2", "kind-plot"): "caption",
        ("m3", "kind-plot"): "picture", ("m4", "kind-confocal-microscopy"): "file",
    }  # fmt: skip


def test_released_labels_are_a_source_of_their_own_beside_the_text(lake, tmp_path):
    lake, pictures = lake
    taken(lake, shard(tmp_path / "a.tar", (released("PMC1", "a-g001.jpg", ["Maps"]), "x", pictures["m0"])))
    join.stage_labels(lake, CHUNK)
    said = claims.gather(lake, CHUNK, TAXONOMY)
    assert said.rows() == [("m0", "kind-map", "released:biomedica", "likely")]
    (row,) = combine.combined(said, combine.Trust({}, {}), TAXONOMY).iter_rows(named=True)
    assert (row["global"], row["global_provenance"]) == (["kind-map"], "released:biomedica")
    agreed = pl.concat([said, said.with_columns(source=pl.lit("text"), symbol=pl.lit("head"))])
    (both,) = combine.combined(agreed, combine.Trust({}, {}), TAXONOMY).iter_rows(named=True)
    assert both["global_confidence"] > row["global_confidence"]
    assert both["global_provenance"] == "released:biomedica+text"


def test_a_killed_intake_goes_on_with_the_next_file_and_ends_with_the_same_bytes(lake, tmp_path, monkeypatch):
    """A file that was read whole is not read again; the one that was being read is."""
    lake, pictures = lake
    places = [shard(tmp_path / f"{n}.tar", (released("PMC1", f"a-g00{n}.jpg"), "x", pictures["m0"])) for n in (1, 2, 3)]
    read: list[str] = []

    def failing(place, columns):
        read.append(Path(place).name)
        yield from records(place, columns)
        if Path(place).name == "2.tar" and len(read) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(intake, "records", failing)
    with pytest.raises(KeyboardInterrupt):
        taken(lake, *places)
    assert not lake.partitions(RELEASED_RECORDS)
    assert taken(lake, *places).files_read == 2
    assert read == ["1.tar", "2.tar", "2.tar", "3.tar"]
    version = lake.version(RELEASED_RECORDS, CHUNK)
    assert taken(lake, *places).files_read == 0
    other = Lake(tmp_path / "other")
    publish(other, CHUNK_LISTING, CHUNK, [row(CHUNK_LISTING, article_id="PMC1.1")])
    taken(other, *places)
    assert version == lake.version(RELEASED_RECORDS, CHUNK) == other.version(RELEASED_RECORDS, CHUNK)
    places[0].unlink()
    shard(places[0], (released("PMC1", "a-g001.jpg", ["Maps"]), "x", pictures["m1"]))
    assert taken(lake, places[0]).files_read == 1  # it changed; the others count on
    assert lake.read(RELEASED_RECORDS, CHUNK)["concepts"].to_list() == [["kind-map"], ["kind-plot"], ["kind-plot"]]


def test_chunks_are_written_in_groups_that_bound_memory(monkeypatch):
    assert list(intake._groups({"a": 3, "b": 3, "c": 9, "d": 1}, 6)) == [["a", "b"], ["c"], ["d"]]


MINE = """
trust: 0.9
pmcid: pmc
file: graphic
labels: [type]
concepts: {bar chart: [kind-bar-plot], MRI: [kind-magnetic-resonance]}
"""


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_any_table_with_an_article_and_a_file_is_taken_in_by_a_small_definition(lake, tmp_path, capsys, ending):
    """Through the command, whose counts a person reads."""
    lake, _ = lake
    frame = pl.DataFrame(
        {"pmc": ["1", "PMC2.1", "PMC1", "x"], "graphic": ["a-g001", "fig/A-G001.PNG", "a-g003.png", "a"],
         "type": ["Bar Chart|mri", "MRI", "dragon", "mri"], "more": [1, 2, 3, 4]}
    )  # fmt: skip
    path, yaml = tmp_path / f"mine.{ending}", tmp_path / "mine.yaml"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[ending](path)
    yaml.write_text(MINE)
    words = ["labels", "--data-dir", str(lake.root)]
    assert cli.main([*words, "--read", str(path), "--name", "mine", "--definition", str(yaml)]) == 0
    told = capsys.readouterr().out
    assert "4 records of mine (1 files read now): 2 speak of 1 chunks; no_concept 1; no_pmcid 1" in told
    join.stage_labels(lake, CHUNK)
    assert set(ways(lake)) == {
        ("m0", "kind-bar-plot"), ("m0", "kind-magnetic-resonance"), ("m4", "kind-magnetic-resonance")
    }  # fmt: skip
    assert set(lake.read(RELEASED_LABELS, CHUNK)["name"]) == {"mine"}
    assert cli.main(words) == 0
    assert "joined_by_file\t2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (MINE.replace("kind-bar-plot", "kind-nothing"), "kind-nothing"),
        (MINE.replace("file: graphic", ""), "one of file, caption and picture"),
        (MINE.replace("pmcid: pmc", ""), "pmcid"),
        (MINE + "taxonomy: collapsed\n", "either concepts or taxonomy"),
        ("[", "does not define"),
    ],
)
def test_a_wrong_definition_is_refused_in_one_line(tmp_path, body, named):
    path = tmp_path / "mine.yaml"
    path.write_text(body)
    with pytest.raises(PermanentFailure, match=r"mine\.yaml") as caught:
        load_definition(path, "mine", TAXONOMY)
    assert named in str(caught.value)


def test_an_unreadable_file_is_refused_by_name(tmp_path):
    for name in ("a.tar", "a.parquet", "a.csv", "a.zip"):
        (tmp_path / name).write_bytes(b"\x00nothing of the kind")
        with pytest.raises(PermanentFailure, match=name.replace(".", r"\.")):
            list(records(str(tmp_path / name), ["pmcid"]))
    with pytest.raises(PermanentFailure, match="absent"):
        list(records(str(tmp_path / "absent.tar"), ["pmcid"]))


@pytest.mark.corpus
def test_a_stand_in_of_biomedicas_records_made_of_real_pictures_is_joined_whole(corpus, tmp_path):
    """Real files in their layout: of every five records one has another name, one neither name nor caption."""
    keys = [line["key"] for line in csv.DictReader(JUDGED.open())]
    lake = Lake(tmp_path / "data")
    images, captions, samples = [], [], []
    for number, key in enumerate(keys):
        data = (corpus / key).read_bytes()
        pmcid, name = key.split(".")[0], key.split("/")[-1]
        caption = f"What {key} shows, in its own words."
        seen = {"media_id": f"m{number:03d}", "figure_id": f"f{number}", "article_id": key.split("/")[0]}
        images.append(row(IMAGES, **seen, key=key, href=stem_of(key).split("/")[1], phash=hash_of_file(data)))
        captions.append(row(CAPTIONS, figure_id=f"f{number}", article_id=seen["article_id"], caption=caption))
        kind = number % 5
        fields = released(pmcid, name if kind < 3 else f"new-{number}.jpg")
        samples.append((fields, caption if kind < 4 else None, jpeg(data)))
    samples += [(released("PMC9", name), "Nothing of ours.", jpeg(noise(5))) for name in ("a.jpg", "b.jpg")]
    publish(lake, IMAGES, CHUNK, images)
    publish(lake, CAPTIONS, CHUNK, captions)
    publish(lake, CHUNK_LISTING, CHUNK, [row(CHUNK_LISTING, article_id="PMC9.1")])
    # all of them in one chunk, wherever their articles lie: what is tested is the join
    definition = load_definition(None, "biomedica", TAXONOMY)
    path = shard(tmp_path / "000000.tar", *samples)
    found = intake.take_in(lake, definition, [str(path)], chunk_span=1_000_000, hash_picture=hash_of_file)
    assert found.records == len(samples)
    parts = pl.concat([pl.read_parquet(p) for p in (lake.root / "released" / "biomedica").glob("*.parquet")])
    joined, others = join.join(parts.sort("row"), join.images_of(lake, CHUNK))
    by_way = dict(joined.group_by("way").agg(pl.col("record").n_unique()).iter_rows())
    assert all(keys[record] == keys[int(media_id[1:])] for record, media_id, _ in joined.iter_rows())
    assert joined.height == joined["record"].n_unique() + 2  # one file stands in two figures, and in two records
    n_renamed = sum(number % 5 == 3 for number in range(len(keys)))
    assert by_way["file"] == sum(number % 5 < 3 for number in range(len(keys)))
    assert by_way["caption"] == n_renamed
    assert by_way["picture"] >= 0.8 * sum(number % 5 == 4 for number in range(len(keys)))
    assert joined["record"].n_unique() + others.height == len(samples)
    assert others.filter(why="article_absent").height == 2
