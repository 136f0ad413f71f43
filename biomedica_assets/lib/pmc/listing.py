"""Our own copy of the inventory: one sorted Parquet file per snapshot, made by comparing it with the one before.

Belongs here: the SQL, and nothing that publishes. DuckDB does it on disk and in bounded memory, since the bucket lists
about 8 million article versions (``benchmarks/inventory_diff.py`` measures).

Columns: ``pmcid``, ``version``, ``key``, ``etag``, ``last_modified``; ``absent``: in how many complete snapshots in a
row the key has been missing; ``gone``: also the source no longer has the object, so the article version was withdrawn;
``change``: against the snapshot before, ``added``, ``changed``, ``absent``, ``removed`` or null.

A key that one snapshot misses may be a fault of the inventory, so a version is dropped only when two complete snapshots
in a row miss it and a GET answers 404. It stays here as a tombstone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from biomedica_assets.lib.pmc.snapshots import Snapshot, SnapshotIncomplete
from biomedica_assets.lib.pmc.source import ListedObject
from biomedica_assets.lib.store import atomic

# At 8 million rows the process then peaks below 2 GB (benchmarks/inventory_diff.py); what does not fit is spilled.
MEMORY = "1500MB"
ABSENCES_BEFORE_LOOKING = 2
# Measured at 8 million rows: without the last two, writing takes three times as long and 30 % more space, since DuckDB
# tries to build a dictionary of columns that have no value twice.
_PARQUET = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1"
_NO_LISTING = """(SELECT 0 AS pmcid, 0 AS version, '' AS key, '' AS etag, '' AS last_modified, 0 AS absent,
                         false AS gone WHERE false)"""
# No leading zeros: they would give two keys the same article id.
_ARTICLE_KEY = r"^metadata/PMC([1-9]\d{0,8})\.(0|[1-9]\d{0,3})\.json$"
_FOUND_KEY = r"^(?:metadata|PMC\d+\.\d+)/PMC([1-9]\d{0,8})\.(0|[1-9]\d{0,3})\.json$"


@dataclasses.dataclass(frozen=True, slots=True)
class ChunkCounts:
    """What a listing says of one chunk.

    Attributes:
        number: PMCID // span.
        rows: article versions, tombstones left out.
        gone: tombstones.
        digest: of its rows and tombstones, whatever their order.
        added: versions that the snapshot before did not have.
        changed: versions whose metadata JSON has another MD5 than in the snapshot before.
        absent: versions kept although this snapshot misses them.
        removed: versions that became tombstones with this snapshot.
    """

    number: int
    rows: int
    gone: int
    digest: str
    added: int
    changed: int
    absent: int
    removed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """What a snapshot lists besides article versions.

    Attributes:
        malformed: keys below ``metadata/`` that name no article version; the first of them.
        n_malformed: how many such keys there are.
        other: keys elsewhere.
        repeated: rows for an article version that another row names already.
    """

    malformed: tuple[str, ...]
    n_malformed: int
    other: int
    repeated: int


@contextlib.contextmanager
def database(folder: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """A DuckDB without file, which spills into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=atomic.TEMPORARY_PREFIX, dir=folder) as spill, duckdb.connect() as db:
        db.execute("SET memory_limit = $limit", {"limit": MEMORY})
        db.execute("SET temp_directory = $folder", {"folder": spill})
        db.execute("SET preserve_insertion_order = false")
        db.execute("SET enable_progress_bar = false")
        yield db


