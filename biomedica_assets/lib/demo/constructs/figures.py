"""Where figures stand, what they hold, and the images that are no figures."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from biomedica_assets.lib.demo import art as arts
from biomedica_assets.lib.demo import words
from biomedica_assets.lib.demo.draft import HREF, Draft

LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def fig_group(d: Draft) -> None:
    """Two figures in a group; the second has no caption and inherits the group's."""
    group = etree.SubElement(d.results, "fig-group", {"id": "FG1"})
    etree.SubElement(group, "label").text = "Figure group 1"
    text = "Two views of one patient."
    d.block(etree.SubElement(group, "caption"), "title", text)
    for captioned in (True, False):
        element = d.figure(group, captioned=captioned)
        record = d.record(element)
        record.group_caption = text
        if not captioned:
            record.caption, record.inherited = text, True
    d.block(d.results, "p", f"Both views agree ({d.cite(-1, 'last view')}).")


def nested_fig(d: Draft) -> None:
    """A figure inside a figure, each with a graphic of its own."""
    outer = d.figure(d.results)
    inner = d.figure(outer)
    d.record(inner).parent = outer


def several_graphics(d: Draft) -> None:
    """One figure of three graphics, each its own picture."""
    panels = [arts.single(d.rng) for _ in range(3)]
    texts = " ".join(f"({letter}) {panel.title}" for letter, panel in zip("ABC", panels, strict=True))
    element = d.figure(d.results, panels[0], title="Three examples.", paragraphs=[texts], graphic=False)
    for panel in panels:
        d.graphic(element, panel)


def alternatives(d: Draft) -> None:
    """A thumbnail and the full picture as alternatives: one graphic, the full one."""
    art = arts.any_art(d.rng)
    element = d.figure(d.results, art, graphic=False)
    either = etree.SubElement(element, "alternatives")
    thumbnail = d.file_name("gif")
    small = art.image.copy()
    small.thumbnail((60, 60))
    d.media[thumbnail] = arts.encoded(small, "gif")
    etree.SubElement(either, "graphic", {"specific-use": "thumbnail", "content-type": "thumbnail", HREF: thumbnail})
    d.graphic(element, art, into=either)


def floats_group(d: Draft) -> None:
    """Two figures collected after the back matter."""
    floats = etree.SubElement(d.root, "floats-group")
    for _ in range(2):
        d.figure(floats, attributes={"position": "float"})
        d.block(d.results, "p", f"{d.cite(-1, 'A further figure')} is printed at the end.")


def boxed_text(d: Draft) -> None:
    """A figure in a box."""
    box = etree.SubElement(d.results, "boxed-text", {"id": "B1"})
    d.block(etree.SubElement(box, "caption"), "title", "Key points")
    d.block(box, "p", words.sentences(d.rng, "results", 1))
    d.figure(box)


def author_response(d: Draft) -> None:
    """A figure in the authors' answer to the referees."""
    response = etree.SubElement(d.root, "sub-article", {"article-type": "reply", "id": "SA1"})
    stub = etree.SubElement(response, "front-stub")
    etree.SubElement(etree.SubElement(stub, "title-group"), "article-title").text = "Author response"
    body = etree.SubElement(response, "body")
    element = d.figure(body, xml_id="SA1-fig1", label="Author response image 1.")
    d.block(body, "p", f"We answer with [[{element.get('id')}|Author response image 1]].")


def translation(d: Draft) -> None:
    """A translated sub-article whose figure is a figure of its own, with a caption in Spanish."""
    response = etree.SubElement(d.root, "sub-article", {"article-type": "translation", "id": "TR1", LANG: "es"})
    stub = etree.SubElement(response, "front-stub")
    etree.SubElement(etree.SubElement(stub, "title-group"), "article-title").text = "Un estudio inventado"
    group = etree.SubElement(stub, "kwd-group", {LANG: "es"})
    etree.SubElement(group, "kwd").text = "palabra inventada"
    body = etree.SubElement(response, "body")
    element = d.figure(
        body,
        xml_id="TR1-f1",
        label="Figura 1",
        title="Hallazgos principales.",
        paragraphs=["Imagen de un paciente, año 1."],
    )
    d.block(body, "p", f"Los resultados se muestran en la [[{element.get('id')}|Figura 1]].")


def appendix(d: Draft) -> None:
    """A figure in an appendix."""
    section = etree.SubElement(etree.SubElement(d.back, "app-group"), "app", {"id": "APP1"})
    etree.SubElement(section, "title").text = "Appendix 1"
    element = d.figure(section, xml_id="APP1-F1", label="Figure A1")
    d.block(section, "p", f"See [[{element.get('id')}|Figure A1]] for the raw data.")


