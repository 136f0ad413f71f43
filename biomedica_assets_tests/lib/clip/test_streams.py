"""What a loader worker makes of virtual shards: whole samples or an error, each once, in seeded disorder."""

import io
import os
import shlex
import sys
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from biomedica_assets.lib.clip import streams
from biomedica_assets_tests.lib.clip.test_worker import Written


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


TAR = tar_of(
    [
        ("a.jpg", b"image"), ("a.txt", b"text"), ("a.json", b"{}"),
        ("b.PNG", bytes(700)), ("b.txt", b""), ("folder.x/c.webp", b"w" * 512),
    ]
)  # fmt: skip


def by(code, *arguments):
    """URL of a Python program's output."""
    return "pipe:" + shlex.join([sys.executable, "-c", code, *map(str, arguments)])


def shown(path, n=None, then="0"):
    return by(
        f"import sys; d = open(sys.argv[1], 'rb').read()[:{n}]; sys.stdout.buffer.write(d); "
        f"sys.stdout.flush(); sys.exit({then})", path,
    )  # fmt: skip


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "s.tar"
    path.write_bytes(TAR)
    return path


def test_samples_are_what_the_command_writes_without_the_json(shard):
    url = shown(shard)
    assert list(streams.read(url)) == [
        {"__key__": "a", "__url__": url, "jpg": b"image", "txt": b"text"},
        {"__key__": "b", "__url__": url, "png": bytes(700), "txt": b""},
        {"__key__": "folder.x/c", "__url__": url, "webp": b"w" * 512},
    ]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.text("ab/", min_size=1, max_size=120).filter(lambda n: n.strip("/") == n), st.binary(max_size=1500)
        ),
        max_size=8,
    )
)
def test_members_are_those_that_tarfile_finds(found):
    """Names of more than 100 bytes lie in two fields of the header."""
    try:
        data = tar_of([(f"{name}.txt", content) for name, content in found])
    except ValueError:
        return  # ustar cannot hold such a name
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(m.name, tar.extractfile(m).read()) for m in tar]
    assert list(streams.members(io.BytesIO(data))) == expected


def test_wherever_a_stream_is_cut_it_is_an_error_and_never_a_shorter_shard():
    """``tarfile`` takes the end of the bytes between two members for the end of the archive."""
    end = TAR.rindex(b"w" * 512) + 512 + 1024
    for n in range(0, end, 256):
        with pytest.raises(streams.StreamBroken, match="ends before the end of the tar"):
            list(streams.members(io.BytesIO(TAR[:n])))
    assert len(list(streams.members(io.BytesIO(TAR[:end])))) == 6


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"x" * 1024, "no header of a regular file"),
        (TAR[:124] + b"99999999999\0" + TAR[136:], "header of a member is damaged"),
        (bytes(512) + TAR, "something follows a single empty block"),
        (tar_of([])[:512] + b"x" * 512, "something follows a single empty block"),
    ],
)
def test_what_is_no_tar_is_refused(data, said):
    with pytest.raises(streams.StreamBroken, match=said):
        list(streams.members(io.BytesIO(data)))


def test_a_command_that_fails_after_its_last_byte_has_failed(shard):
    """The samples were complete, but the command knows something that the tar does not tell."""
    samples = streams.read(shown(shard, then="3"))
    assert [next(samples)["__key__"] for _ in range(3)] == ["a", "b", "folder.x/c"]
    with pytest.raises(streams.StreamBroken, match="ended with 3"):
        next(samples)


@pytest.mark.parametrize("url", ["s3://bucket/x.tar", "pipe:", "pipe:/no/such/program"])
def test_what_cannot_be_started_is_a_broken_stream(url):
    with pytest.raises(streams.StreamBroken):
        list(streams.read(url))


def test_a_reader_that_leaves_early_ends_the_command(tmp_path):
    """The command waits for ever after its first sample; leaving must not wait with it."""
    first = tmp_path / "first"
    first.write_bytes(TAR[: TAR.rindex(b"w" * 512)])
    samples = streams.read(
        by(
            "import signal, sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read()); sys.stdout.flush(); "
            "signal.pause()",
            first,
        )
    )
    assert next(samples)["__key__"] == "a"
    samples.close()


