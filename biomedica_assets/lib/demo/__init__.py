"""A deterministic, invented PubMed Central: mirror, truth about it, changes to it, and a PubMed beside it.

* ``mirror``: ``write_mirror`` lays out some 200 invented articles under the bucket's keys.
* ``truth``, ``score``: what is true of the mirror, and how much of it the lake's tables found.
* ``mutate``, ``inventory``: small named changes, and the next day's inventory.
* ``pubmed``: baseline and update files of PubMed for the same articles.
* ``plan``, ``frame``, ``draft``, ``constructs``: how articles are made.
* ``art``, ``captions``, ``draw``: their pictures and the words for them.

Nothing else of the library is used, so that what scores the pipeline shares no code with it.
"""

from __future__ import annotations

from biomedica_assets.lib.demo.mirror import DemoSummary, write_mirror
from biomedica_assets.lib.demo.truth import Truth, load_truth

__all__ = ["DemoSummary", "Truth", "load_truth", "write_mirror"]
