"""How text cites figures: several at once, in ranges, deep in markup, outside paragraphs, or not at all."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from biomedica_assets.lib.demo.draft import Draft
from biomedica_assets.lib.demo.markup import fill

DASH = "\N{EN DASH}"


def multi_rid(d: Draft) -> None:
    """One xref that names two figures."""
    a, b = d.numbered[:2]
    d.block(d.results, "p", f"Both groups differ ([[{a} {b}|Figures 1 and 2]]).")


def range_dash(d: Draft) -> None:
    """Figures 1-3 by two xrefs and a dash: the second is inferred."""
    text = f"The course is shown in {d.cite(0, 'Figs 1')}{DASH}{d.cite(2, '3')}."
    d.block(d.results, "p", text, inferred=d.numbered[1:2])


def range_to(d: Draft) -> None:
    """Figures 1 to 4 in words: the second and third are inferred."""
    text = f"All stages appear in {d.cite(0, 'Figures 1')} to {d.cite(3, '4')} of this paper."
    d.block(d.results, "p", text, inferred=d.numbered[1:3])


def range_through(d: Draft) -> None:
    """Figures 2 through 4."""
    text = f"Compare {d.cite(1, 'Figures 2')} through {d.cite(3, '4')}."
    d.block(d.results, "p", text, inferred=d.numbered[2:3])


def empty_range(d: Draft) -> None:
    """A range whose middle figures have empty xrefs: they are cited explicitly."""
    a, b, c, e = d.numbered[:4]
    d.block(d.results, "p", f"See [[{a}|Figs. 1]][[{b}|]][[{c}|]]{DASH}[[{e}|4]] for the rest.")


def in_italics(d: Draft) -> None:
    """An xref inside italics."""
    d.block(d.results, "p", f"The effect was clear *(see {d.cite(0)} for* all *groups)*.")


def in_list(d: Draft) -> None:
    """Xrefs in list items."""
    items = etree.SubElement(d.results, "list", {"list-type": "bullet"})
    for index in (0, 1):
        d.block(etree.SubElement(items, "list-item"), "p", f"step shown in {d.cite(index)}")


def in_table(d: Draft) -> None:
    """An xref in a table cell."""
    wrap = etree.SubElement(d.results, "table-wrap", {"id": "T1"})
    etree.SubElement(wrap, "label").text = "Table 1"
    d.block(etree.SubElement(wrap, "caption"), "p", "Groups and outcomes.")
    body = etree.SubElement(etree.SubElement(wrap, "table"), "tbody")
    row = etree.SubElement(body, "tr")
    d.block(row, "td", "Treated")
    d.block(row, "td", f"higher ({d.cite(0)})")


def in_footnote(d: Draft) -> None:
    """An xref in a footnote."""
    note = etree.SubElement(etree.SubElement(d.back, "fn-group"), "fn", {"id": "fn9"})
    d.block(note, "p", f"Not shown in {d.cite(1)}.")


def in_abstract(d: Draft) -> None:
    """An xref in the abstract."""
    abstract = d.front.find(".//abstract")
    assert abstract is not None  # noqa: S101 - write_front put it there
    d.block(abstract, "p", f"The main finding is in {d.cite(0)}.")


def in_title(d: Draft) -> None:
    """An xref in the title of a section."""
    section = etree.SubElement(d.body, "sec")
    d.block(section, "title", f"Details of {d.cite(0)}")
    d.block(section, "p", "Further explanations.")


def placing_xref(d: Draft) -> None:
    """An empty xref that only says where the figure goes: no mention."""
    paragraph = d.block(d.results, "p", "Figures are placed by empty references in some journals.")
    etree.SubElement(paragraph, "xref", {"ref-type": "fig", "rid": d.numbered[0]})


def citing_caption(d: Draft) -> None:
    """A caption that cites another figure (a mention) and its own (none)."""
    xml_id = "Fcite"
    text = f"Same patient as in {d.cite(0)}; see also [[{xml_id}|this figure]]."
    d.figure(d.results, xml_id=xml_id, label="Figure 80", paragraphs=[text])


def no_ref_type(d: Draft) -> None:
    """An xref without ref-type."""
    d.block(d.results, "p", f"An unmarked reference to {d.cite(1)} counts.", ref_type=None)


def panel_range(d: Draft) -> None:
    """A range of panels of one figure infers nothing."""
    d.block(d.results, "p", f"Panels are in {d.cite(2, 'Figure 3A')}{DASH}{d.cite(2, '3C')}.")


def comment_and_instruction(d: Draft) -> None:
    """A comment and a processing instruction in a paragraph are no text."""
    paragraph = fill(etree.SubElement(d.results, "p"), f"Before the break {d.cite(0)} ")
    paragraph.append(etree.Comment("set by the publisher"))
    paragraph.append(etree.ProcessingInstruction("break", "page"))
    paragraph[-1].tail = "after it."
    d.note(f"Before the break {d.cite(0)} after it.")


ALL: tuple[Callable[[Draft], None], ...] = (
    multi_rid,
    range_dash,
    range_to,
    range_through,
    empty_range,
    in_italics,
    in_list,
    in_table,
    in_footnote,
    in_abstract,
    in_title,
    placing_xref,
    citing_caption,
    no_ref_type,
    panel_range,
    comment_and_instruction,
)
