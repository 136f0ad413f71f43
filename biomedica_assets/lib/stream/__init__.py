"""Virtual shards: WebDataset tars of any recipe, put together on the fly from byte ranges of the physical shards.

Belongs here: the index of a recipe's samples (``index``), which samples a virtual shard holds in which epoch
(``order``), where the bytes come from (``local``, ``http``), whether they
arrived as they were written (``checks``), the tar on standard output (``virtual``), other captions
(``captions``), ready ``pipe:`` URLs (``urls``), physical copies (``export``) and the command line (``command``).

Does not belong here: deciding what a recipe selects (``lib.select``), and anything that takes long to import. Training
starts one process for each virtual shard, so Dagster, torch, webdataset, polars, duckdb, pydantic and numpy stay out of
the path of ``biomedica stream``; a test holds that.
"""
