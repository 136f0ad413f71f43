"""Dagster's records in Postgres, by a setting: the configuration it makes, what is refused, and a real server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from biomedica_assets import cli, instance, postgres, settings
from biomedica_assets.lib.errors import PermanentFailure
from biomedica_assets_tests.support import postgres_server
from biomedica_assets_tests.web.test_graphql import PROGRAM

ROOT = Path(__file__).resolve().parents[1]
URL = "postgresql://ada@db.example:5432/records"


@pytest.fixture
def _environment():
    """`prepare` points this process at a data directory; afterwards it is where it was."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ |= before


def storage(home: Path):
    return yaml.safe_load((home / instance.CONFIG).read_text()).get("storage")


@pytest.mark.usefixtures("_environment")
def test_the_setting_is_in_dagsters_configuration_and_goes_with_it(tmp_path):
    def prepared(url):
        return instance.prepare(settings.load(data_dir=tmp_path, postgres=url))

    home = prepared("")
    plain = (home / instance.CONFIG).read_bytes()
    assert storage(home) is None
    for url in (URL, "postgresql://ada@other:5432/records"):
        assert storage(prepared(url)) == {
            "postgres": {"postgres_url": url.replace("postgresql:", "postgresql+psycopg2:")}
        }
    again = (home / instance.CONFIG).read_bytes()
    prepared(url)
    assert (home / instance.CONFIG).read_bytes() == again
    prepared("")
    assert (home / instance.CONFIG).read_bytes().strip() == plain.strip()


@pytest.mark.usefixtures("_environment")
def test_what_people_wrote_stays_and_a_storage_of_their_own_is_not_overruled(tmp_path):
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / instance.CONFIG).write_text("# mine\ntelemetry: {enabled: false}\n")
    instance.prepare(settings.load(data_dir=tmp_path, postgres=URL))
    assert (home / instance.CONFIG).read_text().startswith("# mine\n") and storage(home)
    own = "storage: {sqlite: {base_dir: elsewhere}}\n"
    (home / instance.CONFIG).write_text(own)
    with pytest.raises(PermanentFailure, match="has a storage of its own"):
        instance.prepare(settings.load(data_dir=tmp_path, postgres=URL))
    assert (home / instance.CONFIG).read_text() == own


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ada:secret@db/records", "a password does not belong in a setting"),
        ("mysql://ada@db/records", "String should match pattern"),
        ("postgresql://ada@db", "String should match pattern"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(tmp_path, url, said):
    with pytest.raises(settings.SettingsError, match=said):
        settings.load(data_dir=tmp_path, postgres=url)


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_server_that_does_not_answer_is_told_within_two_seconds_and_before_any_work(
    tmp_path, monkeypatch, capsys, kind, demo_mirror
):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen()
        url = f"postgresql://ada@127.0.0.1:{listening.getsockname()[1]}/records"
        began = time.monotonic()
        found = postgres.fault(url)
        assert time.monotonic() - began < 2
        assert found is not None and found.cure == "start the server, or correct the address"
        monkeypatch.setenv("BIOMEDICA_POSTGRES", url)
        assert cli.main(["run", "--data-dir", str(tmp_path / "d"), "--source", str(demo_mirror)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"biomedica: dagster: postgres {url}: ") and "start the server" in said
    assert not (tmp_path / "d").exists()


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(postgres.RecordsUnreachable, match=r"pip install 'biomedica-assets\[postgres\]'"):
        postgres.check(URL)


def test_a_password_that_people_wrote_themselves_is_not_shown():
    assert postgres.shown("postgresql://ada:secret@db/records") == "postgresql://ada@db/records"


@pytest.fixture(scope="module")
def server():
    if postgres_server.programs() is None:
        pytest.skip("no Postgres server is installed (Debian: apt-get install postgresql)")
    with postgres_server.serving("records", "others") as found:
        yield found


@pytest.fixture(scope="module")
def made(server, tmp_path_factory, demo_mirror):
    """A data directory whose first chunk was made, side by side, with its records in Postgres; its environment."""
    data = tmp_path_factory.mktemp("postgres") / "data"
    environment = os.environ | {
        "BIOMEDICA_DATA_DIR": str(data), "DAGSTER_HOME": str(data / "dagster_home"),
        "BIOMEDICA_POSTGRES": server.url(), "PGPASSWORD": postgres_server.PASSWORD, "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--source", str(demo_mirror), "--jobs", "2"]
    ended = subprocess.run(
        [*command, "--select", "*article_heads"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return environment


def ask(environment, query):
    """One question to the UI's GraphQL, over the records of a data directory."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps({"query": query}) + "\n",
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = next(line for line in ended.stdout.splitlines() if line.startswith("ANSWER"))
    answer = json.loads(line.removeprefix("ANSWER"))
    assert "errors" not in answer, answer
    return answer["data"]


@pytest.mark.full
def test_the_ui_shows_what_was_made_and_no_database_lies_on_the_disk(made):
    told = ask(
        made,
        '{assetNodeOrError(assetKey:{path:["article_heads"]}){... on AssetNode{'
        "partitionStats{numPartitions numMaterialized numFailed} assetMaterializations(limit:1){runId}}}"
        " runsOrError(limit:500){... on Runs{results{status tags{key value}}}}}",
    )
    node, runs = told["assetNodeOrError"], told["runsOrError"]["results"]
    stats = node["partitionStats"]
    assert stats["numMaterialized"] == stats["numPartitions"] == 5 and stats["numFailed"] == 0
    assert node["assetMaterializations"][0]["runId"]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    assert [*Path(made["DAGSTER_HOME"]).rglob("*.db")] == []


@pytest.mark.full
def test_a_second_run_finds_everything_current(made):
    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--select", "*article_heads"]
    ended = subprocess.run(command, env=made, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("1 partitions made in 1 runs, 0 failed"), ended.stdout


@pytest.mark.full
def test_the_doctor_asks_the_server(made):
    command = [sys.executable, "-m", "biomedica_assets.cli", "doctor", "--json"]
    ended = subprocess.run(command, env=made, capture_output=True, text=True, check=False)
    (found,) = [one for one in json.loads(ended.stdout) if one["check"] == "dagster"]
    assert found["verdict"] == "ok" and found["found"].endswith("/records answers")


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"PGPASSWORD": "wrong"}, "give the password in PGPASSWORD"),
        ({"BIOMEDICA_POSTGRES": "absent"}, "createdb"),
    ],
)
def test_a_wrong_password_and_an_absent_database_say_what_to_do(made, server, monkeypatch, change, said):
    monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    database = "absent" if "BIOMEDICA_POSTGRES" in change else "records"
    with pytest.raises(postgres.RecordsUnreachable, match=said):
        postgres.check(server.url(database))


@pytest.mark.full
def test_a_second_data_directory_does_not_mix_its_records_in(made, tmp_path):
    here = made | {"BIOMEDICA_DATA_DIR": str(tmp_path / "other"), "DAGSTER_HOME": str(tmp_path / "other/dagster_home")}
    command = [sys.executable, "-m", "biomedica_assets.cli", "run", "--source", str(tmp_path), "--select", "taxonomy"]
    ended = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "holds the records of another data directory" in ended.stderr
