"""Search: by words, by a picture, by both.

Belongs here: the words of a text (``words``), the inverted index and the stage that fills it (``stage``), BM25 over it
(``ranking``), nearest vectors (``vectors``), and the two put together under one condition (``searching``).
"""
