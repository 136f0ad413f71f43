"""The suites that ship, and what the registry refuses."""

import pytest

from biomedica_assets.lib.evaluate.registry import FACTS, builtin_suites, load_registry, parse_suite
from biomedica_assets.lib.evaluate.task import TaskError

SUITE = """
suite: s
kind: single_label
metric: accuracy
domain: d
modality: null
references: {a: "A. Author 2020"}
facts: {classes: a, captions: ours, size: not_found, licence: not_found, metric: ours, get: ours}
tasks:
  - name: t
    templates: ["an image of {}"]
    classes: [cat, dog]
"""


def test_every_task_the_facts_name_is_registered():
    tasks = load_registry()
    medmnist = ("organa", "derma", "oct", "pneumonia", "retina", "breast", "chest", "path", "blood", "tissue")
    wanted = {f"medmnist_{n}" for n in medmnist}
    wanted |= {"patchcamelyon", "lc25000_lung", "lc25000_colon", "chexpert", "rsna_pneumonia", "ham10000", "deepdrid"}
    wanted |= {"cataracts", "dresden", "biomed_flickr"}
    wanted |= {f"microbench_coarse_{n}" for n in ("domain", "modality", "stain", "submodality")}
    released = ("medmnist", "patchcamelyon", "ubench", "lc25000", "chexpert", "rsna", "cataracts", "dresden")
    wanted |= {f"evalset_{n}" for n in released}
    assert wanted <= set(tasks)
    assert sum(t.suite == "microbench" and "coarse" not in t.name for t in tasks.values()) == 23


def test_every_fact_names_its_source_and_what_was_not_found_is_null():
    for task in load_registry().values():
        assert set(FACTS) <= set(task.fact_sources), task.name
        for fact, source in task.fact_sources.items():
            assert source in {"ours", "not_found", "from_items"} | set(task.references), (task.name, fact)
        if task.fact_sources["size"] == "not_found":
            assert task.size is None
        assert task.get, task.name
        assert task.source.get("adapter") in ("folder", "npz", "parquet", "webdataset")


def test_a_class_takes_its_captions_from_the_templates():
    (task,) = parse_suite(SUITE, "s.yaml")
    assert [c.captions for c in task.classes] == [("an image of cat",), ("an image of dog",)]
    assert task.references == {"a": "A. Author 2020"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("classes: [cat, dog]", "classes: [cat]", "1 classes, at least 2"),
        ("classes: [cat, dog]", "classes: [cat, cat]", "same name: 'cat'"),
        ('["an image of {}"]', "[an image]", "same captions"),
        ("classes: a,", "classes: b,", "names the reference 'b'"),
        ("captions: ours, ", "", "facts.captions does not say"),
        ("  - name: t", "  - name: t\n    size: 5", "not_found, yet a value is given"),
        ("metric: accuracy", "metric: f1", "metric 'f1' is none of"),
        ("kind: single_label", "kind: guess", "kind 'guess' is none of"),
        ("  - name: t", "  - name: T x", "a name is lower-case"),
        ("  - name: t", "  - title: t", "name is missing"),
        ("tasks:", "tasks: [", "is not YAML"),
    ],
)
def test_a_faulty_suite_is_refused_with_its_file_and_fault(old, new, says):
    assert old in SUITE
    with pytest.raises(TaskError, match=r"s\.yaml") as raised:
        parse_suite(SUITE.replace(old, new), "s.yaml")
    assert says in str(raised.value)


def test_a_name_may_not_be_used_by_two_suites(tmp_path):
    (tmp_path / "mine.yaml").write_text(SUITE.replace("name: t", "name: mednist"))
    with pytest.raises(TaskError, match=r"mednist.*already in suite 'eval_images'"):
        load_registry([tmp_path / "mine.yaml"])


def test_suite_files_are_listed_by_name():
    assert list(builtin_suites()) == sorted(builtin_suites())
