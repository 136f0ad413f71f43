"""The annotation page as a real server process on loopback, for the tests that drive or kill it.

``python -m biomedica_assets_tests.web.annotation_server DATA PORT [overlap]``
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


class Server:
    """A server process; ``kill`` ends it the hard way."""

    def __init__(self, root: Path, overlap: int = 3) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", __name__, str(root), str(self.port), str(overlap)]
        self.start()

    def start(self) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(self._command, env=env, cwd=Path(__file__).resolve().parents[2])
        while True:
            try:
                httpx.get(self.url + "/login")
            except httpx.TransportError:
                assert self._process.poll() is None, "the server ended by itself"
                time.sleep(0.1)
            else:
                return

    def kill(self) -> None:
        """kill -9."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def free_port() -> int:
    """A port that stays free while a killed server starts again: below those that the system gives to connections."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports are in use")


def log_in(url: str, name: str) -> httpx.Client:
    """A client with a session and its CSRF token, the way a browser gets them."""
    client = httpx.Client(base_url=url, headers={"origin": url}, timeout=120)
    assert client.post("/login", data={"name": name, "new": "yes"}).status_code == 303
    page = client.get("/").text
    client.headers["x-csrf-token"] = page.split('data-csrf="')[1].split('"')[0]
    return client


if __name__ == "__main__":
    from biomedica_assets.lib.annotate.web.serve import serve
    from biomedica_assets.lib.store.lake import Lake

    serve(Lake(sys.argv[1]), port=int(sys.argv[2]), overlap=int(sys.argv[3]))
