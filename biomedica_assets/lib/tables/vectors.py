"""Tables of vectors of pictures, of the clusters they fall into, and of the sheets that show those."""

from __future__ import annotations

import polars as pl

from biomedica_assets.lib.tables.model import F32, I32, I64, STRINGS, S, Table
from biomedica_assets.lib.tables.model import column as _c

EMBEDDINGS = Table(
    "embeddings",
    "One row per embedded image: where its vector stands in the chunk's float16 file.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("row", I32, "row of the vector in the partition's .npy file, from 0"),
        _c("sha256", S, "SHA-256 of the image bytes that were embedded", src="images.sha256"),
        _c("encoder", S, "name of the encoder"),
        _c("encoder_digest", S, "digest of its weights, arithmetic and preprocessing"),
    ),
)

EMBEDDING_SHELF = Table(
    "embedding_shelf",
    "The embeddings of a shelf's chunks as one file, sorted by id.",
    "shelf",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("row", I32, "row of the vector in the partition's .npy file, from 0"),
        _c("source_chunk", S, "chunk the vector comes from"),
    ),
)

NEIGHBOURS = Table(
    "neighbours",
    "The nearest images of each embedded image, among those of the chunk that are of other articles.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("neighbours", STRINGS, "images nearest to it, nearest first; empty if it is alone", src="embeddings.row"),
        _c("similarity", pl.List(pl.Float32()), "cosine of both vectors, four decimals", src="embeddings.row"),
    ),
)

PAIR_SCORES = Table(
    "pair_scores",
    "How well each picture fits its caption, as a CLIP model sees it; empty where no model is set.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="images.media_id"),
        _c("score", F32, "cosine of picture and caption, four decimals", src="images.path captions.caption"),
        _c("model", S, "model that scored"),
        _c("model_digest", S, "digest of its weights, precision and preprocessing"),
    ),
)

CLUSTER_MODEL = Table(
    "cluster_model",
    "One row per cluster of the global model (PCA and k-means); the model file lies beside it.",
    "none",
    ("cluster",),
    (
        _c("cluster", I32, "number of the cluster, from 0, by falling size in the fit"),
        _c("n_fit", I64, "images of the fit nearest to its centroid"),
        _c("mean_distance", F32, "root mean square distance of those images to it, Euclidean in PCA space"),
        _c("neighbour", I32, "nearest other cluster", null=True),
        _c("neighbour_distance", F32, "distance of the two centroids", null=True),
        _c("model", S, "digest of the model file", src="embedding_shelf.row"),
    ),
)

CLUSTERS = Table(
    "clusters",
    "One row per embedded image: its cluster, the runner-up, and how far both are.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("cluster", I32, "nearest cluster", src="cluster_model.cluster embeddings.row"),
        _c("distance", F32, "Euclidean distance to its centroid in PCA space", src="embeddings.row"),
        _c("runner_up", I32, "second nearest cluster", null=True, src="cluster_model.cluster embeddings.row"),
        _c("runner_up_distance", F32, "distance to its centroid", null=True, src="embeddings.row"),
        _c("model", S, "digest of the model", src="cluster_model.model"),
    ),
)

MAP_LANDMARKS = Table(
    "map_landmarks",
    "A sample of images laid out in the plane by t-SNE: by them every image has its place on the map.",
    "none",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embedding_shelf.media_id"),
        _c("x", F32, "where it stands, -1 to 1", src="embedding_shelf.row cluster_model.model"),
        _c("y", F32, "likewise", src="embedding_shelf.row cluster_model.model"),
        _c("point", pl.List(F32), "its vector in the space of the model's components", src="embedding_shelf.row"),
        _c("model", S, "digest of the cluster model, whose components are meant", src="cluster_model.model"),
    ),
)

EMBEDDING_MAP = Table(
    "embedding_map",
    "One row per embedded image: where it stands on the map, beside the landmarks that it is like.",
    "chunk",
    ("media_id",),
    (
        _c("media_id", S, "image", src="embeddings.media_id"),
        _c("x", F32, "where it stands, -1 to 1", src="embeddings.row map_landmarks.x"),
        _c("y", F32, "likewise", src="embeddings.row map_landmarks.y"),
    ),
)

CONTACT_SHEETS = Table(
    "contact_sheets",
    "One row per picture on a cluster's contact sheet: central, random and border images.",
    "none",
    ("cluster", "role", "rank"),
    (
        _c("cluster", I32, "cluster the sheet shows", src="clusters.cluster"),
        _c("role", S, "central (nearest), random (seeded) or border (least clear against the runner-up)"),
        _c("rank", I32, "position within the role, from 0"),
        _c("media_id", S, "image", src="clusters.media_id"),
        _c("figure_id", S, "figure of the image", src="images.figure_id"),
        _c("article_id", S, "PMC123.1", src="images.article_id"),
        _c("caption", S, "caption of the figure", null=True, src="captions.caption"),
        _c("distance", F32, "Euclidean distance to the centroid", src="clusters.distance"),
        _c("margin", F32, "distance to the runner-up less distance to the cluster", null=True, src="clusters.distance"),
        _c("n_images", I64, "images of the cluster", src="clusters.cluster"),
        _c("sheet", S, "path of the sheet below the data directory"),
        _c("x", I32, "left edge of the picture's cell on the sheet, pixels"),
        _c("y", I32, "top edge"),
        _c("side", I32, "width and height of the cell"),
        _c("model", S, "digest of the model", src="clusters.model"),
    ),
)
