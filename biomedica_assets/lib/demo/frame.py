"""What surrounds the figures of an article: front matter, sections of the body, back, wrapper of the file."""

from __future__ import annotations

from typing import Any

import numpy as np
from lxml import etree

from biomedica_assets.lib.demo import words
from biomedica_assets.lib.demo.draft import HREF, Draft
from biomedica_assets.lib.demo.markup import ALI, Element, fill, plain
from biomedica_assets.lib.demo.plan import Plan

DOCTYPE = (
    '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving and Interchange DTD v1.3 20210610//EN" '
    '"JATS-archivearticle1-3-mathml3.dtd">'
)
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "https://jats.nlm.nih.gov/ns/archiving/1.3/"
OAI = "http://www.openarchives.org/OAI/2.0/"


def write_front(draft: Draft) -> dict[str, Any]:
    """Fill the front matter and return what the articles table has to say of it."""
    plan, journal = draft.plan, draft.plan.journal
    rng = np.random.default_rng([draft.seed, 3, plan.stream])  # the same for every version of an article
    title = words.title(rng)
    authors = words.people(rng, int(rng.integers(1, 7)))
    keywords = words.keywords(rng, int(rng.integers(3, 6)))
    subjects = [words.SUBJECTS[int(k)] for k in rng.permutation(len(words.SUBJECTS))[:2]]
    volume, number, first = (int(n) for n in rng.integers(1, 60, 3))
    facts: dict[str, Any] = {
        "pmid": pmid_of(plan),
        "doi": doi_of(plan),
        "title": plain(title),
        "article_type": plan.article_type,
        "journal": journal.title,
        "publisher": journal.publisher,
        "date": "-".join(f"{part:02d}" for part in plan.date if part is not None),
        "year": plan.date[0],
        "volume": str(volume),
        "issue": str(number),
        "authors": [f"{surname}, {given}" for surname, given in authors],
        "subjects": subjects,
        "license_code": plan.licence.code,
    }
    meta = etree.SubElement(draft.front, "journal-meta")
    etree.SubElement(meta, "journal-id", {"journal-id-type": "nlm-ta"}).text = journal.abbreviation
    etree.SubElement(etree.SubElement(meta, "journal-title-group"), "journal-title").text = journal.title
    etree.SubElement(meta, "issn", {"pub-type": "epub"}).text = journal.issn
    etree.SubElement(etree.SubElement(meta, "publisher"), "publisher-name").text = journal.publisher

    meta = etree.SubElement(draft.front, "article-meta")
    for kind, text in (("pmcid", f"PMC{plan.pmcid}"), ("pmid", str(pmid_of(plan))), ("doi", doi_of(plan))):
        etree.SubElement(meta, "article-id", {"pub-id-type": kind}).text = text
    categories = etree.SubElement(meta, "article-categories")
    for subject in subjects:
        group = etree.SubElement(categories, "subj-group", {"subj-group-type": "heading"})
        etree.SubElement(group, "subject").text = subject
    heading = fill(etree.SubElement(etree.SubElement(meta, "title-group"), "article-title"), title)
    if rng.random() < 0.15:
        etree.SubElement(heading, "xref", {"ref-type": "fn", "rid": "fn-title"}).text = "*"
    group = etree.SubElement(meta, "contrib-group")
    for surname, given in authors:
        contributor = etree.SubElement(group, "contrib", {"contrib-type": "author"})
        name = etree.SubElement(contributor, "name")
        etree.SubElement(name, "surname").text = surname
        etree.SubElement(name, "given-names").text = given
    date = etree.SubElement(meta, "pub-date", {"pub-type": "epub"})
    for tag, value in zip(("day", "month", "year"), reversed(plan.date), strict=True):
        if value is not None:
            etree.SubElement(date, tag).text = str(value)
    for tag, text in (
        ("volume", str(volume)),
        ("issue", str(number)),
        ("fpage", str(first)),
        ("lpage", str(first + 9)),
    ):
        etree.SubElement(meta, tag).text = text
    _permissions(meta, draft)
    if plan.retracts is not None:
        target = {"related-article-type": "retracted-article", "ext-link-type": "pmc", HREF: f"PMC{plan.retracts}"}
        etree.SubElement(meta, "related-article", {"id": "ra1"} | target)
    draft.block(etree.SubElement(meta, "abstract"), "p", words.sentences(rng, "introduction", 2))
    group = etree.SubElement(meta, "kwd-group", {"kwd-group-type": "author"})
    for keyword in keywords:
        etree.SubElement(group, "kwd").text = keyword
    return facts | {"keywords": keywords}


