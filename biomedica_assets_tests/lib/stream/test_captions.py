"""Other captions: the text changes, everything else stays as it was."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biomedica_assets.lib.stream.captions import rewritten
from biomedica_assets.lib.stream.failures import StreamError
from biomedica_assets.lib.stream.headers import header
from biomedica_assets.lib.stream.virtual import END_OF_TAR, Selection
from biomedica_assets_tests.lib.stream.conftest import Physical, key_of, read_tar
from biomedica_assets_tests.lib.stream.test_virtual import tar_of


def test_text_comes_from_the_fields_and_images_stay(physical: Physical) -> None:
    plain = read_tar(tar_of(physical.index(), physical.root, Selection(of=1)))
    found = read_tar(tar_of(physical.index(), physical.root, Selection(of=1, caption="txt + mentions.text")))
    key = key_of(4)
    assert found[key]["txt"].decode() == f"text of {key} see {key}"
    assert {k: {e: d for e, d in v.items() if e != "txt"} for k, v in found.items()} == {
        k: {e: d for e, d in v.items() if e != "txt"} for k, v in plain.items()
    }


def test_a_null_field_keeps_the_text(physical: Physical) -> None:
    found = read_tar(tar_of(physical.index(), physical.root, Selection(of=1, caption="article.title")))
    assert found[key_of(0)]["txt"] == b"text of s00000"


def test_an_unknown_field_is_named_with_those_there_are(physical: Physical) -> None:
    with pytest.raises(StreamError, match=r"no field captoin; .*article, caption, mentions"):
        tar_of(physical.index(), physical.root, Selection(of=1, caption="captoin"))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 5000))
def test_it_does_not_matter_where_the_bytes_are_cut(physical: Physical, size: int) -> None:
    data = tar_of(physical.index(), physical.root, Selection(of=1, shuffle=False)).removesuffix(END_OF_TAR)
    whole = b"".join(bytes(p) for p in rewritten([data], "caption"))
    cut = [data[n : n + size] for n in range(0, len(data), size)]
    assert b"".join(bytes(p) for p in rewritten(cut, "caption")) == whole


def test_a_stream_that_ends_too_early_is_an_error(physical: Physical) -> None:
    data = tar_of(physical.index(), physical.root, Selection(of=1)).removesuffix(END_OF_TAR)
    with pytest.raises(StreamError, match="ends inside"):
        list(rewritten([data[:-100]], "caption"))


def test_each_sample_draws_one_of_several_texts_anew_in_each_epoch(physical: Physical) -> None:
    """The draw is by key and epoch: the same whenever it is asked for, and whatever stands around the sample."""
    data = tar_of(physical.index(), physical.root, Selection(of=1, shuffle=False)).removesuffix(END_OF_TAR)
    plain, titled = (b"".join(bytes(p) for p in rewritten([data], f)) for f in ("txt", "txt+txt"))
    drawn = [b"".join(bytes(p) for p in rewritten([data], "txt|txt+txt", epoch)) for epoch in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({*drawn, plain, titled}) >= 3
    assert all(len(plain) <= len(some) <= len(titled) for some in drawn)


def test_a_panel_of_the_caption_is_drawn_and_a_caption_without_panels_stays() -> None:
    def member(name: str, content: bytes) -> bytes:
        return header(name, len(content)) + content + bytes(-len(content) % 512)

    split, whole = b"Title. (A) Liver. (B) Kidney. Scale bar: 1 mm.", b"One picture."
    data = b"".join(
        member(f"{key}.{ext}", content)
        for key, text in (("a", split), ("b", whole))
        for ext, content in (("jpg", b"x"), ("txt", text), ("json", b"{}"))
    )
    drawn = [
        read_tar(b"".join(bytes(p) for p in rewritten([data], "panel", epoch)) + END_OF_TAR) for epoch in range(12)
    ]
    assert {one["a"]["txt"] for one in drawn} == {b"Liver.", b"Kidney."}
    assert {one["b"]["txt"] for one in drawn} == {whole}
    again = read_tar(b"".join(bytes(p) for p in rewritten([data], "panel", 5)) + END_OF_TAR)
    assert again == drawn[5]
