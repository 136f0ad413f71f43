"""Looking at what was made: what may be shown, how it is found, what is told of a figure, what a selection becomes.

Belongs here: the rule of what may be shown and the index that holds it (``shown``), what was chosen as a condition
(``choice``), pages and counts (``finding``), the map (``mapped``), all that is known of one figure (``details``), what
a selection becomes (``taking``); the page itself is in ``web``.
"""
