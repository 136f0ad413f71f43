"""``biomedica rebuild``: a release made anew in an empty data directory, by the ordinary graph, and compared.

Belongs here: turning what a release records back into settings, votes and a walk over the graph. What a release carries
for it is ``lib/release/origins.py``, how it gets into a data directory ``lib/release/replant.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biomedica_assets import configs, instance, settings
from biomedica_assets.lib.annotate import draws
from biomedica_assets.lib.annotate.ballots import BallotBox
from biomedica_assets.lib.annotate.exchange import released, take_in
from biomedica_assets.lib.annotate.taxonomy.model import load as load_taxonomy
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.pmc.source import open_source
from biomedica_assets.lib.release import manifest as manifests
from biomedica_assets.lib.release import origins, verify
from biomedica_assets.lib.release.copies import scan
from biomedica_assets.lib.release.manifest import ReleaseManifest
from biomedica_assets.lib.release.replant import chunks_of, made_of, recipes_of, replant, scope
from biomedica_assets.lib.release.stage import FOLDER
from biomedica_assets.lib.store import atomic
from biomedica_assets.lib.store.lake import Lake
from biomedica_assets.lib.tables import EXPERT_VOTES, PUBMED_RECORDS, RELEASE
from biomedica_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

    from biomedica_assets.automation.planner import Wave

_SHOWN = 20


def rebuild(arguments: argparse.Namespace) -> int:
    """Make a release anew from its origins and a source; exit code 0 if every file has equal bytes.

    An interrupted rebuild goes on when the same command is given again.
    """
    from biomedica_assets.automation import runner
    from biomedica_assets.commands import graph
    from biomedica_assets.console import Bars

    release: Path = arguments.release
    wanted = manifests.load(release)
    if damaged := verify.verify(release):
        raise PermanentFailure(f"{release} is damaged ({damaged[0]}); `biomedica verify` names everything")
    values = _settings(release, wanted, arguments)
    instance.prepare(values)
    lake = Lake(values.data_dir)
    replant(release, lake, values.chunk_span)
    recipes = recipes_of(release)

    def not_in_it(wave: Wave, partition: str | None) -> bool:
        return wave.partitioning == "recipe" and partition not in recipes

    with Bars() as bars, instance.open_instance(values) as dagster_instance:
        _plant_votes(release, values, dagster_instance)
        definitions = graph.graph_of(values, bars)
        planner = graph.planner_of(values, definitions)
        outcome = runner.walk(
            definitions, dagster_instance, planner, select=scope(made_of(release), planner.parents),
            chunks=chunks_of(release), listener=bars, prune=not_in_it,
        )  # fmt: skip
    graph.print_outcome(outcome, outcome.seconds, ())
    if lake.manifest(RELEASE, None) is None:
        raise PermanentFailure("no release was made; mend what failed and give the same command again")
    return _tell(release, lake.root / FOLDER / wanted.version)


def _settings(release: Path, wanted: ReleaseManifest, arguments: argparse.Namespace) -> Settings:
    """The settings of the release over a data directory and a source of one's own."""
    if unknown := sorted(wanted.settings.keys() - Settings.model_fields.keys() - {"pmcids", "withdrawn"}):
        raise PermanentFailure(
            f"{release} was made with settings that this version does not have ({', '.join(unknown)}); "
            f"install biomedica-assets {wanted.packages.get('biomedica-assets', 'of then')} and rebuild with that"
        )
    if wanted.counts.get(PUBMED_RECORDS.name) and not arguments.pubmed:
        raise PermanentFailure(f"{release} holds records of PubMed; name the directory of its files with --pubmed")
    overrides: dict[str, Any] = {
        name: value for name, value in wanted.settings.items() if name not in ("pmcids", "withdrawn")
    }
    overrides |= {"release_version": wanted.version, "release_name": wanted.name}
    where = settings.load(data_dir=arguments.data_dir).data_dir
    for name, setting in ((origins.PMCIDS, "pmcids_file"), (origins.WITHDRAWN, "withdrawals_file")):
        if (release / name).exists():
            atomic.write_bytes(where / name, (release / name).read_bytes())
            overrides[setting] = where / name
    values = settings.load(**overrides, data_dir=where, source=arguments.source, pubmed=arguments.pubmed or "")
    here = configs.release_config(values).settings
    if other := sorted(name for name, value in wanted.settings.items() if here.get(name) != value):
        raise PermanentFailure(
            f"{', '.join(other)}: this machine's setting is not the release's; take it out of the environment "
            f"(BIOMEDICA_{other[0].upper()}) and of biomedica.toml"
        )
    open_source(values.source_or_default, endpoint=values.s3_endpoint, region=values.s3_region)
    return values


def _plant_votes(release: Path, values: Settings, dagster_instance: dg.DagsterInstance) -> None:
    from biomedica_assets.commands.annotate import collect

    lake, taxonomy = Lake(values.data_dir), load_taxonomy()
    votes = scan(release, EXPERT_VOTES).collect()
    draws.plant(lake.root, votes, values.seed)
    found = released.import_rows(votes, taxonomy)
    if left_out := take_in(BallotBox(lake.root, taxonomy), found).rejects:
        raise PermanentFailure(f"a vote of {release} is none today: {left_out[0].message}")
    collect(values, dagster_instance)
    if not lake.read(EXPERT_VOTES, None).equals(votes):
        raise PermanentFailure(f"the votes of {release} are not those that were planted; run `biomedica verify` on it")


def _tell(release: Path, rebuilt: Path) -> int:
    wanted, made = manifests.load(release), manifests.load(rebuilt)
    differences = verify.compare(wanted, made)
    for difference in [*verify.verify(rebuilt), *differences][:_SHOWN]:
        print(difference)
    if not differences and dataclasses.replace(made, version=wanted.version) == wanted:
        print(f"{made.version} was rebuilt: {len(made.files):,} files and the manifest, equal bytes")
        return 0
    print(f"{len(differences):,} files of {len(wanted.files):,} differ; what differs in what they are made of:")
    for sentence in verify.causes(release, rebuilt)[:_SHOWN]:
        print(f"  {sentence}")
    return 1
