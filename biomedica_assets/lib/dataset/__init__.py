"""A data directory or a release from Python: ``biomedica_assets.open(path_or_address)``.

Belongs here: what a notebook or a training script wants of the data, in a few calls: tables, SQL, figures under a
condition, single pictures, search, lineage, recipes as streams. No algorithm, and no Dagster: opening costs nothing,
each call imports what it needs. It stands above the subjects of ``lib``; none of them imports it.
"""
