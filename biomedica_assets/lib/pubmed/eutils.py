"""PubMed by its web service: efetch in batches, within the rate that NCBI allows, for sets of some thousands.

Larger sets come from the files (``archive.py``); NCBI asks for that. Rules: 3 requests a second, 10 with a key, POST
for more than about 200 ids, ``tool`` and ``email`` in each request (https://www.ncbi.nlm.nih.gov/books/NBK25497/).
"""

from __future__ import annotations

import dataclasses
import io
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence

import polars as pl

from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure
from biomedica_assets.lib.progress import SILENT, Progress
from biomedica_assets.lib.pubmed.reading import Deletion, read_set
from biomedica_assets.lib.pubmed.record import RECORD

ENDPOINT = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/"
BATCH = 200
RATE, RATE_WITH_KEY = 3.0, 10.0
SOURCE = "eutils"
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class ServiceUnavailable(BiomedicaError):
    """The service did not answer after all tries; trying later can help."""


class TokenBucket:
    """Lets ``rate`` calls a second through, evenly: a burst at the start would break the limit in its first second."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._gap, self._clock, self._sleep = 1.0 / rate, clock, sleep
        self._next = float("-inf")

    def take(self) -> None:
        """Wait for this call's turn."""
        now = self._clock()
        turn = max(now, self._next)
        self._next = turn + self._gap
        if turn > now:
            self._sleep(turn - now)


@dataclasses.dataclass(frozen=True, slots=True)
class Eutils:
    """PubMed by web service; a ``stage.Provider``.

    Attributes:
        email: whom NCBI can write to, sent with every request.
        api_key: raises the limit to 10 requests a second; it is in no manifest and in no message.
        endpoint: base URL, ending in a slash.
        tool: name of the program, sent with every request.
        retries: tries after the first.
        timeout: seconds until a request counts as failed.
        pause: seconds before the first retry; doubled each time, with jitter.
    """

    email: str = ""
    api_key: str = dataclasses.field(default="", repr=False)
    endpoint: str = ENDPOINT
    tool: str = "biomedica_assets"
    retries: int = 5
    timeout: float = 60.0
    pause: float = 1.0
    bucket: TokenBucket | None = None

    def recorded(self) -> dict[str, str]:
        """The service changes from day to day: the manifest can only say that it was asked."""
        return {"pubmed": SOURCE, "pubmed_files": ""}

    def records(self, pmids: Sequence[int], progress: Progress = SILENT) -> pl.DataFrame:
        """Records of these PMIDs in the schema ``RECORD`` and ``source``; those the service does not return are absent.

        What comes back is taken by its own PMID: order, repetition and gaps of a reply have no meaning, and a record
        that was not asked for is dropped.

        Raises:
            ServiceUnavailable: no answer after all tries.
            PermanentFailure: the service refuses the request (400, 403), or an answer is not PubMed XML.
        """
        limit = self.bucket or TokenBucket(RATE_WITH_KEY if self.api_key else RATE)
        wanted = sorted(set(pmids))
        rows: dict[int, dict[str, object]] = {}
        progress.start("ask PubMed", len(wanted), "records")
        try:
            for start in range(0, len(wanted), BATCH):
                batch = wanted[start : start + BATCH]
                for entry in read_set(io.BytesIO(self._fetch(batch, limit)), "answer of efetch", frozenset(batch)):
                    if not isinstance(entry, Deletion) and _is_newer(entry, rows.get(entry["pmid"])):
                        rows[entry["pmid"]] = entry
                progress.advance(len(batch))
        finally:
            progress.finish()
        frame = pl.DataFrame([rows[pmid] for pmid in sorted(rows)], schema=RECORD, orient="row")
        return frame.with_columns(source=pl.lit(SOURCE))

    def _fetch(self, pmids: Sequence[int], limit: TokenBucket) -> bytes:
        form = {"db": "pubmed", "id": ",".join(map(str, pmids)), "retmode": "xml", "tool": self.tool}
        form |= {name: value for name, value in (("email", self.email), ("api_key", self.api_key)) if value}
        url = urllib.parse.urljoin(self.endpoint, "efetch.fcgi")
        if not url.startswith(("https://", "http://")):
            raise PermanentFailure(f"{self.endpoint!r} is not the base URL of a web service")
        request = urllib.request.Request(url, data=urllib.parse.urlencode(form).encode(), method="POST")  # noqa: S310  # the scheme was checked
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                # Jitter needs no secret; its seed is the machine's, as nothing of it reaches the data.
                time.sleep(self.pause * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311
            limit.take()
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:  # noqa: S310  # see above
                    answer: bytes = response.read()
                    return answer
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in _TRY_AGAIN:
                    raise PermanentFailure(
                        f"{url} refuses {len(pmids)} PMIDs: {error.code} {error.reason}; check pubmed_api_key"
                    ) from error
                problem = f"{error.code} {error.reason}"
            except OSError as error:
                problem = str(error)
        raise ServiceUnavailable(
            f"{url} gave no answer in {self.retries + 1} tries: {problem}. Run again later; what is finished is kept"
        )


def _is_newer(entry: dict[str, object], known: dict[str, object] | None) -> bool:
    return known is None or int(str(entry["pubmed_version"])) > int(str(known["pubmed_version"]))
