"""The failures this project knows by name, and the rejects that bulk work makes of bad input.

Belongs here: exceptions shared by several subjects, the ``RejectReason`` vocabulary and the ``Reject`` row.
A failure that only one module can raise lives in that module and derives from ``BiomedicaError``.
"""

from __future__ import annotations

import dataclasses
import enum


class BiomedicaError(Exception):
    """Base of every error raised on purpose: the message names the thing, the cause and the way out."""


class PermanentFailure(BiomedicaError):
    """Trying again cannot help (wrong setting, missing file, broken contract); retry policies stop at it."""


class WaitingFor(PermanentFailure):
    """Something that is to come from outside is not here yet: data, votes, weights. Nothing has failed.

    What it stands for is made by a later run, once it is here; until then nobody tries again.

    Attributes:
        what: what is waited for, and how much of it there is.
        cure: what a person can do about it.
        everywhere: whether every partition of the asset waits for it.
    """

    def __init__(self, what: str, cure: str, *, everywhere: bool = False) -> None:
        super().__init__(f"waiting for {what}; {cure}")
        self.what, self.cure, self.everywhere = what, cure, everywhere


class StoreError(BiomedicaError):
    """The lake could not be read or written (full disk, permissions, damaged manifest)."""


class RejectReason(enum.StrEnum):
    """Why an item did not become a row. Values are stored in the ``rejects`` table; never reuse or rename one."""

    # source objects
    OBJECT_MISSING = "object_missing"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    FETCH_FAILED = "fetch_failed"
    UNSAFE_URL = "unsafe_url"
    UNSAFE_NAME = "unsafe_name"
    # metadata JSON
    METADATA_INVALID = "metadata_invalid"
    PMCID_OUT_OF_RANGE = "pmcid_out_of_range"
    # JATS
    XML_MALFORMED = "xml_malformed"
    XML_FORBIDDEN = "xml_forbidden"
    XML_TOO_LARGE = "xml_too_large"
    XML_TOO_DEEP = "xml_too_deep"
    XML_NOT_JATS = "xml_not_jats"
    XML_ENCODING = "xml_encoding"
    ARTICLE_ID_MISMATCH = "article_id_mismatch"
    # figures and media
    TOO_MANY_MENTIONS = "too_many_mentions"
    TOO_MUCH_REPEATED = "too_much_repeated"
    FIGURE_WITHOUT_GRAPHIC = "figure_without_graphic"
    MEDIA_MISSING = "media_missing"
    MEDIA_AMBIGUOUS = "media_ambiguous"
    MEDIA_NOT_AN_IMAGE = "media_not_an_image"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_TRUNCATED = "image_truncated"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_SMALL = "image_too_small"
    IMAGE_FORMAT_UNSUPPORTED = "image_format_unsupported"
    # samples
    CAPTION_MISSING = "caption_missing"
    CAPTION_TOO_LONG = "caption_too_long"
    LICENSE_NOT_ALLOWED = "license_not_allowed"
    RETRACTED = "retracted"
    WITHDRAWN = "withdrawn"
    REMOVED = "removed"
    NOT_IN_PMC = "not_in_pmc"
    # annotation, enrichment, training and evaluation
    VOTE_INVALID = "vote_invalid"
    PUBMED_MISSING = "pubmed_missing"
    SHARD_UNREADABLE = "shard_unreadable"
    TASK_ITEM_INVALID = "task_item_invalid"
    TASK_UNREADABLE = "task_unreadable"


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """One item that was left out, and why.

    Attributes:
        article_id: ``PMC123.1``; for input that names no article, the file or key it came from.
        stage: name of the asset that refused it, for example ``images``.
        reason: machine-readable cause.
        message: what a person needs to know: the thing, what was found, what was expected.
        subject: the part of the article concerned (figure_id, media name, XPath, line), if any.
    """

    article_id: str
    stage: str
    reason: RejectReason
    message: str
    subject: str | None = None
