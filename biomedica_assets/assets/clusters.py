"""Group clusters: the global model, the cluster of every image, the map, the sheets that annotators look at."""

from biomedica_assets import configs
from biomedica_assets.assets.declare import Step, table_asset
from biomedica_assets.lib import cluster
from biomedica_assets.lib.report import Report
from biomedica_assets.lib.tables import (
    CAPTIONS,
    CLUSTER_MODEL,
    CLUSTERS,
    CONTACT_SHEETS,
    EMBEDDING_MAP,
    EMBEDDING_SHELF,
    EMBEDDINGS,
    IMAGES,
    MAP_LANDMARKS,
)


@table_asset(
    CLUSTER_MODEL,
    group="clusters",
    version=cluster.FIT_VERSION,
    made_from=(EMBEDDING_SHELF,),
    kinds=("scikitlearn",),
    needs=("engine",),
)
def cluster_model(step: Step) -> Report:
    """PCA and k-means over all shelves, streamed and seeded; the pictures show what they found."""
    settings = configs.clusters(step.values)
    return cluster.fit_clusters(step.data, engine=step.engine("threads"), settings=settings, progress=step.progress)


@table_asset(
    CLUSTERS,
    group="clusters",
    version=cluster.ASSIGN_VERSION,
    made_from=(EMBEDDINGS, CLUSTER_MODEL),
    needs=("engine",),
)
def clusters(step: Step) -> Report:
    """Cluster, runner-up and the distances of both for every image."""
    return cluster.assign_chunk(step.data, step.partition, engine=step.engine("threads"), progress=step.progress)


@table_asset(
    CONTACT_SHEETS,
    group="clusters",
    version=cluster.SHEETS_VERSION,
    made_from=(CLUSTER_MODEL, CLUSTERS, IMAGES, CAPTIONS),
    kinds=("html", "image"),
    needs=("engine",),
)
def contact_sheets(step: Step) -> Report:
    """Per cluster a sheet of central, random and border images with their captions, and an index page."""
    settings = configs.contact_sheets(step.values)
    return cluster.make_contact_sheets(
        step.data, engine=step.engine("threads"), settings=settings, progress=step.progress
    )


@table_asset(
    MAP_LANDMARKS,
    group="clusters",
    version=cluster.MAP_VERSION,
    made_from=(EMBEDDING_SHELF, CLUSTER_MODEL),
    kinds=("scikitlearn",),
    pool="cpu",
)
def map_landmarks(step: Step) -> Report:
    """A seeded sample of images, laid out by t-SNE in the space of the cluster model."""
    return cluster.fit_map(step.data, settings=configs.embedding_map(step.values), progress=step.progress)


@table_asset(
    EMBEDDING_MAP,
    group="clusters",
    version=cluster.MAP_VERSION,
    made_from=(EMBEDDINGS, MAP_LANDMARKS),
    needs=("engine",),
)
def embedding_map(step: Step) -> Report:
    """Where every image of a chunk stands on the map."""
    return cluster.place_chunk(step.data, step.partition, engine=step.engine("threads"), progress=step.progress)
