"""The data of one release, in a folder or at an address: see ``Release``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from biomedica_assets.lib.dataset.recipe import RecipeData
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.stream import afar as stream_afar
from biomedica_assets.lib.stream.addresses import HUB, is_remote, place_of
from biomedica_assets.lib.stream.failures import StreamError

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

    from biomedica_assets.lib.tables import Table


class ReleaseTables(Mapping[str, "pl.LazyFrame"]):
    """The tables of a release by name, each as a Polars ``LazyFrame``; of a remote one, the columns asked for come."""

    def __init__(self, place: str, told: Any, token: str | None) -> None:
        """Args: place: folder or address. told: ``MANIFEST.json``. token: bearer token."""
        self._place, self._token = place, token
        paths = (str(file["path"]) for file in told["files"] if file["kind"] == "table")
        self._names = sorted({path.split("/")[1] for path in paths})
        self._told = told

    def __getitem__(self, name: str) -> pl.LazyFrame:
        """Rows of a table; KeyError for a name that the release lacks."""
        import polars as pl
        from polars.io.plugins import register_io_source

        from biomedica_assets.lib.dataset import afar

        if name not in self._names:
            raise KeyError(name)
        paths = afar.paths_of(self._told, name)
        if not is_remote(self._place):
            return pl.scan_parquet([Path(self._place) / path for path in paths], hive_partitioning=False)

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
        ) -> Iterator[pl.DataFrame]:
            left = n_rows
            for part in afar.parts(paths, self._place, columns, self._token):
                found = part if predicate is None else part.filter(predicate)
                yield found if left is None else found.head(left)
                left = None if left is None else left - min(left, found.height)
                if left == 0:
                    return

        return register_io_source(read, schema=afar.schema_of(self._place, paths[0], self._token))

    def __iter__(self) -> Iterator[str]:
        """Names of the tables that the release has."""
        return iter(self._names)

    def __len__(self) -> int:
        """Number of tables."""
        return len(self._names)


class Release:
    """Figures, captions, labels and recipes of one release; read only, with the calls of ``Dataset``.

    What a release lacks, search and lineage, says so.

    Example:
        >>> import biomedica_assets as bm
        >>> d = bm.open("hf://datasets/owner/name")  # doctest: +SKIP
        >>> d.figures("license_code = 'CC BY' and year >= 2020")  # doctest: +SKIP
        >>> d.recipe("balanced").torch(transform, tokenize)  # doctest: +SKIP
    """

    def __init__(self, place: Path | str) -> None:
        """Read its manifest.

        Args:
            place: a folder, or ``https://…``, ``s3://bucket/prefix`` that anyone may read,
                ``hf://datasets/owner/name[@revision]`` (with the token in ``HF_TOKEN``, if it is not public).

        Raises:
            PermanentFailure: there is no release.
        """
        self.given = str(place)
        remote = is_remote(self.given)
        hub = os.environ.get("HF_ENDPOINT") or HUB
        self.place = place_of(self.given, hub) if remote else str(Path(place).expanduser().absolute())
        """Where it is: a folder, or an ``http(s)://`` address."""
        self._token = os.environ.get("HF_TOKEN") if self.given.startswith("hf://") else None
        try:
            self.manifest: Mapping[str, Any] = stream_afar.manifest(self.place, self._token)
        except StreamError as error:
            raise PermanentFailure(
                f"{self.given} is no release that can be read: {error}. Give a folder or an address that has "
                f"{stream_afar.MANIFEST} in it, or a data directory"
            ) from error

    def __repr__(self) -> str:
        """The call that opens it."""
        return f"biomedica_assets.open({self.given!r})"

    @property
    def version(self) -> str:
        """Version of the release."""
        return str(self.manifest["version"])

    @property
    def tables(self) -> ReleaseTables:
        """All tables, lazily."""
        return ReleaseTables(self.place, self.manifest, self._token)

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes that the release has."""
        folders, suffix = (f"{stream_afar.RECIPES}/", f"{stream_afar.TEXTS}/"), stream_afar.SUFFIX
        paths = [str(file["path"]) for file in self.manifest["files"]]
        return sorted({Path(path).name.removesuffix(suffix) for path in paths if path.startswith(folders)
                       and path.endswith(suffix)})  # fmt: skip

    def sql(self, query: str) -> pl.DataFrame:
        """Answer one SQL query (DuckDB's) over the tables and the view ``samples``.

        Of a release far away, the tables that the query names are fetched whole; ``figures`` and ``tables`` fetch
        columns.

        Raises:
            PermanentFailure: the query was refused; the message is DuckDB's.
        """
        import duckdb

        from biomedica_assets.lib.dataset import afar
        from biomedica_assets.lib.select import catalog_view

        tables = self.tables
        with duckdb.connect() as connection:
            try:
                wanted = {name.lower() for name in connection.get_table_names(query)}
                if "samples" in wanted:
                    wanted |= catalog_view.JOINS.keys()
                for name in sorted(wanted & {*tables, *catalog_view.JOINS}):
                    if name not in tables:
                        table, _ = catalog_view.JOINS[name]
                        connection.register(name, cast("object", table.empty().to_arrow()))
                    elif is_remote(self.place):
                        connection.register(name, cast("object", tables[name].collect().to_arrow()))
                    else:
                        paths = [str(Path(self.place) / path) for path in afar.paths_of(self.manifest, name)]
                        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")  # noqa: S608
                if "samples" in wanted:
                    connection.execute(catalog_view.view_sql())
                return connection.sql(query).pl()
            except duckdb.Error as error:
                said = " ".join(str(error).partition("\n\nLINE ")[0].split())
                raise PermanentFailure(f"the query was refused: {said}") from error

    def figures(self, where: str | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The samples that meet a condition, one row each.

        Args:
            where: SQL over the columns of the view ``samples``, as in a recipe.
            columns: of that view; None for all. Of a release far away, fewer are fewer bytes.

        Raises:
            RecipeError: it is no condition.
            PermanentFailure: there is no such column.
        """
        from biomedica_assets.lib.dataset.dataset import columns_of
        from biomedica_assets.lib.select import catalog_view, predicate

        condition = predicate.check(where) if where else None
        names = columns_of(columns)
        rows = catalog_view.joined(self._reader(), {*names, *(condition.columns if condition else ())})
        kept = rows.filter(predicate.matches(condition, rows)) if condition else rows
        return kept.select(sorted({"sample_key", *names})).sort("sample_key")

    def search(self, words: str | None = None, **_: Any) -> NoReturn:
        """A release has no index of words or vectors."""
        del words
        self._lacks(
            "index for search", "figures(\"caption ilike '%word%'\") finds words; open the data directory to rank"
        )

    def trace(self, name: str) -> NoReturn:
        """A release has no lineage."""
        del name
        self._lacks("lineage of single samples", "MANIFEST.json says what it was made from; open the data directory")

    def read(self, image: str) -> bytes:
        """Bytes of an image as PubMed Central has them; of a release without pictures, from its bucket.

        Args:
            image: its ``media_id``, or the ``sample_key``.

        Raises:
            PermanentFailure: no sample has this id.
            StreamError: its bytes cannot be had, or are not those of the release.
        """
        from biomedica_assets.lib.dataset.pictures import open_bucket
        from biomedica_assets.lib.stream.pictures import PMC, Lost

        row = self._row(image)
        if "key" in row:
            found = open_bucket(PMC, 1).get(row["key"])
            if isinstance(found, Lost):
                raise StreamError(f"{image}: {found.why}")
        else:
            found = self._bytes(row["shard"], row["image_start"], row["image_start"] + row["image_bytes"])
        if hashlib.sha256(found).hexdigest() != row["sha256"]:
            raise StreamError(f"the bytes of {image} are not those of the release; fetch or upload {self.given} again")
        return found

    def image(self, image: str) -> Image.Image:
        """The canonical picture of an image: RGB, as all stages see it (``lib.images.canonical``)."""
        from biomedica_assets.lib.images.canonical import open_canonical

        return open_canonical(self.read(image))

    def recipe(self, name: str) -> RecipeData:
        """The samples of a recipe, as streams for training. Its index is kept in the cache of this machine.

        Raises:
            StreamError: the release has no such recipe; the message names those that there are.
        """
        index = stream_afar.open_index(self.place, name, self._token, _cache() if is_remote(self.place) else None)
        index.close()
        return RecipeData(self.place, name, index.path, given=self.given, token=self._token)

    def _reader(self) -> Any:
        """What ``catalog_view.joined`` reads tables with."""
        from biomedica_assets.lib.select import catalog_view

        tables = self.tables

        def read(table: Table) -> pl.LazyFrame | None:
            if table.name in tables:
                return tables[table.name]
            return None if table.name in catalog_view.OPTIONAL else table.empty().lazy()

        return read

    def _row(self, image: str) -> dict[str, Any]:
        """Where a sample lies, by its key or by its image."""
        from biomedica_assets.lib.dataset import afar

        whole = any(file["kind"] == "shard" for file in self.manifest["files"])
        name = "shards" if whole else "sources"
        wanted = ("shard", "image_start", "image_bytes", "sha256") if whole else ("key", "sha256")
        for path in afar.paths_of(self.manifest, name):
            for column in ("media_id", "sample_key"):
                found = afar.rows_with(self.place, path, column, image, wanted, self._token)
                if found.height:
                    return found.row(0, named=True)
        raise PermanentFailure(f"no sample of {self.given} has the id {image!r}; `figures` gives ids")

    def _bytes(self, path: str, start: int, end: int) -> bytes:
        if not is_remote(self.place):
            with (Path(self.place) / path).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        from biomedica_assets.lib.stream.http import UNKNOWN, HttpShards
        from biomedica_assets.lib.stream.index import ShardFile
        from biomedica_assets.lib.stream.ranges import Range

        return HttpShards(self.place, [ShardFile(path, UNKNOWN, "")], self._token).once(Range(0, start, end))

    def _lacks(self, what: str, instead: str) -> NoReturn:
        raise PermanentFailure(f"a release has no {what}: {instead}")


def _cache() -> Path:
    """Where indexes from afar are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "biomedica" / "indexes"
