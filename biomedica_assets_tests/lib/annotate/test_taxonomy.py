"""The vocabulary: its own rules, the published versions mapped onto it, the contradictions of the published labels."""

import json
from pathlib import Path

import pytest
import rdflib
from rdflib.compare import isomorphic

from biomedica_assets.lib.annotate.taxonomy import model, published, skos
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import TAXONOMY

THEIRS = Path(__file__).resolve().parents[4] / "shared" / "biomedica_annotations"
FILES = {
    "taxonomy-yml": "taxonomy.yml",
    "expert-derived": "expert_derived_taxonomy.json",
    "collapsed": "taxonomy_collapsed_and_filtered.json",
}
CORE = rdflib.Namespace("http://www.w3.org/2004/02/skos/core#")


@pytest.fixture(scope="module")
def theirs() -> Path:
    if not THEIRS.is_dir():
        pytest.skip("the published annotation files are not beside the repository (../shared/biomedica_annotations)")
    return THEIRS


def test_three_axes_hold_every_concept_once_and_every_parent_is_on_the_same_axis():
    taxonomy = model.load()
    assert set(taxonomy.axes) == set(model.AXES) == {c.axis for c in taxonomy.concepts.values()}
    for concept in taxonomy.concepts.values():
        assert taxonomy.lineage(concept.id)[-1] == concept.id
        assert {taxonomy.get(i).axis for i in taxonomy.lineage(concept.id)} == {concept.axis}


def text(*concepts: str) -> str:
    return 'version: "9"\ntitle: t\naxes: {kind: k, content: c, panel: p}\nconcepts:\n' + "\n".join(
        f"  - {{{c}}}" for c in concepts
    )


@pytest.mark.parametrize(
    ("concepts", "fault"),
    [
        (["id: kind-a, label: a, axis: kind", "id: kind-a, label: b, axis: kind"], "kind-a stands twice"),
        (["id: kind-a, label: a, axis: kind", "id: kind-b, label: A, axis: kind"], "kind-b has the label of kind-a"),
        (["id: kind-a, label: a, axis: kind, broader: kind-z"], "kind-a stands under kind-z"),
        (
            ["id: kind-a, label: a, axis: kind, broader: kind-b", "id: kind-b, label: b, axis: kind, broader: kind-a"],
            "below it",
        ),
        (
            ["id: content-a, label: a, axis: content", "id: kind-b, label: b, axis: kind, broader: content-a"],
            "of another axis",
        ),
        (["id: kind_A, label: a, axis: kind"], "words-with-hyphens"),
        (["id: kind-a, label: a, axis: panel"], "words-with-hyphens"),
    ],
)
def test_a_file_that_breaks_the_rules_of_the_tree_is_refused_by_name(concepts, fault):
    with pytest.raises(PermanentFailure, match=fault):
        model.parse(text(*concepts), "mine.yaml")


def test_a_file_that_is_no_taxonomy_is_refused_with_its_name():
    with pytest.raises(PermanentFailure, match=r"mine\.yaml"):
        model.parse("just text", "mine.yaml")


def test_an_unknown_id_names_the_version():
    with pytest.raises(model.UnknownConcept, match=r"'kind-nothing' is not a concept of taxonomy 1\.0\.0"):
        model.load().get("kind-nothing")


def test_all_five_published_versions_load_and_every_term_means_known_concepts():
    versions = published.load_published()
    assert len(versions) == 5
    taxonomy = model.load()
    for version in versions.values():
        for term, concepts in version.terms.items():
            assert concepts, term
            assert all(concept in taxonomy for concept in concepts), term


@pytest.mark.parametrize(("version", "n_global", "n_local"), [("expert-derived", 16, 97), ("collapsed", 16, 119)])
def test_counts_of_a_published_version_are_those_of_the_facts(version, n_global, n_local):
    terms = published.load_published()[version].terms
    assert sum(published.SEPARATOR not in term for term in terms) == n_global
    assert sum(published.SEPARATOR in term for term in terms) == n_local  # "dot plot" stands twice in expert-derived


