"""Small physical shards with known samples, and an index over them."""

from __future__ import annotations

import dataclasses
import io
import json
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from biomedica_assets.lib.stream import http as http_module
from biomedica_assets.lib.stream import index as index_module
from biomedica_assets.lib.stream.checks import check_of
from biomedica_assets.lib.stream.index import Index
from biomedica_assets_tests.lib.stream.served import Handler, Server, Trouble


@dataclasses.dataclass
class Physical:
    """Shards below ``root`` and where each sample lies: key -> (shard, start, end), and the check of its bytes."""

    root: Path
    shards: list[tuple[str, int, str]]
    where: dict[str, tuple[int, int, int]]
    checks: dict[str, int]
    served: type[Handler] = Handler
    """What answers for the shards since they were served last."""

    def split(self, keys: list[str], repeat: dict[str, int] | None = None) -> dict[str, NDArray[np.int64]]:
        rows = sorted((*self.where[key], (repeat or {}).get(key, 1), self.checks[key]) for key in keys)
        columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
        return dict(zip(("shard", "start", "end", "repeat", "check"), columns, strict=True))

    def index(
        self, keys: list[str] | None = None, *, repeat: dict[str, int] | None = None, block: int = 4, seed: int = 0
    ) -> Index:
        path = self.root / "recipes" / "r.index"
        splits = {"train": self.split(list(self.where) if keys is None else keys, repeat)}
        index_module.write(path, recipe="r", seed=seed, shards=self.shards, splits=splits, block=block)
        return Index(path)


def key_of(number: int) -> str:
    return f"s{number:05d}"


def build(
    root: Path,
    *,
    shards: int = 3,
    samples: int = 10,
    exts: tuple[str, ...] = ("jpg",),
    draw: Callable[[random.Random], bytes] = lambda rng: rng.randbytes(rng.randrange(1, 3000)),
    record: Callable[[str], dict[str, object]] = lambda key: {},
) -> Physical:
    """Deterministic ustar shards as tarfile writes them: per sample the image with the bytes drawn, .txt, .json."""
    rng = random.Random(7)
    made = Physical(root, [], {}, {})
    (root / "shards").mkdir(parents=True)
    for number in range(shards):
        path = root / "shards" / f"{number:03d}.tar"
        ext = exts[number % len(exts)]
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for position in range(samples):
                key = key_of(number * samples + position)
                start = tar.offset
                image = draw(rng)
                said = {"caption": f"caption {key}", "mentions": [{"text": f"see {key}"}], "article": {"title": None}}
                for suffix, data in (
                    (ext, image),
                    ("txt", f"text of {key}".encode()),
                    ("json", json.dumps(said | record(key)).encode()),
                ):
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                made.where[key] = (number, start, tar.offset)
        made.shards.append((f"shards/{number:03d}.tar", path.stat().st_size, ext))
        data = path.read_bytes()
        for key, (shard, start, end) in made.where.items():
            if shard == number:
                made.checks[key] = check_of(data[start:end])
    return made


@pytest.fixture
def physical(tmp_path: Path) -> Physical:
    return build(tmp_path)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Physical, Trouble], str]]:
    monkeypatch.setattr(http_module, "_FIRST_WAIT", 0.001)
    servers: list[Server] = []

    def start(physical: Physical, trouble: Trouble) -> str:
        kind = type("Played", (Handler,), {"root": physical.root, "trouble": trouble, "requests": [], "sent": []})
        server = Server(("127.0.0.1", 0), kind)
        servers.append(server)
        physical.served = kind
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def read_tar(data: bytes) -> dict[str, dict[str, bytes]]:
    """Members of a tar by key and extension; fails on a repeated name."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        for member in tar:
            key, ext = member.name.split(".")
            file = tar.extractfile(member)
            assert file is not None
            assert ext not in found.setdefault(key, {}), member.name
            found[key][ext] = file.read()
    return found


def keys_in_order(data: bytes) -> list[str]:
    """Keys as a WebDataset reader groups them."""
    keys: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:
        for member in tar:
            key = member.name.split(".")[0]
            if member.name.endswith(".json"):
                keys.append(key)
    return keys