def load_snapshot(db: duckdb.DuckDBPyConnection, snapshot: Snapshot, *, most_malformed: int = 1000) -> Loaded:
    """Make the table ``listed`` from the parts of a snapshot.

    Raises:
        SnapshotIncomplete: a part is not a gzipped CSV of the announced columns.
    """
    modified = "LastModifiedDate" if "LastModifiedDate" in snapshot.columns else "CAST(NULL AS VARCHAR)"
    # S3 Inventory percent-encodes keys, which changes nothing in metadata/PMC1.1.json.
    select = f"""
        SELECT CASE WHEN contains(Key, '%') THEN url_decode(Key) ELSE Key END AS key, lower(trim(ETag, '"')) AS etag,
               {modified} AS last_modified
        FROM read_csv($parts, columns = $columns, header = false, delim = ',', quote = '"', escape = '"',
                      compression = 'gzip', auto_detect = false)"""  # noqa: S608 - our own text
    parameters = {
        "parts": [str(part) for part in snapshot.parts],
        "columns": dict.fromkeys(snapshot.columns, "VARCHAR"),
    }
    try:
        return _load(db, select, parameters, _ARTICLE_KEY, most_malformed)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
        raise SnapshotIncomplete(f"a part cannot be read as CSV: {str(error).partition(chr(10))[0]}") from error


def load_objects(
    db: duckdb.DuckDBPyConnection, objects: Iterable[ListedObject], *, most_malformed: int = 1000
) -> Loaded:
    """Make the table ``listed`` from metadata JSONs found by looking; such a listing knows no dates."""
    found = pl.DataFrame([dataclasses.asdict(o) for o in objects], schema={"key": pl.String, "etag": pl.String})
    db.register("found", found)
    select = "SELECT key, etag, CAST(NULL AS VARCHAR) AS last_modified FROM found"
    return _load(db, select, {}, _FOUND_KEY, most_malformed)


def _load(
    db: duckdb.DuckDBPyConnection, select: str, parameters: dict[str, Any], pattern: str, most_malformed: int
) -> Loaded:
    db.execute(
        f"""CREATE TABLE listed AS
        SELECT TRY_CAST(id.pmcid AS BIGINT) AS pmcid, TRY_CAST(id.version AS INTEGER) AS version,
               key, etag, last_modified
        FROM (SELECT *, regexp_extract(key, '{pattern}', ['pmcid', 'version']) AS id FROM ({select}))""",  # noqa: S608
        parameters,
    )
    articles, n_malformed, other = _one(
        db,
        """SELECT count(pmcid), count(*) FILTER (WHERE pmcid IS NULL AND starts_with(key, 'metadata/')),
           count(*) FILTER (WHERE pmcid IS NULL AND NOT starts_with(key, 'metadata/')) FROM listed""",
    )
    malformed = db.execute(
        "SELECT key FROM listed WHERE pmcid IS NULL AND starts_with(key, 'metadata/') ORDER BY key LIMIT ?",
        [most_malformed],
    ).fetchall()
    repeated = (
        articles - _one(db, "SELECT count(*) FROM (SELECT 1 FROM listed WHERE pmcid >= 0 GROUP BY pmcid, version)")[0]
    )
    if repeated:
        # An inventory lists a key once; if it does not, the row written last is the object that is there.
        db.execute(
            """CREATE OR REPLACE TABLE listed AS SELECT DISTINCT ON (pmcid, version) * FROM listed WHERE pmcid >= 0
            ORDER BY pmcid, version, last_modified DESC, etag"""
        )
    return Loaded(tuple(key for (key,) in malformed), n_malformed, other, repeated)


def compare(db: duckdb.DuckDBPyConnection, before: Path | None) -> list[str]:
    """Make the table ``carried``: versions and tombstones of the listing before that ``listed`` misses.

    Returns:
        Keys missing from enough snapshots in a row to ask the source whether they are gone.
    """
    old = f"read_parquet({_literal(before)})" if before else _NO_LISTING
    db.execute(
        f"""CREATE TABLE carried AS
        SELECT b.pmcid, b.version, b.key, b.etag, b.last_modified, least(b.absent + 1, 100) AS absent, b.gone
        FROM {old} b ANTI JOIN listed n ON b.pmcid = n.pmcid AND b.version = n.version"""  # noqa: S608
    )
    rows = db.execute(
        "SELECT key FROM carried WHERE NOT gone AND absent >= ? ORDER BY pmcid, version", [ABSENCES_BEFORE_LOOKING]
    ).fetchall()
    return [key for (key,) in rows]