def graphical_abstract(d: Draft) -> None:
    """A figure in a graphical abstract."""
    meta = d.front.find("article-meta")
    first = d.front.find(".//abstract")
    assert meta is not None and first is not None  # noqa: S101 - write_front put them there
    abstract = etree.Element("abstract", {"abstract-type": "graphical"})
    first.addnext(abstract)
    d.figure(etree.SubElement(abstract, "p"), xml_id="ga1", labelled=False, title="Graphical abstract.")


def supplementary_fig(d: Draft) -> None:
    """A data file and a figure as supplementary material; only the figure is one."""
    section = etree.SubElement(d.back, "sec", {"sec-type": "supplementary-material"})
    etree.SubElement(section, "title").text = "Supplementary material"
    data = etree.SubElement(section, "supplementary-material", {"id": "SD1"})
    etree.SubElement(data, "label").text = "Data S1"
    name = d.file_name("csv")
    etree.SubElement(data, "media", {HREF: name, "mimetype": "text"})
    d.media[name] = b"patient,value\n1,2.5\n2,3.5\n"
    holder = etree.SubElement(section, "supplementary-material", {"id": "SD2"})
    d.figure(holder, xml_id="SF1", label="Figure S1")


def table_image(d: Draft) -> None:
    """A table that is a picture."""
    table = etree.SubElement(d.results, "table-wrap", {"id": "T9"})
    etree.SubElement(table, "label").text = "Table 9"
    art = arts.single(d.rng, "table", (240, 120))
    text = d.caption(table, art, "Outcomes of all patients.", [])
    d.other(table, "table", art, label="Table 9", caption=text)


def scheme(d: Draft) -> None:
    """A scheme marked up as a figure."""
    art = arts.single(d.rng, "chemical_structure")
    d.figure(d.results, art, xml_id="sch1", label="Scheme 1", kind="scheme", attributes={"fig-type": "scheme"})
    d.block(d.results, "p", "The synthesis is outlined in [[sch1|Scheme 1]].")


def map_figure(d: Draft) -> None:
    """A map marked up as a figure."""
    d.figure(
        d.results, arts.single(d.rng, "map"), xml_id="map1", label="Map 1", kind="map", attributes={"fig-type": "map"}
    )


def chemical_structure(d: Draft) -> None:
    """A chemical structure outside any figure."""
    wrap = etree.SubElement(d.results, "chem-struct-wrap", {"id": "CS1"})
    etree.SubElement(wrap, "label").text = "Compound 1"
    d.other(
        etree.SubElement(wrap, "chem-struct"),
        "chemical_structure",
        arts.single(d.rng, "chemical_structure", (120, 90)),
        form="gif",
    )


def formula_images(d: Draft) -> None:
    """Formulae that are pictures: displayed, in a line, and in a caption, where they are no graphic of the figure."""
    display = etree.SubElement(d.results, "disp-formula", {"id": "E1"})
    d.other(display, "formula", arts.single(d.rng, "formula", (160, 32)), form="gif")
    line = d.block(d.results, "p", "The fit follows ")
    d.other(
        etree.SubElement(line, "inline-formula"),
        "formula",
        arts.single(d.rng, "formula", (110, 22)),
        form="gif",
        tag="inline-graphic",
    )
    element = d.figure(d.results, title="Fitted curve.", paragraphs=["The curve follows a model."])
    caption = element.find("caption")
    assert caption is not None  # noqa: S101 - the figure was made with one
    inline = etree.SubElement(caption[-1], "inline-formula")
    d.other(inline, "formula", arts.single(d.rng, "formula", (110, 22)), form="gif", tag="inline-graphic")


def inline_graphic(d: Draft) -> None:
    """A small picture within a line."""
    line = d.block(d.results, "p", "Positive samples carry the sign ")
    d.other(line, "graphic", arts.single(d.rng, "formula", (40, 24)), form="gif", tag="inline-graphic")


def bare_graphic(d: Draft) -> None:
    """A graphic that stands in a paragraph without any figure."""
    line = etree.SubElement(d.results, "p")
    d.other(line, "graphic", arts.single(d.rng), tag="graphic")


def media_video(d: Draft) -> None:
    """A video: media, no figure."""
    name = d.file_name("mp4")
    video = etree.SubElement(d.results, "media", {"id": "V1", "mimetype": "video", HREF: name})
    etree.SubElement(video, "label").text = "Video 1"
    d.block(etree.SubElement(video, "caption"), "p", "Gait before treatment.")
    d.media[name] = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(64)


def caption_list(d: Draft) -> None:
    """A list in a caption: its items are text."""
    art = arts.any_art(d.rng)
    element = d.figure(d.results, art, paragraphs=["The panels show:"])
    caption = element.find("caption")
    assert caption is not None  # noqa: S101 - the figure was made with one
    items = etree.SubElement(caption[-1], "list", {"list-type": "bullet"})
    lines = ["before treatment", "after treatment"]
    for line in lines:
        d.block(etree.SubElement(items, "list-item"), "p", line)
    record = d.record(element)
    record.caption = "\n".join([record.caption or "", *lines])


