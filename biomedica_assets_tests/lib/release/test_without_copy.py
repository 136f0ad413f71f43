"""A release that holds no pictures: its samples are those of one that does, each picture fetched from the bucket."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile

import pytest
from PIL import Image

from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import load
from biomedica_assets.lib.release.upload import refusals
from biomedica_assets.lib.release.verify import verify
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.stream.index import Index
from biomedica_assets.lib.tables import CHECKPOINTS, SOURCES
from biomedica_assets_tests.lib.release.test_afar import keys, stream
from biomedica_assets_tests.lib.release.test_train import train
from biomedica_assets_tests.support.s3_standin import S3StandIn


@pytest.fixture
def bucket(demo_mirror, tmp_path):
    """A copy of the source that a test may change."""
    return shutil.copytree(demo_mirror, tmp_path / "bucket")


def test_it_holds_no_picture_and_is_what_its_manifest_says(without_pictures, with_recipe):
    told = load(without_pictures)
    assert {"shard", "pairs"}.isdisjoint(file.kind for file in told.files)
    assert not (without_pictures / "shards").exists() and not (without_pictures / "pairs").exists()
    assert verify(without_pictures) == [] and refusals(without_pictures) == []
    assert (
        told.counts["samples"]
        == load(with_recipe).counts["samples"]
        == scan(without_pictures, SOURCES).collect().height
    )
    card = (without_pictures / "README.md").read_text(encoding="utf-8")
    assert "This release holds no pictures." in card and "--pictures source" in card
    assert "--pictures source" not in (with_recipe / "README.md").read_text(encoding="utf-8")


def test_the_stream_is_that_of_the_shards_bit_for_bit(without_pictures, with_recipe, demo_mirror, tmp_path):
    for more in (("--of", "1"), ("--split", "test", "--of", "1"), ("--shard", "1", "--of", "3", "--epoch", "2")):
        whole = stream(str(with_recipe), *more, cwd=tmp_path)
        done = stream(str(without_pictures), "--source", str(demo_mirror), *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert whole.returncode == 0 and len(whole.stdout) > 10_000
        assert done.stdout == whole.stdout


def test_a_condition_selects_within_it(without_pictures, with_recipe, demo_mirror, tmp_path):
    more = ("--where", "image_ext = 'jpg' and width >= 100", "--of", "1")
    whole = stream(str(with_recipe), *more, cwd=tmp_path)
    done = stream(str(without_pictures), "--source", str(demo_mirror), *more, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, whole.stdout), done.stderr


def test_many_are_under_way_and_the_order_is_the_recipes(without_pictures, with_recipe, demo_mirror, tmp_path):
    """From a bucket that takes 50 ms for each answer, refuses some, and damages some on their way."""
    whole = stream(str(with_recipe), "--of", "1", cwd=tmp_path)
    places = scan(without_pictures, SOURCES).collect().sort("sample_key")["key"].to_list()
    faults = {places[3]: ["corrupt"], places[5]: ["truncate"], places[7]: ["503", "reset"], places[-1]: ["corrupt"]}
    with S3StandIn(demo_mirror, delay=0.05, faults=faults) as bucket:
        place = f"{bucket.endpoint}/{bucket.bucket}"
        done = stream(str(without_pictures), "--source", place, "--in-flight", "32", "--of", "1", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, whole.stdout), done.stderr
        assert 8 <= bucket.most_in_flight <= 33
        asked = {places[n] for n in (3, 5, 7, -1)} & {*bucket.requests}
        assert asked and all(bucket.requests[key] > 1 for key in asked)


def test_what_the_bucket_lost_or_changed_is_left_out_named_and_counted(without_pictures, with_recipe, bucket, tmp_path):
    rows = scan(without_pictures, SOURCES).collect().sort("sample_key")
    whole = stream(str(with_recipe), "--of", "1", cwd=tmp_path)
    inside = [row for row in rows.iter_rows(named=True) if row["sample_key"] in set(keys(whole.stdout))]
    lost, changed = inside[0], inside[1]
    (bucket / lost["key"]).unlink()
    (bucket / changed["key"]).write_bytes(b"another picture")
    stats = tmp_path / "stats.jsonl"
    done = stream(str(without_pictures), "--source", str(bucket), "--of", "1", "--stats", str(stats), cwd=tmp_path)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert set(keys(whole.stdout)) - set(keys(done.stdout)) == {lost["sample_key"], changed["sample_key"]}
    assert f"sample {lost['sample_key']} left out" in said
    assert f"{changed['key']} has changed in the source since this release was made" in said
    assert json.loads(stats.read_text().splitlines()[-1])["skipped"] == 2


def test_a_bucket_without_any_of_the_pictures_ends_the_stream(without_pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    done = stream(str(without_pictures), "--source", str(tmp_path / "empty"), "--of", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "name the bucket that has them with --source" in done.stderr.decode().splitlines()[-1]


def test_a_second_epoch_with_a_cache_touches_no_network(without_pictures, demo_mirror, tmp_path):
    cache = ("--cache", str(tmp_path / "cache"), "--of", "1")
    first = stream(str(without_pictures), "--source", str(demo_mirror), *cache, cwd=tmp_path)
    # The same place, with nothing in it any more.
    (tmp_path / "gone").mkdir()
    again = stream(str(without_pictures), "--source", str(tmp_path / "gone"), *cache, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert (again.returncode, again.stdout) == (0, first.stdout), again.stderr


def test_pictures_are_shrunk_on_their_way_into_the_cache(without_pictures, with_recipe, demo_mirror, tmp_path):
    more = ("--source", str(demo_mirror), "--of", "1", "--shrink", "48", "--cache", str(tmp_path / "cache"))
    whole = stream(str(with_recipe), "--of", "1", cwd=tmp_path)
    first, again = (stream(str(without_pictures), *more, cwd=tmp_path) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert again.stdout == first.stdout and len(first.stdout) < len(whole.stdout)
    assert keys(first.stdout) == keys(whole.stdout)
    with tarfile.open(fileobj=io.BytesIO(first.stdout)) as members:
        for member in members:
            if member.name.endswith((".jpg", ".png")):
                with Image.open(members.extractfile(member)) as opened:
                    assert min(opened.size) <= 48


@pytest.mark.full  # a training
def test_three_steps_of_training_with_pictures_from_the_bucket(without_pictures, with_recipe, demo_mirror, tmp_path):
    """The weights are those of a training from the shards."""
    batch = -(-Index(without_pictures / "texts" / "full.index").split("train").entries // 3)
    told = []
    for place, more in ((with_recipe, ()), (without_pictures, ("--source", str(demo_mirror)))):
        out = tmp_path / place.name
        done = train(str(place), out, *more, batch=batch)
        assert done.returncode == 0, done.stderr[-3000:]
        rows = Lake(out).read(CHECKPOINTS, "full").filter(role="trained")
        told.append([digest_of(out / path) for path in rows["path"]])
    assert told[0] == told[1] != []


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--pictures", "shards"), "holds no recipe for --pictures shards; use --pictures source"),
        (("--source", "https://"), "names no bucket"),
        (("--in-flight", "0"), "--in-flight and --shrink are numbers from 1"),
    ],
)
def test_what_cannot_be_is_one_line(without_pictures, tmp_path, arguments, says):
    done = stream(str(without_pictures), *arguments, "--of", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert says in done.stderr.decode() and len(done.stderr.decode().splitlines()) == 1
