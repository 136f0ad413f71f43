"""What captions say about pictures: one clause per visual kind and attribute, in varied phrasing.

Every attribute of a drawing comes up in its clause in few, repeated words, so that a model trained for minutes can
learn which words go with which looks.
"""

from __future__ import annotations

from collections.abc import Mapping

from biomedica_assets.lib.demo.draw import KINDS
from biomedica_assets.lib.demo.draw.canvas import Rng, pick

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

OPENINGS: dict[str, tuple[str, ...]] = {
    "chest_radiograph": (
        "Chest radiograph",
        "Frontal chest radiograph",
        "Chest X-ray",
        "Posteroanterior chest radiograph",
    ),
    "ct": ("Axial CT slice of the {region}", "Computed tomography of the {region}", "CT scan of the {region}"),
    "ultrasound": ("Ultrasound scan", "Abdominal ultrasound", "Ultrasound image"),
    "oct": (
        "Optical coherence tomography of the macula",
        "OCT scan of the retina",
        "Optical coherence tomography scan",
    ),
    "fundus": (
        "Fundus photograph of the {eye} eye",
        "Colour fundus photograph, {eye} eye",
        "Retinal fundus image of a {eye} eye",
    ),
    "dermoscopy": (
        "Dermoscopy of a {colour} skin lesion",
        "Dermoscopic image of a {colour} lesion",
        "Skin lesion, {colour}, on dermoscopy",
    ),
    "histology": ("Histology section of the tumour", "Tissue section", "Histology of the biopsy"),
    "fluorescence": (
        "Fluorescence microscopy of cells",
        "Immunofluorescence microscopy",
        "Fluorescence micrograph of cells",
    ),
    "blood_smear": ("Peripheral blood smear", "Blood smear", "Blood film"),
    "immunoblot": (
        "Western blot of {lanes} lanes",
        "Immunoblot with {lanes} lanes",
        "Western blot analysis, {lanes} lanes",
    ),
    "gel": ("Agarose gel electrophoresis", "Agarose gel of PCR products", "Gel electrophoresis of amplicons"),
    "bar_plot": (
        "Bar chart with {bars} {colour} bars",
        "Bar plot of {bars} {colour} bars",
        "Bar graph, {bars} groups in {colour}",
    ),
    "line_plot": (
        "Line plot with {curves} {curve}",
        "Line graph of {curves} {curve}",
        "Line chart with {curves} {curve}",
    ),
    "scatter_plot": (
        "Scatter plot with {amount} {colour} points",
        "Scatterplot of {amount} {colour} points",
        "Scatter diagram, {amount} {colour} dots",
    ),
    "flowchart": (
        "Flowchart with {boxes} {colour} boxes",
        "Flow diagram of the study with {boxes} {colour} boxes",
        "Study flowchart, {boxes} {colour} steps",
    ),
    "chemical_structure": (
        "Chemical structure with {rings} {ring}",
        "Chemical structure of the compound, {rings} aromatic {ring}",
    ),
    "map": ("Map of the study area", "Map of the country with study sites", "Study map"),
    "table": ("Table of the outcomes",),
    "formula": ("The fitted equation",),
}
FINDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "chest_radiograph": {
        "clear": ("with clear lungs", "without abnormality: clear lungs on both sides", "showing clear lungs"),
        "opacity": (
            "showing a hazy opacity in the {side} lung",
            "with consolidation, a hazy opacity of the {side} lung",
        ),
        "nodule": ("showing a round nodule in the {side} lung", "with a solitary nodule of the {side} lung"),
        "effusion": ("showing a {side} pleural effusion", "with a large pleural effusion on the {side}"),
        "cardiomegaly": ("showing cardiomegaly, an enlarged heart", "with an enlarged heart (cardiomegaly)"),
    },
    "ct": {
        "hyperdense": ("showing a bright hyperdense lesion on the {side}", "with a hyperdense mass on the {side} side"),
        "hypodense": ("showing a dark hypodense lesion on the {side}", "with a hypodense area on the {side} side"),
        "none": ("without a focal lesion", "with normal findings and no lesion"),
    },
    "ultrasound": {
        "cyst": ("showing {count} anechoic {cyst}", "with {count} dark {cyst} and enhancement behind"),
        "stone": ("showing a bright stone with acoustic shadow", "with a stone and a dark shadow behind it"),
        "normal": ("showing a normal echo texture", "with normal findings"),
    },
    "oct": {
        "normal": ("showing a normal foveal pit", "with a normal foveal contour"),
        "fluid": ("showing intraretinal fluid with cystoid spaces", "with macular oedema and pockets of fluid"),
        "drusen": ("showing drusen, bumps under the retina", "with several drusen"),
    },
    "fundus": {
        "normal": ("with normal findings", "without retinopathy: normal retina"),
        "haemorrhages": ("showing dark red haemorrhages", "with several retinal haemorrhages"),
        "exudates": ("showing yellow hard exudates", "with bright yellow exudates"),
    },
    "dermoscopy": {
        "regular": ("with a regular border", "with round, regular borders"),
        "irregular": ("with an irregular border", "with jagged, irregular borders"),
    },
    "histology": {
        "glandular": ("with a glandular pattern and open lumens", "showing glands with white lumens"),
        "solid": ("with a solid sheet of cells", "showing solid growth"),
        "fibrous": ("with fibrous bundles of spindle cells", "showing parallel fibrous tissue"),
    },
    "fluorescence": {
        "round": ("with round cells", "showing round cell bodies"),
        "spindle": ("with spindle-shaped cells", "showing elongated spindle cells"),
    },
    "blood_smear": {
        "normal": ("with normal red cells", "showing normal erythrocytes"),
        "sickle": ("with sickle cells", "showing many sickle-shaped red cells"),
        "parasite": (
            "with ring forms of *Plasmodium falciparum*",
            "showing red cells with ring-stage malaria parasites",
        ),
    },
    "immunoblot": {
        "increasing": ("with bands increasing from left to right", "showing an increasing band intensity"),
        "decreasing": ("with bands decreasing from left to right", "showing a decreasing band intensity"),
        "equal": ("with equal bands in all lanes", "showing equal band intensity"),
    },
    "bar_plot": {
        "rising": ("rising from left to right", "with rising values"),
        "falling": ("falling from left to right", "with falling values"),
        "tallest": ("with the tallest bar in group {group}", "with a maximum in group {group}"),
    },
    "line_plot": {
        "rising": ("rising over time", "with a rising course"),
        "falling": ("falling over time", "with a falling course"),
        "peaked": ("with a peak in the middle", "showing a sharp peak"),
        "flat": ("staying flat", "with a flat course"),
    },
    "scatter_plot": {
        "positive": ("showing a positive correlation", "with a positive correlation"),
        "negative": ("showing a negative correlation", "with a negative correlation"),
        "no": ("showing no correlation", "without correlation"),
    },
}
_DECIDING = {
    "immunoblot": "trend",
    "bar_plot": "trend",
    "line_plot": "shape",
    "scatter_plot": "relation",
    "ct": "lesion",
    "dermoscopy": "border",
    "histology": "pattern",
    "fluorescence": "shape",
}
# By the value of the attribute that decides the words; "" for any other.
FURTHER: dict[str, dict[str, tuple[str, ...]]] = {
    "histology": {
        "DAB": ("(brown immunohistochemical stain)", "(immunohistochemistry, DAB, brown)"),
        "H&E": ("(haematoxylin and eosin)", "(H&E, pink and purple)", "(H&E stain)"),
    },
    "fluorescence": {"": ("({amount} {colour} cells)", "({amount} cells in {colour})")},
    "blood_smear": {"1": ("and one white cell",), "": ("and {white_cells} white cells",)},
    "dermoscopy": {"yes": ("under hair", "and hairs"), "no": ("and no hair",)},
    "gel": {"": ("of {lanes} lanes, {positive} positive",)},
    "line_plot": {"": ("({colour})",)},
    "flowchart": {"yes": ("and exclusions at the side",), "no": ("and no exclusions",)},
    "chemical_structure": {"": ("and a {substituent} group",)},
    "map": {"": ("with the {quarter} shaded {shade} and {sites} sites",)},
}
CLOSINGS: dict[str, tuple[str, ...]] = {
    "histology": ("Original magnification, 200x.", "Scale bar, 50 µm.", "Magnification x400."),
    "fluorescence": ("Nuclei are stained blue with DAPI. Scale bar, 20 µm.", "DAPI (blue) marks nuclei."),
    "blood_smear": ("Giemsa stain, 1000x.", "Wright stain."),
    "immunoblot": ("Actin served as loading control.", "One of three independent experiments is shown."),
    "gel": ("Lane 1, molecular weight ladder.", "M, 100 bp ladder in lane 1."),
    "bar_plot": ("Error bars, SEM; *n* = 6 per group.", "Data are means ± SD. $p<0.05$ was taken as significant."),
    "line_plot": ("Mean of three experiments.", "Dots mark measurements."),
    "scatter_plot": ("Each dot is one patient.", "Pearson correlation, $r^2$ is given in the text."),
    "map": ("Black dots mark study sites.", "Made with public boundary data."),
    "ct": ("Window width 350 HU.", "Contrast-enhanced phase."),
    "ultrasound": ("A 3.5 MHz convex probe was used.",),
    "chest_radiograph": ("Taken on admission.", "Taken on day 3.", "Erect film."),
}