@pytest.mark.corpus
@pytest.mark.parametrize("version", FILES)
def test_the_mapping_of_a_published_file_is_total_and_names_nothing_else(theirs, version):
    terms = published.read_terms(theirs / FILES[version])
    mapping = published.load_published()[version]
    assert published.unmapped(mapping, terms) == []
    assert set(mapping.terms) == set(terms)


def test_a_term_that_the_mapping_lacks_is_reported():
    version = published.load_published()["collapsed"]
    assert published.unmapped(version, ["Maps", "Maps > treasure map"]) == ["Maps > treasure map"]


@pytest.mark.corpus
def test_the_validator_finds_the_95_contradictory_clusters_of_their_file(theirs):
    problems = published.contradictions(published.read_cluster_labels(theirs / "cluster_labels.json"))
    by_kind = {kind: [p.cluster for p in problems if p.kind == kind] for kind in ("hierarchy", "panel", "duplicate")}
    assert len(by_kind["hierarchy"]) == 91
    assert by_kind["panel"] == ["824", "1091"]
    assert by_kind["duplicate"] == ["1330", "1990"]
    assert len({p.cluster for p in problems}) == len(problems) == 95
    assert next(p.message for p in problems if p.cluster == "67") == "karyotype needs global class Immuno Assays"


def entry(**changes: object) -> dict[str, object]:
    plain = {"panel_type": "single", "panel_subtype": "single panel", "global_class": ["Maps"], "local_class": ["map"]}
    return plain | changes


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"local_class": ["immunoblot"]}, "hierarchy"),
        ({"panel_subtype": "multiple panels: images"}, "panel"),
        ({"global_class": ["Maps", "Maps"]}, "duplicate"),
        ({"local_class": ["treasure map"]}, "unknown"),
        ({"local_class": "map"}, "shape"),
    ],
)
def test_each_sort_of_contradiction_is_found_in_one_cluster_and_not_in_a_sound_one(changes, kind):
    problems = published.contradictions({"5": entry(**changes), "6": entry()})
    assert [(p.cluster, p.kind) for p in problems] == [("5", kind)]


@pytest.mark.parametrize("content", ["[1]", "{", '{"1": 2}'])
def test_a_file_that_is_no_cluster_labels_is_refused(tmp_path, content):
    path = tmp_path / "cluster_labels.json"
    path.write_text(content)
    with pytest.raises(PermanentFailure, match="cluster_labels"):
        published.read_cluster_labels(path)


def test_turtle_and_json_ld_state_the_same_graph_and_it_is_the_tree():
    taxonomy = model.load()
    turtle = rdflib.Graph().parse(data=skos.turtle(taxonomy), format="turtle")
    linked = rdflib.Graph().parse(data=skos.json_ld(taxonomy), format="json-ld")
    assert isomorphic(turtle, linked)
    for concept in taxonomy.concepts.values():
        node = rdflib.URIRef(skos.BASE + concept.id)
        assert turtle.value(node, CORE.prefLabel) == rdflib.Literal(concept.label, lang="en")
        broader = turtle.value(node, CORE.broader)
        assert (str(broader).removeprefix(skos.BASE) if broader else None) == concept.broader
    assert len(set(turtle.subjects(rdflib.RDF.type, CORE.ConceptScheme))) == 3


def test_an_old_spelling_is_a_hidden_label_of_its_concept():
    assert "matrix plor" in skos.old_names(model.load())["kind-matrix-plot"]


def test_json_export_nests_narrower_concepts_and_loses_none():
    def ids(nodes):
        return [i for node in nodes for i in (node["id"], *ids(node.get("narrower", [])))]

    tree = json.loads(skos.plain_json(model.load()))
    assert sorted(i for axis in tree["axes"].values() for i in ids(axis)) == sorted(model.load().concepts)


def test_the_stage_publishes_table_and_exports_with_the_same_version_each_time(tmp_path):
    reports = [model.stage_taxonomy(Lake(tmp_path / name)) for name in ("a", "b")]
    assert reports[0].data_version == reports[1].data_version
    manifest = Lake(tmp_path / "a").manifest(TAXONOMY, None)
    assert [Path(f.path).suffix for f in manifest.files] == [".json", ".jsonld", ".ttl"]
    assert manifest.rows == len(model.load().concepts)
