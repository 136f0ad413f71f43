"""Group embeddings: one vector per image, chunk by chunk, then shelf by shelf."""

from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib import embed
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS, IMAGES, NEIGHBOURS


@table_asset(
    EMBEDDINGS,
    group="embeddings",
    version=embed.VERSION,
    made_from=(IMAGES,),
    kinds=("pytorch", "numpy"),
    pool="gpu",
    needs=("encoder", "engine"),
)
def embeddings(step: Step) -> Report:
    """One float16 vector per image by a named encoder; images that did not change keep theirs."""
    return embed.embed_chunk(
        step.data,
        step.partition,
        encoder=step.encoder,
        engine=step.engine("threads"),
        batch_size=step.values.embed_batch,
        progress=step.progress,
    )


@table_asset(
    EMBEDDING_SHELF,
    group="embeddings",
    version=embed.SHELF_VERSION,
    made_from=(EMBEDDINGS,),
    kinds=("numpy",),
    pool="disk",
)
def embedding_shelf(step: Step) -> Report:
    """The vectors of a million PMCIDs as one file, sorted by id: what the global model reads."""
    return embed.shelve(step.data, step.partition, progress=step.progress)


@table_asset(
    NEIGHBOURS,
    group="embeddings",
    version=embed.NEIGHBOURS_VERSION,
    made_from=(EMBEDDINGS, IMAGES),
    kinds=("numpy",),
    pool="cpu",
)
def neighbours(step: Step) -> Report:
    """The images of other articles that each image looks most like: whether its labels fit is asked of them."""
    return embed.find_neighbours(step.data, step.partition, progress=step.progress)
