"""The four tables of a chunk: conservation, licences in force, equal results for any number of workers."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from biomedica_assets.lib import tables
from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.errors import StoreError
from biomedica_assets.lib.jats import reading
from biomedica_assets.lib.jats.stage import parse_chunk
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.lib.jats.build import document, fig, meta

CHUNK = "PMC000-0000"
SERIAL = LocalEngine("serial")
CITED = "<p>See <xref rid='F1'>Fig. 1</xref>.</p>" + fig("F1", "Figure 1", "<caption><p>C</p></caption>")
LICENSED = (
    "<fig><permissions><license xlink:href='https://creativecommons.org/licenses/by-nc/4.0/'/></permissions></fig>"
    "<fig><permissions><copyright-statement>(c) Elsevier</copyright-statement></permissions></fig><fig/>"
)


def lake_with(root: Path, files: dict[str, bytes | None], license_code: str | None = "CC BY") -> Lake:
    """A lake whose chunk lists the given files; None lists a file that is not there."""
    lake = Lake(root)
    (lake.root / "mirror").mkdir(parents=True)
    xml_rows: list[dict[str, object]] = []
    index_rows: list[dict[str, object]] = []
    for article_id, data in files.items():
        path = f"mirror/{article_id}.xml"
        if data is not None:
            (lake.root / path).write_bytes(data)
        pmcid, version = article_id.removeprefix("PMC").split(".")
        xml_rows.append({"article_id": article_id, "key": path, "path": path, "md5": "0" * 32, "bytes": 1})
        known = {"article_id": article_id, "pmcid": int(pmcid), "version": int(version), "license_code": license_code}
        index_rows.append({column.name: _filler(column) for column in tables.ARTICLE_INDEX.columns} | known)
    for table, rows in ((tables.ARTICLE_XML, xml_rows), (tables.ARTICLE_INDEX, index_rows)):
        frame = table.frame(rows)
        lake.publish(table, CHUNK, frame, code_version="1", inputs={}, config={}, n_in=len(rows), n_out=len(rows))
    return lake


def _filler(column: tables.Column) -> object:
    """Some value that a column accepts."""
    if column.nullable:
        return None
    if isinstance(column.dtype, pl.List):
        return []
    return {pl.String(): "", pl.Boolean(): False}.get(column.dtype, 0)


def parsed(lake: Lake, engine: LocalEngine = SERIAL) -> dict[str, Report]:
    return {report.asset: report for report in parse_chunk(lake, CHUNK, engine=engine)}


def test_every_article_is_a_row_or_a_reject(tmp_path: Path) -> None:
    other = document(front=meta('<article-id pub-id-type="pmc">8</article-id>'))
    lake = lake_with(
        tmp_path,
        {"PMC1.1": document(CITED), "PMC2.1": b"<article>", "PMC3.1": None, "PMC7.1": other, "PMC8.2": other},
    )
    reports = parsed(lake)
    articles = reports["articles"]
    assert (articles.n_in, articles.rows, articles.reconciles) == (5, 2, True)
    assert articles.rejects == {"xml_malformed": 1, "object_missing": 1, "article_id_mismatch": 1}
    assert lake.read(tables.ARTICLES, CHUNK)["article_id"].to_list() == ["PMC1.1", "PMC8.2"]
    rejects = lake.read_rejects(tables.ARTICLES, CHUNK)
    assert set(rejects["article_id"]) == {"PMC2.1", "PMC3.1", "PMC7.1"}
    assert set(rejects["stage"]) == {"articles"}


def test_tables_join_by_their_keys(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, {"PMC1.1": document(CITED)})
    reports = parsed(lake)
    assert {name: report.rows for name, report in reports.items()} == dict.fromkeys(reports, 1)
    figure = lake.read(tables.FIGURES, CHUNK).row(0, named=True)
    caption = lake.read(tables.CAPTIONS, CHUNK).row(0, named=True)
    mention = lake.read(tables.MENTIONS, CHUNK).row(0, named=True)
    assert figure["figure_id"] == caption["figure_id"] == mention["figure_id"]
    assert (figure["n_mentions"], caption["caption"], caption["n_chars"]) == (1, "C", 1)
    assert mention["text"][mention["start"] : mention["end"]] == "Fig. 1"
    assert caption["xml"].startswith("<caption")


def test_the_licence_in_force_is_the_figures_own_where_it_has_one(tmp_path: Path) -> None:
    """Another holder's copyright without a licence is not covered by the article's."""
    lake = lake_with(tmp_path, {"PMC1.1": document(LICENSED)})
    parsed(lake)
    rows = lake.read(tables.FIGURES, CHUNK).sort("ordinal")
    assert rows["license_code"].to_list() == ["CC BY-NC", None, "CC BY"]
    assert rows["license_group"].to_list() == ["noncommercial", "other", "commercial"]


def test_the_file_states_the_licence_where_the_metadata_has_none(tmp_path: Path) -> None:
    stated = meta("<permissions><license xlink:href='http://creativecommons.org/licenses/by/4.0/'/></permissions>")
    lake = lake_with(tmp_path, {"PMC1.1": document(front=stated), "PMC2.1": document()}, license_code=None)
    parsed(lake)
    rows = lake.read(tables.ARTICLES, CHUNK)
    assert rows["license_code"].to_list() == ["CC BY", None]
    assert rows["license_group"].to_list() == ["commercial", "other"]


def test_results_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    files = {f"PMC{n}.1": document(CITED * (n % 3) + LICENSED) for n in range(1, 70)} | {"PMC99.1": b"broken"}
    alone = parsed(lake_with(tmp_path / "a", files))
    many = parsed(lake_with(tmp_path / "b", dict(reversed(files.items()))), LocalEngine("threads", 3))
    assert {n: r.data_version for n, r in alone.items()} == {n: r.data_version for n, r in many.items()}


def test_an_empty_chunk_is_four_empty_tables(tmp_path: Path) -> None:
    assert [report.rows for report in parsed(lake_with(tmp_path, {})).values()] == [0, 0, 0, 0]


def test_the_inputs_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="article_xml"):
        parse_chunk(Lake(tmp_path), CHUNK, engine=SERIAL)


def test_manifests_name_what_was_read(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, {"PMC1.1": document(CITED)})
    parsed(lake)
    for table in (tables.ARTICLES, tables.FIGURES, tables.CAPTIONS, tables.MENTIONS):
        manifest = lake.manifest(table, CHUNK)
        assert manifest is not None
        assert set(manifest.inputs) == {f"article_xml@{CHUNK}", f"article_index@{CHUNK}"}


def test_each_file_is_parsed_once_however_many_figures_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BIOMEDICA parsed each article once per image, and four times more."""
    files = {f"PMC{n}.1": document(CITED * n + LICENSED) for n in (1, 2, 9)}
    seen: Counter[bytes] = Counter()
    parse = reading.etree.fromstring

    def counted(data: bytes, *arguments: object) -> object:
        seen[bytes(data)] += 1
        return parse(data, *arguments)

    monkeypatch.setattr(reading.etree, "fromstring", counted)
    parsed(lake_with(tmp_path, files))
    assert seen == Counter(files.values())


def written() -> int:
    """Bytes that this process has handed to ``write`` in its life."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel counts no bytes written")
def test_what_is_written_is_what_is_kept_and_grows_with_the_number_of_articles(tmp_path: Path) -> None:
    """BIOMEDICA wrote its file anew for each article: a hundred times what it kept, and the square of the articles."""
    volume: list[int] = []
    for n in (150, 300):
        # texts that no compression makes small, so that what is kept is not all headers
        texts = (hashlib.shake_256(f"{n} {i}".encode()).hexdigest(2500) for i in range(n))
        lake = lake_with(
            tmp_path / str(n),
            {
                f"PMC{i}.1": document(f"<p>{text}</p>{CITED.replace('>C<', f'>{text}<')}")
                for i, text in enumerate(texts, 1)
            },
        )
        before = written()
        parsed(lake)
        volume.append(written() - before)
        folders = (
            lake.folder(table, CHUNK) for table in (tables.ARTICLES, tables.FIGURES, tables.CAPTIONS, tables.MENTIONS)
        )
        kept = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
        assert kept > 100_000
        assert volume[-1] <= 1.2 * kept, "bytes written against bytes kept"
    assert volume[1] <= 2.3 * volume[0], "twice the articles"
