"""Look before the leap: what would end a run in its first minutes or hours is found before it, in under two seconds.

Belongs here: which looks of ``doctor`` a run needs, and which of their findings refuse it. Nothing is changed: what is
refused here is remembered nowhere.
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Callable

from biomedica_assets.commands import doctor
from biomedica_assets.lib import machine
from biomedica_assets.lib.errors import BiomedicaError, PermanentFailure
from biomedica_assets.lib.machine import Finding, Verdict
from biomedica_assets.settings import Settings

ASKS_THE_SOURCE = frozenset({"pmc_inventory", "article_index", "article_xml", "images"})
"""Assets that read objects of the source."""


def check(values: Settings, *, source: bool) -> None:
    """Print what limits a run, a line each with the way out, and refuse one that could only fail.

    Args:
        values: settings of the data directory, which need not exist.
        source: whether the run asks the source.

    Raises:
        PermanentFailure: naming everything that has to be mended first.
    """
    found = look(values, source=source)
    wrong = [finding for finding in found if finding.verdict is Verdict.BROKEN]
    if wrong:
        raise PermanentFailure("; ".join(_line(finding) for finding in wrong))
    for finding in found:
        if finding.verdict is Verdict.LOOK:
            print(f"biomedica: {_line(finding)}", file=sys.stderr)


def look(values: Settings, *, source: bool) -> list[Finding]:
    """All that a run needs: room, settings that can be meant, encoder, records, cluster, the source if it is asked."""
    looks: list[Callable[[], Finding]] = [
        lambda: _room(values),
        lambda: _lists(values),
        lambda: doctor.profile(values),
        lambda: doctor.recipes(values),
        lambda: _encoder(values),
    ]
    if values.postgres:
        looks.append(lambda: doctor.records(values.postgres))
    if values.ray:
        looks.append(lambda: doctor.cluster(values.ray))
    if source:
        looks.append(lambda: _source(values))
    # Side by side: those that ask other machines wait for them.
    with concurrent.futures.ThreadPoolExecutor(len(looks)) as pool:
        return list(pool.map(lambda one: one(), looks))


def _room(values: Settings) -> Finding:
    found = machine.disk(values.data_dir)
    # That a disk is too small for all of PubMed Central is the doctor's to say.
    return found if found.verdict is Verdict.BROKEN else machine.ok(found.check, found.found)


def _encoder(values: Settings) -> Finding:
    """What needs the encoder waits for it; everything else is made."""
    found = doctor.encoder(values)
    if found.verdict is Verdict.OK:
        return found
    return machine.look(found.check, f"{found.found}; what needs it waits, the rest is made", found.cure)


def _source(values: Settings) -> Finding:
    found = doctor.source(values)
    if found.verdict is Verdict.LOOK:
        return machine.broken(found.check, found.found, found.cure)
    return found


def _lists(values: Settings) -> Finding:
    """Whether the files that settings name can be read, and the settings can be meant together."""
    from biomedica_assets import configs

    try:
        configs.selection_rules(values)
        configs.user_lists(values)
        configs.pubmed_provider(values)
    except BiomedicaError as error:
        return machine.broken("settings", " ".join(str(error).split()), "`biomedica settings` lists all with meaning")
    return machine.ok("settings", "valid")


def _line(finding: Finding) -> str:
    return f"{finding.check}: {finding.found} ({finding.cure})" if finding.cure else f"{finding.check}: {finding.found}"
