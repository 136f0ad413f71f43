"""The label model: learns from others, never of an article what it says of it, abstains, waits, comes out the same."""

import numpy as np
import polars as pl
import pytest

from biomedica_assets.lib.annotate.sources import model, model_stage, trust
from biomedica_assets.lib.annotate.sources.claims import SCHEMA, gather, model_claims, upward
from biomedica_assets.lib.annotate.sources.combine import Trust, combined, items
from biomedica_assets.lib.annotate.taxonomy.model import load
from biomedica_assets.lib.errors import PermanentFailure, WaitingFor
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.store.vectors import write_vectors
from biomedica_assets.lib.tables import EMBEDDING_SHELF, EMBEDDINGS, IMAGES, LABEL_CLAIMS, LABEL_MODEL, MODEL_LABELS
from biomedica_assets_tests.lib.annotate.synthetic import row

TAXONOMY = load()
KINDS = ("kind-bar-plot", "kind-line-plot", "kind-map")
TOPS = {"kind-bar-plot": "kind-plot", "kind-line-plot": "kind-plot", "kind-map": "kind-map"}
CHUNK, SHELF = "PMC000-0000", "PMC000"


def world(n=180, noise=0.6, seed=0):
    """Vectors of three kinds in turn, two images an article; the text names the kind of all but the last 30."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(3, 24)) * 1.5
    vectors = np.stack([middle[i % 3] + rng.normal(size=24) * noise for i in range(n)]).astype(np.float32)
    said = [(f"m{i:04d}", KINDS[i % 3], "text", "head") for i in range(n - 30)]
    claims = upward(pl.DataFrame(said, schema=SCHEMA, orient="row"), TAXONOMY)
    articles = pl.DataFrame({"media_id": [f"m{i:04d}" for i in range(n)], "article_id": [article(i) for i in range(n)]})
    return vectors, claims.join(articles, on="media_id").with_columns(simulated=pl.lit(value=False)), articles


def article(i):
    return f"PMC{i // 6 * 3 + i % 3 + 1}.1"


def taught_by(vectors, claims):
    taught = model.targets(claims, TAXONOMY)
    rows = [int(media_id[1:]) for media_id in taught.media_ids]
    return model.fit(vectors[rows], taught, TAXONOMY)[0], taught


def test_images_without_a_word_of_text_are_named_by_what_the_text_taught():
    """Most figures of an article have captions that name no kind; their pictures look like others'."""
    vectors, claims, articles = world()
    learnt, taught = taught_by(vectors, claims)
    assert set(taught.concepts) == {"kind-plot", *KINDS}
    p = model.answers(learnt, vectors, articles["article_id"].to_list(), TAXONOMY)
    silent = range(150, 180)
    right = [p[i, learnt.concepts.index(KINDS[i % 3])] > 0.5 for i in silent]
    wrong = [p[i, learnt.concepts.index(KINDS[(i + 1) % 3])] > 0.5 for i in silent]
    assert sum(right) >= 25
    assert sum(wrong) <= 1
    above = p[:, learnt.concepts.index("kind-plot")]
    assert (p[:, learnt.concepts.index("kind-bar-plot")] <= above).all()


def test_what_is_said_of_an_article_does_not_reach_the_answers_to_it():
    """Else the model would be an echo of the text, and verdicts that taught it would score it."""
    vectors, claims, _ = world()
    lied = claims.with_columns(
        concept_id=pl.when(pl.col("article_id") == "PMC4.1").then(pl.lit("kind-map")).otherwise("concept_id")
    ).unique(["media_id", "concept_id", "source"], maintain_order=True)
    (one, taught), (two, _) = taught_by(vectors, claims), taught_by(vectors, lied)
    assert "PMC4.1" in taught.article_ids
    fold = model.fold_of("PMC4.1")
    np.testing.assert_array_equal(one.weights[fold], two.weights[fold])
    assert any((one.weights[n] != two.weights[n]).any() for n in range(model.FOLDS) if n != fold)


def test_what_people_say_of_an_image_outweighs_the_text_and_what_they_do_not_name_is_not_shown():
    _, claims, _ = world()
    judged = claims.filter(media_id="m0000").head(1).with_columns(
        concept_id=pl.lit("kind-map"), source=pl.lit("person"), symbol=pl.lit("yes")
    )  # fmt: skip
    taught = model.targets(pl.concat([claims, judged]), TAXONOMY)
    at = taught.media_ids.index("m0000")
    assert taught.judged[at]
    assert dict(zip(taught.concepts, taught.wanted[at].tolist(), strict=True)) == {
        "kind-map": 1.0, "kind-plot": 0.0, "kind-bar-plot": 0.0, "kind-line-plot": 0.0,
    }  # fmt: skip


