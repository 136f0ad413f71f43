"""Votes in and out in other people's formats: Label Studio, CSV, BIOMEDICA's ``cluster_labels.json``.

Each reader returns ``Imported``: votes, and a reject for whatever was not one. ``take_in`` writes them to the vote
files; ids are derived from the source, so importing a file twice changes nothing, and an annotation that was
revised meanwhile replaces the earlier vote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from biomedica_assets.lib.annotate.annotators import Source
from biomedica_assets.lib.annotate.ballots import STAGE, BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import Vote, read_vote
from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason
from biomedica_assets.lib.store.manifest import digest


@dataclasses.dataclass(frozen=True, slots=True)
class Imported:
    """What a file held: ``n_in`` items are ``votes`` or ``rejects``; ``notes`` say what was left out of a vote."""

    n_in: int
    votes: tuple[Vote, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...] = ()


class Intake:
    """Collects votes and rejects while a file is read."""

    def __init__(self, source: str, taxonomy: Taxonomy) -> None:
        """Args: source: name of the file, for messages; taxonomy: the vocabulary."""
        self._source, self._taxonomy = source, taxonomy
        self.votes: list[Vote] = []
        self.rejects: list[Reject] = []
        self.notes: list[str] = []
        self.n_in = 0

    def take(self, where: str, make: Callable[[], dict[str, Any]]) -> None:
        """Turn one item into a vote, or into a reject that names it."""
        self.n_in += 1
        try:
            vote = read_vote(make(), self._taxonomy)
        except (BiomedicaError, KeyError, TypeError, ValueError) as error:
            self.refuse(where, f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error))
            return
        self.votes.append(vote)

    def refuse(self, where: str, message: str) -> None:
        """Note an item that is no vote."""
        self.rejects.append(Reject(self._source, STAGE, RejectReason.VOTE_INVALID, message, where))

    def done(self) -> Imported:
        """What was collected."""
        return Imported(self.n_in, tuple(self.votes), tuple(self.rejects), tuple(self.notes))


def stable_id(prefix: str, *parts: object) -> str:
    """Vote id of an imported item: the same item gives the same id."""
    return f"{prefix}-{digest(*map(str, parts))}"


def take_in(box: BallotBox, imported: Imported, source: Source) -> int:
    """Register the annotators of an import and write its votes; returns how many were new.

    Raises:
        PermanentFailure: an annotator's name is already registered as another kind of source.
        VoteConflict: an id is taken by another person's vote; nothing is written.
    """
    votes = [_revision(box, vote) for vote in imported.votes]
    for name in sorted({vote.annotator for vote in imported.votes}):
        box.register.ensure(name, source)
    return sum(box.append(votes))


def _revision(box: BallotBox, vote: Vote) -> Vote:
    """The vote under an id of its own if the same person said something else under its id before.

    A tool keeps the id of an annotation that is revised; here a later vote replaces the earlier one, and both stay.
    What says the same as the last revision becomes that one, so that a file that is read twice changes nothing.
    """
    last, number = box.find(vote.vote_id), 0
    if last is None or last.annotator != vote.annotator:
        return vote
    while (following := box.find(stable_id("rev", vote.vote_id, number + 1))) is not None:
        last, number = following, number + 1
    same = dataclasses.replace(vote, vote_id=last.vote_id)
    if last.says_the_same(same):
        return same
    return dataclasses.replace(vote, vote_id=stable_id("rev", vote.vote_id, number + 1))
