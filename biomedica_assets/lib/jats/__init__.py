"""The JATS parser: one hardened parse per article, typed records out.

``article.py`` is the door: ``parse_article(bytes) -> ParsedArticle``. ``reading.py`` makes bytes a safe tree,
``text.py`` defines what text is, ``figures.py``, ``mentions.py`` and ``metadata.py`` hold the rules on what is what,
``context.py`` knows where an element stands. ``jsonl.py`` is ``biomedica parse``; ``rows.py`` and ``stage.py`` fill the
tables of a chunk (``stage.py`` alone imports Polars). A malformed file raises ``UnreadableXml``; nothing else is raised
for content.
"""
