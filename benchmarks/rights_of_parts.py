"""Which figures of real articles are under which licence, and why; also against another version of the code.

    python benchmarks/rights_of_parts.py [--against CHECKOUT] [--lines]

Parses every article of ``../shared/corpus/mirror`` and counts figures by licence group, by what decided, and by the
rule that their credit lines met. With ``--against`` (a checkout of an earlier version of this project) it also counts
which figures changed their group or code, by kind; with ``--lines`` it prints every credit line with what followed from
it. ``rights_of_parts_results.txt`` holds the output and what a person judged of each line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "mirror"
KEPT = ("figure_id", "element", "kind", "license_code", "license_group", "license_source", "license_reason", "credit",
        "credit_rule", "attribution")  # fmt: skip


def dump(corpus: Path) -> None:
    """One JSON line per figure, by whichever version of the code is on the path."""
    from biomedica_assets.lib import licenses
    from biomedica_assets.lib.jats.article import parse_article
    from biomedica_assets.lib.jats.reading import UnreadableXml
    from biomedica_assets.lib.jats.rows import Known, Rows

    fields = {field.name for field in dataclasses.fields(Known)}
    for path in sorted(corpus.glob("PMC*/PMC*.xml")):
        stated = json.loads((corpus / "metadata" / f"{path.stem}.json").read_bytes())
        known: dict[str, Any] = {
            "article_id": path.stem, "pmcid": int(path.stem[3:].partition(".")[0]), "version": 1, "path": str(path),
            "md5": "", "license_code": licenses.normalise(stated.get("license_code")), "is_retracted": False,
        }  # fmt: skip
        rows = Rows()
        try:
            rows.add(
                Known(**{k: v for k, v in known.items() if k in fields}), parse_article(path.read_bytes(), path.stem)
            )
        except UnreadableXml:
            continue
        article = {"article_id": path.stem, "article_code": rows.articles[0]["license_code"]}
        for row in rows.figures:
            print(json.dumps(article | {name: row.get(name) for name in KEPT}))


def read(code: Path, corpus: Path) -> dict[str, dict[str, Any]]:
    """Figures as a version of the code sees them, by id."""
    command = [sys.executable, __file__, "--dump", "--corpus", str(corpus)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(code)}, check=True, capture_output=True, text=True
    )
    rows = (json.loads(line) for line in done.stdout.splitlines())
    return {row["figure_id"]: row for row in rows}


def table(title: str, counts: Counter[Any]) -> None:
    """Print counts, largest first."""
    print(f"\n{title}")
    for what, n in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        print(f"{n:6,}  {what if isinstance(what, str) else ', '.join(map(str, what))}")


def compare(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> None:
    """Print what moved, by kind."""
    rank = ("other", "noncommercial", "commercial")
    moved, codes, reasons = Counter[Any](), Counter[Any](), Counter[Any]()
    freer: list[str] = []
    for name, row in now.items():
        old = before.get(name)
        if old is None:
            moved["new row"] += 1
            continue
        step = rank.index(row["license_group"]) - rank.index(old["license_group"])
        if step:
            moved["freer" if step > 0 else "stricter"] += 1
            codes[f"{old['license_code']} -> {row['license_code']}"] += 1
            reasons[f"by {row['license_source']}" + (f", rule {row['credit_rule']}" if row["credit_rule"] else "")] += 1
            if step > 0:
                freer.append(f"{name}: {old['license_code']} -> {row['license_code']} ({row['license_source']})")
        elif old["license_code"] != row["license_code"]:
            moved["other code, same group"] += 1
        else:
            moved["as before"] += 1
    moved["gone"] = len(before.keys() - now.keys())
    table("Against the earlier version: group of each figure", moved)
    table("Changed group: licence before and now", codes)
    table("Changed group: what decides now", reasons)
    print("\nIn a freer group than before: " + ("; ".join(freer) or "none"))


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--against", type=Path, help="checkout of an earlier version")
    parser.add_argument("--lines", action="store_true", help="print every credit line")
    parser.add_argument("--dump", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.dump:
        dump(given.corpus)
        return
    now = read(Path(__file__).resolve().parents[1], given.corpus)
    articles = {row["article_id"] for row in now.values()}
    print(f"{len(now):,} rows of figures, tables, formulae and graphics in {len(articles):,} articles that have any")
    table("Licence group", Counter(row["license_group"] for row in now.values()))
    table("What decides", Counter(row["license_source"] for row in now.values()))
    table("Credit lines by rule", Counter(row["credit_rule"] for row in now.values() if row["credit_rule"]))
    if given.against:
        compare(read(given.against, given.corpus), now)
    if given.lines:
        print("\nEvery credit line, with the licence of the article and of the figure")
        for row in sorted(now.values(), key=lambda r: (str(r["credit_rule"]), r["figure_id"])):
            if row["credit"]:
                said = " ".join(row["credit"].split())
                print(
                    f"{row['credit_rule']}\t{row['figure_id']}\t{row['article_code']} -> {row['license_code']}\t{said}"
                )


if __name__ == "__main__":
    main()
