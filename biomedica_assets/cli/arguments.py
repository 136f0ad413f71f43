"""Names, options and help of the commands.

Imports nothing heavy: what a command calls is imported when it is called.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from biomedica_assets.cli.options import ShowVersion, amount, host_and_port, hours, natural, port, positive
from biomedica_assets.lib.errors import PermanentFailure

_JOBS = "partitions made side by side (default: the setting jobs, which asks cores and memory)"
_KEEP_GOING = "go on with an asset that failed in three partitions in the same way"


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="biomedica",
        description="PubMed Central figures and captions as a Dagster asset graph. "
        "Start with `biomedica demo`, then `biomedica ui --data-dir data/demo`.",
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="print the version of the project and end")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _graph_commands(commands)
    _lineage_commands(commands)
    _data_commands(commands)
    _people_commands(commands)
    _release_commands(commands)
    return top


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: str,
    text: str,
    *,
    on_data: bool = False,
) -> argparse.ArgumentParser:
    """One command: ``run`` is ``module.function`` of ``biomedica_assets.commands``, imported when it is called.

    Args:
        commands: where it is added.
        name: as people type it.
        run: what it calls.
        text: its help; the first sentence is shown in the list of all.
        on_data: refuse a data directory that is not there.
    """
    command = commands.add_parser(name, help=text.split(". ", maxsplit=1)[0].rstrip("."), description=text)
    command.add_argument(
        "--data-dir", type=Path, metavar="DIR",
        help="data directory (default: BIOMEDICA_DATA_DIR, else data_dir of biomedica.toml, else ./data)",
    )  # fmt: skip

    def call(arguments: argparse.Namespace) -> int:
        import importlib

        module, _, function = run.partition(".")
        try:
            if on_data:
                from biomedica_assets import settings

                settings.require_data(settings.load(data_dir=arguments.data_dir))
            return getattr(importlib.import_module(f"biomedica_assets.commands.{module}"), function)(arguments)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("biomedica_assets"):
                raise
            raise PermanentFailure(
                f"`biomedica {name}` needs more than what reads releases (no module named {error.name}): "
                "pip install 'biomedica-assets[graph]'"
            ) from error

    command.set_defaults(run=call)
    return command


def _served(page: argparse.ArgumentParser, number: int) -> None:
    """Options of a command that serves a page."""
    page.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    page.add_argument("--port", type=port, default=number, help=f"port (default {number})")
    page.add_argument("--public-name", action="append", metavar="NAME", help="host name people use; repeatable")
    page.add_argument("--certificate", type=Path, metavar="FILE", help="TLS certificate chain")
    page.add_argument("--key", type=Path, metavar="FILE", help="private key of the certificate")
    page.add_argument("--tls-proxy", action="store_true", help="people reach the page through a TLS proxy")


def _graph_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = _add(
        commands, "run", "graph.run",
        "Materialise what is out of date, as the UI would: same graph, same Dagster instance, one process. "
        "A second run does only what changed.",
    )  # fmt: skip
    run.add_argument("--source", metavar="DIR|s3://BUCKET", help="where articles come from; remembered on first use")
    run.add_argument("--chunk", action="append", metavar="KEY", help="only this chunk, e.g. PMC007-0360; repeatable")
    run.add_argument(
        "--select", metavar="ASSETS",
        help="only these assets, separated by commas, in Dagster's selection language (images, *shards, group:figures)",
    )  # fmt: skip
    run.add_argument("--keep-going", action="store_true", help=_KEEP_GOING)
    run.add_argument("--jobs", type=positive, metavar="N", help=_JOBS)
    run.add_argument("--dry-run", action="store_true", help="say what would be made and why, and make nothing")

    demo = _add(
        commands, "demo", "graph.demo",
        "Write an invented PubMed Central of about 200 articles and materialise the whole graph from it. "
        "Needs no network; the default data directory is data/demo.",
    )  # fmt: skip
    demo.add_argument("--articles", type=natural, default=200, help="how many articles to invent (default 200)")
    demo.add_argument("--jobs", type=positive, metavar="N", help=_JOBS)
    demo.add_argument("--seed", type=natural, default=0, help="seed of everything invented (default 0)")

    ui = _add(commands, "ui", "graph.ui", "Open the Dagster UI of a data directory on http://127.0.0.1:3000.")
    ui.add_argument("--port", type=port, default=3000, help="port on the loopback interface (default 3000)")
    ui.add_argument(
        "--follow", type=host_and_port, metavar="HOST:PORT",
        help="open none: let the UI that runs there offer the chunks that new inventories list",
    )  # fmt: skip

    status = _add(
        commands, "status", "status.status",
        "One screen: what is here, what is out of date, what waits for whom, and the next command.",
    )  # fmt: skip
    status.add_argument("--all", action="store_true", help="each asset apart, and why what was left out")
    doctor = _add(
        commands, "doctor", "doctor.doctor",
        "Look at machine, settings, source, weights, Dagster's instance and ports, and say what to do where something "
        "is missing. Changes nothing. Exit code 1 only if something is broken.",
    )  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="one JSON array of check, verdict, found and cure")
    table = _add(
        commands, "assets", "assets.assets", "Print the table of all assets: group, partitioning, what each holds."
    )
    table.add_argument("--into", type=Path, metavar="FILE", help="put it between the marks of this file instead")
    _plan_command(commands)
    _add(commands, "settings", "graph.show_settings", "All settings with their values, meaning, and where to set them.")


def _plan_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = _add(
        commands, "plan", "plan.plan",
        "Say what making everything will take: time, bytes, memory and money for each stage, what limits it, and what "
        "that stands on. From measured rates, for what the inventory lists, or for all of PubMed Central.",
    )  # fmt: skip
    plan.add_argument("--source", metavar="DIR|s3://BUCKET", help="where articles come from (for --measure)")
    plan.add_argument("--measure", action="store_true", help="time this machine and this source first, with a sample")
    plan.add_argument("--sample", type=positive, default=120, metavar="N", help="articles of it (default 120)")
    plan.add_argument("--save", type=Path, metavar="FILE", help="write what was measured as rates that --rates takes")
    plan.add_argument("--rates", default="corpus", metavar="NAME|FILE", help="measured rates (default: corpus)")
    plan.add_argument("--articles", type=positive, metavar="N", help="so many articles instead")
    plan.add_argument("--cores", type=positive, metavar="N", help="cores of a machine (default: those of this one)")
    plan.add_argument("--machines", type=positive, default=1, metavar="N", help="machines, all alike (default 1)")
    plan.add_argument("--jobs", type=positive, metavar="N", help=_JOBS)
    plan.add_argument("--cards", type=natural, default=0, metavar="N", help="graphics cards of a machine (default 0)")
    plan.add_argument("--card", default="NVIDIA H100 80GB", metavar="NAME", help="which (default NVIDIA H100 80GB)")
    plan.add_argument(
        "--bandwidth", type=amount, metavar="MB/S", help="from the source to a machine (default: no limit)"
    )
    plan.add_argument("--price", type=amount, default=0.0, metavar="MONEY", help="of a machine for an hour (default 0)")
    plan.add_argument("--json", action="store_true", help="one JSON object instead of lines for people")


def _lineage_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    stale = _add(
        commands, "stale", "lineage.stale",
        "List every partition that is out of date and why: code, settings, or which input changed.",
        on_data=True,
    )  # fmt: skip
    stale.add_argument("--select", metavar="ASSETS", help="only these assets, in Dagster's selection language")
    refresh = _add(
        commands, "refresh", "lineage.refresh",
        "Make exactly what `biomedica stale` lists, in order. The source is not asked for a new inventory.",
        on_data=True,
    )  # fmt: skip
    refresh.add_argument("--select", metavar="ASSETS", help="only these assets, in Dagster's selection language")
    refresh.add_argument("--max", type=positive, metavar="N", help="stop after so many runs; run again to go on")
    refresh.add_argument("--keep-going", action="store_true", help=_KEEP_GOING)
    refresh.add_argument("--jobs", type=positive, metavar="N", help=_JOBS)
    refresh.add_argument("--dry-run", action="store_true", help="say what would be made and why, and make nothing")

    changes = _add(
        commands, "changes", "lineage.changes",
        "What the last inventory brought, per chunk and kind: added, changed, relicensed, retracted, removed.",
        on_data=True,
    )  # fmt: skip
    changes.add_argument("--json", action="store_true", help="one JSON line per change instead of counts")

    trace = _add(
        commands, "trace", "lineage.trace",
        "Follow one thing both ways: from the inventory to it, and from it to shards, recipes, checkpoints and scores.",
        on_data=True,
    )  # fmt: skip
    trace.add_argument(
        "name", help="article (PMC123 or PMC123.1), figure, image, sample, checkpoint, or score (MODEL/TASK[/METRIC])"
    )
    trace.add_argument(
        "--affected", action="store_true", help="only what contains this article, also what is out of date"
    )
    trace.add_argument("--json", action="store_true", help="one JSON object instead of lines for people")


def _data_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    search = _add(
        commands, "search", "search.search",
        "Look for samples by words, by a picture, or by both: "
        '`biomedica search fundus photograph --where "license_group = \'commercial\' and year >= 2020"`.', on_data=True,
    )  # fmt: skip
    search.add_argument("words", nargs="*", help="words, of which any may stand in caption, title or keywords")
    search.add_argument("--image", type=Path, metavar="FILE", help="a picture; images like it come first")
    search.add_argument("--like", metavar="MEDIA_ID", help="an image of the data; images like it come first")
    search.add_argument(
        "--looks", metavar="WORDS", help="what a picture shows; needs vectors of a CLIP model (encoder open_clip/...)"
    )
    search.add_argument("--where", metavar="SQL", help="a condition over the view samples, as in a recipe")
    search.add_argument("-n", type=positive, default=20, help="how many (default 20)")
    search.add_argument("--json", action="store_true", help="a JSON object a line, with ids, licence and labels")

    explore = _add(
        commands, "explore", "explore.explore",
        "Serve the page on which people look at what was made, on http://127.0.0.1:8766: search, facets, figures, "
        "clusters, what was left out. Any other address asks for an annotator's token (see `biomedica annotators`).",
        on_data=True,
    )  # fmt: skip
    _served(explore, 8766)

    sql = _add(
        commands, "sql", "data.sql",
        "Ask the catalog: every table is a view, for example "
        '`biomedica sql "select kind, count(*) from figures group by kind"`.', on_data=True,
    )  # fmt: skip
    sql.add_argument("query", help="one SQL statement")
    sql.add_argument("--write", action="store_true", help="allow COPY to files, and views of your own in the catalog")
    sql.add_argument(
        "--format", choices=("table", "csv", "jsonl"), default="table", help="how to print (default table)"
    )

    garbage = _add(
        commands, "gc", "data.gc",
        "List files that no table, recipe, release or training refers to any more, with their bytes. Reruns write "
        "beside what is there, so that whatever reads goes on; this takes away what is left. Safe while others work.",
        on_data=True,
    )  # fmt: skip
    garbage.add_argument("--remove", action="store_true", help="remove them; without it nothing changes")
    garbage.add_argument(
        "--grace",
        type=hours,
        default=1.0,
        metavar="HOURS",
        help="keep what was replaced less than this ago (default 1)",
    )
    garbage.add_argument("--files", action="store_true", help="also list each file")

    whole = _add(
        commands, "fsck", "data.fsck",
        "Hash every file against what was written and name what is damaged. Exit code 1 if anything is.",
        on_data=True,
    )  # fmt: skip
    whole.add_argument("--repair", action="store_true", help="make exactly the damaged partitions again")

    parse = _add(
        commands, "parse", "data.parse",
        "Parse JATS files and print one JSON line for each: article, figures, mentions, rejects. "
        "A malformed file gives a reject with its line and exit code 1; the others are still parsed.",
    )  # fmt: skip
    parse.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JATS XML files")

    panels = _add(
        commands, "panels", "data.panels",
        "Find the panels of pictures and print one JSON line for each: boxes in pixels, letters, scores; with a "
        "caption also what it says of which panel. A picture without panels is one panel.",
    )  # fmt: skip
    panels.add_argument("files", nargs="+", type=Path, metavar="FILE", help="pictures")
    panels.add_argument("--caption", metavar="TEXT", help="their caption; its labels guide the cuts")


def _people_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    page = _add(
        commands, "annotate", "annotate.annotate",
        "Serve the page on which people label clusters, on http://127.0.0.1:8765. "
        "Any other address asks for a token per annotator (see `biomedica annotators`).",
        on_data=True,
    )  # fmt: skip
    _served(page, 8765)
    page.add_argument("--overlap", type=positive, default=3, help="people per cluster (default 3)")
    page.add_argument("--audit", type=natural, default=0, metavar="N", help="also ask for N single images per label")
    page.add_argument(
        "--images", type=Path, metavar="FILE", help="also ask for these single images, one id a line (explore gives it)"
    )

    people = _add(
        commands, "annotators", "annotate.annotators", "List the annotators, or add one with a token.", on_data=True
    )
    people.add_argument("--add", metavar="NAME", help="add an annotator, or give a new token; it is printed once")
    people.add_argument("--adjudicator", action="store_true", help="may decide disputes")

    votes = _add(
        commands, "votes", "annotate.votes",
        "Write the votes that count to standard output, or take votes of another tool in. "
        "Formats: csv, label-studio, coco (votes on single images), label-studio-config (to write: the labelling "
        "interface of a project) and cluster-labels (to read: the file BIOMEDICA published).",
        on_data=True,
    )  # fmt: skip
    forms = ("csv", "label-studio", "label-studio-config", "coco", "cluster-labels")
    votes.add_argument("--format", choices=forms, default="csv")
    votes.add_argument("--read", type=Path, metavar="FILE", help="take this file in instead of writing")
    votes.add_argument("--image-url", default="/", metavar="URL", help="prefix of image addresses for Label Studio")
    votes.add_argument(
        "--users", type=Path, metavar="FILE", help="who is who in Label Studio: YAML, `ada@one.example: ada` a line"
    )
    votes.add_argument(
        "--site", default="ls", metavar="NAME",
        help="which Label Studio a file is of, for users that it knows by number alone (default ls: ls-7)",
    )  # fmt: skip
    votes.add_argument(
        "--annotator", metavar="NAME", help="whose annotations they are in a COCO file that names nobody"
    )

    labels = _add(
        commands, "labels", "annotate.labels",
        "Take in labels that others released, or say what became of those taken in: joined by file name, caption or "
        "picture, or why not. Parquet, CSV, JSON lines and WebDataset tars, local or streamed; a file that was read "
        "is not read again.",
        on_data=True,
    )  # fmt: skip
    labels.add_argument("--read", nargs="+", metavar="FILE|URL", help="files of the release")
    labels.add_argument("--name", default="biomedica", help="of the release, in provenance as released:NAME")
    labels.add_argument(
        "--definition", type=Path, metavar="YAML", help="what its columns and labels mean (shipped: biomedica)"
    )
    labels.add_argument("--no-pictures", action="store_true", help="do not hash pictures: faster, finds fewer")

    words = _add(commands, "taxonomy", "annotate.taxonomy", "Print the vocabulary of labels, with stable ids.")
    words.add_argument("--format", choices=("turtle", "json-ld", "json"), default="json", help="default json")

    tasks = _add(commands, "tasks", "evaluate.tasks", "Which evaluation tasks are ready here. --how for the others.")
    tasks.add_argument("--how", action="store_true", help="for each missing task: what is missing and how to get it")
    tasks.add_argument("--task", metavar="NAME", help="only explain this one")

    score = _add(
        commands, "evaluate", "evaluate.evaluate",
        "Score any models on every ready task and print the table; without a model, list those that are known by name. "
        "Our checkpoints are scored by the graph; the setting `compare` puts other models beside them.",
    )  # fmt: skip
    score.add_argument(
        "models", nargs="*", metavar="MODEL",
        help="a known name, hf-hub:REPOSITORY, ARCHITECTURE@TAG, ARCHITECTURE@FILE, or ARCHITECTURE@random",
    )  # fmt: skip
    score.add_argument("--task", action="append", metavar="NAME", help="only this task; repeatable")
    score.add_argument("--csv", type=Path, metavar="FILE", help="write all metrics, also those of single classes")

    copy = _add(
        commands, "export", "data.export",
        "Write a recipe's split as physical WebDataset shards, for readers that cannot take `biomedica stream`.",
        on_data=True,
    )  # fmt: skip
    copy.add_argument("target", type=Path, metavar="FOLDER", help="folder to write to")
    copy.add_argument("--recipe", required=True, help="name of the recipe")
    copy.add_argument("--split", default="train", help="train, validation or test (default train)")
    copy.add_argument("--of", type=positive, help="number of shards of each image format (default: by size)")

    commands.add_parser(
        "stream", add_help=False,
        help="Write a virtual shard of a recipe to standard output (`biomedica stream --help`)",
    )  # fmt: skip


def _release_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = _add(
        commands, "verify", "release.verify",
        "Hash every file of a release again and say what is missing, changed or surplus. Exit code 1 if anything is.",
    )  # fmt: skip
    export = _add(
        commands, "export-biomedica", "release.export_biomedica",
        "Write a release as WebDataset with the 27 fields of BIOMEDICA, for code that was written for it.",
    )  # fmt: skip
    upload = _add(
        commands, "upload", "release.upload",
        "Check a release and list what would go to a Hugging Face dataset repository; with --send, make the repository "
        "hold exactly that: what it has already is not sent again, what the release does not name is taken away. "
        "Refused if a check on manifest, licence or retraction fails.",
    )  # fmt: skip
    verify.add_argument("release", type=Path, nargs="?", metavar="FOLDER|VERSION", help="default: the newest")
    for command in (export, upload):
        command.add_argument(
            "--release", type=Path, metavar="FOLDER|VERSION", help="which (default: newest of the data directory)"
        )
    export.add_argument("target", type=Path, metavar="FOLDER", help="empty folder to write to")
    upload.add_argument("repo", help="repository, for example my-lab/my-figures")
    upload.add_argument("--send", action="store_true", help="really upload")
    upload.add_argument("--public", action="store_true", help="the repository is public, or will be if this makes it")
    upload.add_argument("--endpoint", metavar="URL", help="other hub than huggingface.co")

    train = _add(
        commands, "train", "train.train",
        "Train a model on a recipe of a release at a folder, https://, s3:// or hf://datasets/owner/name, into an "
        "empty data directory. Samples are fetched while they are learned from.",
    )  # fmt: skip
    train.add_argument("release", metavar="RELEASE", help="folder or address of the release")
    train.add_argument("--recipe", metavar="NAME", help="default: full, or the only one of the release")
    train.add_argument("--where", metavar="SQL", help="only samples that meet this, as in a recipe")
    train.add_argument("--profile", metavar="NAME", help="training profile (default: the setting training_profile)")
    train.add_argument("--cache", type=Path, metavar="FOLDER", help="keep what comes, for the next epoch")
    train.add_argument("--cache-size", default="10GB", metavar="SIZE", help="at most so much of it (default 10GB)")
    train.add_argument("--pictures", choices=("shards", "source"), help="from the release, or from PubMed Central")
    train.add_argument("--source", default="s3://pmc-oa-opendata", metavar="PLACE", help="bucket of those pictures")
    train.add_argument("--in-flight", type=int, default=64, metavar="N", help="pictures asked for at once (default 64)")
    train.add_argument("--shrink", type=int, metavar="PIXELS", help="shorter side that those pictures are reduced to")

    rebuild = _add(
        commands, "rebuild", "rebuild.rebuild",
        "Make a release anew in an empty data directory, from the inventory and settings that its manifest records, "
        "and say which bytes differ.",
    )  # fmt: skip
    rebuild.add_argument("release", type=Path, metavar="RELEASE", help="folder of the release")
    rebuild.add_argument("--source", metavar="DIR|s3://BUCKET", help="where articles come from")
    rebuild.add_argument("--pubmed", metavar="DIR", help="PubMed's files, if the release was made with them")
