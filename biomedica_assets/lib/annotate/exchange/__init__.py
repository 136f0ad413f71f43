"""Votes in and out in other people's formats: Label Studio, CSV, COCO, BIOMEDICA's ``cluster_labels.json``.

Each reader returns ``Imported``: votes, and a reject for whatever was not one. ``take_in`` writes them to the vote
files; ids are derived from the source, so importing a file twice changes nothing, and an annotation that was
revised meanwhile replaces the earlier vote.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from biomedica_assets.lib.annotate.annotators import Source, check_name
from biomedica_assets.lib.annotate.ballots import STAGE, BallotBox
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import InvalidVote, Vote, VoteConflict, read_vote
from biomedica_assets.lib.errors import BiomedicaError, Reject, RejectReason
from biomedica_assets.lib.store.manifest import digest


@dataclasses.dataclass(frozen=True, slots=True)
class Imported:
    """What a file of a name held: ``n_in`` items are ``votes`` or ``rejects``; ``notes`` say what else there was.

    ``numbered`` are annotators known by a number alone, which may be another person's number elsewhere.
    """

    n_in: int
    votes: tuple[Vote, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...] = ()
    name: str = ""
    numbered: frozenset[str] = frozenset()


class Intake:
    """Collects votes and rejects while a file is read."""

    def __init__(self, source: str, taxonomy: Taxonomy) -> None:
        """Args: source: name of the file, for messages; taxonomy: the vocabulary."""
        self._source, self._taxonomy = source, taxonomy
        self.votes: list[Vote] = []
        self.rejects: list[Reject] = []
        self.notes: list[str] = []
        self.numbered: set[str] = set()
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
        votes, rejects, notes = tuple(self.votes), tuple(self.rejects), tuple(self.notes)
        return Imported(self.n_in, votes, rejects, notes, self._source, frozenset(self.numbered))


def stable_id(prefix: str, *parts: object) -> str:
    """Vote id of an imported item: the same item gives the same id."""
    return f"{prefix}-{digest(*map(str, parts))}"


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """What became of an import: ``kept`` votes are new, ``known`` were there already, ``rejects`` were left out."""

    kept: int
    known: int
    rejects: tuple[Reject, ...]


def take_in(box: BallotBox, imported: Imported) -> Taken:
    """Register the annotators of an import, each as the kind of source that the votes name, and write its votes.

    A vote that contradicts what is there (another person's id, another kind of source, a name that can be nobody's)
    becomes a reject beside those of the reader; the others count, and its annotator is not registered for it.
    """
    rejects = list(imported.rejects)
    wanted: dict[str, Vote] = {}
    known = 0
    kinds: dict[str, Source] = {
        entry.name: entry.source for entry in box.register.all().values() if box.register.in_use(entry)
    }
    judged = {(vote.annotator, *vote.item) for vote in box.votes() if vote.annotator in imported.numbered}
    for given in imported.votes:
        vote = _revision(box, given)
        there = box.find(vote.vote_id) or wanted.get(vote.vote_id)
        try:
            check_name(vote.annotator)
            if there is not None and not there.says_the_same(vote):
                raise VoteConflict(f"its id was taken in before as another vote of {there.annotator}")
            if (kind := kinds.get(vote.annotator, vote.source)) != vote.source:
                raise InvalidVote(
                    f"{vote.annotator} is registered as {kind}, the vote is {vote.source}; "
                    "let it name that source, or another annotator"
                )
            if there is None and box.find(given.vote_id) is None and (vote.annotator, *vote.item) in judged:
                raise InvalidVote(
                    f"{vote.annotator} judged the same before in another annotation; if that is another person with "
                    "the same number, give --site, else name the user with --users"
                )
        except BiomedicaError as error:
            message = f"vote {vote.vote_id} of {vote.annotator[:60]}: {error}"
            rejects.append(Reject(imported.name, STAGE, RejectReason.VOTE_INVALID, message, vote.vote_id))
            continue
        known += there is not None
        if there is None:
            wanted[vote.vote_id] = vote
            kinds[vote.annotator] = cast("Source", vote.source)  # read_vote took no other
    for name in sorted({vote.annotator for vote in wanted.values()}):
        box.register.ensure(name, kinds[name])
    return Taken(sum(box.append(wanted.values())), known, tuple(rejects))


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
