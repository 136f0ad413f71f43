"""Lengths of texts in CLIP's tokens, for statistics: what a text tower with 77 of them would lose."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any


def clip_tokens(texts: Sequence[str]) -> list[int]:
    """Lengths in the byte pairs of CLIP's tokenizer, which open_clip ships, without start and end marks."""
    tokenizer: Any = importlib.import_module("open_clip.tokenizer").SimpleTokenizer()
    return [len(tokenizer.encode(text)) for text in texts]
