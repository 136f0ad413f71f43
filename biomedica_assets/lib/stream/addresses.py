"""Addresses of releases and shards, as people write them and as they are asked for."""

from __future__ import annotations

from urllib.parse import quote

from biomedica_assets.lib.stream import s3
from biomedica_assets.lib.stream.failures import StreamError

HUB = "https://huggingface.co"


def web_address(base: str, hub: str = HUB) -> str:
    """The ``http(s)://`` address of a base, without a slash at its end.

    Args:
        base: ``https://…``, ``s3://bucket/prefix`` (as anyone asks for it; ``s3.signed`` asks with credentials), or
            ``hf://datasets/owner/name[@revision]`` and a folder in it.
        hub: where ``hf://`` is.

    Raises:
        StreamError: it is of no known kind.
    """
    scheme, _, rest = base.rstrip("/").partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        return s3.address(bucket, prefix)
    if scheme == "hf":
        kind, _, rest = rest.partition("/")
        owner, _, rest = rest.partition("/")
        named, _, folder = rest.partition("/")
        name, _, revision = named.partition("@")
        if kind != "datasets" or not owner or not name:
            raise StreamError(f"{base} names no dataset; give hf://datasets/owner/name, and @revision if you want one")
        below = f"{hub.rstrip('/')}/datasets/{owner}/{name}/resolve/{quote(revision or 'main', safe='')}"
        return f"{below}/{folder}".rstrip("/")
    if scheme not in {"http", "https"} or not rest:
        raise StreamError(f"{base} is no address of shards; give a folder, http(s)://, s3:// or hf://datasets/")
    return f"{scheme}://{rest}"


def place_of(given: str, hub: str = HUB) -> str:
    """A place as it is asked for: a folder or ``s3://`` as it is given, everything else as its web address."""
    return web_address(given, hub) if is_remote(given) and not given.startswith(s3.SCHEME) else given


def is_remote(place: str) -> bool:
    """Whether a place is an address rather than a folder."""
    return "://" in place
