"""CLIP checkpoints that can be accounted for: profiles, supervised training from a stream, interpolation, accounting.

Belongs here: what is trained how (``profile``), the training process (``worker``) and its supervision (``supervise``),
weight interpolation (``interpolate``), what it cost (``accounting``), the stage that fills the table ``checkpoints``.
Does not belong here: which samples a recipe selects (``lib.select``), how they are streamed (``lib.stream``), what
finished models score on tasks (``lib.evaluate``).
"""
