"""Commands for annotation: the page, its annotators, votes from and to other tools."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from biomedica_assets import instance, settings
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.store.lake import Lake

if TYPE_CHECKING:
    import dagster as dg

    from biomedica_assets.lib.annotate.ballots import BallotBox
    from biomedica_assets.settings import Settings


def annotate(arguments: argparse.Namespace) -> int:
    """``biomedica annotate``: serve the page until interrupted, then report the votes to Dagster."""
    from biomedica_assets.lib.annotate.web.serve import serve

    values = settings.load(data_dir=arguments.data_dir)
    lake = Lake(values.data_dir)
    images = _listed(lake, arguments.images) if arguments.images else ()
    try:
        serve(
            lake,
            host=arguments.host,
            port=arguments.port,
            public_names=tuple(arguments.public_name or ()),
            certificate=arguments.certificate,
            key=arguments.key,
            tls_proxy=arguments.tls_proxy,
            overlap=arguments.overlap,
            audit_per_label=arguments.audit,
            images=images,
            seed=values.seed,
            ready=lambda address: print(f"The page is at {address}; Ctrl-C ends it, votes are kept.", flush=True),
        )
    finally:
        with instance.open_instance(values) as dagster_instance:
            collect(values, dagster_instance)
    return 0


def _listed(lake: Lake, path: Path) -> tuple[str, ...]:
    """Ids of a list of images, one a line, as the explore page gives it.

    Raises:
        PermanentFailure: the file cannot be read, is empty, or names what is no image here.
    """
    import polars as pl

    from biomedica_assets.lib.tables import IMAGES

    try:
        ids = tuple(dict.fromkeys(path.read_text(encoding="utf-8").split()))
    except (OSError, ValueError) as error:
        raise PermanentFailure(f"--images {path} cannot be read: {error}") from error
    if not ids:
        raise PermanentFailure(f"--images {path} names no image; it has one id a line, as biomedica explore gives it")
    known = lake.scan(IMAGES).filter(pl.col("media_id").is_in(list(ids))).select("media_id").collect()["media_id"]
    if unknown := sorted(set(ids) - set(known)):
        raise PermanentFailure(f"--images {path}: {unknown[0][:80]!r} and {len(unknown) - 1:,} more are no images here")
    return ids


def annotators(arguments: argparse.Namespace) -> int:
    """``biomedica annotators``: list them, or add one and print the token once."""
    from biomedica_assets.lib.annotate.annotators import Register

    if arguments.adjudicator and arguments.add is None:
        raise PermanentFailure("--adjudicator says whom it makes one: annotators --add NAME --adjudicator")
    register = Register(Lake(settings.load(data_dir=arguments.data_dir).data_dir).root)
    if arguments.add is not None:
        token = register.issue_token(arguments.add, adjudicator=arguments.adjudicator)
        print(f"{arguments.add}'s token, shown only now: {token}")
        return 0
    for name, entry in sorted(register.all().items()):
        print(f"{name}\t{entry.source}\t{'adjudicator' if entry.adjudicator else 'annotator'}")
    return 0


def votes(arguments: argparse.Namespace) -> int:
    """``biomedica votes``: to and from CSV, Label Studio and COCO; from BIOMEDICA's file."""
    from biomedica_assets.lib.annotate.ballots import BallotBox
    from biomedica_assets.lib.annotate.exchange import coco, label_studio, tables
    from biomedica_assets.lib.annotate.tasks import read_sheets
    from biomedica_assets.lib.annotate.taxonomy.model import load

    values = settings.load(data_dir=arguments.data_dir)
    lake, taxonomy = Lake(values.data_dir), load()
    box = BallotBox(lake.root, taxonomy)
    if arguments.read is not None:
        return _take_in(values, lake, box, arguments)
    match arguments.format:
        case "csv":
            sys.stdout.write(tables.export_csv(box.active()))
        case "coco":
            text, left_out = coco.export_coco(lake, box.active(), taxonomy)
            sys.stdout.write(text)
            if left_out:
                print(f"{left_out:,} votes on clusters are not in it; csv and label-studio hold them", file=sys.stderr)
        case "label-studio":
            sys.stdout.write(label_studio.export_tasks(read_sheets(lake), box.active(), image_url=arguments.image_url))
        case "label-studio-config":
            sys.stdout.write(label_studio.labeling_config(taxonomy))
        case other:
            raise PermanentFailure(f"votes cannot be written as {other}; choose csv, coco or label-studio")
    return 0


