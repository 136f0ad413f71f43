"""Group shards, continued: what can be cited, verified, rebuilt and passed on."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib.release import contents, stage, tokens
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.stream import index
from biomedica_assets.lib.tables import RELEASE, RELEASE_SHELF


@table_asset(RELEASE_SHELF, group="shards", version=contents.VERSION, made_from=(*contents.NEEDED, *contents.OPTIONAL))
def release_shelf(step: Step) -> Report:
    """Digests and counts of what each chunk of a shelf brings into a release, so that the release sees every change."""
    return contents.build_release_shelf(step.data, step.partition)


@table_asset(
    RELEASE,
    group="shards",
    version=stage.VERSION,
    made_from=stage.READS,
    kinds=("webdataset", "parquet", "huggingface"),
    pool="disk",
)
def release(step: Step) -> Report:
    """`release/<version>/`: manifest, card, statistics, attribution, pairs and tables as Parquet, shards uncopied."""
    return stage.build_release(
        step.data,
        config=configs.release_config(step.values),
        write_index=index.write,
        count_tokens=tokens.clip_tokens,
        progress=step.progress,
    )
