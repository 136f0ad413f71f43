"""Vectors to clusters, and clusters to something an expert can look at.

``pca.py`` and ``kmeans.py`` are the algorithms, streamed block by block (``blocks.py``); ``search.py`` finds the
nearest centroid. ``fit.py``, ``assign.py`` and ``sheets.py`` are the stages ``cluster_model``, ``clusters`` and
``contact_sheets``, ``layout.py`` those of the map. ``model.py`` is the model on the disk; ``plots.py`` and ``pages.py``
are for people. What an image is and how it became a vector is not known here.
"""

from biomedica_assets.lib.cluster.assign import VERSION as ASSIGN_VERSION
from biomedica_assets.lib.cluster.assign import assign_chunk
from biomedica_assets.lib.cluster.fit import VERSION as FIT_VERSION
from biomedica_assets.lib.cluster.fit import FitSettings, fit_clusters
from biomedica_assets.lib.cluster.layout import VERSION as MAP_VERSION
from biomedica_assets.lib.cluster.layout import MapSettings, fit_map, place_chunk
from biomedica_assets.lib.cluster.model import ClusterModel, load_model
from biomedica_assets.lib.cluster.sheets import VERSION as SHEETS_VERSION
from biomedica_assets.lib.cluster.sheets import SheetSettings, make_contact_sheets

__all__ = [
    "ASSIGN_VERSION",
    "FIT_VERSION",
    "MAP_VERSION",
    "SHEETS_VERSION",
    "ClusterModel",
    "FitSettings",
    "MapSettings",
    "SheetSettings",
    "assign_chunk",
    "fit_clusters",
    "fit_map",
    "load_model",
    "make_contact_sheets",
    "place_chunk",
]