def test_the_next_stream_is_under_way_while_one_is_read_and_ends_with_the_reader(tmp_path):
    """From afar the first sample takes a second to come; nobody should wait for it twice."""
    tar, said = tmp_path / "tar", tmp_path / "said"
    tar.write_bytes(TAR)
    code = (
        "import os, pathlib, signal, sys; pathlib.Path(sys.argv[2]).open('a').write(f'{os.getpid()}\\n'); "
        "sys.stdout.buffer.write(pathlib.Path(sys.argv[1]).read_bytes()); sys.stdout.flush(); signal.pause()"
    )
    url = by(code, tar) + f" {said}"
    found = streams.samples_of_streams([url, f"{url} second"], streams.read, retries=0, most_broken=0, events=Written())
    next(found)
    deadline = time.monotonic() + 60
    while len(said.read_text().splitlines()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    processes = [int(line) for line in said.read_text().splitlines()]
    assert len(processes) == 2
    found.close()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def reader(fail):
    """Each stream has five samples; ``fail`` maps a stream to the tries that break off after two."""
    tries = dict(fail)

    def read(url):
        for n in range(5):
            if n == 2 and tries.get(url, 0) > 0:
                tries[url] -= 1
                raise OSError("connection reset")
            yield {"key": f"{url}{n}"}

    return read


def test_a_stream_that_breaks_once_loses_and_repeats_nothing():
    events = Written()
    found = streams.samples_of_streams("ab", reader({"a": 1}), retries=2, most_broken=0, events=events)
    assert [s["key"] for s in found] == [f"{name}{n}" for name in "ab" for n in range(5)]
    assert [e["kind"] for e in events.events] == ["retry"]


def test_pictures_of_a_stream_are_those_that_all_stages_see():
    """open_clip drops the samples of gif and tiff, and would see a transparent figure black on black."""
    gif, clear, plain = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(gif, "GIF")
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(clear, "PNG")
    Image.new("RGB", (6, 4), "red").save(plain, "PNG")
    given = [{"gif": gif.getvalue()}, {"png": clear.getvalue()}, {"png": plain.getvalue()}]
    found = streams.samples_of_streams("a", lambda url: iter(given), retries=0, most_broken=0, events=Written())
    pictures = [(sample.get("__encoded__"), sample["png"]) for sample in found]
    assert [encoded for encoded, _ in pictures] == ["gif", "png", None]
    colours = [Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0)) for _, data in pictures]
    assert colours == [(255, 0, 0), (255, 255, 255), (255, 0, 0)]


def test_a_stream_that_stays_broken_is_counted_and_skipped():
    events = Written()
    found = streams.samples_of_streams("ab", reader({"a": 9}), retries=2, most_broken=1, events=events)
    assert [s["key"] for s in found] == ["a0", "a1", *(f"b{n}" for n in range(5))]
    assert [e["kind"] for e in events.events] == ["retry", "retry", "broken"]


def test_more_broken_streams_than_allowed_end_the_run():
    found = streams.samples_of_streams("a", reader({"a": 9}), retries=0, most_broken=0, events=Written())
    with pytest.raises(streams.StreamsBroken, match="1 virtual shards could not be read"):
        list(found)


@pytest.mark.parametrize("size", [0, 1, 2, 50, 199, 200, 1000])
def test_the_buffer_shuffles_by_seed_and_loses_nothing(size):
    samples = [{"n": n} for n in range(200)]
    one = [s["n"] for s in streams.shuffled(samples, size, "0:1:0:0")]
    assert one == [s["n"] for s in streams.shuffled(samples, size, "0:1:0:0")]
    assert sorted(one) == list(range(200))
    if size > 1:
        assert one != [s["n"] for s in streams.shuffled(samples, size, "0:2:0:0")]
        assert one != list(range(200))


def test_the_buffer_grows_while_it_gives_and_never_holds_more_than_its_size():
    taken = 0

    def source():
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield {"n": n}

    ahead = []
    for n, _ in enumerate(streams.shuffled(source(), 100, "seed"), 1):
        ahead.append(taken - n)
    assert ahead[0] <= 20 and max(ahead) == 99
