"""The data of one data directory: see ``Dataset``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets.lib.dataset.recipe import RecipeData
from biomedica_assets.lib.errors import PermanentFailure

if TYPE_CHECKING:
    import polars as pl
    from PIL import Image

    from biomedica_assets.lib.lineage.trace import Trace
    from biomedica_assets.lib.store.lake import Lake


class Tables(Mapping[str, "pl.LazyFrame"]):
    """The tables by name, each as a Polars ``LazyFrame`` over all of its partitions that exist.

    The key of a partition is a column (``chunk``, ``shelf``, ``recipe``).
    """

    def __init__(self, lake: Lake) -> None:
        """Args: lake: the data directory."""
        self._lake = lake

    def __getitem__(self, name: str) -> pl.LazyFrame:
        """Rows of a table; KeyError for a name that is none."""
        from biomedica_assets.lib.tables import TABLES

        return self._lake.scan(TABLES[name])

    def __iter__(self) -> Iterator[str]:
        """Names of all tables, whether they have rows or not."""
        from biomedica_assets.lib.tables import TABLES

        return iter(TABLES)

    def __len__(self) -> int:
        """Number of tables."""
        return sum(1 for _ in self)


class Dataset:
    """Figures, captions, labels and recipes of one data directory; read only.

    Example:
        >>> import biomedica_assets as bm
        >>> d = bm.open("data/demo")  # doctest: +SKIP
        >>> d.figures("license_group = 'commercial' and year >= 2020")  # doctest: +SKIP
        >>> d.search("fundus photograph", most=5)  # doctest: +SKIP
        >>> d.recipe("balanced").torch(transform, tokenize)  # doctest: +SKIP
    """

    def __init__(self, path: Path | str) -> None:
        """Args: path: a data directory.

        Raises:
            PermanentFailure: it is none.
        """
        from biomedica_assets.lib.store.lake import Lake

        self.path = Path(path).expanduser().absolute()
        if not (self.path / "tables").is_dir():
            what = "has no tables" if self.path.is_dir() else "is no directory"
            raise PermanentFailure(
                f"{self.path} {what}: open takes a data directory, as `biomedica run --data-dir` or `biomedica demo` "
                "make it"
            )
        self._lake = Lake(self.path)

    def __repr__(self) -> str:
        """The call that opens it."""
        return f"biomedica_assets.open({str(self.path)!r})"

    @property
    def tables(self) -> Tables:
        """All tables, lazily; ``TABLES`` and the data dictionary say what their columns mean."""
        return Tables(self._lake)

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes that have been built."""
        from biomedica_assets.lib.tables import RECIPE

        return self._lake.partitions(RECIPE)

    def sql(self, query: str) -> pl.DataFrame:
        """Answer one SQL query (DuckDB's) over the tables and the view ``samples``.

        Raises:
            PermanentFailure: the query was refused; the message is DuckDB's.
        """
        import duckdb

        from biomedica_assets.lib.select import catalog_view
        from biomedica_assets.lib.store import catalog

        with catalog.connect(self._lake) as connection:
            connection.execute(catalog_view.view_sql())
            try:
                return connection.sql(query).pl()
            except duckdb.Error as error:
                said = " ".join(str(error).partition("\n\nLINE ")[0].split())
                raise PermanentFailure(f"the query was refused: {said}") from error

    def figures(self, where: str | None = None, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The samples that meet a condition, one row each.

        Args:
            where: SQL over the columns of the view ``samples``, as in a recipe:
                ``"license_group = 'commercial' and width > 500"``.
            columns: of that view; None for all. ``sample_key`` is always there.

        Raises:
            RecipeError: it is no condition.
            PermanentFailure: there is no such column.
        """
        import polars as pl

        from biomedica_assets.lib.select import catalog_view, predicate
        from biomedica_assets.lib.tables import SHARDS

        condition = predicate.check(where) if where else None
        names = columns_of(columns)
        read = {*names, *(condition.columns if condition else ())}
        found: list[pl.DataFrame] = []
        for chunk in self._lake.partitions(SHARDS):
            rows = catalog_view.read_samples(self._lake, chunk, read)
            kept = rows.filter(predicate.matches(condition, rows)) if condition else rows
            found.append(kept.select(sorted({"sample_key", *names})))
        return pl.concat(found).sort("sample_key") if found else pl.DataFrame()

    def search(
        self, words: str | None = None, *, like: str | None = None, where: str | None = None, most: int = 20
    ) -> pl.DataFrame:
        """Search by words, by an image of the data, or by both; see ``lib.select.search``.

        Args:
            words: of which any may stand in caption, title or keywords; BM25.
            like: id of an image (or sample) whose neighbours are wanted; cosine of the embeddings.
            where: condition as for ``figures``; what does not meet it is no candidate.
            most: how many results.

        Returns:
            ``rank``, ``score``, ids, caption, title, journal, year, licence and labels.
        """
        from biomedica_assets.lib.select.search.searching import Query, search
        from biomedica_assets.lib.select.search.vectors import vector_of

        vector = vector_of(self._lake, self._row(like)["media_id"]) if like else None
        return search(self._lake, Query(words, vector, where, most))

    def read(self, image: str) -> bytes:
        """Bytes of an image as PubMed Central has them.

        Args:
            image: its ``media_id``, or the ``sample_key``.

        Raises:
            PermanentFailure: no sample has this id.
        """
        row = self._row(image)
        with (self.path / row["shard"]).open("rb") as shard:
            shard.seek(row["image_start"])
            data = shard.read(row["image_bytes"])
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            raise PermanentFailure(
                f"the bytes of {image} in {row['shard']} are not what was written; `biomedica fsck --repair` makes the "
                "shard again"
            )
        return data

    def image(self, image: str) -> Image.Image:
        """The canonical picture of an image: RGB, as all stages see it (``lib.images.canonical``)."""
        from biomedica_assets.lib.images.canonical import open_canonical

        return open_canonical(self.read(image))

    def trace(self, name: str) -> Trace:
        """What an article, figure, image, sample, checkpoint or score was made from, and what contains it."""
        from biomedica_assets.lib.lineage.trace import trace

        return trace(self._lake, name)

    def recipe(self, name: str) -> RecipeData:
        """The samples of a recipe, as streams for training.

        Raises:
            StreamError: it has not been built; the message names those that have.
        """
        from biomedica_assets.lib.stream.find import find_index

        return RecipeData(self.path, name, find_index(self.path, name))

    def _row(self, image: str) -> dict[str, Any]:
        """The row of ``shards`` of a sample, by its key or by its image."""
        import polars as pl

        from biomedica_assets.lib.chunks import shelf_of, shelf_of_chunk
        from biomedica_assets.lib.tables import SHARDS

        number = re.match(r"pmc(\d{1,9})-", image)
        chunks = self._lake.partitions(SHARDS)
        if number:  # an id names its article, and so its shelf
            chunks = [key for key in chunks if shelf_of_chunk(key) == shelf_of(int(number[1]))]
        is_it = (pl.col("sample_key") == image) | (pl.col("media_id") == image)
        found = self._lake.scan(SHARDS, chunks).filter(is_it)
        rows = found.head(1).collect().to_dicts()
        if not rows:
            raise PermanentFailure(
                f"no sample has the id {image!r}; `search` and `figures` give ids, and images without a caption or "
                "left out by their licence are in no shard"
            )
        return rows[0]


def columns_of(given: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of the view ``samples``: those that are named, or all.

    Raises:
        PermanentFailure: one is none of them.
    """
    from biomedica_assets.lib.select.catalog_view import BY_NAME

    if unknown := [name for name in given or () if name not in BY_NAME]:
        raise PermanentFailure(f"samples have no column {unknown[0]!r}; columns are {', '.join(BY_NAME)}")
    return tuple(BY_NAME) if given is None else tuple(given)