def caption_math(d: Draft) -> None:
    """MathML in a caption."""
    d.figure(d.results, paragraphs=["The difference was significant ($p<0.001$, $n=24$) at all times."])


def caption_markup(d: Draft) -> None:
    """Italics, sub- and superscripts, alternative text and attribution around a caption."""
    text = "Uptake of ^18^F-FDG and CO~2~ in *Mus musculus* at 10^5^ cells per ml."
    element = d.figure(d.results, paragraphs=[text])
    etree.SubElement(element, "alt-text").text = "A picture for readers who cannot see it"
    etree.SubElement(element, "attrib").text = "Drawn by code"


def no_caption(d: Draft) -> None:
    """A figure with a label and no caption."""
    element = d.figure(d.results, captioned=False)
    d.block(d.results, "p", f"See [[{element.get('id')}|the figure]] without words.")


def no_label(d: Draft) -> None:
    """A figure with a caption and no label."""
    d.figure(d.results, labelled=False)


def no_id(d: Draft) -> None:
    """A figure that nothing can cite."""
    d.figure(d.results, named=False)


def nothing_but_graphic(d: Draft) -> None:
    """A figure without id, label and caption."""
    d.figure(d.results, named=False, labelled=False, captioned=False)


def fig_permissions(d: Draft) -> None:
    """A figure under a licence of its own."""
    element = d.figure(d.results)
    permissions = etree.SubElement(element, "permissions")
    etree.SubElement(permissions, "copyright-statement").text = "© 2019 Another Publisher"
    url = "https://creativecommons.org/licenses/by-nc-nd/4.0/"
    licence = etree.SubElement(permissions, "license", {HREF: url})
    etree.SubElement(licence, "license-p").text = "Reused under CC BY-NC-ND 4.0."
    d.record(element).license_code = "CC BY-NC-ND"


def source_data_in_caption(d: Draft) -> None:
    """A source data file inside a caption: no part of its text, no graphic."""
    element = d.figure(d.results)
    caption = element.find("caption")
    assert caption is not None  # noqa: S101 - the figure was made with one
    holder = etree.SubElement(etree.SubElement(caption, "p"), "supplementary-material", {"id": "FSD1"})
    etree.SubElement(holder, "label").text = "Figure 4—source data 1."
    name = d.file_name("csv")
    etree.SubElement(holder, "media", {HREF: name})
    d.media[name] = b"x,y\n1,1\n"


def fig_in_paragraph(d: Draft) -> None:
    """A figure in the middle of a paragraph, whose text goes on after it."""
    before, after = "The first part ends here.", "The second part follows the figure."
    paragraph = etree.SubElement(d.results, "p")
    paragraph.text = before + " "
    element = d.figure(paragraph)
    citation = etree.SubElement(paragraph, "xref", {"ref-type": "fig", "rid": element.get("id") or ""})
    citation.text = "See above"
    element.tail = " " + after + " "
    d.note(f"{before} {after} [[{element.get('id')}|See above]]")


def fig_in_list(d: Draft) -> None:
    """A figure in a list item."""
    items = etree.SubElement(d.results, "list", {"list-type": "order"})
    item = etree.SubElement(items, "list-item")
    d.block(item, "p", "First step of the protocol.")
    d.figure(item)


def fig_in_footnote(d: Draft) -> None:
    """A figure in a footnote."""
    note = etree.SubElement(etree.SubElement(d.back, "fn-group"), "fn", {"id": "fnf"})
    d.block(note, "p", "A remark with a picture.")
    d.figure(note)


def similar_ids(d: Draft) -> None:
    """Two figures whose ids differ in one sign only."""
    for xml_id, label in (("F-90", "Figure 90"), ("F.90", "Figure 91")):
        d.figure(d.results, xml_id=xml_id, label=label)
    d.block(d.results, "p", "The first is [[F-90|Figure 90]].")
    d.block(d.results, "p", "The second is [[F.90|Figure 91]].")


def fig_without_graphic(d: Draft) -> None:
    """A figure whose picture the publisher left out."""
    d.figure(d.results, graphic=False, title="Picture not available.", paragraphs=["Removed at the owner's wish."])


ALL: tuple[Callable[[Draft], None], ...] = (
    fig_group,
    nested_fig,
    several_graphics,
    alternatives,
    floats_group,
    boxed_text,
    author_response,
    translation,
    appendix,
    graphical_abstract,
    supplementary_fig,
    table_image,
    scheme,
    map_figure,
    chemical_structure,
    formula_images,
    inline_graphic,
    bare_graphic,
    media_video,
    caption_list,
    caption_math,
    caption_markup,
    no_caption,
    no_label,
    no_id,
    nothing_but_graphic,
    fig_permissions,
    source_data_in_caption,
    fig_in_paragraph,
    fig_in_list,
    fig_in_footnote,
    similar_ids,
    fig_without_graphic,
)
