"""A data directory from Python: ``biomedica_assets.open(path)``.

Belongs here: what a notebook or a training script wants of the data, in a few calls: tables, SQL, figures under a
condition, single pictures, search, lineage, recipes as streams. No algorithm, and no Dagster: opening costs nothing,
each call imports what it needs. It stands above the subjects of ``lib``; none of them imports it.
"""
