"""Seeded choice by id: which images belong to a sample does not depend on their order or on what else there is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

SPAN = 2**64


def ranks(ids: Iterable[str], seed: int) -> NDArray[np.uint64]:
    """A uniform 64-bit number per id; the smallest ones are a sample that grows without exchanging members."""
    key = seed.to_bytes(8, "little", signed=True)
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids)
    return np.frombuffer(digests, "<u8")


def below(share: float) -> np.uint64:
    """The bound under which a ``share`` (0..1) of all ranks lies."""
    return np.uint64(min(SPAN - 1, int(share * SPAN)))
