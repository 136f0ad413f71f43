"""What can go wrong while a virtual shard is put together."""

from biomedica_assets.lib.errors import BiomedicaError


class StreamError(BiomedicaError):
    """The stream cannot be completed: what was written lacks the end of a tar, so no reader takes it for whole."""
