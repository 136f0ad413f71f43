"""A byte that changes on the way is noticed in every remote stream, whatever it is a byte of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from biomedica_assets.lib.stream import http as http_module
from biomedica_assets.lib.stream.checks import check_of
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.virtual import END_OF_TAR, Selection, chunks, open_source
from biomedica_assets_tests.lib.stream.conftest import Physical, build, keys_in_order
from biomedica_assets_tests.lib.stream.served import Handler, Trouble
from biomedica_assets_tests.lib.stream.test_virtual import tar_of

Serve = Callable[[Physical, Trouble], str]
PLACES = {"header of the image": 0, "size of the image": 130, "image": 520, "text": -1530, "json": -500, "padding": -1}
"""Offsets into a sample of 512 + 2 048 bytes of image, a text and a JSON of less than a block each."""


def flipping(shard: str, at: int, times: int) -> Trouble:
    """Flip a bit of the byte at an offset of a shard in the first answers that have it."""
    left = [times]

    def trouble(handler: Handler, n: int) -> bool:
        data, low, high = handler.wanted()
        if not handler.path.endswith(shard) or not low <= at < high or left[0] == 0:
            return False
        left[0] -= 1
        body = bytearray(data[low:high])
        body[at - low] ^= 4
        handler.answer(206, bytes(body), {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}"})
        return True

    return trouble


@pytest.fixture
def square(tmp_path: Path) -> Physical:
    return build(tmp_path, draw=lambda rng: rng.randbytes(2048))


@pytest.mark.parametrize("place", PLACES)
def test_a_byte_flipped_once_is_fetched_again(serve: Serve, square: Physical, place: str) -> None:
    _, start, end = square.where["s00013"]
    at = PLACES[place] + (start if PLACES[place] >= 0 else end)
    index = square.index()
    base = serve(square, flipping("001.tar", at, 1))
    assert tar_of(index, base, Selection(of=1)) == tar_of(index, square.root, Selection(of=1))


@pytest.mark.parametrize("place", PLACES)
def test_a_sample_that_stays_damaged_ends_the_stream(serve: Serve, square: Physical, place: str) -> None:
    _, start, end = square.where["s00013"]
    at = PLACES[place] + (start if PLACES[place] >= 0 else end)
    index = square.index()
    base = serve(square, flipping("001.tar", at, 99))
    said: list[bytes] = []
    with pytest.raises(StreamError, match=rf"at byte {start:,} of shards/001\.tar is damaged.*--skip-damaged"):
        said += [bytes(piece) for piece in chunks(index, open_source(index, base), Selection(of=1))]
    assert b"s00013." not in b"".join(said)


def test_the_sample_is_named(serve: Serve, square: Physical) -> None:
    _, start, _ = square.where["s00013"]
    with pytest.raises(StreamError, match=r"sample s00013 at byte .* of shards/001\.tar"):
        tar_of(square.index(), serve(square, flipping("001.tar", start + 600, 99)), Selection(of=1))


def test_damaged_samples_are_left_out_and_named_if_asked(
    serve: Serve, square: Physical, capsys: pytest.CaptureFixture[str]
) -> None:
    _, start, _ = square.where["s00013"]
    index = square.index()
    base = serve(square, flipping("001.tar", start + 600, 99))
    wanted = Selection(of=1, shuffle=False)
    whole = keys_in_order(tar_of(index, square.root, wanted))
    assert keys_in_order(tar_of(index, base, wanted._replace(skip_damaged=True))) == [k for k in whole if k != "s00013"]
    assert capsys.readouterr().err.splitlines() == [
        f"biomedica stream: sample s00013 at byte {start:,} of shards/001.tar is damaged and left out"
    ]


def test_samples_longer_than_a_range_and_than_a_buffer_are_checked(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut into ranges and buffers anywhere, they are put together before they are looked at."""
    monkeypatch.setattr(http_module, "_BUFFER", 1000)
    monkeypatch.setattr(http_module.HttpShards, "longest", 3000)
    physical = build(tmp_path, draw=lambda rng: rng.randbytes(rng.choice([10, 900, 5000, 20_000])))
    index = physical.index(list(physical.where)[::2])
    _, start, end = physical.where["s00014"]
    base = serve(physical, flipping("001.tar", (start + end) // 2, 1))
    assert tar_of(index, base, Selection(of=1)) == tar_of(index, physical.root, Selection(of=1))


def test_texts_that_are_written_anew_come_from_checked_samples(serve: Serve, square: Physical) -> None:
    _, _, end = square.where["s00013"]
    index, wanted = square.index(), Selection(of=1, caption="mentions.text")
    base = serve(square, flipping("001.tar", end - 500, 1))
    assert tar_of(index, base, wanted) == tar_of(index, square.root, wanted)
    base = serve(square, flipping("001.tar", end - 500, 99))
    with pytest.raises(StreamError, match="s00013"):
        tar_of(index, base, wanted)


def test_the_check_knows_every_bit(square: Physical) -> None:
    _, start, end = square.where["s00003"]
    sample = (square.root / "shards" / "000.tar").read_bytes()[start:end]
    good = check_of(sample)
    for at in range(0, len(sample), 7):
        changed = bytearray(sample)
        changed[at] ^= 1 << at % 8
        try:
            assert check_of(bytes(changed)) != good, at
        except ValueError:
            assert at < 512  # the size in the header is no number any more
    assert END_OF_TAR not in sample
