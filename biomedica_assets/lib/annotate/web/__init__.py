"""The annotation page: one cluster at a time, operated by keyboard, saved vote by vote.

``app`` holds the routes, ``desk`` decides what a person sees next and turns answers into votes, ``guard`` refuses what
does not belong (foreign origins and hosts, missing tokens), ``pictures`` makes thumbnails, ``serve`` runs it.
"""
