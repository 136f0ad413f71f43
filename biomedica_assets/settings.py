"""Every knob of the project, read and validated once.

Order of precedence: what a caller passes, ``BIOMEDICA_*`` in the environment, ``biomedica.toml`` in the working
directory, ``biomedica.toml`` in the data directory (written there when the directory is first used, so that the UI, the
command line and a later run agree), the defaults below. Nothing below this module reads the environment.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pydantic_settings

from biomedica_assets.lib import chunks
from biomedica_assets.lib.compute.ray import PATTERN as RAY_ADDRESS
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets.lib.images.limits import PILLOW_CEILING
from biomedica_assets.lib.store import atomic
from biomedica_assets.postgres import PATTERN, without_password

FILE = "biomedica.toml"
PREFIX = "BIOMEDICA_"
LicenseGroup = Literal["commercial", "noncommercial", "other"]

# Fields that decide which partition an article lies in: a data directory keeps the values it was made with.
FIXED_AT_FIRST_USE = ("chunk_span", "max_pmcid")


class SettingsError(PermanentFailure):
    """A setting is wrong; the message names the field, the value and what is allowed."""


class Settings(pydantic_settings.BaseSettings):
    """The knobs. Descriptions are shown by ``biomedica settings`` and in the README."""

    model_config = pydantic_settings.SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # where
    data_dir: Path = pydantic.Field(Path("data"), description="Directory that holds everything made at run time.")
    source: str = pydantic.Field(
        "",
        description="Where articles come from: a directory in the bucket's layout, or s3://pmc-oa-opendata. "
        "Empty: the folder `source` of the data directory.",
    )
    s3_endpoint: str | None = pydantic.Field(None, description="Other S3 endpoint than Amazon's, for a mirror.")
    s3_region: str = pydantic.Field("us-east-1", description="Region of the bucket.")
    postgres: Annotated[str, pydantic.AfterValidator(without_password)] = pydantic.Field(
        "",
        pattern=PATTERN,
        description="Postgres database of Dagster's records, one for each data directory: "
        "postgresql://USER@HOST:5432/NAME, the password in PGPASSWORD or ~/.pgpass. Empty: SQLite below the data "
        "directory.",
    )

    # partitions
    chunk_span: int = pydantic.Field(20_000, description="PMCIDs per chunk; a divisor of 1,000,000.")
    max_pmcid: int = pydantic.Field(19_999_999, ge=0, le=99_999_999, description="Highest PMCID that has a chunk.")

    # which articles
    license_groups: tuple[LicenseGroup, ...] = pydantic.Field(
        ("commercial", "noncommercial"), description="Licence groups whose articles are taken.", min_length=1
    )
    license_codes: tuple[str, ...] = pydantic.Field(
        (), description="If given, only these licence codes of the groups, for example CC0 and CC BY."
    )
    pmcids_file: Path | None = pydantic.Field(None, description="File of PMCIDs, one a line: only these articles.")
    withdrawals_file: Path | None = pydantic.Field(
        None,
        description="File of PMCIDs, one a line, each with a reason behind #: withdrawn, as if retracted.",
    )
    journals: tuple[str, ...] = pydantic.Field((), description="Only these journals, as the citation abbreviates them.")
    year_from: int | None = pydantic.Field(None, ge=1600, le=2200, description="First year taken.")
    year_to: int | None = pydantic.Field(None, ge=1600, le=2200, description="Last year taken.")
    words: tuple[str, ...] = pydantic.Field((), description="Only articles with one of these in title or citation.")
    newest_version_only: bool = pydantic.Field(True, description="Leave out versions that a newer one replaces.")
    include_manuscripts: bool = pydantic.Field(True, description="Take author manuscripts that are openly licensed.")
    limit_per_chunk: int | None = pydantic.Field(None, ge=1, description="At most so many articles of each chunk.")

    # what PubMed adds, and what a release is
    pubmed: str = pydantic.Field(
        "",
        description="Where MeSH headings, abstracts and retraction links come from: a directory with PubMed's baseline "
        "and updatefiles, or eutils (the web service; for some thousand articles). Empty: nowhere.",
    )
    pubmed_email: str = pydantic.Field("", description="Address sent with requests to the web service, as NCBI asks.")
    pubmed_api_key_file: Path | None = pydantic.Field(
        None,
        description="File with an NCBI API key: 10 requests a second instead of 3. The key itself is kept nowhere.",
    )
    pubmed_endpoint: str = pydantic.Field(
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/", description="Base URL of the web service."
    )
    release_version: str = pydantic.Field(
        "",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$",
        description="Version of the release. Empty: the inventory's name and a digest of everything that goes in.",
    )
    release_name: str = pydantic.Field("biomedica-assets", description="Name of the dataset on its card.", min_length=1)
    release_no_derivatives: bool = pydantic.Field(
        True, description="Whether images that may only be passed on unchanged (ND licences) go into a release."
    )

    release_pairs: bool = pydantic.Field(
        True,
        description="Whether a release also holds its samples as Parquet with embedded images, which load_dataset and "
        "the Hub's viewer read; it takes as much room as the shards again.",
    )
    release_pictures: bool = pydantic.Field(
        True,
        description="Whether a release holds pictures. Without, it has text, keys and digests, and whoever reads it "
        "fetches pictures from PubMed Central's bucket (biomedica stream --pictures source).",
    )
    invented: bool = pydantic.Field(
        False,
        description="Whether the source's articles are invented, as the demo's are: a release says so everywhere.",
    )

    explore_page: str = pydantic.Field(
        "http://127.0.0.1:8766",
        pattern=r"^(https?://[^\s/]+(/[^\s?#]*)?)?$",
        description="Address under which people reach `biomedica explore`; links in Dagster's UI lead there. Empty: no "
        "links.",
    )

    # images and shards
    max_pixels: int = pydantic.Field(
        89_478_485, ge=1, le=PILLOW_CEILING, description="Images with more pixels are refused; Pillow decodes no more."
    )
    min_side: int = pydantic.Field(21, ge=1, description="Images with a shorter side (pixels) are refused.")
    shard_samples: int = pydantic.Field(10_000, ge=1, description="Most samples in a shard.")
    shard_bytes: int = pydantic.Field(2_000_000_000, ge=1_000_000, description="Most bytes in a shard.")
    seed: int = pydantic.Field(0, ge=0, description="Seed of everything that is sampled or shuffled.")

    # embeddings and clusters
    encoder: str = pydantic.Field(
        "vit_large_patch14_reg4_dinov2.lvd142m",
        description="What embeds images: texture (no weights), a timm model, or open_clip/<model>/<tag>.",
    )
    encoder_weights: Path | None = pydantic.Field(None, description="File of its weights; unset: the hub's cache.")
    preprocessing: Literal["standard", "biomedica"] = pydantic.Field(
        "standard", description="What images go through first; biomedica is that of the BIOMEDICA release."
    )
    embed_batch: int = pydantic.Field(32, ge=1, le=8192, description="Images per pass of the encoder.")
    clusters: int = pydantic.Field(2000, ge=1, description="Clusters wanted; fewer if there are few images.")
    components: int = pydantic.Field(25, ge=1, description="Principal components kept before clustering.")
    cluster_sample: int | None = pydantic.Field(
        2_000_000, ge=1, description="About how many images the clusters are fitted on; null: all."
    )
    sheet_images: int = pydantic.Field(10, ge=1, le=100, description="Images of each kind on a contact sheet.")

    # training
    training_profile: str = pydantic.Field(
        "laptop",
        description="Training profile: bmc-clip, card, siglip, lit, lora, long-captions, laptop, demo, or your own.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = pydantic.Field("auto", description="Where models run.")
    devices: int = pydantic.Field(0, ge=0, le=64, description="How many devices train together; 0: all there are.")
    nodes: int = pydantic.Field(1, ge=1, le=1024, description="Machines that train together, `devices` on each.")
    rendezvous: str = pydantic.Field(
        "", pattern=r"^(\S+:\d{1,5})?$", description="HOST:PORT of the first machine, where the nodes meet."
    )
    loader_workers: int = pydantic.Field(2, ge=0, le=128, description="Processes per device that read and decode.")
    sample_buffer: int = pydantic.Field(5000, ge=1, description="Samples in each loader's shuffle buffer.")
    most_broken_streams: int = pydantic.Field(
        0, ge=0, description="Virtual shards a loader may fail to read before training fails."
    )

    # evaluation
    held_out: float = pydantic.Field(
        0.05,
        ge=0,
        le=0.9,
        description="Share of the articles that no recipe trains on; the models of all recipes are scored on them.",
    )
    compare: tuple[str, ...] = pydantic.Field(
        (),
        description="Models of others scored beside yours: names that `biomedica evaluate` lists, hf-hub:REPOSITORY, "
        "ARCHITECTURE@TAG of open_clip or ARCHITECTURE@FILE.",
    )

    # what recipes may ask of pairs
    pair_model: str = pydantic.Field(
        "",
        description="CLIP model that scores how well pictures fit their captions, written as in compare; recipes ask "
        "for the score (min_pair_score). Empty: none.",
    )

    # how hard
    jobs: int = pydantic.Field(
        0, ge=0, le=64, description="Partitions made side by side, each in a process; 0: what cores and memory allow."
    )
    workers: int = pydantic.Field(0, ge=0, le=1024, description="Parallel workers inside a step; 0: one per core.")
    ray: str = pydantic.Field(
        "",
        pattern=RAY_ADDRESS,
        description="Ray cluster on whose nodes the work inside steps runs: auto, HOST:PORT or ray://HOST:PORT. All "
        "of them see the data directory under one path. Empty: this machine.",
    )
    fetch_concurrency: int = pydantic.Field(64, ge=1, le=1024, description="Objects fetched at once.")
    fetch_retries: int = pydantic.Field(5, ge=0, le=20, description="Tries after the first for one object.")
    fetch_timeout: float = pydantic.Field(60.0, gt=0, le=3600, description="Seconds until a request counts as failed.")
    max_reject_fraction: float = pydantic.Field(
        0.5,
        ge=0,
        le=1,
        description="A step of a chunk fails if more than this share of its items is left out "
        "for a reason that points at a fault (not: no media, not selected).",
    )

    @pydantic.field_validator("chunk_span")
    @classmethod
    def _divides(cls, span: int) -> int:
        return chunks.check_span(span)

    @pydantic.model_validator(mode="after")
    def _years_in_order(self) -> Settings:
        if self.year_from and self.year_to and self.year_from > self.year_to:
            raise ValueError(f"year_from {self.year_from} is after year_to {self.year_to}")
        return self

    @property
    def source_or_default(self) -> str:
        """The source, or the folder ``source`` of the data directory if none is set."""
        return self.source or str(self.data_dir / "source")

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance."""
        return self.data_dir.absolute() / "dagster_home"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[pydantic_settings.BaseSettings],
        init_settings: pydantic_settings.PydanticBaseSettingsSource,
        env_settings: pydantic_settings.PydanticBaseSettingsSource,
        dotenv_settings: pydantic_settings.PydanticBaseSettingsSource,
        file_secret_settings: pydantic_settings.PydanticBaseSettingsSource,
    ) -> tuple[pydantic_settings.PydanticBaseSettingsSource, ...]:
        """Arguments and environment only: the files are merged by ``load``, which knows the data directory."""
        return (init_settings, env_settings)


