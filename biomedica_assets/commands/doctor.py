"""``biomedica doctor``: is this machine, and this data directory, ready; a line for each question, with what to do.

Belongs here: which looks of ``lib/machine.py`` a data directory needs, and those at settings, source, weights and the
Dagster instance. Nothing is changed, and neither Dagster nor torch is loaded: the answer is there within three seconds.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from biomedica_assets import instance, postgres, settings
from biomedica_assets.lib import machine, weights
from biomedica_assets.lib.compute import ray
from biomedica_assets.lib.errors import BiomedicaError
from biomedica_assets.lib.machine import Finding, Verdict, broken, look, ok
from biomedica_assets.settings import Settings

UI_PORT, PAGE_PORT = 3000, 8765
HUB = "https://huggingface.co"
_WITHOUT_WEIGHTS = 'set encoder_weights to a file, or encoder = "texture", which needs none'
_MARKS = {Verdict.OK: ("ok    ", "green"), Verdict.LOOK: ("look  ", "yellow"), Verdict.BROKEN: ("broken", "red")}


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything, print what was found; 1 if something is broken."""
    found = examine(arguments.data_dir)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in found], ensure_ascii=False, indent=1))
    else:
        _tell(found)
    return int(any(finding.verdict is Verdict.BROKEN for finding in found))


def examine(data_dir: Path | None) -> list[Finding]:
    """All findings, in the order in which they are shown; what needs settings is left out where those are broken."""
    looks: list[Callable[[], Finding | None]] = [machine.python, machine.packages, machine.processor, machine.memory]
    looks += [machine.open_files]
    try:
        values = settings.load(data_dir=data_dir)
    except BiomedicaError as error:
        where = data_dir or Path(os.environ.get(f"{settings.PREFIX}DATA_DIR", "data"))
        wrong = broken("settings", str(error), "mend it where it was set; `biomedica settings` lists all with meaning")
        looks += [lambda: machine.disk(where), lambda: wrong]
    else:
        looks += [
            lambda: machine.disk(values.data_dir),
            lambda: machine.shared_memory(values.loader_workers),
            lambda: machine.card(values.device),
            lambda: _settings(values),
            lambda: source(values),
            lambda: encoder(values),
            lambda: profile(values),
            lambda: recipes(values),
            lambda: dagster(values),
            lambda: cluster(values.ray) if values.ray else None,
        ]
    looks += [
        lambda: machine.port(UI_PORT, "`biomedica ui`"),
        lambda: machine.port(PAGE_PORT, "`biomedica annotate`"),
    ]
    # Side by side: those that ask other machines wait for them.
    with concurrent.futures.ThreadPoolExecutor(len(looks)) as pool:
        return [finding for finding in pool.map(lambda one: one(), looks) if finding is not None]


def _settings(values: Settings) -> Finding:
    files = [path for path in (Path(settings.FILE), values.data_dir / settings.FILE) if path.exists()]
    variables = sorted(name for name in os.environ if name.startswith(settings.PREFIX))
    where = ", ".join([*map(str, files), *variables]) or "defaults alone"
    if not (values.data_dir / settings.FILE).exists():
        cure = "`biomedica demo`, or `biomedica run --data-dir DIR --source DIR|s3://pmc-oa-opendata`, makes one"
        return look("settings", f"valid ({where}); no data directory yet at {values.data_dir.absolute()}", cure)
    return ok("settings", f"valid ({where})")


def source(values: Settings) -> Finding:
    """Whether articles can be had from where the settings say."""
    from biomedica_assets.lib.pmc.look import fault
    from biomedica_assets.lib.pmc.source import PMC_BUCKET

    name = values.source_or_default
    if not values.source and not Path(name).is_dir():
        return look("source", "none was named yet", f"biomedica run --source s3://{PMC_BUCKET}, or a directory like it")
    why = fault(name, endpoint=values.s3_endpoint, region=values.s3_region)
    if not why:
        return ok("source", f"{name} answers" if name.startswith("s3://") else name)
    if name.startswith("s3://"):
        cure = "connect to the network, or take a directory with --source; what is here can still be used"
    else:
        cure = f"name the folder that holds them with --source, or in biomedica.toml; or take s3://{PMC_BUCKET}"
    return broken("source", why, cure)


def encoder(values: Settings) -> Finding:
    """Whether the weights of the encoder that embeds images are here, or can be fetched."""
    name, check = values.encoder, "encoder"
    if name == "texture":
        return ok(check, "texture, which needs no weights")
    if values.encoder_weights is None:
        return _published(name)
    try:
        weights.check_file(values.encoder_weights)
    except BiomedicaError as error:
        return broken(check, str(error), _WITHOUT_WEIGHTS)
    return ok(check, f"{name}, {values.encoder_weights}")


