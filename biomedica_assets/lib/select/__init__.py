"""Which samples a recipe takes: near-duplicates, evaluation images, queries, quotas, splits.

Belongs here, one module per step:

* ``shelves``        what is gathered by shelf on the way from chunks to everything
* ``hamming``        pairs of 64-bit hashes within a distance, exactly, without comparing all with all
* ``components``     connected components: what belongs together because links lead from one to the other
* ``duplicates``     the table of duplicate groups: equal bytes, equal pixels, alike to the eye
* ``likeness``       whether two pictures are alike, from their pixels
* ``decontamination`` the table of images that evaluation tasks use
* ``definition``     a recipe as YAML: what may stand in it, and clear words where something else does
* ``catalog_view``   the view ``samples``: the columns a recipe's SQL may use
* ``predicate``      that SQL: one safe expression, checked and evaluated
* ``language``       the language that a caption is written in
* ``concepts``       names of concepts, and what a sample's labels say
* ``semantic``       pictures that say the same, thinned by SemDeDup's rule
* ``quotas``         caps, balance and weights per concept, one sample per group
* ``splits``         train, validation, test by article and duplicate group
* ``held_out``       the table of pictures that no recipe trains on, chosen before any
* ``selection``      the steps a sample passes
* ``recipe``         the stage: id list, byte ranges, counts; ``plots`` draws them

Does not belong here: reading the samples (``lib.stream``), deciding what an image shows (``lib.annotate``).
"""
