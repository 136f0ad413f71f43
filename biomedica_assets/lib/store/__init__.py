"""Where data lies and how it gets there: paths, atomic writes, manifests, scans, views.

``lake.py`` is the door: ``Lake.publish`` writes a partition, ``Lake.scan`` reads a table, ``Lake.manifest`` says what a
partition is made of. ``atomic.py`` holds the one way in which any file of this project is written.
"""
