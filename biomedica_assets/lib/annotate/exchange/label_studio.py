"""Label Studio: our clusters as its tasks, its annotations as our votes (JSON, the format of its export and import).

For groups that have their tool and keep it. ``labeling_config`` is the XML that its project settings take; concepts
carry their id as alias, which is what Label Studio writes into its export.

What it keeps was looked up in Label Studio 1.23: the data of a task and the ids of the parts of an annotation come back
as they were given; times, ids and authors of annotations do not, and an author whose address it does not know makes it
refuse the file. So each part is marked with the id of its vote, and the data of the task say whose vote that is.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast
from xml.sax.saxutils import quoteattr

import yaml

from biomedica_assets.lib.annotate.annotators import check_name
from biomedica_assets.lib.annotate.exchange import Imported, Intake, stable_id
from biomedica_assets.lib.annotate.form import QUESTIONS, SETS, SINGLE_CHOICE, choices, guideline
from biomedica_assets.lib.annotate.plain import as_list, as_object
from biomedica_assets.lib.annotate.tasks import Sheets
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.votes import Vote
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.manifest import digest

FLAGS = ("mixed", "cant_tell")
SITE = "ls"
_LONGEST = 40
_KEPT = ("annotator", "source", "seconds", "time", "taxonomy_version", "guideline_version")
_PART = re.compile(r"([a-z0-9][a-z0-9_-]{7,79})\.\w+")


@dataclasses.dataclass(frozen=True, slots=True)
class Users:
    """Which annotator a user of Label Studio is.

    Attributes:
        names: e-mail address, or number as text -> annotator.
        site: what names of users that are known by number alone begin with; each Label Studio counts from 1.
    """

    names: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    site: str = SITE

    def annotator(self, completed_by: object) -> str:
        """Name of the annotator: the one given, else the whole address, since two hospitals may each have an ada.

        Raises:
            PermanentFailure: the result cannot be a name.
            ValueError: the annotation does not say who made it.
        """
        account = as_object(completed_by)
        user = (account.get("email") or account.get("id")) if account else completed_by
        if isinstance(user, bool) or not isinstance(user, str | int) or not str(user).strip():
            raise ValueError("the annotation does not say who made it (completed_by)")
        plain = str(user).strip().lower()
        if plain in self.names:
            return check_name(self.names[plain])
        return check_name(f"{self.site}-{plain}" if plain.isdigit() else _name_of(plain))


def read_users(path: Path | None, site: str = SITE) -> Users:
    """Users from a YAML file, ``ada@one.example: ada`` or ``7: ada`` a line.

    Raises:
        PermanentFailure: the file is none, or a name in it cannot be an annotator's.
    """
    if path is None:
        return Users(site=check_name(site))
    try:
        raw: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PermanentFailure(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(raw, dict):
        raise PermanentFailure(f"{path}: a line for each user was expected, such as `ada@one.example: ada`")
    lines = cast("dict[object, object]", raw)
    return Users({str(user).lower(): check_name(str(name)) for user, name in lines.items()}, check_name(site))


def labeling_config(taxonomy: Taxonomy) -> str:
    """The labelling interface for a Label Studio project, as XML."""
    lines = [
        "<View>",
        '  <Image name="sheet" valueList="$images"/>',
        '  <Text name="captions" value="$captions"/>',
    ]
    for question in QUESTIONS:
        kind = "single" if question in SINGLE_CHOICE else "multiple"
        lines.append(f"  <Header value={quoteattr(question.replace('_', ' '))}/>")
        lines.append(f'  <Choices name="{question}" toName="sheet" choice="{kind}" layout="select">')
        for concept_id in choices(question, taxonomy):
            label = quoteattr(taxonomy.get(concept_id).label)
            lines.append(f"    <Choice value={label} alias={quoteattr(concept_id)}/>")
        lines.append("  </Choices>")
    lines.append('  <Choices name="flags" toName="sheet" choice="multiple">')
    lines += [f'    <Choice value="{flag.replace("_", " ")}" alias="{flag}"/>' for flag in FLAGS]
    lines += ["  </Choices>", '  <TextArea name="comment" toName="sheet"/>', "</View>"]
    return "\n".join(lines) + "\n"


def export_tasks(sheets: Sheets, votes: Iterable[Vote], *, image_url: str) -> str:
    """Clusters as Label Studio tasks, with the votes given so far as annotations.

    Args:
        sheets: what is shown.
        votes: those that count; label votes of ``sheets.model`` are taken.
        image_url: where Label Studio finds an image, with ``{path}`` for its path below the data directory; without it
            the path comes last.
    """
    address = image_url if "{path}" in image_url else f"{image_url}{{path}}"
    given: dict[int, list[Vote]] = {}
    for vote in votes:
        if vote.cluster is not None and vote.answer and vote.task == "label" and vote.cluster_model == sheets.model:
            given.setdefault(vote.cluster, []).append(vote)
    tasks: list[dict[str, Any]] = []
    for cluster, pictures in sheets.clusters.items():
        shown, mine = [p for p in pictures if p.path], given.get(cluster, [])
        data: dict[str, Any] = {"cluster": cluster, "cluster_model": sheets.model}
        data["images"] = [address.replace("{path}", str(p.path)) for p in shown]
        data["captions"] = "\n".join(f"{i + 1}. {p.caption or '(no caption)'}" for i, p in enumerate(shown))
        data["votes"] = {vote.vote_id: _origin(vote) for vote in mine}
        tasks.append({"data": data, "annotations": [_annotation(vote) for vote in mine]})
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def _origin(vote: Vote) -> dict[str, Any]:
    """What Label Studio would not give back of a vote."""
    answered = set(vote.answer.concepts) if vote.answer else set[str]()
    return {name: getattr(vote, name) for name in _KEPT} | {"unanswered": [q for q in SETS if q not in answered]}


def _annotation(vote: Vote) -> dict[str, Any]:
    answer = vote.answer
    values: dict[str, dict[str, list[str]]] = {}
    if answer:
        values |= {q: {"choices": list(answer.given(q))} for q in QUESTIONS if answer.given(q)}
        flags = [flag for flag in FLAGS if getattr(answer, flag)]
        values |= {"flags": {"choices": flags}} if flags else {}
        values |= {"comment": {"text": [answer.comment]}} if answer.comment else {}
    result = [
        {
            "id": f"{vote.vote_id}.{name}",
            "from_name": name,
            "to_name": "sheet",
            "type": "textarea" if "text" in value else "choices",
            "value": value,
        }
        for name, value in values.items()
    ]
    return {"lead_time": vote.seconds, "ground_truth": False, "result": result}


def import_annotations(path: Path, taxonomy: Taxonomy, users: Users | None = None) -> Imported:
    """Read a Label Studio export (JSON, not JSON-MIN).

    An annotation that was made from one of our votes is that vote, or a revision of it, whoever put it into Label
    Studio; any other is its author's.

    Args:
        path: the file.
        taxonomy: the vocabulary.
        users: who is who.

    Raises:
        PermanentFailure: the file is no such export.
    """
    try:
        raw: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PermanentFailure(f"{path} cannot be read as a Label Studio export in JSON: {error}") from error
    tasks = as_list(raw)
    if tasks is None:
        raise PermanentFailure(f"{path} is no Label Studio export: a JSON list of tasks was expected")
    if any("annotation_id" in task and "data" not in task for task in map(as_object, tasks) if task):
        raise PermanentFailure(f"{path} is JSON-MIN, which does not say whose annotation is whose; export it as JSON")
    intake, known = Intake(path.name, taxonomy), users or Users()
    for number, task in enumerate(map(as_object, tasks)):
        annotations = as_list(task.get("annotations")) if task else None
        if task is None or annotations is None:
            intake.n_in += 1
            intake.refuse(f"task {number}", "the task has no list of annotations")
            continue
        taken: set[str] = set()
        for place, annotation in enumerate(map(as_object, annotations)):
            where = f"task {number}, annotation {place}"
            if annotation and annotation.get("was_cancelled"):
                intake.notes.append(f"{where}: skipped in Label Studio")
                continue

            def record(
                task: dict[str, Any] = task, one: dict[str, Any] | None = annotation, taken: set[str] = taken
            ) -> dict[str, Any]:
                return _record(task["data"], one or {}, taxonomy, known, taken)

            intake.take(where, record)
            who = annotation.get("completed_by") if annotation else None
            if isinstance(who, int) and str(who) not in known.names and known.site == SITE:
                intake.numbered.add(f"{SITE}-{who}")
    intake.numbered &= {vote.annotator for vote in intake.votes}
    if intake.numbered:
        intake.notes.append(
            f"users are known by number alone and are called {', '.join(sorted(intake.numbered))}: name them with "
            "--users, or give --site if you take in files of a second Label Studio, whose numbers mean other people"
        )
    return intake.done()


def _record(
    data: Mapping[str, Any], annotation: Mapping[str, Any], taxonomy: Taxonomy, users: Users, taken: set[str]
) -> dict[str, Any]:
    """A vote as ``read_vote`` takes it; ``taken`` collects votes of the task that an annotation was made from."""
    found: dict[str, list[str]] = {}
    parts: list[dict[str, Any]] = list(annotation["result"])
    for part in parts:
        found[part["from_name"]] = list(part["value"].get("choices") or part["value"].get("text") or [])
    origin_id = None if annotation.get("parent_annotation") else _origin_of(parts, data, taken)
    flags, origin = found.get("flags", []), as_object((as_object(data.get("votes")) or {}).get(origin_id or "")) or {}
    unanswered = origin.get("unanswered") or ()
    answer: dict[str, Any] = {q: found.get(q, None if q in unanswered else []) for q in SETS}
    answer |= {q: (found.get(q) or [None])[0] for q in SINGLE_CHOICE}
    answer |= {flag: flag in flags for flag in FLAGS} | {"comment": "\n".join(found.get("comment", [])) or None}
    vote: dict[str, Any] = {
        "task": "label",
        "cluster": data["cluster"],
        "cluster_model": data["cluster_model"],
        "answer": answer,
    }
    if origin_id is not None:
        taken.add(origin_id)
        return vote | {"vote_id": origin_id} | {name: origin.get(name) for name in _KEPT}
    annotator = users.annotator(annotation.get("completed_by"))
    mark = annotation.get("unique_id")  # a UUID; files of old versions only have numbers, which each project counts
    who = [annotator, data["cluster_model"], data["cluster"]]
    return vote | {
        "vote_id": stable_id("ls", mark) if mark else stable_id("ls", *who, annotation["id"]),
        "annotator": annotator,
        "source": "human",
        "seconds": annotation.get("lead_time"),
        "time": annotation.get("updated_at") or annotation["created_at"],
        "taxonomy_version": taxonomy.version,
        "guideline_version": guideline().version,
    }


def _origin_of(parts: Iterable[Mapping[str, Any]], data: Mapping[str, Any], taken: set[str]) -> str | None:
    """Id of our vote that an annotation was made from; a second one from the same vote is a copy by somebody else."""
    known = as_object(data.get("votes")) or {}
    marks = (_PART.fullmatch(str(part.get("id"))) for part in parts)
    return next((m[1] for m in marks if m and m[1] in known and m[1] not in taken), None)


def _name_of(address: str) -> str:
    """An annotator's name for an address, another one for every address: ``.`` is ``-``, ``@`` is ``_``.

    Where that is not enough (other signs, too long) it ends in a digest of the address.
    """
    plain = address.replace(".", "-").replace("@", "_")
    if re.fullmatch(r"[a-z0-9.@]+", address) and len(plain) <= _LONGEST:
        return plain
    kept = re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")[: _LONGEST - 9].rstrip("-_")
    return f"{kept}-{digest(address)[:8]}"
