"""What an article has more of than is kept, as rejects.

Belongs here: the one list of an article's limits, for the command and the tables alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from biomedica_assets.lib.errors import RejectReason
from biomedica_assets.lib.jats import mentions, repeats
from biomedica_assets.lib.jats.records import ParsedArticle


def beyond_limits(parsed: ParsedArticle) -> Iterator[tuple[str, RejectReason, str]]:
    """Table, reason and words for each limit that an article went beyond."""
    if parsed.n_inferred_left_out:
        yield "mentions", RejectReason.TOO_MANY_MENTIONS, mentions.message(parsed.n_inferred_left_out)
    if parsed.n_repeats_cut:
        yield "figures", RejectReason.TOO_MUCH_REPEATED, repeats.message(parsed.n_repeats_cut)
