"""How fast PubMed's files are read and looked up: against bare gzip + lxml over the same file, which is the limit.

Writes an invented file of 30,000 records (the size of NLM's), converts it, looks up one record in four thousand.
1,334 such files make the baseline of 2026 (https://ftp.ncbi.nlm.nih.gov/pubmed/baseline/).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from biomedica_assets.lib.compute.local import LocalEngine
from biomedica_assets.lib.pubmed.archive import Archive, convert_file, files

BASELINE_FILES = 1_334
SECTION = '<AbstractText Label="{0}" NlmCategory="{0}">{1}</AbstractText>'
WORDS = "expression of the <i>receptor</i> in cells rose after treatment, with P &lt; 0.05 in both groups; " * 5


def record(pmid: int) -> str:
    """One invented record of about the size of a real one (7 kB)."""
    sections = "".join(SECTION.format(name, WORDS) for name in ("BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS"))
    mesh = "".join(
        f'<MeshHeading><DescriptorName UI="D{n:06d}" MajorTopicYN="N">Heading {n}</DescriptorName>'
        f'<QualifierName UI="Q000473" MajorTopicYN="Y">pathology</QualifierName></MeshHeading>'
        for n in range(pmid % 7, pmid % 7 + 10)
    )
    references = "".join(
        f"<Reference><Citation>Author. Title of a report. Journal. {n}.</Citation><ArticleIdList>"
        f'<ArticleId IdType="pubmed">{pmid // 2 + n}</ArticleId></ArticleIdList></Reference>'
        for n in range(20)
    )
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">{pmid}</PMID>'
        "<DateRevised><Year>2026</Year>"
        f"<Month>1</Month><Day>2</Day></DateRevised><Article><ArticleTitle>Title {pmid}</ArticleTitle>"
        f"<Abstract>{sections}</Abstract></Article><MeshHeadingList>{mesh}</MeshHeadingList></MedlineCitation><PubmedData>"
        f"<ReferenceList>{references}</ReferenceList></PubmedData></PubmedArticle>"
    )


def write(path: Path, records: int) -> None:
    """A file of the server with its MD5."""
    path.parent.mkdir(parents=True)
    body = "".join(record(pmid) for pmid in range(1, records + 1))
    data = gzip.compress(f"<PubmedArticleSet>{body}</PubmedArticleSet>".encode(), compresslevel=6, mtime=0)
    path.write_bytes(data)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    path.with_name(path.name + ".md5").write_text(f"MD5({path.name})= {digest}\n")


def bare(path: Path) -> int:
    """Unpack and parse, look at nothing."""
    n = 0
    with gzip.open(path) as stream:
        for _, node in etree.iterparse(stream, tag="PubmedArticle"):
            n += 1
            node.clear()
            while node.getprevious() is not None:
                del node.getparent()[0]
    return n


def timed(work: Callable[[], object]) -> float:
    """CPU seconds, which neighbours on the machine do not change."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print rates and the ratio to the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "pubmed", Path(folder) / "store"
        path = root / "baseline" / "pubmed26n0001.xml.gz"
        write(path, arguments.records)
        (file,) = files(root)
        store.mkdir()
        ours, limit = [], []
        for _ in range(arguments.rounds):
            limit.append(timed(lambda: bare(path)))
            ours.append(timed(lambda: convert_file(store, file)))
        archive = Archive(root, store, LocalEngine("serial"))
        wanted = list(range(1, arguments.records, 4_000))
        look_up = statistics.median(timed(lambda: archive.records(wanted)) for _ in range(arguments.rounds))
        mine, bound = statistics.median(ours), statistics.median(limit)
        kept = sum(entry.stat().st_size for entry in store.glob("*.parquet"))
        print(f"file: {arguments.records:,} records, {path.stat().st_size / 1e6:.1f} MB; kept as {kept / 1e6:.1f} MB")
        print(f"limit (gzip + lxml, nothing looked at): {arguments.records / bound:,.0f} records/s of CPU")
        print(f"convert (all fields, sorted Parquet): {arguments.records / mine:,.0f} records/s, {mine / bound:.2f} x")
        print(f"look up {len(wanted)} PMIDs: {look_up * 1000:.0f} ms a file")
        print(f"baseline of {BASELINE_FILES:,} files on one core: {BASELINE_FILES * mine / 3600:.1f} h, once")
        print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
