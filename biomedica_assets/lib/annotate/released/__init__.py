"""Labels that others published, joined to our images: BIOMEDICA's records, or any table with a PMCID and a file name.

* ``definition``  which columns mean what, and what their labels mean in our taxonomy: a YAML file
* ``readers``     records from Parquet, CSV, JSON lines and WebDataset tars, local or streamed, batch by batch
* ``intake``      what a join needs of each record, by chunk; file by file, so that a killed intake goes on
* ``join``        records to images: by article and file name, then by caption, then by picture; what is left by reason

Nothing here knows Dagster. How far the labels can be trusted is the business of ``sources``.
"""
