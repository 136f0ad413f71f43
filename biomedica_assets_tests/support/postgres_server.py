"""A real Postgres server for a test: Debian's package, a cluster of its own on a free port, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from biomedica_assets.lib import machine

USER, PASSWORD = "biomedica", "a password: with @ / and spaces"


class Server(NamedTuple):
    """Where it listens."""

    port: int

    def url(self, database: str = "records", user: str = USER) -> str:
        """Address of one of its databases."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


def programs() -> Path | None:
    """Folder of the newest server that is installed, None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def serving(*databases: str) -> Generator[Server]:
    """A server with these databases, whose owner is ``USER``; asks everybody for the password."""
    where = programs()
    assert where is not None
    # The server refuses to run as root; its package brings a user.
    owner = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="biomedica-postgres-"))
    port = machine.free_port(54_000)
    assert port is not None
    process = None
    try:
        (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
        if owner:
            shutil.chown(folder, **owner)
            shutil.chown(folder / "password", **owner)
        made = [where / "initdb", "-D", folder / "data", "-U", USER, "--auth=scram-sha-256"]
        made += [f"--pwfile={folder / 'password'}", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, **owner)
        settings = {"unix_socket_directories": folder, "listen_addresses": "127.0.0.1", "fsync": "off"}
        given = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [where / "postgres", "-D", folder / "data", "-p", str(port), *given], stderr=log, stdout=log, **owner
            )
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        ask = [where / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", USER, "-d", "postgres", "-c"]
        for _ in range(100):
            ended = subprocess.run([*ask, "select 1"], capture_output=True, env=environment, check=False)
            if ended.returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text())
        for name in databases:
            subprocess.run([*ask, f"create database {name}"], check=True, capture_output=True, env=environment)
        yield Server(port)
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": ends sessions, then itself
            process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
