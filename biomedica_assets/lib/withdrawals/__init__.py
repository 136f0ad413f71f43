"""What is said against articles, by whom, and which article versions go because of it.

``rules.py`` says which words of which source mean a retraction, a concern or a correction; ``listed.py`` reads the
user's own list; ``stage.py`` brings all sources together into ``withdrawals``, and from it writes for each chunk
``tombstones`` (what nothing downstream may hold) and ``article_notices`` (what a recipe may ask for).
"""
