"""Asset checks that look at a whole table at once; what concerns one partition is checked inline (``metadata``).

Concept: https://docs.dagster.io/guides/test/asset-checks
"""
