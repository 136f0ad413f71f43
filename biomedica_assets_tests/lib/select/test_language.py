"""Languages of captions."""

from __future__ import annotations

import polars as pl
import pytest

from biomedica_assets.lib.select import language
from biomedica_assets.lib.select.definition import RecipeError

WRITTEN = {
    "en": "Representative micrographs of the liver sections after treatment with the inhibitor; scale bar 50 µm.",
    "de": "Repräsentative Aufnahmen der Leberschnitte nach der Behandlung mit dem Hemmstoff; Maßstab 50 µm.",
    "es": "Micrografías representativas de los cortes de hígado después del tratamiento con el inhibidor.",
    "fr": "Micrographies représentatives des coupes de foie après le traitement par l'inhibiteur.",
    "pt": "Micrografias representativas dos cortes do fígado após o tratamento com o inibidor utilizado.",
    "ru": "Типичные микрофотографии срезов печени после лечения ингибитором.",
    "zh": "使用抑制剂治疗后肝脏切片的代表性显微照片显示肝细胞的形态变化以及炎症细胞的浸润情况。",
}


def told(texts: list[str | None], declared: list[str | None]) -> list[str]:
    return language.languages(pl.Series(texts, dtype=pl.String), pl.Series(declared, dtype=pl.String)).to_list()


@pytest.mark.parametrize(("code", "text"), WRITTEN.items())
def test_whole_sentences_are_told_whatever_the_article_declares(code: str, text: str) -> None:
    assert told([text, text], ["it", None]) == [code, code]


def test_what_is_too_short_to_tell_counts_as_declared_or_english() -> None:
    short = ["Fig. 1", "H&E, 40x", "", None, "p < 0.001, n = 12; (A) 24 h (B) 48 h"]
    assert told(short, ["pt-BR"] * 5) == ["pt"] * 5
    assert told(short, ["DE"] * 5) == ["de"] * 5
    assert told(short, [None] * 5) == ["en"] * 5


def test_a_language_that_cannot_be_told_is_named() -> None:
    language.check(["en", "de"])
    with pytest.raises(RecipeError, match=r"captions.languages: 'xq' cannot be told.*these can: .*, en, "):
        language.check(["en", "xq"])


def test_nothing_asked_nothing_loaded(monkeypatch) -> None:
    monkeypatch.setattr(language, "_identifier", lambda: 1 / 0)
    language.check([])
