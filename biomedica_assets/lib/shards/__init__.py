"""Training samples as WebDataset shards: original image bytes, caption and a typed JSON record, in deterministic tars.

``config.py`` holds the choices, ``sample.py`` the JSON record and its data dictionary, ``order.py`` which sample goes
where, ``tar.py`` the archive format, ``writer.py`` the bytes, ``stage.py`` fills the ``shards`` table. Readers that
stream by recipe live elsewhere; they need the table only.
"""
