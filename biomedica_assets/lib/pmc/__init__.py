"""PubMed Central as a source: which articles exist, which are taken, and their files, verified, on this machine.

``source.py`` is the port with its two adapters in ``local.py`` and ``s3.py``; ``inventory.py`` keeps the list of what
exists; ``index.py`` reads the metadata of each article and selects; ``fetch.py`` brings files into the mirror.
Nothing outside this package knows where articles come from.

Does not belong here: what is inside an article (``lib.jats``, ``lib.images``).
"""
