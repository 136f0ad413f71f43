"""Votes as append-only files: one JSON object a line, ``annotations/votes/<annotator>.jsonl``.

A vote is on the disk (fsync) before ``append`` returns. The id comes from the sender, so sending again after a broken
connection or a crash changes nothing. A line torn by a crash is reported and closed off by the next append; no other
vote is lost with it. Nothing is ever rewritten: a later vote of the same person on the same item replaces the earlier
one, a withdrawal names the vote it takes back, and all of them stay in the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from biomedica_assets.lib.annotate.annotators import Register, check_name
from biomedica_assets.lib.annotate.plain import as_object
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import InvalidVote, Vote, VoteConflict, read_vote
from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason, StoreError

STAGE = "expert_votes"


class BallotBox:
    """The vote files of one data directory, with what they hold in memory.

    Safe for several threads, and for several processes that append to one file. ``votes`` and ``rejects`` are in file
    order; ``refresh`` takes in what others have appended since.
    """

    def __init__(self, root: Path, taxonomy: Taxonomy) -> None:
        """Args: root: the data directory; taxonomy: the vocabulary that votes are checked against."""
        self.folder = root / "annotations" / "votes"
        self.register = Register(root)
        self._taxonomy = taxonomy
        self._lock = threading.RLock()
        self._votes: dict[str, list[Vote]] = {}
        self._by_id: dict[str, Vote] = {}
        self._rejects: dict[str, list[Reject]] = {}
        self._read_to: dict[str, int] = {}
        self._lines: dict[str, int] = {}
        self.refresh()

    def votes(self) -> list[Vote]:
        """Every valid record, withdrawals included; annotators in order of name, each in file order."""
        with self._lock:
            return [vote for name in sorted(self._votes) for vote in self._votes[name]]

    def rejects(self) -> list[Reject]:
        """Every line that is no valid vote, with the reason."""
        with self._lock:
            return [reject for name in sorted(self._rejects) for reject in self._rejects[name]]

    def lines(self) -> int:
        """Lines read so far, good and bad."""
        with self._lock:
            return sum(self._lines.values())

    def find(self, vote_id: str) -> Vote | None:
        """The vote of an id."""
        with self._lock:
            return self._by_id.get(vote_id)

    def active(self) -> list[Vote]:
        """Votes that count: neither withdrawn nor replaced by a later one of the same person on the same item."""
        return [vote for vote, status in self.with_status() if status == "active"]

    def with_status(self) -> list[tuple[Vote, str]]:
        """Every vote (withdrawals left out) with its status: active, replaced or withdrawn."""
        votes = self.votes()
        withdrawn = {(v.annotator, v.withdraws) for v in votes if v.withdraws}
        last: dict[tuple[Any, ...], str] = {}
        for vote in votes:
            if vote.answer is not None and (vote.annotator, vote.vote_id) not in withdrawn:
                last[(vote.annotator, *vote.item)] = vote.vote_id
        found: list[tuple[Vote, str]] = []
        for vote in votes:
            if vote.answer is None:
                continue
            taken_back = (vote.annotator, vote.vote_id) in withdrawn
            current = last.get((vote.annotator, *vote.item)) == vote.vote_id
            found.append((vote, "withdrawn" if taken_back else "active" if current else "replaced"))
        return found

    def append(self, votes: Iterable[Vote]) -> list[bool]:
        """Write votes durably.

        Args:
            votes: checked votes; those of one annotator share one fsync.

        Returns:
            For each vote, True if it was written and False if an equal one was there already.

        Raises:
            UnknownAnnotator: an annotator is not registered; nothing is written.
            VoteConflict: an id is taken by a different vote; nothing is written.
            StoreError: the disk refused; votes of annotators before this one are written.
        """
        batch = list(votes)
        with self._lock:
            self.refresh()
            new: dict[str, list[Vote]] = {}
            fresh: dict[str, Vote] = {}
            written: list[bool] = []
            entries = self.register.all()
            for vote in batch:
                if vote.annotator not in entries:
                    self.register.get(vote.annotator)  # raises, naming the annotator
                if entries[vote.annotator].source != vote.source:
                    raise InvalidVote(f"{vote.annotator} is {entries[vote.annotator].source}, the vote {vote.source}")
                known = self._by_id.get(vote.vote_id) or fresh.get(vote.vote_id)
                if known and not known.says_the_same(vote):
                    raise VoteConflict(f"vote id {vote.vote_id} is taken by another vote of {known.annotator}")
                written.append(known is None)
                if known is None:
                    fresh[vote.vote_id] = vote
                    new.setdefault(vote.annotator, []).append(vote)
            for name, mine in new.items():
                self._write(name, mine)
            return written

    def _write(self, name: str, votes: list[Vote]) -> None:
        path = self.folder / f"{check_name(name)}.jsonl"
        data = "".join(vote.line() + "\n" for vote in votes).encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            created = not path.exists()
            with path.open("ab+", buffering=0) as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                size = handle.seek(0, os.SEEK_END)
                if size:
                    handle.seek(size - 1)
                    if handle.read(1) != b"\n":  # a line torn by a crash: close it, so that it spoils only itself
                        data = b"\n" + data
                try:
                    _write_all(handle, data)
                    os.fsync(handle.fileno())
                except OSError:
                    with contextlib.suppress(OSError):  # what is not on the disk must not be taken for saved later
                        handle.truncate(size)
                    raise
            if created:
                for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
                    _sync_folder(folder)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}; the vote was not saved") from error
        self._read(name, path)

    def refresh(self) -> None:
        """Take in what was appended by others since the last look."""
        with self._lock:
            for path in sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else ():
                if path.stat().st_size != self._read_to.get(path.stem, 0):
                    self._read(path.stem, path)

    def _read(self, name: str, path: Path) -> None:
        """Read the complete lines after the last one read; a torn last line is noted and looked at again later."""
        start = self._read_to.get(name, 0)
        with path.open("rb") as handle:
            handle.seek(start)
            data = handle.read()
        rejects = self._rejects.setdefault(name, [])
        rejects[:] = [r for r in rejects if r.subject != "torn"]
        whole, _, torn = data.rpartition(b"\n")
        for line in whole.split(b"\n") if whole else []:
            self._lines[name] = self._lines.get(name, 0) + 1
            self._take(name, path, line)
        self._read_to[name] = start + len(data) - len(torn)
        if torn:
            where = f"{path.name}, line {self._lines.get(name, 0) + 1}"
            text = (
                "last line is torn (a crash while it was written); the votes before it count, the page never said saved"
            )
            rejects.append(Reject(where, STAGE, RejectReason.VOTE_INVALID, text, "torn"))

    def _take(self, name: str, path: Path, line: bytes) -> None:
        where = f"{path.name}, line {self._lines[name]}"
        try:
            raw = as_object(json.loads(line))
            if raw is None:
                raise InvalidVote("the line is no JSON object")
            vote = read_vote(raw, self._taxonomy)
            if vote.annotator != name:
                raise InvalidVote(f"the vote is {vote.annotator}'s but lies in the file of {name}")
            if known := self._by_id.get(vote.vote_id):
                raise VoteConflict(f"duplicate vote: id {vote.vote_id} was given before by {known.annotator}")
            if name not in self.register.all():
                raise InvalidVote(f"unknown annotator {name}; register the name and the votes count")
        except (BiomedicaError, ValueError, RecursionError) as error:
            reject = Reject(where, STAGE, RejectReason.VOTE_INVALID, str(error), None)
            self._rejects.setdefault(name, []).append(reject)
            return
        self._by_id[vote.vote_id] = vote
        self._votes.setdefault(name, []).append(vote)


def votes_digest(root: Path) -> str:
    """Digest of all vote files and the register, cheap enough for a sensor: equal files give an equal digest."""
    whole = hashlib.sha256()
    folder = root / "annotations"
    for path in [*sorted((folder / "votes").glob("*.jsonl")), folder / "annotators.json"]:
        if path.exists():
            with path.open("rb") as handle:
                whole.update(f"{path.name}:{hashlib.file_digest(handle, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()[:32]


def _write_all(handle: io.FileIO, data: bytes) -> None:
    """Write everything: a raw file may take a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[handle.write(rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
