"""How right labels without any vote are on real figures, judged by eye.

Labels the 118 figures of ``../shared/corpus`` that are samples by what the text says and by what the label model learns
from it, with nobody's vote, at the confidence that the recipes ``filtered`` and ``balanced`` ask for; then
counts the labels that the verdicts call right. Top kinds are held against kinds that were judged before any label was
looked at (``judged_kinds.csv``); up to 100 labels a level were drawn by a hash, each was looked at beside its picture
(``judged_labels.csv``: right, wrong, or unclear where people would differ; unclear ones count as wrong).

    python benchmarks/labels_by_eye.py [--draw 100]
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from statsmodels.stats.proportion import proportion_confint

from biomedica_assets.lib.annotate.sources import claims, combine, model, rules, text, trust
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.embed import open_encoder
from biomedica_assets.lib.images.canonical import open_canonical
from biomedica_assets.lib.jats.article import parse_article
from biomedica_assets.lib.jats.rows import Known, Rows
from biomedica_assets.lib.tables import CAPTIONS, FIGURES, MENTIONS

ROOT = Path(__file__).resolve().parents[1]
MIRROR = ROOT.parent / "shared" / "corpus" / "mirror"
FOLDER = ROOT / "biomedica_assets_tests" / "lib" / "annotate" / "sources"
KINDS, LABELS = FOLDER / "judged_kinds.csv", FOLDER / "judged_labels.csv"
TAXONOMY = load()
LEAST = 0.5


def stem_of(key: str) -> str:
    """``PMC1.1/name`` of a file or of a graphic that names none of its extension."""
    path = PurePosixPath(key)
    return f"{path.parts[0]}/" + re.sub(r"\.(jpe?g|gif|png|tiff?)$", "", path.name, flags=re.IGNORECASE)


def text_claims(articles: set[str]) -> pl.DataFrame:
    """What the text of the articles says, one image per graphic of a figure."""
    rows = Rows()
    for article in sorted(articles):
        data = next((MIRROR / article).glob("*.xml")).read_bytes()
        number, version = article.removeprefix("PMC").split(".")
        rows.add(Known(article, int(number), int(version), "x", "x", None, False), parse_article(data, article))
    figures, captions = FIGURES.frame(rows.figures), CAPTIONS.frame(rows.captions)
    said = text.claims_of(figures, captions, MENTIONS.frame(rows.mentions), {}, rules.shipped())
    hrefs = figures.explode("graphics", empty_as_null=False).drop_nulls("graphics")
    hrefs = hrefs.select("figure_id", "article_id", href=pl.col("graphics").struct.field("href"))
    stems = [stem_of(f"{article}/{href}") for article, href in hrefs.select("article_id", "href").iter_rows()]
    media = hrefs.with_columns(media_id=pl.Series(stems)).unique("media_id", keep="first", maintain_order=True)
    return claims.upward(claims.of_text_frame(media.select("media_id", "figure_id"), said), TAXONOMY)


def labels() -> pl.DataFrame:
    """Labels that recipes would see: key, level (top or narrower), concept_id, confidence, provenance."""
    keys = [row["key"] for row in csv.DictReader(KINDS.read_text(encoding="utf-8").splitlines())]
    stems = {stem_of(key): key for key in keys}
    said = text_claims({key.split("/")[0] for key in keys}).filter(pl.col("media_id").is_in(list(stems)))
    articles = pl.DataFrame({"media_id": list(stems), "article_id": [stem.split("/")[0] for stem in stems]})
    known = said.join(articles, on="media_id").with_columns(simulated=pl.lit(value=False))
    taught = model.targets(known, TAXONOMY)
    if taught.concepts:
        encoder = open_encoder("texture")
        vectors = {
            stem: encoder.encode(encoder.prepare(open_canonical(MIRROR / key))[None])[0] for stem, key in stems.items()
        }
        learnt, _ = model.fit(np.stack([vectors[m] for m in taught.media_ids]), taught, TAXONOMY)
        p = model.answers(learnt, np.stack(list(vectors.values())), articles["article_id"].to_list(), TAXONOMY)
        said = pl.concat([said, claims.model_claims(model.long(list(vectors), learnt.concepts, p))])
        known = said.join(articles, on="media_id").with_columns(simulated=pl.lit(value=False))
        print(f"the model learnt {', '.join(learnt.concepts)} from {len(taught.media_ids)} figures", file=sys.stderr)
    candidates, sources, _ = trust.judged_items(known, TAXONOMY)
    together = combine.combined(said, trust.as_trust(trust.estimate(candidates, sources)), TAXONOMY)
    parts = [
        together.filter(pl.col(f"{question}_confidence") >= LEAST).select(
            key=pl.col("media_id").replace_strict(stems), level=pl.lit(level), concept_id=question,
            confidence=f"{question}_confidence", provenance=f"{question}_provenance",
        )
        for question, level in (("global", "top"), ("local", "narrower"))
    ]  # fmt: skip
    return pl.concat(parts).explode("concept_id", empty_as_null=False).sort("key", "level", "concept_id")


def precision(name: str, right: int, n: int) -> str:
    """A line with Wilson's interval."""
    low, high = proportion_confint(right, n, alpha=0.05, method="wilson") if n else (0.0, 1.0)
    return f"{name:<60}{right:>4} of {n:>4} right{right / n if n else 0:>8.3f}  95 % {low:.3f} to {high:.3f}"


def main() -> None:
    """Print precision by level and source, or what is to be judged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", type=int, help="print so many labels a level as CSV, to be judged, and stop")
    args = parser.parse_args()
    if not MIRROR.is_dir():
        print(f"The real articles are not at {MIRROR}.")
        return
    found = labels()
    if args.draw:
        rank = [model.rank_of(f"{k} {c}") for k, c in found.select("key", "concept_id").iter_rows()]
        drawn = found.with_columns(_rank=pl.Series(rank)).sort("level", "_rank").group_by("level").head(args.draw)
        print(drawn.drop("_rank").sort("level", "key", "concept_id").write_csv(), end="")
        return
    truth = {r["key"]: set(r["kinds"].split()) for r in csv.DictReader(KINDS.read_text(encoding="utf-8").splitlines())}
    tops = found.filter(level="top")
    right = sum(concept in truth[key] for key, concept in tops.select("key", "concept_id").iter_rows())
    print(precision("top kinds, against kinds judged without labels", right, tops.height))
    lines = [line for line in LABELS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    judged = pl.DataFrame(list(csv.DictReader(lines)))
    met = found.join(judged, on=["key", "concept_id"], how="left", suffix="_then")
    for level in ("top", "narrower"):
        mine = met.filter(level=level)
        seen = mine.drop_nulls("verdict")
        print(precision(f"{level}: judged labels", seen.filter(verdict="right").height, seen.height)
              + f"; {mine.height - seen.height} labels not judged")  # fmt: skip
        for provenance in sorted(seen["provenance"].unique()):
            some = seen.filter(provenance=provenance)
            print(precision(f"  of these by {provenance}", some.filter(verdict="right").height, some.height))
    wanted = {"kind-clinical-imaging", "kind-microscopy", "kind-assay", "kind-laboratory-specimen"}
    taken = {key for key, concept in tops.select("key", "concept_id").iter_rows() if concept in wanted}
    readers = {key for key, kinds in truth.items() if kinds & wanted}
    print(precision("pictures that `filtered` takes", len(taken & readers), len(taken))
          + f"; a reader takes {len(readers)}")  # fmt: skip


if __name__ == "__main__":
    main()
