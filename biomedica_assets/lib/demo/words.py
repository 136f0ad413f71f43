"""Invented prose: sentences of medical papers, journals, people, keywords. Nobody and nothing in it is real."""

from __future__ import annotations

import dataclasses

from biomedica_assets.lib.demo.draw.canvas import Rng, pick


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """An invented journal and its habits."""

    title: str
    abbreviation: str
    issn: str
    publisher: str
    label: str
    mention: str
    xml_id: str
    file_name: str


JOURNALS: tuple[Journal, ...] = (
    Journal(
        "Annals of Invented Medicine",
        "Ann Invent Med",
        "9901-1007",
        "Harbour Press",
        "Figure {n}",
        "Figure {n}",
        "F{n}",
        "aim-{article}-g{n:03d}",
    ),
    Journal(
        "Journal of Imaginary Imaging",
        "J Imag Imaging",
        "9901-2011",
        "Northlight Academic",
        "Fig. {n}",
        "Fig. {n}",
        "Fig{n}",
        "{article}_2020_{pmcid}_Fig{n}_HTML",
    ),
    Journal(
        "Fictional Pathology & Microscopy",
        "Fict Pathol Microsc",
        "9901-3026",
        "Lantern Open",
        "FIGURE {n}",
        "Figure {n}",
        "fpm{article}-fig-{n:04d}",
        "FPM-{article}-E{pmcid}-g{n:03d}",
    ),
    Journal(
        "PLoX Biology",
        "PLoX Biol",
        "9901-4030",
        "Public Library of Example",
        "Fig {n}",
        "Fig {n}",
        "plox-{pmcid}-g{n:03d}",
        "plox.{pmcid}.g{n:03d}",
    ),
    Journal(
        "Open Retina",
        "Open Retina",
        "9901-5045",
        "Lantern Open",
        "Figure {n}.",
        "Figure {n}",
        "f{n}",
        "or.{article}.f{n}",
    ),
    Journal(
        "Molecular Examples",
        "Mol Examples",
        "9901-6051",
        "Harbour Press",
        "Figure {n}",
        "Fig. {n}",
        "f{n}-molex-{article}",
        "molex-{article}-{pmcid}-g{n:03d}",
    ),
    Journal(
        "Clinical Case Fables",
        "Clin Case Fables",
        "9901-7066",
        "Northlight Academic",
        "Figure {n}",
        "Figure {n}",
        "FIG{n}",
        "cureful-0017-{pmcid}-i{n:02d}",
    ),
)

