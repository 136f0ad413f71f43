"""Readers of the layouts in which test sets come, each a generator of items that can be run again from the start.

``folder`` (images with a CSV, or a folder per class), ``npz`` (MedMNIST), ``parquet`` (Hugging Face Parquet or Arrow,
also with closed-VQA columns), ``webdataset`` (tar), ``memory`` (rows that someone else brings, for example the held-out
split of a lake). ``opening`` finds the files of a registered task and picks the reader.

A row that cannot be an item becomes a ``Reject`` in the stream, with what was found and what was expected.
"""
