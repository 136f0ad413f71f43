"""How much there is to make: articles, figures, images, bytes, and into how many partitions they fall."""

from __future__ import annotations

from typing import Literal

import pydantic

from biomedica_assets.lib.tables.model import Partitioning

Unit = Literal["articles", "figures", "images"]


class Contents(pydantic.BaseModel):
    """What a source holds, or a sample of it.

    Attributes:
        articles: article versions that are taken.
        figures: figures in them.
        images: image files of figures that are there.
        xml_bytes: of their JATS files.
        media_bytes: of the image files.
        chunks: partitions with articles.
        shelves: partitions of a million PMCIDs.
        recipes: recipes that are made.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    articles: int = pydantic.Field(ge=0)
    figures: int = pydantic.Field(ge=0)
    images: int = pydantic.Field(ge=0)
    xml_bytes: int = pydantic.Field(ge=0)
    media_bytes: int = pydantic.Field(ge=0)
    chunks: int = pydantic.Field(ge=0)
    shelves: int = pydantic.Field(ge=0)
    recipes: int = pydantic.Field(ge=0)

    def of(self, unit: Unit) -> int:
        """How many of a unit."""
        return {"articles": self.articles, "figures": self.figures, "images": self.images}[unit]

    def partitions(self, per: Partitioning) -> int:
        """How many partitions of a kind."""
        return {"chunk": self.chunks, "shelf": self.shelves, "recipe": self.recipes, "none": 1}[per]

    def scaled(self, articles: int, *, chunks: int, shelves: int, recipes: int | None = None) -> Contents:
        """As much for each article, of more or fewer articles in other partitions."""
        share = articles / self.articles if self.articles else 0.0
        return Contents(
            articles=articles,
            figures=round(self.figures * share),
            images=round(self.images * share),
            xml_bytes=round(self.xml_bytes * share),
            media_bytes=round(self.media_bytes * share),
            chunks=chunks,
            shelves=shelves,
            recipes=self.recipes if recipes is None else recipes,
        )


PUBMED_CENTRAL = Contents(
    articles=8_000_000,
    figures=24_000_000,
    images=24_000_000,
    xml_bytes=1_000_000_000_000,
    media_bytes=26_000_000_000_000,
    chunks=650,
    shelves=13,
    recipes=3,
)
"""All of it, in round numbers."""
