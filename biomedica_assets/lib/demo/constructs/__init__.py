"""One function per JATS construct or file oddity that real articles have and parsers get wrong.

Each adds its construct to a ``Draft`` whose ordinary figures are there already, and notes what is true of it.
``figures``: where figures stand and what they hold; ``citations``: how text cites them; ``files``: names and bytes of
their media.
"""

from __future__ import annotations

from collections.abc import Callable

from biomedica_assets.lib.demo.constructs import citations, figures, files
from biomedica_assets.lib.demo.draft import Draft

CONSTRUCTS: dict[str, Callable[[Draft], None]] = {
    function.__name__: function for function in (*figures.ALL, *citations.ALL, *files.ALL)
}
