"""Votes as append-only files: one JSON object a line, ``annotations/votes/<annotator>.jsonl``.

A vote is on the disk (fsync) before ``append`` returns. The id comes from the sender, so sending again after a broken
connection or a crash changes nothing. A line torn by a crash is reported and closed off by the next append; no other
vote is lost with it. Nothing is ever rewritten: a later vote of the same person on the same item replaces the earlier
one, a withdrawal names the vote it takes back, and all of them stay in the file.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.annotate.annotators import Register, check_name
from biomedica_assets.lib.annotate.form import Answer, read_answer
from biomedica_assets.lib.annotate.plain import as_object
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason, StoreError

STAGE = "expert_votes"
TASKS = ("label", "adjudication", "audit", "override")
IMAGE_TASKS = ("audit", "override")
_TEXTS = ("vote_id", "annotator", "source", "task", "time", "taxonomy_version", "guideline_version")
_MAX_SECONDS = 10_000_000
_VOTE_ID = re.compile(r"[a-z0-9][a-z0-9_-]{7,79}")
_MEDIA_ID = re.compile(r"[a-z0-9_-]{1,200}")


class InvalidVote(BiomedicaError):
    """A vote that breaks the rules; the message says which."""


class VoteConflict(InvalidVote):
    """The id of an earlier vote with other content."""


@dataclasses.dataclass(frozen=True, slots=True)
class Vote:
    """One vote, or the withdrawal of one.

    Attributes:
        vote_id: [a-z0-9_-], 8 to 80 characters, chosen by the sender, unique over all annotators.
        annotator: who votes.
        source: human, simulated or imported.
        task: label, adjudication, audit or override.
        cluster: cluster that is judged, None for an image alone.
        media_id: image that is judged, None for a cluster.
        cluster_model: digest of the model the cluster number belongs to.
        answer: what is said; None for a withdrawal.
        withdraws: id of the vote that is taken back, None for a vote.
        seconds: time spent.
        time: ISO 8601 in UTC.
        taxonomy_version: vocabulary in use.
        guideline_version: guideline in force.
    """

    vote_id: str
    annotator: str
    source: str
    task: str
    cluster: int | None
    media_id: str | None
    cluster_model: str | None
    answer: Answer | None
    withdraws: str | None
    seconds: float | None
    time: str
    taxonomy_version: str
    guideline_version: str

    @property
    def item(self) -> tuple[str, int | str, str | None]:
        """What is judged, in which role: votes with equal item and annotator replace one another."""
        role = "image" if self.media_id is not None else self.task
        return role, self.media_id if self.media_id is not None else int(self.cluster or 0), self.cluster_model

    def line(self) -> str:
        """The vote as a line of its file, without the line feed."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "answer"}
        plain["answer"] = self.answer.as_json() if self.answer else None
        return json.dumps(plain, ensure_ascii=False, sort_keys=True)

    def says_the_same(self, other: Vote) -> bool:
        """Whether two votes are one sent twice: equal but for the times at which they were sent."""
        blank = {"time": "", "seconds": None}
        return dataclasses.replace(self, **blank) == dataclasses.replace(other, **blank)


def read_vote(raw: Mapping[str, Any], taxonomy: Taxonomy) -> Vote:
    """Check a vote that came from outside (a file, a request, an import).

    Raises:
        InvalidVote: a field is missing, of the wrong type or not allowed.
        InvalidAnswer: the answer breaks the rules of the form.
    """
    if odd := set(raw) - set(Vote.__dataclass_fields__):
        raise InvalidVote(f"unknown field {sorted(odd)[0][:60]!r}")
    texts = {name: _text(raw, name) for name in _TEXTS}
    if not _VOTE_ID.fullmatch(texts["vote_id"]):
        raise InvalidVote(f"vote_id is malformed: {texts['vote_id'][:80]!r}")
    if texts["task"] not in TASKS or texts["source"] not in {"human", "simulated", "imported"}:
        raise InvalidVote(f"task {texts['task'][:40]!r} or source {texts['source'][:40]!r} is none of the known ones")
    cluster, media_id = _target(raw, texts["task"])
    seconds, withdraws, given = raw.get("seconds"), raw.get("withdraws"), as_object(raw.get("answer"))
    if seconds is not None and not (_is_number(seconds) and 0 <= seconds <= _MAX_SECONDS):
        raise InvalidVote(f"seconds must be a number from 0 to {_MAX_SECONDS:,}")
    if withdraws is not None and not (isinstance(withdraws, str) and _VOTE_ID.fullmatch(withdraws)):
        raise InvalidVote(f"withdraws is no vote id: {str(withdraws)[:60]!r}")
    if (given is None) == (withdraws is None):
        raise InvalidVote("a record has either an answer (an object) or the id of the vote it withdraws")
    partial = texts["source"] == "imported" or texts["task"] in {*IMAGE_TASKS, "adjudication"}
    vote = Vote(
        **texts,
        cluster=cluster,
        media_id=media_id,
        cluster_model=_text(raw, "cluster_model") if raw.get("cluster_model") is not None else None,
        answer=read_answer(given, taxonomy, partial=partial) if given is not None else None,
        withdraws=withdraws,
        seconds=seconds,
    )
    try:
        vote.line().encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair: JSON can spell it, a file cannot hold it
        raise InvalidVote(f"the vote holds text that is no Unicode: {error.reason}") from error
    return vote


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise InvalidVote(f"{name} is missing or malformed: {str(value)[:60]!r}")
    return value


def _target(raw: Mapping[str, Any], task: str) -> tuple[int | None, str | None]:
    """Cluster and image that are judged."""
    cluster, media_id = raw.get("cluster"), raw.get("media_id")
    if cluster is not None and (isinstance(cluster, bool) or not isinstance(cluster, int) or not 0 <= cluster < 2**31):
        raise InvalidVote(f"cluster must be a number from 0: {str(cluster)[:60]!r}")
    if media_id is not None and not (isinstance(media_id, str) and _MEDIA_ID.fullmatch(media_id)):
        raise InvalidVote(f"media_id is malformed: {str(media_id)[:60]!r}")
    if (task in IMAGE_TASKS) != (media_id is not None) or (media_id is None and cluster is None):
        raise InvalidVote(f"a vote of task {task} needs {'media_id' if task in IMAGE_TASKS else 'cluster'}")
    return cluster, media_id


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
            with path.open("ab+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX)
                size = handle.seek(0, os.SEEK_END)
                if size:
                    handle.seek(size - 1)
                    if handle.read(1) != b"\n":  # a line torn by a crash: close it, so that it spoils only itself
                        data = b"\n" + data
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
