"""Which article versions go on, and why the others do not: rules as data, applied to a frame of ``article_index``."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.licenses import CODES, DEFAULT_GROUPS, codes_of

_ID = re.compile(r"(?:PMC)?([1-9]\d{0,8})(\.\d{1,4})?", re.IGNORECASE)


class LeftOut(enum.StrEnum):
    """Why an article version is not taken, in the order in which the rules are asked; the first that applies counts."""

    NOT_IN_LIST = "not_in_list"
    NOT_NEWEST_VERSION = "not_newest_version"
    NOT_OPEN_ACCESS = "not_open_access"
    RETRACTED = "retracted"
    HISTORICAL_OCR = "historical_ocr"
    MANUSCRIPT = "manuscript"
    LICENSE_NOT_ALLOWED = "license_not_allowed"
    JOURNAL = "journal"
    YEAR = "year"
    WORDS = "words"
    NO_XML = "no_xml"
    OVER_LIMIT = "over_limit"


@dataclasses.dataclass(frozen=True, slots=True)
class SelectionRules:
    """A cut of PubMed Central. The default takes the open-access subset as far as its licence is in a group.

    Attributes:
        license_codes: normalised codes that are taken; None stands for an article without a known licence.
        require_openaccess: leave out what is not in the PMC Open Access subset.
        exclude_retracted: leave out retracted articles.
        exclude_historical_ocr: leave out scanned back issues.
        include_manuscripts: take author manuscripts, as far as their licence is allowed.
        ids: only these, ``PMC123`` for all versions or ``PMC123.2`` for one; None takes all.
        journals: only these, as citations abbreviate them; case and punctuation do not count; empty takes all.
        year_from: first year taken; articles without a known year are left out if either year is given.
        year_to: last year taken.
        words: only articles with at least one of these words or phrases in title or citation, case ignored; empty
            takes all.
        newest_version_only: leave out versions that a newer one replaces, also if that one is itself left out: it may
            be the retraction.
        limit: at most so many of each chunk, lowest PMCIDs first; None takes all.
    """

    license_codes: tuple[str | None, ...] = codes_of(tuple(DEFAULT_GROUPS))
    require_openaccess: bool = True
    exclude_retracted: bool = True
    exclude_historical_ocr: bool = True
    include_manuscripts: bool = True
    ids: frozenset[str] | None = None
    journals: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    words: tuple[str, ...] = ()
    newest_version_only: bool = True
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse licence codes that no article can have."""
        if unknown := [code for code in self.license_codes if code is not None and code not in CODES]:
            raise PermanentFailure(f"licence code {', '.join(unknown)} is unknown; there are {', '.join(CODES)}")

    def as_config(self) -> dict[str, Any]:
        """What a manifest records; a list of ids appears as its length and digest."""
        config = dataclasses.asdict(self)
        config["license_codes"] = sorted(self.license_codes, key=lambda code: (code is None, code or ""))
        config["journals"], config["words"] = sorted(self.journals), sorted(self.words)
        if self.ids is not None:
            config["ids"] = (
                f"{len(self.ids)} ids, sha256 {hashlib.sha256(' '.join(sorted(self.ids)).encode()).hexdigest()}"
            )
        return config

    def digest(self) -> str:
        """Digest of the rules: equal for equal cuts, whatever the order in which they were given."""
        return hashlib.sha256(repr(sorted(self.as_config().items())).encode()).hexdigest()[:32]


