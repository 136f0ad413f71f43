"""Pictures drawn by code: one function per visual kind, each with attributes that a caption can state.

``KINDS`` is the list of visual kinds and where they belong in BIOMEDICA's taxonomy (global and local class); ``draw``
makes one picture, ``panels.compose`` puts several on one figure. No words of captions here: see ``demo.captions``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from biomedica_assets.lib.demo.draw import assays, clinic, diagrams, microscopy, plots, radiology
from biomedica_assets.lib.demo.draw.canvas import Drawing, Rng, Size


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """One visual kind.

    Attributes:
        name: its key, which is also the class label in the truth.
        title: the class in words, as a zero-shot prompt would say it.
        global_concept: BIOMEDICA's global class.
        local_concept: BIOMEDICA's local class.
        make: draws one example of a size.
        in_figures: False for those that only stand in for tables and formulae.
    """

    name: str
    title: str
    global_concept: str
    local_concept: str
    make: Callable[[Rng, Size], Drawing]
    in_figures: bool = True


CLINICAL, MICRO, PLOTS = "Clinical Imaging", "Microscopy", "Plots and Charts"
ASSAYS, DIAGRAMS = "Immuno Assays", "Illustrative Diagrams"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("chest_radiograph", "chest radiograph", CLINICAL, "x-ray radiography", radiology.chest_radiograph),
        Kind("ct", "computed tomography slice", CLINICAL, "computerized tomography", radiology.ct_slice),
        Kind("ultrasound", "ultrasound scan", CLINICAL, "ultrasound", radiology.ultrasound),
        Kind("oct", "optical coherence tomography", CLINICAL, "optical coherence tomography", radiology.oct_scan),
        Kind("fundus", "fundus photograph", CLINICAL, "eye", clinic.fundus),
        Kind("dermoscopy", "dermoscopy of a skin lesion", CLINICAL, "skin lesion", clinic.dermoscopy),
        Kind("histology", "histology section", MICRO, "light microscopy", microscopy.histology),
        Kind("fluorescence", "fluorescence microscopy", MICRO, "fluorescence microscopy", microscopy.fluorescence),
        Kind("blood_smear", "blood smear", MICRO, "light microscopy", microscopy.blood_smear),
        Kind("immunoblot", "western blot", ASSAYS, "immunoblot", assays.immunoblot),
        Kind("gel", "agarose gel electrophoresis", ASSAYS, "gel electrophoresis", assays.gel),
        Kind("bar_plot", "bar chart", PLOTS, "bar plot", plots.bar_plot),
        Kind("line_plot", "line plot", PLOTS, "line plot", plots.line_plot),
        Kind("scatter_plot", "scatter plot", PLOTS, "scatter plot", plots.scatter_plot),
        Kind("flowchart", "flowchart", DIAGRAMS, "flowchart", diagrams.flowchart),
        Kind(
            "chemical_structure",
            "chemical structure",
            "Chemical Structures",
            "2D chemical structure",
            diagrams.chemical_structure,
        ),
        Kind("map", "map", "Maps", "map", diagrams.study_map),
        Kind("table", "table", "Tables", "table", diagrams.table_picture, False),
        Kind("formula", "formula", "Scientific Formulae and Equations", "algorithm", diagrams.formula_picture, False),
    )
}
FIGURE_KINDS: tuple[str, ...] = tuple(name for name, kind in KINDS.items() if kind.in_figures)


def draw(kind: str, rng: Rng, size: Size) -> Drawing:
    """One picture of a kind.

    Args:
        kind: key of ``KINDS``.
        rng: what its looks are drawn from; equal state gives equal bytes.
        size: width and height in pixels.
    """
    return KINDS[kind].make(rng, size)
