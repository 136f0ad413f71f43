"""What a table is: columns with types and meanings, a key, a way of being cut; and the table of rejects.

Every stage has rejects, so they stand here. The tables themselves are in the modules beside this one.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure

Partitioning = Literal["chunk", "shelf", "recipe", "none"]


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column: name, Polars type, meaning, nullability and the columns it is made from."""

    name: str
    dtype: pl.DataType
    meaning: str
    nullable: bool = False
    sources: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: its columns in order, its key, and how it is cut into partitions.

    Without slots, so that ``schema`` is made once: a look at 650 chunks asks for it some 10 000 times.
    """

    name: str
    meaning: str
    partitioning: Partitioning
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @functools.cached_property
    def schema(self) -> pl.Schema:
        """Polars schema, columns in order; one object for all, so not to be changed."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def empty(self) -> pl.DataFrame:
        """The table without rows."""
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict[str, object]]) -> pl.DataFrame:
        """Rows as a frame in this table's schema; a missing key becomes null."""
        return pl.DataFrame(rows, schema=self.schema, orient="row")

    def problems(self, frame: pl.DataFrame) -> list[str]:
        """What is wrong with a frame, one sentence per fault; empty if it fits."""
        found = [f"column {c.name} is missing" for c in self.columns if c.name not in frame.columns]
        found += [f"column {name} is not part of {self.name}" for name in frame.columns if name not in self.schema]
        for column in self.columns:
            if column.name not in frame.columns:
                continue
            dtype = frame.schema[column.name]
            if dtype != column.dtype:
                found.append(f"column {column.name} is {dtype}, expected {column.dtype}")
            elif not column.nullable and (n := frame[column.name].null_count()):
                found.append(f"column {column.name} has {n:,} nulls, none are allowed")
        if not found and self.key and frame.height:
            n = frame.height - frame.select(self.key).n_unique()
            if n:
                found.append(f"key {', '.join(self.key)} is not unique: {n:,} rows too many")
        return found

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame in column order.

        Raises:
            PermanentFailure: it does not fit the schema, a required column has nulls, or the key is not unique.
        """
        if found := self.problems(frame):
            raise PermanentFailure(f"table {self.name}: " + "; ".join(found))
        return frame.select(self.schema.names())


S, I64, I32, F32, BOOL = pl.String(), pl.Int64(), pl.Int32(), pl.Float32(), pl.Boolean()
STRINGS = pl.List(pl.String())


def column(name: str, dtype: pl.DataType, meaning: str, *, null: bool = False, src: str = "") -> Column:
    """A column; ``src`` names the columns it is made from, ``table.column``, separated by blanks."""
    return Column(name, dtype, meaning, null, tuple(src.split()))


REJECTS = Table(
    "rejects",
    "Items left out at any stage, each with its reason; one file beside each partition.",
    "chunk",
    (),
    (
        column("article_id", S, "PMC123.1, or the key or file when no article is known"),
        column("stage", S, "asset that refused the item"),
        column("reason", S, "reason code, see lib.errors.RejectReason"),
        column("message", S, "what was found, what was expected"),
        column("subject", S, "figure_id, media name or place concerned", null=True),
    ),
)