def _take_in(values: Settings, lake: Lake, box: BallotBox, arguments: argparse.Namespace) -> int:
    from biomedica_assets.lib.annotate.exchange import biomedica, coco, label_studio, tables, take_in
    from biomedica_assets.lib.annotate.taxonomy.model import load
    from biomedica_assets.lib.tables import CLUSTER_MODEL

    taxonomy, path = load(), arguments.read
    match arguments.format:
        case "csv":
            found = tables.import_csv(path, taxonomy)
        case "coco":
            found = coco.import_coco(path, taxonomy, lake, annotator=arguments.annotator)
        case "label-studio":
            users = label_studio.read_users(arguments.users, arguments.site)
            found = label_studio.import_annotations(path, taxonomy, users)
        case "cluster-labels":
            model = lake.version(CLUSTER_MODEL, None)
            if model is None:
                raise PermanentFailure("cluster numbers mean nothing without a model: materialise cluster_model first")
            found = biomedica.import_cluster_labels(path, taxonomy, cluster_model=model)
        case other:
            raise PermanentFailure(f"votes cannot be read from {other}; choose csv, coco or label-studio")
    taken = take_in(box, found)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    for reject in taken.rejects:
        where = f"{reject.subject}: " if reject in found.rejects else ""
        print(f"left out: {where}{reject.message}", file=sys.stderr)
    print(
        f"{found.n_in:,} items: {taken.kept:,} votes taken in, {taken.known:,} known before, "
        f"{len(taken.rejects):,} left out, {len(found.notes):,} notes"
    )
    with instance.open_instance(values) as dagster_instance:
        collect(values, dagster_instance)
    return 1 if taken.rejects else 0


def labels(arguments: argparse.Namespace) -> int:
    """``biomedica labels``: take in labels that others released, or say what became of those that were."""
    import rich.console

    from biomedica_assets.console import bar
    from biomedica_assets.lib.annotate.released import intake, join
    from biomedica_assets.lib.annotate.released.definition import load_definition
    from biomedica_assets.lib.annotate.taxonomy.model import load
    from biomedica_assets.lib.images.phash import hash_of_file
    from biomedica_assets.lib.tables import RELEASED_RECORDS
    from biomedica_assets.metadata import announce

    values = settings.load(data_dir=arguments.data_dir)
    lake = Lake(values.data_dir)
    if arguments.read:
        definition = load_definition(arguments.definition, arguments.name, load())
        with bar(rich.console.Console(stderr=True)) as progress:
            found = intake.take_in(
                lake,
                definition,
                arguments.read,
                chunk_span=values.chunk_span,
                hash_picture=None if arguments.no_pictures else hash_of_file,
                progress=progress,
            )
        with instance.open_instance(values) as dagster_instance:
            announce(dagster_instance, RELEASED_RECORDS.name, found.versions)
        kept = found.records - sum(found.left_out.values())
        print(
            f"{found.records:,} records of {definition.name} ({found.files_read:,} files read now): {kept:,} speak of "
            f"{len(found.versions):,} chunks" + "".join(f"; {why} {n:,}" for why, n in found.left_out.items())
        )
        if found.strange:
            print(f"{found.strange:,} labels mean no concept of ours; the definition says what they mean")
        print("`biomedica refresh` joins them to the images; `biomedica labels` then says how far")
        return 0
    for name, n in join.joins(lake).items():
        print(f"{name}\t{n:,}")
    return 0


def taxonomy(arguments: argparse.Namespace) -> int:
    """``biomedica taxonomy``: the vocabulary as SKOS or JSON."""
    from biomedica_assets.lib.annotate.taxonomy import skos
    from biomedica_assets.lib.annotate.taxonomy.model import load

    vocabulary = load()
    writers = {"turtle": skos.turtle, "json-ld": skos.json_ld, "json": skos.plain_json}
    text = writers[arguments.format](vocabulary)
    print(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, indent=1))
    return 0


def collect(values: Settings, dagster_instance: dg.DagsterInstance) -> None:
    """Write the table ``expert_votes`` if votes were added, and report it as a materialisation of the asset."""
    from biomedica_assets.lib.annotate.tally import collect_votes
    from biomedica_assets.lib.tables import EXPERT_VOTES
    from biomedica_assets.metadata import announce_one

    lake = Lake(values.data_dir)
    before = lake.version(EXPERT_VOTES, None)
    report = collect_votes(lake)
    if report.data_version != before:
        announce_one(dagster_instance, report, EXPERT_VOTES)
