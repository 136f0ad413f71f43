"""Publishers' file names made safe for the local disk.

A name that every common file system takes stays as it is. Any other becomes an ASCII stem, ``~`` and a digest of the
whole name; since a name with ``~`` never stays as it is, two names never become one (on a case-sensitive file system).
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 180  # of the 255 bytes that ext4, APFS and NTFS take; temporary names need a few
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@,()\[\] -]*")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}$")
# Device names of Windows, with any extension (Microsoft, "Naming Files, Paths, and Namespaces").
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def safe_name(name: str) -> str:
    """Local file name for the part of a key behind the article's prefix.

    Deterministic; the result has no ``/``, no control or invisible character, no leading or trailing dot or space, is
    no device name and has at most 180 bytes. The extension survives if it is a plain one.
    """
    if len(name) <= LONGEST and _SAFE.fullmatch(name) and name[-1] not in " ." and not _RESERVED.fullmatch(name):
        return name
    extension = _EXTENSION.search(name)
    suffix = extension[0] if extension else ""
    stem = re.sub(r"[^A-Za-z0-9-]+", "_", name.removesuffix(suffix))[:60].strip("_-")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return f"{stem or 'x'}~{digest}{suffix}"
