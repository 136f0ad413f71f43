"""Asset checks that look at a whole table at once; what concerns one partition is checked inline (``metadata``).

Checks of the whole data directory belong to `chunk_listing`, the root of all lineage. No run materialises it, so they
are never asked in the middle of other work, where what is about to be made looks out of date: the command line asks
them when a walk is over, the job `check_everything` whenever somebody wants to know.
Concept: https://docs.dagster.io/guides/test/asset-checks
"""

ROOT = "chunk_listing"
"""Asset that checks of the whole data directory belong to."""
NOTHING_WAITS = "nothing_waits"
"""The check that shows what waits for something from outside."""
