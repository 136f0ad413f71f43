"""Subject: compound figures.

Belongs here: where the panels of a picture lie (``layout``), which letters stand on it (``letters``), which part of the
caption speaks of which panel (``subcaptions``), and the link between the two (``align``). A panel is a derived picture:
a box in its parent, never a file that replaces it.
"""
