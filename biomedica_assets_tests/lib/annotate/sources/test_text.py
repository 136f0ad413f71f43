"""What the text says of a figure: rules match, negations and references to other pictures take back."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_assets.lib.annotate.sources import rules, text
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.tables import TEXT_LABELS

TAXONOMY = load()
TOP = {concept: TAXONOMY.top(concept) for concept in TAXONOMY.concepts}


def said(caption: str) -> set[str]:
    found = text.read_caption(caption, rules.shipped(), TOP)
    return {concept for one in found for concept in one.rule.concepts}


@pytest.mark.parametrize(
    ("caption", "concept"),
    [
        ("H&E stained section of the liver.", "kind-light-microscopy"),
        ("Axial T2-weighted image.", "kind-magnetic-resonance"),
        ("Forest plot of the included studies.", "kind-forest-plot"),
        ("Western-blots of lysates.", "kind-immunoblot"),
        ("SD-OCT of the macula", "kind-optical-coherence-tomography"),
        ("Kaplan\u2013Meier curves of overall survival.", "kind-survival-curve"),
        ("Cells under the microscope. Scale bar, 20 µm.", "kind-microscopy"),
    ],
)
def test_a_phrase_of_the_field_names_its_concept(caption, concept):
    """Plurals, hyphens and dashes are spelled as editors please."""
    assert concept in said(caption)


@pytest.mark.parametrize(
    "caption",
    [
        "The lesion without a CT scan.",
        "Tumour size (histology not shown).",
        "No MRI was done.",
        "Lymphoma, diagnosed by computed tomography.",
        "Patients undergoing colonoscopy.",
        "A direct comparison of EFFECTS in objectives.",
        "",
    ],
)
def test_what_is_negated_or_only_referred_to_is_not_shown(caption):
    """A caption that says how something was diagnosed shows something else."""
    assert not said(caption) & {
        "kind-computed-tomography", "kind-light-microscopy", "kind-magnetic-resonance", "kind-colonoscopy"
    }  # fmt: skip


def test_numbers_taken_from_a_blot_are_a_plot_and_no_blot():
    """The caption names the blot; the picture is the bar beside it."""
    assert said("Quantification of western blots.") == {"kind-plot"}


def test_the_longest_phrase_decides_where_phrases_overlap():
    """Optical coherence tomography is no computed tomography, and no acronym is found inside a word."""
    assert said("Optical coherence tomography.") == {"kind-optical-coherence-tomography"}
    assert said("ACTIN and PETALS of FACETS") == set()


@pytest.mark.parametrize(
    ("caption", "place"),
    [
        ("Role of p53. (B) Western blot of lysates.", "panel"),
        ("Role of p53. (A, C\u2013E) Representative western blots.", "panel"),
        ("Role of p53. C, Western blot of lysates.", "panel"),
        ("Role of p53. Lysates (red) as seen in a western blot.", "caption"),
        ("Role of p53. (B) Cells that were kept for three weeks, lysed and seen in a western blot.", "caption"),
        ("(A) Western blot of lysates.", "head"),
    ],
)
def test_what_stands_right_behind_a_letter_is_what_the_panel_shows(caption, place):
    """Further on in a sentence a method is often only named."""
    places = {one.place for one in text.read_caption(caption, rules.shipped(), TOP)}
    assert places == {place}


@pytest.mark.parametrize(
    ("caption", "concept"),
    [
        ("Growth. Means are represented by bars, animals by open circles.", "kind-plot"),
        ("DSC curves of alloys.", "kind-plot"),
        ("Localization. Merged images are on the right.", "kind-fluorescence-microscopy"),
        ("CD spectra of oligonucleotides.", "kind-signal-plot"),
        ("Causal diagram of the bias.", "kind-illustrative-diagram"),
    ],
)
def test_what_is_drawn_is_told_by_its_marks(caption, concept):
    """Most captions of plots never say plot."""
    assert concept in said(caption)


def test_a_mention_speaks_only_through_the_sentence_that_cites():
    """The sentence before it speaks of another figure."""
    block = "The western blot was repeated. An MRI of the knee is seen in Figure 2. Then CT followed."
    start = block.index("Figure 2")
    found = text.read_mention(block, start, start + 8, rules.shipped(), TOP)
    assert [one.rule.concepts for one in found] == [("kind-magnetic-resonance",)]


def test_claims_name_rule_place_and_words_and_headings_count_for_all_figures_of_the_article():
    """A claim can be traced to the words that made it."""
    figures = pl.DataFrame({"figure_id": ["f", "g"], "article_id": ["a", "a"], "kind": ["figure", "table"]})
    captions = pl.DataFrame({"figure_id": ["f"], "caption": ["Chest radiograph. Scale bar, 5 mm."]})
    mentions = pl.DataFrame(
        schema={"figure_id": pl.String, "text": pl.String, "start": pl.Int32, "end": pl.Int32, "inferred": pl.Boolean}
    )
    frame = text.claims_of(figures, captions, mentions, {"a": ["Radiography"]}, rules.shipped())
    TEXT_LABELS.validate(frame)
    rows = {(r["figure_id"], r["concept_id"], r["place"], r["words"]) for r in frame.iter_rows(named=True)}
    assert ("f", "kind-radiography", "head", "Chest radiograph"[6:]) in rows
    assert ("f", "kind-microscopy", "caption", "Scale bar") in rows
    assert ("g", "kind-table", "kind", "table") in rows
    assert {("f", "kind-radiography", "mesh", "Radiography"), ("g", "kind-radiography", "mesh", "Radiography")} <= rows


@given(st.text(max_size=300))
def test_any_text_is_read_the_same_twice_and_every_concept_is_known(caption):
    """Captions hold anything that Unicode has."""
    first = said(caption)
    assert first == said(caption)
    assert all(concept in TAXONOMY for concept in first)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("kind-nothing: [{rule: a, words: [b]}]", "kind-nothing"),
        ("kind-plot: [{rule: a, wrods: [b]}]", "wrods"),
        ("kind-plot: [{rule: a, words: [b]}, {rule: a, words: [c]}]", "stands twice"),
        ("- a", "no rule file"),
        ("a: [", "no rule file"),
    ],
)
def test_a_wrong_rule_file_is_refused_by_name(body, named):
    """Rules are for people to edit."""
    with pytest.raises(PermanentFailure, match=r"mine\.yaml") as caught:
        rules.parse([("mine.yaml", body)], TAXONOMY)
    assert named in str(caught.value)
