"""Labels from everything there is: what the text says, what votes say, and all of it together.

* ``rules/``      words by concept, as data; ``rules`` reads them
* ``text``        labelling functions over captions, mentions, subject headings and kinds of element
* ``weigh``       Dawid and Skene's model: how far each source can be trusted, and what they say together
* ``claims``      what each source says of each image of a chunk
* ``combine``     from claims to one answer per image, hierarchy kept
* ``trust``       the model's parameters from a sample of all chunks, held against what people said
* ``scores``      precision and reach of each rule of the text

Labels that others published come from ``annotate.released``.

What people say of clusters and images is the package around this one. Nothing here knows Dagster.
"""
