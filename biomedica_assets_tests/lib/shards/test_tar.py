"""Headers are plain ustar, equal to what Python's tarfile would write for a file of nobody and no time."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.shards import tar

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=95).map(lambda key: f"{key}.json")


@given(NAMES, st.integers(0, 8**11 - 1))
def test_header_equals_that_of_tarfile(name, size):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    expected = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    # tarfile fills the device numbers of a regular file; POSIX leaves them to the writer, ours stay empty.
    expected[329:345] = bytes(16)
    checksum = sum(expected) - sum(expected[148:156]) + 8 * ord(" ")
    expected[148:156] = b"%06o\0 " % checksum
    assert tar.header(name, size) == bytes(expected)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=8, unique_by=lambda m: m[0]))
def test_tarfile_reads_back_every_member(contents):
    data = b"".join(tar.header(n, len(d)) + d + tar.padding(len(d)) for n, d in contents) + tar.END
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        found = [(m.name, archive.extractfile(m).read()) for m in archive]
    assert found == contents
    assert len(data) == sum(tar.member_bytes(len(d)) for _, d in contents) + len(tar.END)


@pytest.mark.parametrize(("name", "size"), [("", 1), ("x" * 101, 1), ("x", 8**11), ("x", -1), ("é", 1)])
def test_what_does_not_fit_a_header_is_refused(name, size):
    with pytest.raises(ValueError, match=r"does not fit|ascii"):
        tar.header(name, size)
