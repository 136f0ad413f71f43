"""Addresses of releases and shards, as people write them and as they are asked for."""

from __future__ import annotations

from urllib.parse import quote

from biomedica_assets.lib.stream.failures import StreamError

HUB = "https://huggingface.co"


def web_address(base: str, hub: str = HUB) -> str:
    """The ``http(s)://`` address of a base, without a slash at its end.

    Args:
        base: ``https://…``, ``s3://bucket/prefix`` that anyone may read, or ``hf://datasets/owner/name[@revision]`` and
            a folder in it.
        hub: where ``hf://`` is.

    Raises:
        StreamError: it is of no known kind.
    """
    scheme, _, rest = base.rstrip("/").partition("://")
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        # A dot in the name does not fit the certificate of *.s3.amazonaws.com.
        host = f"s3.amazonaws.com/{bucket}" if "." in bucket else f"{bucket}.s3.amazonaws.com"
        return f"https://{host}/{prefix}".rstrip("/")
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


def is_remote(place: str) -> bool:
    """Whether a place is an address rather than a folder."""
    return "://" in place