def test_of_an_image_that_sources_call_a_plot_the_kind_of_plot_stays_open():
    """Called no bar plot because nobody said which plot it is, it would teach that bars are none."""
    _, claims, _ = world()
    wide = claims.filter(~((pl.col("media_id") == "m0000") & (pl.col("concept_id") == "kind-bar-plot")))
    taught = model.targets(wide, TAXONOMY)
    row_of = dict(zip(taught.concepts, taught.wanted[taught.media_ids.index("m0000")].tolist(), strict=True))
    assert row_of["kind-plot"] > 0.5
    assert np.isnan(row_of["kind-bar-plot"]) and np.isnan(row_of["kind-line-plot"])
    assert row_of["kind-map"] == 0.0


def test_it_leaves_alone_what_it_is_unsure_of_and_calls_absent_only_what_it_has_learnt():
    rows = [("a", "kind-plot", 0.95), ("a", "kind-bar-plot", 0.3), ("a", "kind-map", 0.01), ("b", "kind-map", 0.4)]
    rows.append(("c", "kind-map", 0.6))
    found = pl.DataFrame(rows, schema={"media_id": pl.String, "concept_id": pl.String, "probability": pl.Float32},
                         orient="row")  # fmt: skip
    said = model_claims(found)
    assert set(said["media_id"]) == {"a", "c"}
    text = [("a", c, "text", "head") for c in ("kind-bar-plot", "kind-map", "kind-microscopy")]
    both = pl.concat([upward(pl.DataFrame(text, schema=SCHEMA, orient="row"), TAXONOMY), said])
    known = {
        c: s for m, c, s in items(both, TAXONOMY).select("media_id", "concept_id", "model").iter_rows() if m == "a"
    }
    assert known == {
        "kind-plot": "sure", "kind-bar-plot": "unheard", "kind-map": "absent", "kind-microscopy": None,
    }  # fmt: skip
    (one,) = combined(both, Trust({}, {}), TAXONOMY).filter(media_id="a").iter_rows(named=True)
    assert "model" in one["global_provenance"].split("+")
    assert all(claim["concept_id"] == "kind-plot" for claim in one["claims"] if claim["source"] == "model")


def test_two_sources_that_look_at_the_same_thing_do_not_outvote_a_third():
    """A model that was taught by votes errs where they do; as independent voices they beat the text that was right."""
    rows = []
    for i in range(80):
        one = {"media_id": f"m{i:03d}", "article_id": f"PMC{i}.1", "simulated": False}
        right, wrong = ("kind-plot", "kind-map") if i % 2 else ("kind-map", "kind-plot")
        rows.append(one | {"concept_id": right, "source": "person", "symbol": "yes"})
        rows.append(one | {"concept_id": right if i % 10 else wrong, "source": "text", "symbol": "head"})
        pair = wrong if i % 5 == 1 else right
        rows += [one | {"concept_id": pair, "source": s, "symbol": "sure"} for s in ("propagated", "model")]
    claims = pl.DataFrame(rows)
    candidates, sources, _ = trust.judged_items(claims, TAXONOMY)
    learned = trust.as_trust(trust.estimate(candidates, sources))
    weights = learned.weights["top"]
    assert weights["text"] > 0.9
    assert weights["model"] + weights["propagated"] < 1.6
    said = [("x", "kind-plot", "text", "head"), *(("x", "kind-map", s, "sure") for s in ("propagated", "model"))]
    said = pl.DataFrame(said, schema=SCHEMA, orient="row")
    for trusted, best in ((learned, "kind-plot"), (Trust(learned.tables, learned.priors), "kind-map")):
        (one,) = combined(said, trusted, TAXONOMY)["claims"].to_list()
        sure = {c["concept_id"]: c["confidence"] for c in one if c["source"] == "combined"}
        assert max(sure, key=lambda concept: sure[concept]) == best


