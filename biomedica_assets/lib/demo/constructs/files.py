"""Names and bytes of media: how hrefs differ from object names, rare formats, copies of other images, faults."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from biomedica_assets.lib.demo import art as arts
from biomedica_assets.lib.demo.art import Art
from biomedica_assets.lib.demo.draft import Draft, Original
from biomedica_assets.lib.demo.draw.canvas import pick
from biomedica_assets.lib.demo.truth import TruthImage
from biomedica_assets.lib.errors import RejectReason

ERROR_PAGE = b"<!DOCTYPE html><html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>\n"


def href_no_extension(d: Draft) -> None:
    """The XML names the file without its extension."""
    name = d.file_name("jpg")
    d.figure(d.results, file_name=name, href=name.removesuffix(".jpg"))


def href_other_extension(d: Draft) -> None:
    """The XML names the publisher's TIFF, the bucket holds a JPEG."""
    name = d.file_name("jpg")
    d.figure(d.results, file_name=name, href=name.removesuffix("jpg") + "tif")


def href_upper_case(d: Draft) -> None:
    """The XML writes the name in capitals."""
    name = d.file_name("jpg")
    d.figure(d.results, file_name=name, href=name.upper())


def href_with_path(d: Draft) -> None:
    """The XML names a folder that the bucket does not have."""
    name = d.file_name("jpg")
    d.figure(d.results, file_name=name, href=f"images/large/{name}")


def href_with_doi(d: Draft) -> None:
    """The XML names the picture by a DOI whose last part is the file's name."""
    name = d.file_name("jpg")
    d.figure(d.results, file_name=name, href=f"info:doi/10.5555/{name.removesuffix('.jpg')}")


def name_with_spaces(d: Draft) -> None:
    """Blanks, brackets and an ampersand in a name."""
    d.figure(d.results, file_name="Figure 7 (final) & last.jpg")


def name_with_quote(d: Draft) -> None:
    """Quotes in a name."""
    d.figure(d.results, file_name='o\'neil "best" case.jpg')


def name_not_ascii(d: Draft) -> None:
    """Letters beyond ASCII in a name."""
    d.figure(d.results, file_name="Übersicht-größe-図1.jpg")


def form_png16(d: Draft) -> None:
    """A grey PNG of 16 bits."""
    art = arts.single(d.rng, "ct")
    d.figure(d.results, Art(art.image.convert("L"), art.kind, art.panels, art.title, art.paragraphs), form="png16")


def form_png(d: Draft) -> None:
    """A PNG."""
    d.figure(d.results, arts.single(d.rng, "line_plot"), form="png")


def form_gif(d: Draft) -> None:
    """A GIF that moves, and one that does not."""
    d.figure(d.results, arts.single(d.rng, "ultrasound"), form="animated")
    d.figure(d.results, arts.single(d.rng, "flowchart"), form="gif")


def form_webp(d: Draft) -> None:
    """A WebP."""
    d.figure(d.results, arts.single(d.rng, "histology"), form="webp")


def form_tif(d: Draft) -> None:
    """A TIFF."""
    d.figure(d.results, arts.single(d.rng, "gel"), form="tif")


def form_pages(d: Draft) -> None:
    """A TIFF of two pages."""
    d.figure(d.results, arts.single(d.rng, "oct"), form="pages")


def form_cmyk(d: Draft) -> None:
    """A JPEG in printing colours."""
    d.figure(d.results, arts.single(d.rng, "fundus"), form="cmyk")


def form_palette(d: Draft) -> None:
    """A PNG with a palette."""
    d.figure(d.results, arts.single(d.rng, "map"), form="palette")


def copies(d: Draft) -> None:
    """Images that earlier articles had already: the same bytes, resized, saved again, and with the border cut off."""
    for change in ("exact", "resized", "recompressed", "cropped"):
        original = pick(d.rng, d.pool)
        data = _changed(original, change)
        name = d.file_name("jpg")
        element = d.figure(d.results, original.art, graphic=False)
        d.graphic(element, original.art, file_name=name, data=data)
        d.images[-1] = TruthImage(d.key(name), original.art.kind, original.art.panels, original.key, change)


def _changed(original: Original, change: str) -> bytes:
    if change == "exact":
        return original.data
    image = Image.open(io.BytesIO(original.data))
    width, height = image.size
    if change == "resized":
        image = image.resize((round(width * 0.75), round(height * 0.75)), Image.Resampling.LANCZOS)
    elif change == "cropped":
        image = image.crop((round(width * 0.02), round(height * 0.02), round(width * 0.98), round(height * 0.98)))
    return arts.encoded(image, "jpg", 60 if change == "recompressed" else 88)


def truncated_jpeg(d: Draft) -> None:
    """A JPEG that ends in the middle."""
    art = arts.single(d.rng)
    element = d.figure(d.results, art, graphic=False)
    data = arts.encoded(art.image, "jpg")
    d.graphic(element, art, data=data[: len(data) // 2], reject=RejectReason.IMAGE_TRUNCATED)


def html_for_image(d: Draft) -> None:
    """The page of a server error under the name of an image."""
    element = d.figure(d.results, graphic=False)
    d.graphic(element, arts.single(d.rng), data=ERROR_PAGE, reject=RejectReason.MEDIA_NOT_AN_IMAGE)


def missing_object(d: Draft) -> None:
    """An image that the metadata lists and the bucket lacks."""
    name = d.file_name("jpg")
    element = d.figure(d.results, graphic=False)
    d.graphic(element, arts.single(d.rng), file_name=name, reject=RejectReason.OBJECT_MISSING)
    d.absent.add(name)


def missing_entry(d: Draft) -> None:
    """An image that neither the metadata nor the bucket knows."""
    name = d.file_name("jpg")
    element = d.figure(d.results, graphic=False)
    d.graphic(element, arts.single(d.rng), file_name=name, reject=RejectReason.MEDIA_MISSING)
    d.absent.add(name)
    d.unlisted.add(name)


def image_md5(d: Draft) -> None:
    """An image whose bytes are not those that the metadata promises."""
    name = d.file_name("jpg")
    element = d.figure(d.results, graphic=False)
    d.graphic(element, arts.single(d.rng), file_name=name, reject=RejectReason.CHECKSUM_MISMATCH)
    d.wrong_md5.add(name)


def ambiguous_href(d: Draft) -> None:
    """A name in capitals that two objects answer to, equally well."""
    stem = f"case-{d.plan.pmcid}"
    twin = f"Case-{d.plan.pmcid}"
    element = d.figure(d.results, graphic=False)
    art = arts.single(d.rng)
    d.media[f"{twin}.jpg"] = arts.encoded(arts.single(d.rng).image, "jpg")
    d.graphic(element, art, file_name=f"{stem}.jpg", href=f"{stem.upper()}.JPG", reject=RejectReason.MEDIA_AMBIGUOUS)


ALL: tuple[Callable[[Draft], None], ...] = (
    href_no_extension,
    href_other_extension,
    href_upper_case,
    href_with_path,
    href_with_doi,
    name_with_spaces,
    name_with_quote,
    name_not_ascii,
    form_png,
    form_png16,
    form_gif,
    form_webp,
    form_tif,
    form_pages,
    form_cmyk,
    form_palette,
    copies,
    truncated_jpeg,
    html_for_image,
    missing_object,
    missing_entry,
    image_md5,
    ambiguous_href,
)
