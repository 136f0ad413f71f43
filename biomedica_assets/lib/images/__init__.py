"""Media of the figures: from the name in the XML to a verified, decoded, measured, hashed image.

``resolve.py`` finds the object a graphic names, ``sniff.py`` says what bytes claim to be, ``complete.py`` whether they
end too early, ``pixels.py`` brings them into one canonical form and hashes it, ``decoders.py`` has what is faster than
Pillow for that, ``phash.py`` the hash that near-copies share, ``verify.py`` measures one image, ``collect.py`` fetches
and measures many, ``strip.py`` draws the contact strip, ``stage.py`` fills the ``images`` table. Where bytes
come from is an argument (``collect.Fetch``). Changing pixels for good (resizing, transcoding) does not belong here:
original bytes travel unchanged.
"""