def load(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        overrides: values that win over everything else; None means not given.

    Raises:
        SettingsError: a value is not allowed, a name is unknown, or a fixed value differs from the data directory's.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    here = _read(Path(FILE))
    data_dir = Path(given.get("data_dir") or os.environ.get(f"{PREFIX}DATA_DIR") or here.get("data_dir") or "data")
    there = _read(data_dir / FILE) if (data_dir / FILE).absolute() != Path(FILE).absolute() else {}
    from_files = {**there, **here}
    in_environment = {n for n in Settings.model_fields if f"{PREFIX}{n.upper()}" in os.environ}
    unknown = sorted(
        n for n in os.environ if n.startswith(PREFIX) and n[len(PREFIX) :].lower() not in Settings.model_fields
    )
    if unknown:
        raise SettingsError(f"unknown setting in the environment: {', '.join(unknown)}; `biomedica settings` lists all")
    values = {n: v for n, v in from_files.items() if n not in in_environment} | given
    try:
        settings = Settings(**values)
    except (pydantic.ValidationError, pydantic_settings.SettingsError) as error:
        raise SettingsError(_explain(error)) from error
    for name in FIXED_AT_FIRST_USE:
        if name in there and there[name] != getattr(settings, name):
            raise SettingsError(
                f"{name} is {getattr(settings, name)}, but {data_dir / FILE} says {there[name]}: articles would change "
                f"their partition. Use another data directory, or leave {name} as it is."
            )
    return settings


def require_data(settings: Settings) -> None:
    """Refuse a data directory that is not there, as a mistyped ``--data-dir`` is: it would be answered as an empty one.

    Raises:
        SettingsError: it does not exist or holds nothing of this project; names one beside it that does.
    """
    data_dir = settings.data_dir
    if _holds_data(data_dir):
        return
    what = "holds no data of biomedica" if data_dir.is_dir() else "does not exist"
    parent = data_dir.absolute().parent
    beside = sorted(path.name for path in parent.iterdir() if _holds_data(path)) if parent.is_dir() else []
    likely = difflib.get_close_matches(data_dir.name, beside, n=1) or beside[:1]
    raise SettingsError(
        f"the data directory {data_dir.absolute()} {what}: "
        + (f"did you mean {data_dir.parent / likely[0]}? " if likely else "")
        + "Name another with --data-dir, or make one with `biomedica run --source DIR` or `biomedica demo`"
    )


def _holds_data(folder: Path) -> bool:
    of_ours = (FILE, "tables", "catalog.duckdb", "annotations", "recipes", "tasks")
    return any((folder / name).exists() for name in of_ours)


def remember(settings: Settings) -> None:
    """Write the settings that differ from the defaults, and the fixed ones, to the data directory, if it has none."""
    path = settings.data_dir / FILE
    if path.exists():
        return
    lines = ["# Settings this data directory was made with; see `biomedica settings` for their meaning."]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if name != "data_dir" and (name in FIXED_AT_FIRST_USE or value != field.default):
            lines.append(f"{name} = {json.dumps(_plain(name, value), ensure_ascii=False)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def remember_source(settings: Settings) -> None:
    """Let a data directory whose settings are written already know the source that was used; the rest stays as it is.

    Raises:
        SettingsError: the file says it in a way that cannot be changed line by line.
    """
    path, plain = settings.data_dir / FILE, _plain("source", settings.source)
    if not path.exists() or not settings.source or _read(path).get("source") == plain:
        return
    text, line = path.read_text(encoding="utf-8"), f"source = {json.dumps(plain, ensure_ascii=False)}"
    changed, n = re.subn(r"^source[ \t]*=.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    changed = changed if n else f"{line}\n{text}"
    try:
        as_meant = tomllib.loads(changed) == tomllib.loads(text) | {"source": plain}
    except tomllib.TOMLDecodeError:
        as_meant = False
    if not as_meant:
        raise SettingsError(f"{path} names its source over several lines; write {line} there instead")
    atomic.write_bytes(path, changed.encode())


def _plain(name: str, value: Any) -> Any:
    """A value as the file holds it: paths absolute, since commands start anywhere."""
    is_path = (name == "source" and "://" not in str(value)) or (name == "pubmed" and value != "eutils")
    return str(Path(value).absolute()) if is_path or isinstance(value, Path) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as handle:
            values = tomllib.load(handle)
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise SettingsError(f"the data directory {path.parent} is a file; name a folder with --data-dir") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    if unknown := sorted(set(values) - set(Settings.model_fields)):
        raise SettingsError(f"{path}: unknown setting {', '.join(unknown)}; `biomedica settings` lists all")
    return values


def _explain(error: Exception) -> str:
    if not isinstance(error, pydantic.ValidationError):
        # pydantic-settings reads lists as JSON and says of others only the field's name.
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        variable = f"{PREFIX}{name.upper()}"
        given = os.environ.get(variable, "")
        return f"{variable} = {given!r} is no JSON; a list is written {json.dumps([given])}" if name else str(error)
    said: list[str] = []
    for fault in error.errors():
        name = str(fault["loc"][0]) if fault["loc"] else "settings"
        field = Settings.model_fields.get(name)
        meaning = f" ({field.description})" if field else ""
        said.append(f"{name} = {fault['input']!r}: {fault['msg']}{meaning}" if field else f"{name}: {fault['msg']}")
    return "; ".join(said)
