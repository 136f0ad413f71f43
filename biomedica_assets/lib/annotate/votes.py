"""One vote: what it holds, and what makes it valid. How votes are kept is ``ballots``."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from biomedica_assets.lib.annotate.form import Answer, read_answer
from biomedica_assets.lib.annotate.plain import as_object
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.errors import BiomedicaError

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
