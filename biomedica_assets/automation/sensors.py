"""Sensors: runs for chunks that an inventory changed, and for votes that came in.

All of them are off until a person switches them on. Run keys are made of what would be read, so a tick that is repeated
(a restart, a second daemon) starts nothing twice, and a change that is taken back starts nothing at all.
Concept: https://docs.dagster.io/guides/automate/sensors
"""

from collections.abc import Iterator

import dagster as dg

from biomedica_assets.automation import bringing
from biomedica_assets.lib.annotate.ballots import votes_digest
from biomedica_assets.lib.lineage.stale import Versions
from biomedica_assets.lib.store.lake import Lake, input_name
from biomedica_assets.lib.tables import ARTICLE_INDEX, CHUNK_LISTING, EXPERT_VOTES
from biomedica_assets.resources import LakeResource

# A first inventory changes all 650 chunks at once; the queue then stays short enough to be read, and a sensor tick far
# below its 60 seconds.
CHUNKS_PER_TICK = 20


@dg.sensor(
    job=bringing.bring_chunk_up_to_date,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="A run for each chunk whose listing is not the one its article_index was made of.",
)
def changed_chunks(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """At most ``CHUNKS_PER_TICK`` runs a tick; the cursor goes round, so no chunk starves behind one that fails."""
    changed = list(_changed(lake.open()))
    if not changed:
        return dg.SkipReason("every chunk was made of the newest listing")
    cursor = context.cursor or ""
    # A chunk that fails keeps its run key: it is not started again until its listing changes or a person does it.
    in_turn = [c for c in changed if c[0] > cursor] + [c for c in changed if c[0] <= cursor]
    requests = [
        dg.RunRequest(run_key=f"{chunk}:{version}", partition_key=chunk, tags={"biomedica/listing": version})
        for chunk, version in in_turn[:CHUNKS_PER_TICK]
    ]
    return dg.SensorResult(run_requests=requests, cursor=in_turn[: len(requests)][-1][0])


@dg.sensor(
    job=bringing.after_new_votes,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="The job after_new_votes when the vote files hold something that was not counted yet.",
)
def new_votes(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult | dg.SkipReason:
    """Compares the digest of ``annotations/votes/*.jsonl`` and the register of annotators with the last tick's."""
    data = lake.open()
    if not any((data.root / "annotations" / "votes").glob("*.jsonl")):
        return dg.SkipReason("nobody has voted yet")
    digest = votes_digest(data.root)
    if digest == context.cursor:
        return dg.SkipReason("no vote since the last look")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{EXPERT_VOTES.name}:{digest}")], cursor=digest)


def _changed(lake: Lake) -> Iterator[tuple[str, str]]:
    """Chunks whose ``article_index`` was not made of the present listing, with the listing's data version."""
    versions = Versions(lake)
    for chunk in lake.partitions(CHUNK_LISTING):
        listing, index = versions.manifest(CHUNK_LISTING, chunk), versions.manifest(ARTICLE_INDEX, chunk)
        if listing is None:
            continue
        if index is None or index.inputs.get(input_name(CHUNK_LISTING.name, chunk)) != listing.data_version:
            yield chunk, listing.data_version


ALL: list[dg.SensorDefinition] = [changed_chunks, new_votes]
