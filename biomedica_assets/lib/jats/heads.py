"""``article_heads``: what the front matter of each JATS file says of the article's identity and of other articles.

Which articles are withdrawn has to be known before anything is made of them, and notices say it in their front matter.
So this reads the files up to the end of ``front`` and no further: some tenth of a parse.
"""

from __future__ import annotations

import time

import polars as pl
from lxml import etree

from biomedica_assets.lib.errors import Reject, RejectReason
from biomedica_assets.lib.jats.metadata import identity
from biomedica_assets.lib.jats.reading import UnreadableXml, read_article
from biomedica_assets.lib.jats.vocabulary import Element, local_name
from biomedica_assets.lib.progress import SILENT, Progress, track
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import ARTICLE_HEADS, ARTICLE_XML

VERSION = "heads-1"
_END = b"</front>"


def build_heads(lake: Lake, chunk: str, *, progress: Progress = SILENT) -> Report:
    """Publish ``article_heads`` of a chunk.

    Args:
        lake: reads ``article_xml`` and its files.
        chunk: partition key.
        progress: told of each file.

    Raises:
        StoreError: ``article_xml`` has not been made.
    """
    began = time.monotonic()
    inputs = lake.inputs((ARTICLE_XML, chunk))
    files = lake.read_lazy(ARTICLE_XML, chunk).select("article_id", "path").sort("article_id").collect()
    rows, rejects = list[dict[str, object]](), list[Reject]()
    for article, path in track(files.iter_rows(), progress, f"read heads of {chunk}", files.height, "articles"):
        pmcid = int(article.removeprefix("PMC").partition(".")[0])
        try:
            found = read_head((lake.root / path).read_bytes(), pmcid)
        except UnreadableXml as error:
            rejects.append(Reject(article, ARTICLE_HEADS.name, error.reason, error.message))
        except FileNotFoundError:
            message = f"{path} is listed in article_xml but is not there; materialise article_xml again"
            rejects.append(Reject(article, ARTICLE_HEADS.name, RejectReason.OBJECT_MISSING, message))
        else:
            rows.append({"article_id": article, "pmcid": pmcid, **found})
    frame = ARTICLE_HEADS.frame(rows)
    manifest = lake.publish(
        ARTICLE_HEADS, chunk, frame, code_version=VERSION, inputs=inputs, config={}, rejects=rejects,
        n_in=files.height, n_out=frame.height,
    )  # fmt: skip
    return Report(
        asset=ARTICLE_HEADS.name, partition=chunk, data_version=manifest.data_version, rows=frame.height,
        n_in=files.height, n_out=frame.height, rejects=manifest.rejects, bytes_written=manifest.bytes,
        seconds=time.monotonic() - began,
        metrics={"with_related_articles": frame.filter(pl.col("related").list.len() > 0).height},
    )  # fmt: skip


def read_head(data: bytes, wanted_pmcid: int | None = None) -> dict[str, object]:
    """``article_type``, ``pmid``, ``doi`` and ``related`` of an article.

    Args:
        data: bytes of the JATS file.
        wanted_pmcid: which article to take from a wrapper that holds several.

    Raises:
        UnreadableXml: the file as a whole cannot be used.
    """
    root = _front(data)
    return identity(root if root is not None else read_article(data, wanted_pmcid)[0])


def _front(data: bytes) -> Element | None:
    """The article with its front matter alone; None where only the whole file tells.

    That is: another root than ``article`` (wrappers, of which the right one has to be found), an encoding other than
    ASCII's kin, entities, or anything that is not well-formed up to there.
    """
    end = data.find(_END)
    if end < 0 or b"\0" in data[:64]:
        return None
    parser = etree.XMLPullParser(
        events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, attribute_defaults=False
    )
    try:
        parser.feed(data[: end + len(_END)])
        events: list[tuple[str, Element]] = list(parser.read_events())
    except etree.XMLSyntaxError:
        return None
    # The end that was found may stand in a comment or a CDATA section.
    if not events or events[-1][0] != "end" or local_name(events[-1][1]) != "front":
        return None
    root = events[0][1]
    if (
        local_name(root) != "article"
        or events[-1][1].getparent() is not root
        or any(True for _ in root.iter(etree.Entity))
    ):
        return None
    return root