def read_ids(path: Path) -> frozenset[str]:
    """Read a file of PMCIDs, one a line: ``PMC123``, ``123`` or ``PMC123.2``; empty lines and ``#`` comments are fine.

    Raises:
        PermanentFailure: the file cannot be read, is empty, or a line is no PMCID; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentFailure(f"the file of PMCIDs {path} cannot be read: {error}") from error
    ids: set[str] = set()
    for number, line in enumerate(lines, 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        match = _ID.fullmatch(word)
        if not match:
            raise PermanentFailure(f"{path}, line {number}: {word[:80]!r} is not a PMCID such as PMC123 or PMC123.2")
        ids.add(f"PMC{match[1]}{match[2] or ''}")
    if not ids:
        raise PermanentFailure(f"the file of PMCIDs {path} names none")
    return frozenset(ids)


def select(index: pl.DataFrame, newest: pl.DataFrame, rules: SelectionRules) -> pl.DataFrame:
    """Fill ``selected`` and ``left_out_because``.

    Args:
        index: rows of ``article_index`` of one chunk, without these two columns.
        newest: ``pmcid`` and ``newest`` (highest version that the inventory lists, compared as numbers).
        rules: the cut.

    Returns:
        The rows sorted by PMCID and version, with the two columns.
    """
    reasons = [
        pl.when(condition).then(pl.lit(reason.value))
        for reason, condition in _conditions(rules)
        if condition is not None
    ]
    frame = (
        index.join(newest, on="pmcid", how="left")
        .with_columns(left_out_because=pl.coalesce(*reasons, pl.lit(None, pl.String)))
        .sort("pmcid", "version")
        .drop("newest")
    )
    if rules.limit is not None:
        over = pl.col("left_out_because").is_null() & (pl.col("left_out_because").is_null().cum_sum() > rules.limit)
        frame = frame.with_columns(
            pl.when(over).then(pl.lit(LeftOut.OVER_LIMIT.value)).otherwise("left_out_because").alias("left_out_because")
        )
    return frame.with_columns(selected=pl.col("left_out_because").is_null())


def _conditions(rules: SelectionRules) -> list[tuple[LeftOut, pl.Expr | None]]:
    """What is left out by each rule; None for a rule that is not in force."""
    year = pl.col("year")
    years = [year < rules.year_from] if rules.year_from is not None else []
    years += [year > rules.year_to] if rules.year_to is not None else []
    allowed = [code for code in rules.license_codes if code is not None]
    known = pl.col("license_code").is_in(allowed).fill_null(None in rules.license_codes)
    return [
        (LeftOut.NOT_IN_LIST, _not_listed(rules.ids)),
        (LeftOut.NOT_NEWEST_VERSION, pl.col("version") < pl.col("newest") if rules.newest_version_only else None),
        (LeftOut.NOT_OPEN_ACCESS, ~pl.col("is_pmc_openaccess") if rules.require_openaccess else None),
        (LeftOut.RETRACTED, pl.col("is_retracted") if rules.exclude_retracted else None),
        (LeftOut.HISTORICAL_OCR, pl.col("is_historical_ocr") if rules.exclude_historical_ocr else None),
        (LeftOut.MANUSCRIPT, None if rules.include_manuscripts else pl.col("is_manuscript")),
        (LeftOut.LICENSE_NOT_ALLOWED, ~known),
        (LeftOut.JOURNAL, _other_journal(rules.journals)),
        (LeftOut.YEAR, pl.any_horizontal(year.is_null(), *years) if years else None),
        (LeftOut.WORDS, _without(rules.words)),
        (LeftOut.NO_XML, pl.col("xml_key").is_null()),
    ]


def _not_listed(ids: frozenset[str] | None) -> pl.Expr | None:
    if ids is None:
        return None
    wanted = sorted(ids)
    article = pl.format("PMC{}", "pmcid")
    return ~(article.is_in(wanted) | pl.col("article_id").is_in(wanted))


def _other_journal(journals: Sequence[str]) -> pl.Expr | None:
    if not journals:
        return None
    wanted = sorted({_plain(journal) for journal in journals})
    plain = pl.col("journal").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
    return ~plain.is_in(wanted).fill_null(False)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def _without(words: Sequence[str]) -> pl.Expr | None:
    if not words:
        return None
    # Whole words, so that "MRI" does not find "Mrinal"; spaces in a phrase match any white space.
    alternatives = "|".join(r"\s+".join(re.escape(part) for part in word.split()) for word in sorted(words))
    text = pl.concat_str("title", "citation", separator="\n", ignore_nulls=True)
    return ~text.str.contains(rf"(?i)(?:^|[^\p{{L}}\p{{N}}])(?:{alternatives})(?:$|[^\p{{L}}\p{{N}}])").fill_null(False)
