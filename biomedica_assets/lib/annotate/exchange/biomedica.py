"""BIOMEDICA's ``cluster_labels.json`` as votes of one source.

Their numbers belong to their cluster model; the votes count only where that model assigned the clusters. Answers that
contradict themselves are left out question by question and named in the notes, so that no cluster is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biomedica_assets.lib.annotate.exchange import Imported, Intake, stable_id
from biomedica_assets.lib.annotate.form import MAX_CONCEPTS, guideline
from biomedica_assets.lib.annotate.taxonomy.model import Taxonomy
from biomedica_assets.lib.annotate.taxonomy.published import (
    IN_USE,
    Problem,
    contradictions,
    load_published,
    panel_concepts,
    read_cluster_labels,
)

ANNOTATOR = "biomedica"
TIME = "1970-01-01T00:00:00.000+00:00"  # the file says not when its labels were given


def import_cluster_labels(
    path: Path, taxonomy: Taxonomy, *, cluster_model: str, annotator: str = ANNOTATOR
) -> Imported:
    """Read a ``cluster_labels.json``.

    Args:
        path: the file.
        taxonomy: the vocabulary.
        cluster_model: digest of the model whose clusters the numbers mean.
        annotator: name under which the votes are kept.

    Returns:
        One vote per cluster; in ``notes`` each contradiction and what was left out for it.

    Raises:
        PermanentFailure: the file is no such file.
    """
    labels = read_cluster_labels(path)
    by_cluster: dict[str, list[Problem]] = {}
    for problem in contradictions(labels):
        by_cluster.setdefault(problem.cluster, []).append(problem)
    intake = Intake(path.name, taxonomy)
    for cluster, entry in labels.items():
        problems = by_cluster.get(cluster, [])
        kinds = {problem.kind for problem in problems}
        intake.notes += [f"cluster {cluster}: {p.message}; {_consequence(p.kind)}" for p in problems]
        if kinds & {"shape", "unknown"}:
            intake.n_in += 1
            intake.refuse(f"cluster {cluster}", "; ".join(p.message for p in problems))
            continue

        def record(cluster: str = cluster, entry: Mapping[str, Any] = entry, kinds: set[str] = kinds) -> dict[str, Any]:
            return {
                "vote_id": stable_id("bm", annotator, cluster_model, cluster),
                "annotator": annotator,
                "source": "imported",
                "task": "label",
                "cluster": int(cluster),
                "cluster_model": cluster_model,
                "answer": translate(entry, taxonomy, panels="panel" not in kinds, locals_="hierarchy" not in kinds),
                "time": TIME,
                "taxonomy_version": taxonomy.version,
                "guideline_version": guideline().version,
            }

        intake.take(f"cluster {cluster}", record)
    return intake.done()


def translate(
    entry: Mapping[str, Any], taxonomy: Taxonomy, *, panels: bool = True, locals_: bool = True
) -> dict[str, Any]:
    """One cluster's labels in our vocabulary.

    A local class that moved to another top concept (flow cytometry: from microscopy to plots) takes its global class
    along, unless another local class speaks for the old one.

    Args:
        entry: panel_type, panel_subtype, global_class, local_class.
        taxonomy: the vocabulary.
        panels: take over the panel answers.
        locals_: take over local classes (and the content they imply).
    """
    version = load_published()[IN_USE]
    answer: dict[str, Any] = {"mixed": False, "cant_tell": False}
    if panels:
        ids = panel_concepts()[(entry["panel_type"], entry["panel_subtype"])]
        answer["panel_type"] = ids[0]
        answer["panel_subtype"] = ids[1] if len(ids) > 1 else None
    tops: set[str] = set()
    narrow: set[str] = set()
    content: set[str] = set()
    for name in dict.fromkeys(entry["global_class"]):
        mine = [local for local in dict.fromkeys(entry["local_class"]) if f"{name} > {local}" in version.terms]
        meant = [concept for local in mine if locals_ for concept in version.concepts(name, local)]
        kinds = [concept for concept in meant if taxonomy.get(concept).axis == "kind"]
        tops |= {taxonomy.top(concept) for concept in kinds} or {taxonomy.top(c) for c in version.concepts(name)}
        narrow |= {concept for concept in kinds if taxonomy.get(concept).broader}
        content |= {concept for concept in meant if taxonomy.get(concept).axis == "content"}
    answer["global"] = sorted(tops)[:MAX_CONCEPTS]
    if locals_:
        answer |= {"local": sorted(narrow), "content": sorted(content)}
    return answer


def _consequence(kind: str) -> str:
    return {
        "hierarchy": "its local classes are left out",
        "panel": "its panel answers are left out",
        "duplicate": "counted once",
    }.get(kind, "the cluster is left out")
