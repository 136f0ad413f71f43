"""What a page of Markdown asks people to type."""

from __future__ import annotations

import re


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """Fenced blocks, those of one language if one is named."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    """Lines of fenced blocks that begin with the command; a placeholder in capitals stands for nothing to type."""
    lines = [line.strip().removeprefix(".venv/bin/") for block in blocks(text) for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in lines if line.startswith("biomedica ")]
