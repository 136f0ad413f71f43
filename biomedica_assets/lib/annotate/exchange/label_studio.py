"""Label Studio: our clusters as its tasks, its annotations as our votes (JSON, the format of its export and import).

For groups that have their tool and keep it. ``labeling_config`` is the XML that its project settings take; concepts
carry their id as alias, which is what Label Studio writes into its export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

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
_OURS = "@annotators.invalid"  # RFC 2606: no mail reaches it
_LONGEST = 40


def labeling_config(taxonomy: Taxonomy) -> str:
    """The labelling interface for a Label Studio project, as XML."""
    lines = [
        "<View>",
        '  <Image name="sheet" value="$images" valueList="$images"/>',
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
        votes: active label votes of ``sheets.model``.
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
        shown = [p for p in pictures if p.path]
        data: dict[str, Any] = {"cluster": cluster, "cluster_model": sheets.model}
        data["images"] = [address.replace("{path}", str(p.path)) for p in shown]
        data["captions"] = "\n".join(f"{i + 1}. {p.caption or '(no caption)'}" for i, p in enumerate(shown))
        tasks.append({"data": data, "annotations": [_annotation(vote) for vote in given.get(cluster, [])]})
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def _annotation(vote: Vote) -> dict[str, Any]:
    answer = vote.answer
    result: list[dict[str, Any]] = []
    if answer:
        result += [_choices(question, list(answer.given(question))) for question in QUESTIONS if answer.given(question)]
        flags = [flag for flag in FLAGS if getattr(answer, flag)]
        result += [_choices("flags", flags)] if flags else []
        if answer.comment:
            value = {"text": [answer.comment]}
            result.append({"from_name": "comment", "to_name": "sheet", "type": "textarea", "value": value})
    return {
        "unique_id": vote.vote_id,
        "completed_by": {"email": f"{vote.annotator}{_OURS}"},
        "lead_time": vote.seconds,
        "created_at": vote.time,
        "result": result,
    }


def _choices(name: str, ids: list[str]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "sheet", "type": "choices", "value": {"choices": ids}}


def import_annotations(path: Path, taxonomy: Taxonomy, *, names: Mapping[str, str] | None = None) -> Imported:
    """Read a Label Studio export (JSON, not JSON-MIN).

    Args:
        path: the file.
        taxonomy: the vocabulary.
        names: its users (email or number as text) -> our annotators; others are called by their whole
            address, since two hospitals may each have an ada, and those of our own export by their name.

    Raises:
        PermanentFailure: the file is no such export.
    """
    try:
        raw: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PermanentFailure(f"{path} cannot be read as a Label Studio export: {error}") from error
    tasks = as_list(raw)
    if tasks is None:
        raise PermanentFailure(f"{path} is no Label Studio export: a JSON list of tasks was expected")
    intake = Intake(path.name, taxonomy)
    for number, task in enumerate(map(as_object, tasks)):
        annotations = as_list(task.get("annotations")) if task else None
        if task is None or annotations is None:
            intake.n_in += 1
            intake.refuse(f"task {number}", "the task has no list of annotations")
            continue
        for place, annotation in enumerate(map(as_object, annotations)):
            where = f"task {number}, annotation {place}"
            if annotation and annotation.get("was_cancelled"):
                intake.notes.append(f"{where}: skipped in Label Studio")
                continue

            def record(task: dict[str, Any] = task, one: dict[str, Any] | None = annotation) -> dict[str, Any]:
                return _record(task["data"], one or {}, taxonomy, names or {})

            intake.take(where, record)
    return intake.done()


def _record(
    data: Mapping[str, Any], annotation: Mapping[str, Any], taxonomy: Taxonomy, names: Mapping[str, str]
) -> dict[str, Any]:
    who = annotation["completed_by"]
    account = as_object(who)
    user = str(account["email"] if account else who)
    annotator = check_name(names.get(user) or _name_of(user))
    found: dict[str, list[str]] = {}
    for part in annotation["result"]:
        found[part["from_name"]] = list(part["value"].get("choices") or part["value"].get("text") or [])
    flags = found.get("flags", [])
    answer: dict[str, Any] = {q: found.get(q, []) for q in SETS}
    answer |= {q: (found.get(q) or [None])[0] for q in SINGLE_CHOICE}
    answer |= {flag: flag in flags for flag in FLAGS} | {"comment": "\n".join(found.get("comment", [])) or None}
    mark = str(annotation.get("unique_id") or annotation["id"])
    ours = re.fullmatch(r"[a-z0-9][a-z0-9_-]{7,79}", mark)
    return {
        "vote_id": mark if ours else stable_id("ls", data["cluster_model"], data["cluster"], mark),
        "annotator": annotator,
        "source": "human",
        "task": "label",
        "cluster": data["cluster"],
        "cluster_model": data["cluster_model"],
        "answer": answer,
        "seconds": annotation.get("lead_time"),
        "time": annotation["created_at"],
        "taxonomy_version": taxonomy.version,
        "guideline_version": guideline().version,
    }


def _name_of(user: str) -> str:
    """An annotator's name for a user of Label Studio: letters, digits and hyphens of the address, cut with a digest."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", user.removesuffix(_OURS).lower()).strip("-_")
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 9].rstrip('-_')}-{digest(user)[:8]}"
