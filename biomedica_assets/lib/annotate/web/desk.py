"""What a person sees next, and how an answer becomes a vote: the part of the page that knows no HTTP.

Three modes share one page: ``label`` (clusters assigned to the person), ``adjudicate`` (clusters on which people
disagree, with their votes) and ``audit`` (single images, judged blind); ``override`` labels one image that a person
picked.
"""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from biomedica_assets.lib.annotate import consensus as rules_of
from biomedica_assets.lib.annotate.annotators import Annotator
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.form import QUESTIONS, choices, guideline
from biomedica_assets.lib.annotate.tally import votes_frame
from biomedica_assets.lib.annotate.tasks import Picture, Sheets, assigned, work_order
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import InvalidVote, Vote, read_vote
from biomedica_assets.lib.annotate.worth import Worth, by_worth

MODES = {"label": "label", "adjudicate": "adjudication", "audit": "audit", "override": "override"}


EXAMPLES = 4
LEAST_SHARE = 0.1  # of a cluster's images, below which what a source says is not shown
_PARTY = "You have a vote on this cluster: somebody else settles the dispute."
ARTICLES = "https://pmc.ncbi.nlm.nih.gov/articles/"


class NotAllowed(InvalidVote):
    """The person may not do this."""


class Desk:
    """The work of one data directory; safe for several threads."""

    def __init__(
        self,
        box: BallotBox,
        sheets: Sheets,
        taxonomy: Taxonomy,
        *,
        overlap: int,
        seed: int,
        rules: rules_of.Rules,
        clock: Callable[[], float],
        worth: dict[int, Worth] | None = None,
        gain: str | None = None,
    ) -> None:
        """Args: vote files, what is shown, vocabulary, votes wanted, seed, thresholds, time, worth of votes, gain."""
        self.box, self.sheets, self.taxonomy = box, sheets, taxonomy
        self._overlap, self._seed, self._rules, self._clock = overlap, seed, rules, clock
        self._worth, self._gain = worth or {}, gain
        everything = work_order(sheets.clusters, seed)
        self._order = by_worth(everything, self._worth, sheets.sizes)
        open_ = set(self._order)
        self._settled = [cluster for cluster in everything if cluster not in open_]
        self._lock = threading.Lock()
        self._disputes: tuple[int, dict[int, list[str]]] | None = None

    def vocabulary(self) -> dict[str, Any]:
        """What the form offers: per question the concepts in order, with other names for the search."""
        taxonomy = self.taxonomy
        offered = {
            question: [
                {
                    "id": c.id,
                    "label": c.label,
                    "alt": list(c.alt),
                    "top": taxonomy.top(c.id),
                    "path": _path(taxonomy, c.id),
                }
                for c in map(taxonomy.get, choices(question, taxonomy))
            ]
            for question in QUESTIONS
        }
        return {"version": taxonomy.version, "guideline": guideline().version, "questions": offered}

    def queue(self, who: Annotator, mode: str) -> list[int | str]:
        """Ids of everything a person has or had to do in a mode, in order of work."""
        if mode == "audit":
            return list(self.sheets.audit)
        if mode == "adjudicate":
            return [c for c in self.disputes() if not self._has_labelled(who, c)] if who.adjudicator else []
        people = [name for name, entry in self.box.register.all().items() if entry.source == "human"]
        mine = {at for task, at in self.mine(who) if task == "label"}
        order = [*self._order, *(c for c in self._settled if c in mine)]
        return [c for c in order if who.name in assigned(c, people, self._overlap, self._seed)]

    def disputes(self) -> dict[int, list[str]]:
        """Cluster -> questions that wait for an adjudicator, most disputed first; only once enough votes are in."""
        self.box.refresh()
        with self._lock:
            seen = self.box.lines()
            if self._disputes is None or self._disputes[0] != seen:
                frame = votes_frame(self.box.with_status())
                settled = rules_of.consensus(frame, self.sheets.model or "", rules=self._rules, taxonomy=self.taxonomy)
                found: dict[int, list[str]] = {}
                for cluster, question in rules_of.open_questions(settled).select("cluster", "question").iter_rows():
                    if cluster in self.sheets.clusters:
                        found.setdefault(cluster, []).append(question)
                self._disputes = (seen, found)
            return self._disputes[1]

    def _has_labelled(self, who: Annotator, cluster: int | str | None) -> bool:
        """Whether a person is a party to what people say of a cluster: nobody settles a dispute of their own."""
        return any(
            vote.annotator == who.name and vote.item == ("label", cluster, self.sheets.model)
            for vote in self.box.active()
        )

    def mine(self, who: Annotator) -> dict[tuple[str, int | str], Vote]:
        """A person's active votes on what is shown here, by (task or ``image``, id)."""
        return {
            (vote.item[0], vote.item[1]): vote
            for vote in self.box.active()
            if vote.annotator == who.name and vote.cluster_model == self.sheets.model
        }

    def item(
        self, who: Annotator, mode: str, wanted: str | None = None, *, skip: str | None = None, back: str | None = None
    ) -> dict[str, Any]:
        """What the page shows: an item, the pictures, earlier answers, progress.

        Args:
            who: the person.
            mode: label, adjudicate, audit or override.
            wanted: id of an item; None takes the next one without a vote of this person.
            skip: start looking after this item, for moving on without an answer.
            back: for override, the mode from which the image was picked, whose progress goes on being shown.

        Raises:
            NotAllowed: the person is no adjudicator, or has a vote on the cluster to settle.
            InvalidVote: there is no such item.
        """
        self.box.refresh()
        if mode == "adjudicate" and not who.adjudicator:
            raise NotAllowed(f"{who.name} is no adjudicator")
        # An image that is labelled alone is a detour: the work that it was picked from goes on being counted.
        work = (back if back in MODES and back != "override" else "label") if mode == "override" else mode
        queue, mine = self.queue(who, work), self.mine(who)
        role = "image" if work == "audit" else MODES[work]
        open_ = [i for i in queue if (role, i) not in mine]
        progress = {"done": len(queue) - len(open_), "total": len(queue)}
        if work == "adjudicate":
            progress = {"done": sum(key[0] == role for key in mine), "total": len(queue)}
            open_ = queue  # a ruling takes the cluster off the queue by itself
        item_id = self._find(mode, wanted) if wanted is not None else _next(queue, open_, skip)
        if mode == "adjudicate" and self._has_labelled(who, item_id):
            raise NotAllowed(_PARTY)
        disputes = self.queue(who, "adjudicate")
        shown: dict[str, Any] = {"mode": mode, "progress": progress, "disputes": len(disputes)}
        if who.adjudicator:
            shown["own_disputes"] = len(self.disputes()) - len(disputes)
        shown |= {"settled": len(self._settled) if work == "label" else 0, "gain": self._gain}
        shown |= {"id": item_id, "model": self.sheets.model, "pictures": []}
        if item_id is None:
            return shown
        earlier = mine.get(("image" if mode in {"audit", "override"} else role, item_id))
        shown["answer"] = earlier.answer.as_json() if earlier and earlier.answer else None
        shown["pictures"] = [_picture(p) for p in self._pictures(item_id)]
        shown["size"] = self.sheets.sizes.get(item_id, 1) if isinstance(item_id, int) else 1
        if mode in {"label", "adjudicate"} and isinstance(item_id, int):  # single images are judged blind
            shown["sources"] = self._said_of(item_id)
        if queue and item_id in queue:
            place = queue.index(item_id)
            shown["previous"] = queue[place - 1] if place else None
            shown["next"] = queue[place + 1] if place + 1 < len(queue) else None
        if mode == "adjudicate" and isinstance(item_id, int):
            shown["open"] = self.disputes().get(item_id, [])
            shown["votes"] = self._votes_on(item_id)
        return shown

    def vote(self, who: Annotator, raw: dict[str, Any]) -> dict[str, Any]:
        """Save one vote; it is on the disk when this returns.

        Args:
            who: the person; nothing in ``raw`` can name another.
            raw: vote_id, mode, id, answer, seconds.

        Returns:
            ``saved`` (True), ``again`` (it was there already), ``replaced`` (an earlier answer stands no more).
        """
        mode = raw.get("mode")
        if mode not in MODES:
            raise InvalidVote("mode must be label, adjudicate, audit or override")
        if mode == "adjudicate" and not who.adjudicator:
            raise NotAllowed(f"{who.name} is no adjudicator")
        item_id = self._find(mode, str(raw.get("id")))
        if mode == "adjudicate" and self._has_labelled(who, item_id):
            raise NotAllowed(_PARTY)
        on_image = mode in {"audit", "override"}
        vote = self._checked(
            who,
            raw,
            task=MODES[mode],
            cluster=None if on_image else item_id,
            media_id=item_id if on_image else None,
            answer=raw.get("answer"),
        )
        earlier = self.mine(who).get((vote.item[0], item_id))
        (written,) = self.box.append([vote])
        replaced = earlier is not None and earlier.vote_id != vote.vote_id
        return {"saved": True, "again": not written, "replaced": replaced, "vote_id": vote.vote_id}

    def undo(self, who: Annotator, raw: dict[str, Any]) -> dict[str, Any]:
        """Withdraw the person's last vote.

        Args:
            who: the person.
            raw: vote_id of the withdrawal; sent twice it withdraws once.

        Returns:
            ``undone`` (id of the vote, None if there was none), and its ``mode``, ``id`` and ``answer``.
        """
        given = raw.get("vote_id")
        known = self.box.find(given) if isinstance(given, str) else None
        if known and known.annotator == who.name and known.withdraws:
            last = self.box.find(known.withdraws)
        else:
            mine = [v for v in self.box.active() if v.annotator == who.name and v.cluster_model == self.sheets.model]
            last = mine[-1] if mine else None
            if last is not None:
                record = self._checked(
                    who,
                    raw,
                    task=last.task,
                    cluster=last.cluster,
                    media_id=last.media_id,
                    withdraws=last.vote_id,
                )
                self.box.append([record])
        if last is None or last.answer is None:
            return {"undone": None}
        mode = next(mode for mode, task in MODES.items() if task == last.task)
        item_id = last.media_id if last.media_id is not None else last.cluster
        return {"undone": last.vote_id, "mode": mode, "id": item_id, "answer": last.answer.as_json()}

    def concept(self, who: Annotator, concept_id: str, item: str | None) -> dict[str, Any]:
        """What a concept means, and pictures of clusters that people gave it to.

        Args:
            who: the person.
            concept_id: which concept.
            item: id of what is being labelled: votes on it are no example.

        Returns:
            ``label``, ``path``, ``alt``, ``note``, ``narrower`` (labels), and ``pictures`` (ids, at most EXAMPLES, of
            the clusters with most such votes).

        Raises:
            InvalidVote: there is no such concept.
        """
        del who
        if concept_id not in self.taxonomy:
            raise InvalidVote(f"there is no concept {concept_id[:60]!r}")
        concept = self.taxonomy.get(concept_id)
        given: Counter[int] = Counter()
        for vote in self.box.active():
            at = vote.cluster
            if vote.answer and at is not None and vote.cluster_model == self.sheets.model and str(at) != item:
                given[at] += any(concept_id in ids for ids in vote.answer.concepts.values())
        pictures: list[str] = []
        for at, n in sorted(given.items(), key=lambda entry: (-entry[1], entry[0])):
            there = [p.media_id for p in self.sheets.clusters.get(at, ()) if p.path is not None]
            pictures += there[:2] if n else []
        return {
            "id": concept.id,
            "label": concept.label,
            "path": _path(self.taxonomy, concept.id),
            "alt": list(concept.alt),
            "note": concept.note,
            "narrower": self.taxonomy.labels(self.taxonomy.narrower(concept_id)),
            "pictures": pictures[:EXAMPLES],
        }

    def _checked(self, who: Annotator, raw: dict[str, Any], **fields: Any) -> Vote:
        now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        record = {
            "vote_id": raw.get("vote_id"),
            "annotator": who.name,
            "source": who.source,
            "cluster": None,
            "media_id": None,
            "cluster_model": self.sheets.model,
            "answer": None,
            "withdraws": None,
            "seconds": raw.get("seconds"),
            "time": now.isoformat(timespec="milliseconds"),
            "taxonomy_version": self.taxonomy.version,
            "guideline_version": guideline().version,
            **fields,
        }
        return read_vote(record, self.taxonomy)

    def _find(self, mode: str, wanted: str) -> int | str:
        if mode in {"audit", "override"}:
            if wanted in self.sheets.pictures:
                return wanted
        elif wanted.isascii() and wanted.isdigit() and int(wanted) in self.sheets.clusters:
            return int(wanted)
        raise InvalidVote(f"there is no {'image' if mode in {'audit', 'override'} else 'cluster'} {wanted[:60]!r} here")

    def _pictures(self, item_id: int | str) -> tuple[Picture, ...]:
        return self.sheets.clusters[item_id] if isinstance(item_id, int) else (self.sheets.pictures[item_id],)

    def _said_of(self, cluster: int) -> list[dict[str, Any]]:
        """What each source says of a cluster's images, most said first; a few lines a source."""
        found: list[dict[str, Any]] = []
        for source, concept, share in self._worth[cluster].said if cluster in self._worth else ():
            if share >= LEAST_SHARE and concept in self.taxonomy:
                found.append({"source": source, "concept": self.taxonomy.get(concept).label, "share": share})
        return found

    def _votes_on(self, cluster: int) -> list[dict[str, Any]]:
        votes = [v for v in self.box.active() if v.item == ("label", cluster, self.sheets.model) and v.answer]
        named: list[dict[str, Any]] = []
        for vote in votes:
            answer = vote.answer.as_json() if vote.answer else {}
            labels = {q: self.taxonomy.labels(vote.answer.given(q)) for q in QUESTIONS} if vote.answer else {}
            named.append({"annotator": vote.annotator, "source": vote.source, "answer": answer, "labels": labels})
        return named


def _picture(picture: Picture) -> dict[str, Any]:
    # The article's page at PMC knows no versions: PMC123.1 is at PMC123.
    pmcid = (picture.article_id or "").partition(".")[0]
    return {
        "id": picture.media_id,
        "role": picture.role,
        "caption": picture.caption,
        "there": picture.path is not None,
        "article": picture.article_id,
        "link": f"{ARTICLES}{pmcid}/" if pmcid else None,
    }


def _path(taxonomy: Taxonomy, concept_id: str) -> str:
    return " / ".join(taxonomy.labels(taxonomy.lineage(concept_id)[:-1]))


def _next(queue: list[int | str], open_: list[int | str], skip: str | None) -> int | str | None:
    """The first open item, or the first one after ``skip``, going round."""
    if not open_:
        return None
    places = {str(item): place for place, item in enumerate(queue)}
    start = places.get(skip, -1) if skip is not None else -1
    return min(open_, key=lambda item: (places[str(item)] - start - 1) % len(queue))
