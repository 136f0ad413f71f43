"""The task registry: every task as data, one YAML file per suite in ``suites/``.

Each fact of a task (classes, captions, size, licence, metric, get) names its source: the key of a reference in the
same file, ``ours`` where the wording is this project's own, ``from_items`` where the data bring it, or ``not_found``
where no source was found; then the value is null.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from biomedica_assets.lib.evaluate.task import Task, TaskClass, TaskError

FACTS = ("classes", "captions", "size", "licence", "metric", "get")
_INHERITED = ("domain", "modality", "metric", "licence", "access", "get", "layout", "kind")


def builtin_suites() -> dict[str, str]:
    """Suite name -> YAML text of every suite that ships with the package, by name."""
    folder = importlib.resources.files("biomedica_assets.lib.evaluate") / "suites"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return {f.name.removesuffix(".yaml"): f.read_text(encoding="utf-8") for f in files}


def load_registry(extra: Sequence[Path] = ()) -> dict[str, Task]:
    """Task name -> task, of the built-in suites and of further suite files.

    Raises:
        TaskError: a file is not a suite, a task is not sound, or two tasks share a name.
    """
    tasks: dict[str, Task] = {}
    for where, found in _builtin():
        _add(tasks, found, where)
    for path in extra:
        add_suite(tasks, path)
    return tasks


def add_suite(tasks: dict[str, Task], path: Path) -> None:
    """Add the tasks of a suite file to ``tasks``: all of them or, if it raises, none.

    Raises:
        TaskError: the file cannot be read or is not a suite, a task is not sound, or has the name of another.
    """
    try:
        _add(tasks, parse_suite(path.read_text(encoding="utf-8"), str(path)), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} cannot be read: {error}") from error


def _add(tasks: dict[str, Task], found: Sequence[Task], where: str) -> None:
    new: dict[str, Task] = {}
    for task in found:
        if task.name in tasks or task.name in new:
            raise TaskError(f"{where}: task {task.name!r} is already in suite {(tasks | new)[task.name].suite!r}")
        new[task.name] = task
    tasks.update(new)


@functools.cache  # 0.1 s of YAML, and staleness asks for the tasks of each recipe
def _builtin() -> tuple[tuple[str, list[Task]], ...]:
    names = ((f"suites/{name}.yaml", text) for name, text in builtin_suites().items())
    return tuple((where, parse_suite(text, where)) for where, text in names)


def parse_suite(text: str, where: str) -> list[Task]:
    """Tasks of one suite file.

    Args:
        text: YAML: ``suite``, ``references``, values shared by the tasks, ``tasks``.
        where: name of the file, for messages.

    Raises:
        TaskError: the message names the file, the task and what is wrong.
    """
    try:
        raw: Any = yaml.safe_load(text)
        suite = _mapping(raw, "the file")
        references = {str(k): str(v) for k, v in _mapping(suite.get("references", {}), "references").items()}
        return [_task(_mapping(entry, "a task"), suite, references) for entry in suite["tasks"]]
    except yaml.YAMLError as error:
        raise TaskError(f"{where} is not YAML: {error}") from error
    except KeyError as error:
        raise TaskError(f"{where}: {error.args[0]} is missing") from error
    except TaskError as error:
        raise TaskError(f"{where}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:  # a list where a text belongs, and the like
        raise TaskError(f"{where} is not a suite ({type(error).__name__}: {error})") from error


def _task(entry: Mapping[str, Any], suite: Mapping[str, Any], references: Mapping[str, str]) -> Task:
    shared: dict[str, Any] = {key: suite.get(key) for key in _INHERITED}
    shared |= {key: entry[key] for key in _INHERITED if key in entry}
    facts = {**_mapping(suite.get("facts", {}), "facts"), **_mapping(entry.get("facts", {}), "facts")}
    name = str(entry["name"])
    _check_facts(name, entry, shared, facts, references)
    notes = [*suite.get("notes", ()), *entry.get("notes", ())]
    return Task(
        name=name,
        suite=str(suite["suite"]),
        title=str(entry.get("title", name)),
        kind=shared["kind"],
        domain=str(shared["domain"]),
        modality=shared["modality"],
        classes=_classes(entry, suite),
        metric=shared["metric"],
        size=entry.get("size"),
        licence=shared["licence"],
        access=str(shared["access"] or "open"),
        get=" ".join(str(shared["get"] or "").split()),
        layout=" ".join(str(shared["layout"] or "").split()),
        source={**_mapping(suite.get("source", {}), "source"), **_mapping(entry.get("source", {}), "source")},
        references=references,
        fact_sources={str(k): str(v) for k, v in facts.items()},
        notes=tuple(" ".join(str(note).split()) for note in notes),
    )


def _classes(entry: Mapping[str, Any], suite: Mapping[str, Any]) -> tuple[TaskClass, ...]:
    """Classes of a task; ``templates`` turn a class's text into its captions ({} is the text)."""
    templates = entry.get("templates", suite.get("templates", ["{}"]))
    negatives = entry.get("negative_templates", suite.get("negative_templates", []))
    made: list[TaskClass] = []
    for raw in entry.get("classes") or ():
        given: dict[str, Any] = {"name": raw} if isinstance(raw, str) else dict(_mapping(raw, "a class"))
        text = str(given.get("text", given["name"]))
        captions = given.get("captions") or [str(t).replace("{}", text) for t in templates]
        negative = given.get("negative_captions") or [str(t).replace("{}", text) for t in negatives]
        value = given.get("value")
        made.append(
            TaskClass(str(given["name"]), tuple(captions), tuple(negative), None if value is None else str(value))
        )
    return tuple(made)


def _check_facts(
    name: str,
    entry: Mapping[str, Any],
    shared: Mapping[str, Any],
    facts: Mapping[str, Any],
    references: Mapping[str, str],
) -> None:
    """Hold the rule that every fact has a source, and that what was not found is null."""
    for fact in FACTS:
        source = facts.get(fact)
        if source is None:
            raise TaskError(f"task {name!r}: facts.{fact} does not say where it comes from")
        if source not in ("ours", "not_found", "from_items") and source not in references:
            raise TaskError(f"task {name!r}: facts.{fact} names the reference {source!r}, which is not in references")
        value = entry.get("classes") if fact in ("classes", "captions") else shared.get(fact, entry.get(fact))
        if source == "not_found" and value:
            raise TaskError(f"task {name!r}: facts.{fact} is not_found, yet a value is given")


def _mapping(raw: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise TaskError(f"{what} must be a mapping, found {type(raw).__name__}")
    return cast("dict[str, Any]", raw)
