"""What depends on what, told from manifests: why a partition is out of date, and what a row was made from.

Belongs here: comparing what a partition was made of with what is there now. The graph itself comes in as data, so this
works for any number of partitions, also where Dagster stops tracking (an edge with 100 or more upstream partitions).
"""
