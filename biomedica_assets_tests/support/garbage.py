"""What a test that compares whole folders does first: a rerun leaves the files that it replaced."""

from biomedica_assets.lib.store import gc
from biomedica_assets.lib.store.lake import Lake


def take_out(lake: Lake) -> set[str]:
    """Remove at once everything that nothing refers to; returns the paths."""
    return {one.path for one in gc.remove(lake, gc.survey(lake, grace=0), grace=0).garbage}