def write(db: duckdb.DuckDBPyConnection, before: Path | None, gone: Sequence[str], path: Path) -> None:
    """Write the listing that follows from ``listed``, ``carried`` and the keys that were found gone."""
    db.register("dead", pl.DataFrame({"key": list(gone)}, schema={"key": pl.String}))
    old = f"read_parquet({_literal(before)})" if before else _NO_LISTING
    with atomic.replacing(path) as temporary:
        # The join is narrow on purpose: with all columns of both sides it spilled and took twice the time.
        db.execute(
            f"""COPY (
                SELECT n.pmcid, n.version, n.key, n.etag, n.last_modified, CAST(0 AS TINYINT) AS absent, false AS gone,
                       CASE WHEN b.pmcid IS NULL OR b.gone THEN 'added'
                            WHEN b.etag_hash <> hash(n.etag) THEN 'changed' END AS change
                FROM (SELECT * FROM listed WHERE pmcid >= 0) n
                LEFT JOIN (SELECT pmcid, version, hash(etag) AS etag_hash, gone FROM {old}) b
                ON n.pmcid = b.pmcid AND n.version = b.version
                UNION ALL
                SELECT c.pmcid, c.version, c.key, c.etag, c.last_modified, CAST(c.absent AS TINYINT),
                       c.gone OR d.key IS NOT NULL,
                       CASE WHEN c.gone THEN NULL WHEN d.key IS NOT NULL THEN 'removed' ELSE 'absent' END
                FROM carried c LEFT JOIN dead d ON c.key = d.key
                ORDER BY pmcid, version
            ) TO {_literal(temporary)} ({_PARQUET})"""  # noqa: S608 - our own text and paths
        )


def _literal(path: Path) -> str:
    """A path as SQL text: parameters are not taken in COPY TO."""
    return "'" + str(path).replace("'", "''") + "'"


def count(db: duckdb.DuckDBPyConnection, path: Path, span: int, max_pmcid: int) -> list[ChunkCounts]:
    """Counts and digest of every chunk that a listing has rows or tombstones of, in order."""
    rows = db.execute(
        """SELECT pmcid // $span AS number, count(*) FILTER (WHERE NOT gone), count(*) FILTER (WHERE gone),
                  printf('%032x', bit_xor(md5_number(concat_ws('|', key, etag, last_modified, gone)))),
                  count(*) FILTER (WHERE change = 'added'), count(*) FILTER (WHERE change = 'changed'),
                  count(*) FILTER (WHERE change = 'absent'), count(*) FILTER (WHERE change = 'removed')
           FROM read_parquet($path) WHERE pmcid <= $most GROUP BY number ORDER BY number""",
        {"span": span, "path": str(path), "most": max_pmcid},
    ).fetchall()
    return [ChunkCounts(*row) for row in rows]


def out_of_range(path: Path, max_pmcid: int, most: int) -> tuple[int, list[tuple[int, int]]]:
    """How many listed article versions lie beyond ``max_pmcid``, and the first ``most`` of them."""
    beyond = pl.scan_parquet(path).filter(pl.col("pmcid") > max_pmcid, ~pl.col("gone"))
    n = beyond.select(pl.len()).collect().item()
    return n, beyond.select("pmcid", "version").head(most).collect().rows()


def awaits_look(path: Path) -> bool:
    """Whether a listing keeps versions that it missed, so that another look has to decide about them."""
    missing = pl.scan_parquet(path).filter(pl.col("absent") > 0, ~pl.col("gone"))
    return not missing.head(1).collect().is_empty()


def rows_between(path: Path, first: int, last: int) -> pl.DataFrame:
    """Rows of a listing from PMCID ``first`` to ``last``, both included, in order; reads no more than it must."""
    return pl.scan_parquet(path).filter(pl.col("pmcid").is_between(first, last)).collect()


def _one(db: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    return db.execute(query).fetchall()[0]