def describe(kind: str, attributes: Mapping[str, str], rng: Rng) -> str:
    """One marked clause without a full stop that names the kind and states every attribute."""
    known = {name: _spelled(value) for name, value in attributes.items()}
    known["cyst"] = "cyst" if attributes.get("count") == "1" else "cysts"
    known["curve"] = "curve" if attributes.get("curves") == "1" else "curves"
    known["ring"] = "ring" if attributes.get("rings") == "1" else "rings"
    opening = pick(rng, OPENINGS[kind]).format(**known)
    clauses = [opening]
    if kind in FINDINGS:
        finding = attributes[_DECIDING.get(kind, "finding")]
        clauses.append(pick(rng, FINDINGS[kind][finding]).format(**known))
    clauses += _further(kind, attributes, known, rng)
    return " ".join(clauses)


def blocks(kind: str, attributes: Mapping[str, str], rng: Rng) -> list[str]:
    """Marked caption of a simple figure: title first, then paragraphs.

    Half say all in the title, three in ten name the kind in the title and the rest in a paragraph, one in five says no
    more than the kind. Without these a tiny CLIP knows no text as short as a zero-shot prompt: measured after 40 epochs
    on 555 pairs, accuracy on held-out articles was 0.42 without and 0.79 with them (chance 0.06).
    """
    title = KINDS[kind].title
    short, clause = f"{title[0].upper()}{title[1:]}.", f"{describe(kind, attributes, rng)}."
    closing = [pick(rng, CLOSINGS[kind])] if kind in CLOSINGS else []
    style = rng.random()
    if style < 0.2:
        return [short]
    return [clause, *closing] if style < 0.7 else [short, " ".join([clause, *closing])]


def _further(kind: str, attributes: Mapping[str, str], known: Mapping[str, str], rng: Rng) -> list[str]:
    """Attributes beyond the main finding."""
    deciding = {
        "histology": attributes.get("stain"),
        "dermoscopy": attributes.get("hair"),
        "flowchart": attributes.get("exclusions"),
        "blood_smear": attributes.get("white_cells"),
    }
    options = FURTHER.get(kind, {})
    chosen = options.get(deciding.get(kind) or "", options.get("", ()))
    return [pick(rng, chosen).format(**known)] if chosen else []


def _spelled(value: str) -> str:
    return NUMBERS[int(value)] if value.isdigit() else value
