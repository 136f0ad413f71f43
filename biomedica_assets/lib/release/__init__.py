"""A release: a folder that can be cited, verified, rebuilt and passed on.

``contents.py`` says what each shelf holds (asset ``release_shelf``), ``stage.py`` builds the folder (``release``):
``rights.py`` (what may be passed on), ``copies.py`` (tables as Parquet), ``tars.py`` (shards), ``statistics.py``,
``plots.py``, ``papers.py`` (card, attribution, dictionary), ``croissant.py`` and ``manifest.py``, its identity.
``verify.py`` re-hashes a release, ``upload.py`` passes it on, ``replant.py`` starts its rebuilding, ``compat.py``
exports it in BIOMEDICA's form.
"""
