"""Small PubMed records and files written by tests, and a web service on loopback that answers badly on request."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEAD = '<?xml version="1.0"?><!DOCTYPE PubmedArticleSet SYSTEM "http://127.0.0.1:9/never.dtd"><PubmedArticleSet>'


def citation(pmid: int, title: str = "", *, inside: str = "", data: str = "", version: int = 1) -> str:
    """One record; ``inside`` goes into MedlineCitation, ``data`` into PubmedData."""
    return (
        f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="{version}">{pmid}</PMID>'
        f"<Article><ArticleTitle>{title or f'Title of {pmid}'}</ArticleTitle></Article>{inside}</MedlineCitation>"
        f"<PubmedData>{data}</PubmedData></PubmedArticle>"
    )


def document(*parts: str, deleted: Sequence[int] = ()) -> bytes:
    """A PubmedArticleSet."""
    gone = "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in deleted)
    return (
        HEAD + "".join(parts) + (f"<DeleteCitation>{gone}</DeleteCitation>" if gone else "") + "</PubmedArticleSet>"
    ).encode()


def write(root: Path, number: int, data: bytes, folder: str = "baseline", year: int = 26) -> Path:
    """One file of the server with its MD5."""
    path = root / folder / f"pubmed{year}n{number:04d}.xml.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = gzip.compress(data, mtime=0)
    path.write_bytes(packed)
    path.with_name(path.name + ".md5").write_text(f"MD5({path.name})= {hashlib.md5(packed).hexdigest()}\n")
    return path


@dataclasses.dataclass
class Service:
    """Answers efetch with what ``answer`` makes of the PMIDs asked for; ``statuses`` are sent first, one a request."""

    answer: Callable[[list[int]], bytes]
    statuses: list[int] = dataclasses.field(default_factory=list)
    asked: list[dict[str, str]] = dataclasses.field(default_factory=list)
    endpoint: str = ""

    def __enter__(self) -> Service:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body))
                service.asked.append({**form, "path": self.path})
                status = service.statuses.pop(0) if service.statuses else 200
                data = service.answer([int(p) for p in form["id"].split(",")]) if status == 200 else b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/entrez/eutils/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