SURNAMES = (
    "Abara",
    "Brandt",
    "Castellano",
    "Dufresne",
    "Eriksen",
    "Fontaine",
    "Gökçe",
    "Haruki",
    "Ibáñez",
    "Jovanović",
    "Kowalczyk",
    "Lindqvist",
    "Moreau",
    "Nakagawa",
    "O'Leary",
    "Pereira",
    "Quach",
    "Rossi",
    "Sørensen",
    "Tanaka",
    "Umarov",
    "Virtanen",
    "Wójcik",
    "Xu",
    "Yilmaz",
    "Zhang",
)
GIVEN = (
    "Ada",
    "Bashir",
    "Chiara",
    "Dieter",
    "Elif",
    "Femi",
    "Greta",
    "Hiro",
    "Inés",
    "Jan",
    "Keiko",
    "Lars",
    "Mei",
    "Niamh",
    "Omar",
    "Paula",
    "Rui",
    "Sanna",
    "Tomás",
    "Uma",
    "Vera",
    "Wei",
    "Yusuf",
    "Zoë",
)
DISEASES = (
    "pneumonia",
    "glioma",
    "diabetic retinopathy",
    "melanoma",
    "malaria",
    "sickle cell disease",
    "colorectal cancer",
    "heart failure",
    "macular degeneration",
    "renal cysts",
    "breast cancer",
    "tuberculosis",
)
TREATMENTS = (
    "lorvastine",
    "bevarimab",
    "a short course of steroids",
    "fractionated radiotherapy",
    "intravitreal injection",
    "supportive care",
    "a low-salt diet",
    "early mobilisation",
    "compound 7b",
    "placebo",
)
OUTCOMES = (
    "survival",
    "visual acuity",
    "lung function",
    "tumour volume",
    "haemoglobin",
    "pain scores",
    "viral load",
    "length of stay",
    "quality of life",
    "relapse rate",
)
GENES = ("*BRCA1*", "*TP53*", "*KRAS*", "*EGFR*", "*VEGFA*", "*HBB*")
DESIGNS = (
    "A retrospective cohort study",
    "A randomised trial",
    "A case series",
    "An *in vitro* study",
    "A cross-sectional study",
)
SUBJECTS = (
    "Research Article",
    "Original Article",
    "Case Report",
    "Radiology",
    "Pathology",
    "Ophthalmology",
    "Oncology",
)
TITLES = (
    "{design} of {treatment} in {disease}",
    "{gene} and {outcome} in patients with {disease}",
    "Effect of {treatment} on {outcome} in {disease}: {design}",
    "Imaging of {disease} after {treatment}",
    "Role of {gene} in {disease} under {treatment}",
)
SENTENCES: dict[str, tuple[str, ...]] = {
    "introduction": (
        "{Disease} remains a frequent cause of admission, and its effect on {outcome} is debated.",
        "Earlier work linked {gene} to {disease}, but the samples were small.",
        "Whether {treatment} improves {outcome} in {disease} is not known.",
        "About 10^5^ people live with {disease} in the region studied.",
        "We therefore asked how {treatment} changes {outcome}.",
    ),
    "methods": (
        "Patients with {disease} were enrolled between March and October.",
        "Images were read by two observers who did not know the allocation.",
        "Cells were kept at 37 °C in 5% CO~2~ and treated with {treatment}.",
        "Differences in {outcome} were tested at $p<0.05$.",
        "The ethics board approved the study, and all patients gave consent.",
    ),
    "results": (
        "After {treatment}, {outcome} changed by {number}% on average.",
        "No patient with {disease} was lost to follow-up.",
        "Expression of {gene} was {number}-fold higher than in controls.",
        "The effect on {outcome} was seen in both sexes.",
    ),
    "discussion": (
        "Our findings suggest that {treatment} influences {outcome} in {disease}.",
        "The small sample is a limitation, and {gene} was not measured in all patients.",
        "Larger studies of {disease} are needed before practice changes.",
        "In contrast to earlier reports, {outcome} did not depend on age.",
    ),
    "mention": (
        "The main findings are shown in {ref}.",
        "{Ref} gives an example from a patient with {disease}.",
        "As {ref} shows, {outcome} differed between the groups.",
        "This was confirmed after {treatment} ({ref}).",
        "Details are given in {ref}, together with {outcome}.",
        "A typical image ({ref}) was obtained before {treatment}.",
    ),
}


def sentence(rng: Rng, template: str, **fixed: str) -> str:
    """Fill one template with invented terms; ``fixed`` overrides them."""
    disease = pick(rng, DISEASES)
    terms = {
        "design": pick(rng, DESIGNS),
        "disease": disease,
        "Disease": disease[0].upper() + disease[1:],
        "treatment": pick(rng, TREATMENTS),
        "outcome": pick(rng, OUTCOMES),
        "gene": pick(rng, GENES),
        "number": str(int(rng.integers(2, 60))),
    }
    return template.format(**(terms | fixed))


def sentences(rng: Rng, section: str, count: int) -> str:
    """``count`` different sentences of a section, as one marked paragraph."""
    order = rng.permutation(len(SENTENCES[section]))[:count]
    return " ".join(sentence(rng, SENTENCES[section][int(k)]) for k in order)


def title(rng: Rng) -> str:
    """Marked title of an article."""
    text = sentence(rng, pick(rng, TITLES))
    return text[0].upper() + text[1:]


def people(rng: Rng, count: int) -> list[tuple[str, str]]:
    """Surname and given names of invented authors."""
    return [(pick(rng, SURNAMES), f"{pick(rng, GIVEN)} {pick(rng, 'ABCDEFGHJKLM')}.") for _ in range(count)]


def keywords(rng: Rng, count: int) -> list[str]:
    """Plain keywords, no two alike."""
    pool = [*DISEASES, *OUTCOMES]
    return [pool[int(k)] for k in rng.permutation(len(pool))[:count]]
