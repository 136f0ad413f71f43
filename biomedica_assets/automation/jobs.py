"""Jobs: named selections of the graph for the UI, schedules and sensors.

Belongs here: which assets run together, and the tags that limit how many such runs there are at once.
Concept: https://docs.dagster.io/guides/build/jobs
"""

import dagster as dg

from biomedica_assets.checks import ROOT

refresh_inventory = dg.define_asset_job(
    "refresh_inventory",
    selection=dg.AssetSelection.assets("pmc_inventory"),
    description="Read the newest complete inventory and report which chunks changed.",
)

chunk_pipeline = dg.define_asset_job(
    "chunk_pipeline",
    selection=dg.AssetSelection.assets(
        "article_index",
        "article_xml",
        "article_heads",
        "articles",
        "figures",
        "captions",
        "mentions",
        "images",
        "shards",
    ),
    description="One chunk from its listing to its training shards.",
)

# As text and materializable: a graph that leaves annotation out, or takes the votes as given, is then no error.
count_votes = dg.define_asset_job(
    "count_votes",
    selection=dg.AssetSelection.from_string("key:expert_votes or key:annotations").materializable(),
    description="Take in the votes that were given and decide anew what each cluster shows.",
)

check_everything = dg.define_asset_job(
    "check_everything",
    selection=dg.AssetSelection.checks_for_assets(ROOT),
    description="What is missing, failed, out of date or should not be there any more, with the command that mends it. "
    "`biomedica run` and `refresh` ask it when they are done.",
)

ALL = [refresh_inventory, chunk_pipeline, count_votes, check_everything]