def _published(name: str) -> Finding:
    """Whether published weights are in the hub's cache, or the hub answers."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    # timm's weights lie at timm/<name>; where those of an open_clip tag lie only open_clip knows, and it loads slowly.
    kept = sorted(cache.glob(f"models--timm--{name}/snapshots/*/*.safetensors"))
    if kept:
        return ok("encoder", f"{name}, {kept[0].stat().st_size / machine.GIB:.1f} GiB in {cache}")
    if constants.HF_HUB_OFFLINE:
        return look("encoder", f"{name} is not in {cache}, and HF_HUB_OFFLINE forbids to fetch it", _WITHOUT_WEIGHTS)
    why = machine.unreachable(os.environ.get("HF_ENDPOINT", HUB))
    if why is not None:
        return look("encoder", f"{name} is not in {cache}: {why}", _WITHOUT_WEIGHTS)
    return ok("encoder", f"{name} will be fetched into {cache} when it is first used")


def profile(values: Settings) -> Finding:
    """Whether the training profile can be read."""
    from biomedica_assets.lib.clip import profile as profiles

    try:
        found = profiles.load(values.training_profile, values.data_dir / "profiles")
    except BiomedicaError as error:
        return broken("training", str(error), "correct training_profile, or the file in profiles/")
    return ok("training", f"profile {values.training_profile}, {found.model}")


def recipes(values: Settings) -> Finding:
    """Whether every recipe can be read."""
    from biomedica_assets.lib.select import definition, predicate

    folder = values.data_dir / "recipes"
    names = definition.names(folder)
    faults: list[str] = []
    for name in names:
        try:
            predicate.check(definition.load(name, folder).where)
        except BiomedicaError as error:
            faults.append(f"{name}: {' '.join(str(error).split())}")
    if faults:
        return broken("recipes", "; ".join(faults), f"correct the file in {folder}")
    return ok("recipes", ", ".join(names))


def dagster(values: Settings) -> Finding:
    """Whether the instance's configuration is readable and its databases are whole; read as files."""
    home, check = values.dagster_home, "dagster"
    if values.postgres:
        return records(values.postgres)
    if not (home / instance.CONFIG).exists():
        return ok(check, f"no instance yet; one is made at {home} when the first command needs it")
    try:
        config: Any = yaml.safe_load((home / instance.CONFIG).read_text(encoding="utf-8")) or {}
        if not isinstance(config, dict):
            raise yaml.YAMLError("no mapping at the top")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        return broken(check, f"{home / instance.CONFIG}: {said}", "correct it, or remove it: a new one is written")
    if storage := next((name for name in config.get("storage") or () if name != "sqlite"), None):
        return _server(home, storage, config["storage"][storage])
    anew = f"move {home} away: a new one is made; tables and files stay, the history of runs is lost"
    for path in (home / "history" / "runs.db", home / "schedules" / "schedules.db"):
        if path.exists() and (fault := _sqlite_fault(path)):
            return broken(check, f"{path} {fault}", anew)
    working = _working(home / instance.PROCESSES)
    return ok(check, f"{home}" + (f"; {working} command{'s' if working > 1 else ''} at work" if working else ""))


def records(url: str) -> Finding:
    """Whether a Postgres server can keep Dagster's records."""
    found = postgres.fault(url)
    if found is not None:
        return broken("dagster", f"postgres {postgres.shown(url)}: {found.why}", found.cure)
    return ok("dagster", f"{postgres.shown(url)} answers")


def cluster(address: str) -> Finding:
    """Whether anything speaks against working on a Ray cluster; it is not joined."""
    found = ray.fault(address)
    if found is not None:
        return broken("ray", f"{address}: {found.why}", found.cure)
    return ok("ray", f"{address} answers")


def _server(home: Path, storage: str, said: Any) -> Finding:
    """A database server that the instance keeps its records in."""
    if isinstance(said, dict) and isinstance(said.get("postgres_url"), str):
        return records(said["postgres_url"])
    where = said.get("postgres_db") if isinstance(said, dict) else None
    host = where.get("hostname") if isinstance(where, dict) else None
    if not isinstance(host, str):
        return ok("dagster", f"{home}, {storage} (its address is not written out, not asked)")
    why = machine.unreachable(f"http://{host}:{where.get('port', 5432)}") if where else None
    if why:
        return broken("dagster", f"{home}, {storage}: {why}", "start the server, or correct storage in dagster.yaml")
    return ok("dagster", f"{home}, {storage} at {host} answers")


def _sqlite_fault(path: Path) -> str | None:
    """What is wrong with a database of Dagster's, None if nothing is; opened read-only, others may write meanwhile."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            heads = connection.execute("SELECT count(*) FROM alembic_version").fetchone()[0]
    except sqlite3.OperationalError as error:
        return None if "locked" in str(error) else f"cannot be read ({error})"
    except sqlite3.DatabaseError as error:
        return f"is damaged ({error})"
    return None if heads == 1 else f"was made by two commands at once ({heads} heads)"


def _working(folder: Path) -> int:
    """Commands that hold a lock of the instance now."""
    held = 0
    for path in folder.glob("*"):
        try:
            with path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            held += 1
        except OSError:
            continue
    return held


def _tell(found: list[Finding]) -> None:
    """A line for each finding, and below those that ask for something a line with what."""
    import rich.console

    console = rich.console.Console(highlight=False, soft_wrap=True)
    width = max(len(finding.check) for finding in found)
    for finding in found:
        mark, colour = _MARKS[finding.verdict]
        console.print(f"[{colour}]{mark}[/] {finding.check:<{width}}  ", end="")
        console.print(finding.found, markup=False)
        if finding.cure:
            console.print(f"{'':{width + 9}}-> {finding.cure}", markup=False)
    counts = {verdict: sum(finding.verdict is verdict for finding in found) for verdict in Verdict}
    console.print(
        f"{counts[Verdict.BROKEN]} broken, {counts[Verdict.LOOK]} to look at, {counts[Verdict.OK]} ok", markup=False
    )
