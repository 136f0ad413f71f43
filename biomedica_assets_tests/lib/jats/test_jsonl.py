"""``biomedica parse``: one JSON line per file, whatever the file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from biomedica_assets.lib.jats.jsonl import parse_files
from biomedica_assets_tests.lib.jats.build import document, fig, meta

BODY = (
    "<p>See <xref rid='F1'>Figs 1</xref>–<xref rid='F3'>3</xref>.</p>"  # noqa: RUF001 - as published
    + fig("F1", "Figure 1", "<caption><title>T</title><p>C</p></caption>")
    + fig("F2", "Figure 2")
    + fig("F3", "Figure 3")
)


def run(*paths: Path) -> tuple[int, list[dict[str, Any]], str]:
    out, err = io.StringIO(), io.StringIO()
    code = parse_files(paths, out, err)
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def test_a_line_holds_article_figures_mentions_and_rejects(tmp_path: Path) -> None:
    path = tmp_path / "PMC7.2.xml"
    path.write_bytes(document(BODY, front=meta('<article-id pub-id-type="pmc">7</article-id>')))
    code, (line,), err = run(path)
    assert (code, err, line["rejects"]) == (0, "", [])
    assert (line["article"]["article_id"], line["article"]["pmcid"], line["article"]["version"]) == (
        "PMC7.2",
        "PMC7",
        2,
    )
    first = line["figures"][0]
    assert (first["xml_id"], first["element"], first["kind"], first["label"]) == ("F1", "fig", "figure", "Figure 1")
    assert (first["caption"], first["caption_title"]) == ("T\nC", "T")
    assert [g["href"] for g in first["graphics"]] == ["F1.jpg"]
    assert [(m["start"], m["end"], m["inferred"]) for m in line["mentions"]] == [
        (4, 10, False),
        (11, 12, False),
        (4, 12, True),
    ]
    assert {m["figure_id"] for m in line["mentions"]} == {f["figure_id"] for f in line["figures"]}


def test_an_inherited_caption_is_not_passed_off_as_the_figures_own(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(document("<fig-group><caption><p>G</p></caption><fig/></fig-group>"))
    _, (line,), _ = run(path)
    assert (line["figures"][0]["caption"], line["figures"][0]["group_caption"]) == (None, "G")


def test_a_malformed_file_is_a_reject_and_the_others_are_parsed(tmp_path: Path) -> None:
    good, bad, gone = tmp_path / "good.xml", tmp_path / "bad.xml", tmp_path / "gone.xml"
    good.write_bytes(document(BODY))
    bad.write_bytes(b"<article>\n<body>")
    code, lines, err = run(bad, gone, good)
    assert code == 1
    assert [line["article"] and line["article"]["article_id"] for line in lines] == [None, None, "good"]
    assert (lines[0]["figures"], lines[0]["mentions"]) == ([], [])
    assert (lines[0]["rejects"][0]["reason"], lines[0]["rejects"][0]["line"]) == ("xml_malformed", 2)
    assert lines[1]["rejects"][0]["reason"] == "object_missing"
    assert str(bad) in err
    assert str(good) not in err


def test_ids_come_from_the_file_name_then_the_pmcid_then_the_stem(tmp_path: Path) -> None:
    stated = meta('<article-id pub-id-type="pmc">PMC7</article-id>')
    for name, front in (("PMC9.1.xml", ""), ("x.xml", stated), ("y.xml", "")):
        (tmp_path / name).write_bytes(document("<fig/>", front=front))
    _, lines, _ = run(*(tmp_path / name for name in ("PMC9.1.xml", "x.xml", "y.xml")))
    assert [line["article"]["article_id"] for line in lines] == ["PMC9.1", "PMC7", "y"]
    assert [line["article"]["pmcid"] for line in lines] == [None, "PMC7", None]


def test_output_that_cannot_hold_unicode_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(document("<fig><caption><p>α</p></caption></fig>"))  # noqa: RUF001 - a Greek letter is meant
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    assert parse_files([path], out, io.StringIO()) == 0
    out.flush()
    assert json.loads(raw.getvalue())["figures"][0]["caption"] == "\u03b1"


def test_parsing_needs_neither_polars_nor_dagster() -> None:
    """The command starts at once; a module that imported either would cost it a second."""
    code = (
        "import sys; import biomedica_assets.lib.jats.jsonl; "
        "print(sorted({'polars', 'dagster', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
