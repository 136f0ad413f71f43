"""What a day's changes cost against making everything anew: four articles of 61, in four of 20 chunks.

Prints seconds of the real commands and their ratio, which partitions were made, and whether the refreshed tables and
shards are byte for byte those of a data directory made from the final mirror at once.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from biomedica_assets.lib.store.lake import Lake
from biomedica_assets_tests.support.delta import CHAIN, SPINE, Site, same_rows


def main() -> None:
    """Make all, change four articles, refresh; then make all from the changed mirror and compare."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="biomedica-refresh-") as folder:
        site = Site(Path(folder))
        select = ",".join(SPINE)
        _, first = site.biomedica("run", "--select", select)
        site.change()
        site.inventory()
        made, delta = site.refresh()
        _, nothing = site.refresh()
        site.next_day()
        site.inventory()
        removed, removal = site.refresh()
        anew = Path(folder) / "anew"
        _, rebuilt = site.biomedica("run", "--select", select, data=anew)
        apart = same_rows(Lake(site.data), Lake(anew))
    everything = 20 * len(CHAIN)
    print("| what | seconds | share of all | partitions made |\n|---|---|---|---|")
    for name, seconds, n in (
        ("all, first time", first, everything),
        ("edit, new licence, retraction", delta, len(made)),
        ("removal, a day later", removal, len(removed)),
        ("nothing to do", nothing, 0),
        ("all anew from the changed mirror", rebuilt, everything),
    ):
        print(f"| {name} | {seconds:.1f} | {seconds / rebuilt:.2f} | {n} |")
    net = rebuilt - nothing
    print(f"without starting the command: delta / all = {(delta - nothing) / net:.3f}, chunks changed / all = {3 / 20}")
    print(f"refreshed against made anew: {len(apart)} files apart {apart[:5] or ''}")


if __name__ == "__main__":
    main()
