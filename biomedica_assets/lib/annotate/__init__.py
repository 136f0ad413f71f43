"""People label clusters of images; every label can be traced to their votes and trusted by degree.

The way of a label, one module per step:

* ``taxonomy/``     the vocabulary as versioned data, the five published versions, checks, SKOS
* ``form``          the questions of the form and what makes an answer valid; the guideline
* ``tasks``         which images of a cluster are shown, and to whom
* ``annotators``    who may vote, and the tokens that prove it
* ``ballots``       votes as append-only files: durable, idempotent, tolerant of a torn last line
* ``web/``          the annotation page (``create_app``, ``serve``)
* ``exchange/``     Label Studio, CSV, COCO and BIOMEDICA's ``cluster_labels.json``
* ``consensus``     majority per question; ties and low agreement wait for adjudication
* ``agreement``     Krippendorff's alpha, Cohen's and Fleiss' kappa, confusion, with bootstrap intervals
* ``panels``        single or compound, image by image, from pixels and caption
* ``labels``        every image gets labels with provenance and confidence
* ``sources/``      what text, votes and releases say, weighed and put together
* ``released/``     labels that others published, joined to our images
* ``audit``         what a sample of human verdicts says about those labels
* ``simulate``      annotators with known error rates, for trying the whole loop out

Nothing here knows Dagster, or how clusters and images were made: it reads their tables.
"""
