"""PubMed XML as a stream: records and deletions in document order, hardened against hostile files.

No DTD is loaded, no entity resolved, nothing fetched; an element is forgotten as soon as it was read, so memory does
not grow with the file (30,000 records, about 200 MB of XML).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import IO, Any, cast

from lxml import etree

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pubmed.record import number, read_record, text_of

TOPS = ("PubmedArticle", "DeleteCitation")


@dataclasses.dataclass(frozen=True, slots=True)
class Deletion:
    """PubMed withdrew this record."""

    pmid: int


def read_set(
    stream: IO[bytes], name: str, wanted: Collection[int] | None = None
) -> Iterator[dict[str, Any] | Deletion]:
    """Records (by the names of ``record.RECORD``) and deletions of a ``PubmedArticleSet``.

    Args:
        stream: XML, not compressed.
        name: of the file, for messages.
        wanted: PMIDs that are asked for; the others are skipped before their elements are looked at. None: all.

    Raises:
        PermanentFailure: the XML is damaged or ends early; what was yielded before is part of the file.
    """
    try:
        events = etree.iterparse(
            stream, events=("end",), tag=TOPS, load_dtd=False, no_network=True, resolve_entities=False, huge_tree=False
        )
        for _, element in events:
            node: Any = element
            if node.tag == "DeleteCitation":
                for child in node.iterfind("PMID"):
                    pmid = number(text_of(child))
                    if pmid is not None and (wanted is None or pmid in wanted):
                        yield Deletion(pmid)
            elif wanted is None or number(node.findtext("MedlineCitation/PMID")) in wanted:
                found = read_record(node)
                if found is not None:
                    yield cast("dict[str, Any]", found)
            _forget(node)
    except (etree.XMLSyntaxError, EOFError, OSError) as error:
        raise PermanentFailure(
            f"{name} is damaged: {error}. Fetch it and its .md5 again from the server; nothing of it was taken"
        ) from error


def _forget(node: Any) -> None:
    """Free an element and those before it, which iterparse would otherwise keep under the root."""
    node.clear()
    while node.getprevious() is not None:
        del node.getparent()[0]
