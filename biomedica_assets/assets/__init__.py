"""The graph: one module per group of artifacts, in the order in which they are made.

Belongs here: what an asset is, what it needs, one call into ``lib``, one report.
Does not belong here: algorithms, loops over articles, paths, imports of torch, open_clip or scikit-learn.
Concept: https://docs.dagster.io/guides/build/assets
"""