def write_body(draft: Draft) -> None:
    """Introduction, methods, results (where figures go) and discussion."""
    rng = draft.rng
    for name in ("Introduction", "Methods", "Results", "Discussion"):
        section = etree.SubElement(draft.body, "sec")
        etree.SubElement(section, "title").text = name
        if name == "Results":
            draft.results = section
        draft.block(section, "p", words.sentences(rng, name.casefold(), 3))
        cited = f"{words.sentences(rng, name.casefold(), 2)} Others agree [[[R1|1]],[[R2|2]]]."
        draft.block(section, "p", cited, ref_type="bibr")
    for _ in range(draft.plan.figures):
        number = len(draft.numbered) + 1
        element = draft.figure(draft.results)
        text = draft.mention(element.get("id") or "", number)
        draft.block(draft.results, "p", f"{text} {words.sentences(rng, 'results', 1)}")


def write_back(draft: Draft, facts: dict[str, Any]) -> None:
    """Acknowledgement and references."""
    etree.SubElement(etree.SubElement(draft.back, "ack"), "p").text = "We thank the invented patients."
    references = etree.SubElement(draft.back, "ref-list")
    etree.SubElement(references, "title").text = "References"
    count = int(draft.rng.integers(3, 12))
    for k in range(count):
        (surname, given), *_ = words.people(draft.rng, 1)
        cited = etree.SubElement(etree.SubElement(references, "ref", {"id": f"R{k + 1}"}), "mixed-citation")
        cited.set("publication-type", "journal")
        cited.text = f"{surname} {given} {plain(words.title(draft.rng))}. Ann Invent Med. {2000 + k};{k + 1}:1-9."
    facts["n_references"] = count


def serialised(draft: Draft) -> bytes:
    """The JATS file: plain, in an OAI-PMH answer, with a namespaced root, or in an efetch article set."""
    wrapper = draft.plan.wrapper
    text: str = etree.tostring(draft.root, encoding="unicode")
    if wrapper in {"oai", "namespaced"}:
        text = text.replace("<article ", f'<article xmlns="{NAMESPACE}" ', 1)
    if wrapper == "oai":
        identifier = f"oai:pubmedcentral.nih.gov:{draft.plan.pmcid}"
        header = f"<header><identifier>{identifier}</identifier></header>"
        record = f"<GetRecord><record>{header}<metadata>{text}</metadata></record></GetRecord>"
        return f'{DECLARATION}<OAI-PMH xmlns="{OAI}">{record}</OAI-PMH>\n'.encode()
    if wrapper == "set":
        return f"{DECLARATION}<pmc-articleset>{text}</pmc-articleset>\n".encode()
    doctype = "" if wrapper == "namespaced" else DOCTYPE + "\n"
    return f"{DECLARATION}{doctype}{text}\n".encode()


def pmid_of(plan: Plan) -> int:
    """Invented PubMed id; versions of one article share it."""
    return 30_000_000 + plan.pmcid


def doi_of(plan: Plan) -> str:
    """Invented DOI under the prefix that is reserved for examples."""
    return f"10.5555/demo.{plan.pmcid}"


def citation_of(plan: Plan) -> str:
    """Citation as the metadata JSON has it: ``Ann Invent Med. 2021 Mar 9; doi: ...``."""
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    year, month, day = plan.date
    date = " ".join(filter(None, (str(year), months[month - 1] if month else "", str(day) if day else "")))
    return f"{plan.journal.abbreviation}. {date}; doi: {doi_of(plan)}"


def _permissions(meta: Element, draft: Draft) -> None:
    plan = draft.plan
    permissions = etree.SubElement(meta, "permissions")
    etree.SubElement(permissions, "copyright-statement").text = f"© {plan.date[0]} The Authors"
    if plan.licence.url:
        licence = etree.SubElement(permissions, "license", {"license-type": "open-access", HREF: plan.licence.url})
        etree.SubElement(licence, f"{{{ALI}}}license_ref").text = plan.licence.url
        etree.SubElement(licence, "license-p").text = f"Open access under the licence at {plan.licence.url}."
    elif plan.licence.code == "TDM":
        licence = etree.SubElement(permissions, "license")
        etree.SubElement(licence, "license-p").text = "This file is available for text mining."