def lake_of(root, vectors, claims, articles, encoder="e1"):
    """A lake with the vectors of the images, as embeddings and shelf, and what sources say of them."""
    lake = Lake(root)
    ids = articles["media_id"].to_list()

    def publish(table, partition, rows, files=(), **metrics):
        frame = table.frame(rows) if isinstance(rows, list) else rows
        lake.publish(table, partition, frame, code_version="t", inputs={}, config={}, n_in=frame.height,
                     n_out=frame.height, files=files, metrics=metrics)  # fmt: skip

    made = {"encoder": "texture", "encoder_digest": encoder}
    file = write_vectors(lake, root / "embeddings", [vectors.astype(np.float16)], len(ids), vectors.shape[1])
    rows = [row(EMBEDDINGS, media_id=m, row=n, encoder="texture", encoder_digest=encoder) for n, m in enumerate(ids)]
    publish(EMBEDDINGS, CHUNK, rows, [file], **made)
    publish(
        EMBEDDING_SHELF, SHELF, [row(EMBEDDING_SHELF, media_id=m, row=n) for n, m in enumerate(ids)], [file], **made
    )
    publish(IMAGES, CHUNK, [row(IMAGES, media_id=m, article_id=a) for m, a in articles.iter_rows()])
    publish(LABEL_CLAIMS, SHELF, claims.select(LABEL_CLAIMS.schema.names()).sort(LABEL_CLAIMS.key))
    return lake


def test_the_stages_teach_ask_and_come_out_the_same_again_and_in_small_blocks(tmp_path, monkeypatch):
    lake = lake_of(tmp_path / "a", *world())
    model_stage.check_labels(lake)
    report = model_stage.stage_model(lake)
    assert report.metrics["concepts"] == 4
    said = model_stage.stage_model_labels(lake, CHUNK)
    assert said.n_in == 180 == said.metrics["labelled"] + said.metrics["abstained"]
    assert gather(lake, CHUNK, TAXONOMY)["source"].unique().to_list() == ["model"]
    frame = lake.read(MODEL_LABELS, CHUNK)
    seen = lake.read(LABEL_MODEL, None).join(frame, on=["media_id", "concept_id"], suffix="_asked")
    assert seen.height > 200
    np.testing.assert_allclose(seen["probability"], seen["probability_asked"], atol=2e-3)
    other = lake_of(tmp_path / "b", *world())
    assert model_stage.stage_model(other).data_version == report.data_version
    assert model_stage.stage_model_labels(other, CHUNK).data_version == said.data_version
    monkeypatch.setattr(model_stage, "BLOCK", 7)
    model_stage.stage_model_labels(other, CHUNK)
    again = other.read(MODEL_LABELS, CHUNK)
    assert again.select("media_id", "concept_id").equals(frame.select("media_id", "concept_id"))
    np.testing.assert_allclose(again["probability"], frame["probability"], atol=1e-5)


def test_few_labels_make_an_empty_model_also_after_there_were_more(tmp_path):
    """A model of labels that are gone would make what is there hang on what was there."""
    vectors, claims, articles = world()
    few = claims.filter(pl.col("media_id") < "m0010")
    fresh = lake_of(tmp_path / "fresh", vectors, few, articles)
    known = lake_of(tmp_path / "known", vectors, claims, articles)
    assert model_stage.stage_model(known).rows and model_stage.stage_model_labels(known, CHUNK).rows
    lake_of(tmp_path / "known", vectors, few, articles)
    for lake in (fresh, known):
        model_stage.check_labels(lake)
        report = model_stage.stage_model(lake)
        assert report.rows == report.metrics["concepts"] == 0 and "label clusters" in report.metrics["model"]
        said = model_stage.stage_model_labels(lake, CHUNK)
        assert (said.rows, said.metrics["labelled"], said.metrics["abstained"]) == (0, 0, said.n_in)
        assert gather(lake, CHUNK, TAXONOMY).height == 0
    for table, partition in ((LABEL_MODEL, None), (MODEL_LABELS, CHUNK)):
        assert fresh.version(table, partition) == known.version(table, partition)


def test_without_vectors_it_waits_and_says_for_what(tmp_path):
    vectors, claims, articles = world()
    none = lake_of(tmp_path / "none", vectors[:0], claims.head(0), articles.head(0))
    with pytest.raises(WaitingFor, match="waiting for images with a vector"):
        model_stage.check_labels(none)


def test_vectors_of_another_encoder_are_refused_with_the_way_out(tmp_path):
    lake = lake_of(tmp_path, *world())
    model_stage.stage_model(lake)
    vectors, claims, articles = world()
    lake_of(tmp_path, vectors, claims, articles, encoder="e2")
    with pytest.raises(PermanentFailure, match=r"was embedded by texture \(e2\), the label model has learnt with"):
        model_stage.stage_model_labels(lake, CHUNK)
