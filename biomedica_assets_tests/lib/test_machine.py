"""What a machine offers: each look says ok only where it is, and what to do where it is not."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from biomedica_assets.lib import machine
from biomedica_assets.lib.machine import Verdict


@pytest.mark.parametrize(
    ("version", "verdict"),
    [((3, 10, 9), Verdict.BROKEN), ((3, 11, 0), Verdict.OK), ((3, 13, 5), Verdict.OK), ((3, 14, 0), Verdict.BROKEN)],
)
def test_python_is_judged_by_what_the_project_requires(version, verdict):
    assert machine.python(version, "/usr/bin/python").verdict is verdict


def test_a_missing_and_an_old_package_are_named():
    found = machine.packages(["pytest>=1", "pytest>=999", "no-such-package-at-all", "faiss-cpu; extra == 'faiss'"])
    assert found.verdict is Verdict.BROKEN
    assert "no-such-package-at-all is missing" in found.found
    assert "needed >=999" in found.found
    assert "faiss" not in found.found
    assert machine.packages(["pytest>=1"]).verdict is Verdict.OK


def test_little_memory_is_a_look_with_a_way_out():
    assert machine.memory(total=16 * machine.GIB, available=8 * machine.GIB).verdict is Verdict.OK
    found = machine.memory(total=16 * machine.GIB, available=3 * machine.GIB)
    assert (found.verdict, found.found) == (Verdict.LOOK, "3.0 of 16.0 GiB free")
    assert found.cure


def test_few_open_files_are_a_look():
    assert machine.open_files(256).verdict is Verdict.LOOK
    assert machine.open_files(4096).verdict is Verdict.OK


def test_disk_is_judged_where_the_folder_will_lie(tmp_path, monkeypatch):
    free = 100 * machine.GIB
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": free}))
    assert machine.disk(tmp_path / "not" / "yet").found == f"100.0 GiB free at {tmp_path}"
    free = 10 * machine.GIB
    assert machine.disk(tmp_path).verdict is Verdict.LOOK
    free = machine.GIB // 2
    assert machine.disk(tmp_path).verdict is Verdict.BROKEN
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_data_directory_is_broken(tmp_path):
    (tmp_path / "data").write_text("x")
    found = machine.disk(tmp_path / "data" / "mine")
    assert found.verdict is Verdict.BROKEN
    assert str(tmp_path / "data") in found.found


@pytest.mark.parametrize(
    ("device", "cards", "built", "verdict"),
    [
        ("auto", ["NVIDIA H100, 81559 MiB"], "12.8", Verdict.OK),
        ("auto", ["NVIDIA H100, 81559 MiB"], None, Verdict.LOOK),
        ("cuda", ["NVIDIA H100, 81559 MiB"], None, Verdict.BROKEN),
        ("cuda", [], "12.8", Verdict.BROKEN),
        ("auto", [], "12.8", Verdict.LOOK),
        ("cpu", [], None, Verdict.OK),
    ],
)
def test_a_card_counts_only_with_a_torch_that_was_built_for_it(monkeypatch, device, cards, built, verdict):
    monkeypatch.setattr(machine, "_cards", lambda: cards)
    monkeypatch.setattr(machine, "_torch_cuda", lambda: built)
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert machine.card(device).verdict is verdict


def test_a_taken_port_names_a_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        found = machine.port(number, "the page")
        assert found.verdict is Verdict.LOOK
        assert f"--port {machine.free_port(number)}" in found.cure
    assert machine.port(number, "the page").verdict is Verdict.OK


def test_a_host_that_answers_is_reachable_and_a_closed_port_is_not(monkeypatch):
    monkeypatch.setattr(machine.urllib.request, "getproxies", dict)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert machine.unreachable(url) is None
    assert "refused" in str(machine.unreachable(url)).lower()


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    hangs = threading.Event()

    def resolves_slowly(*_arguments):
        hangs.wait(30)
        raise OSError("nobody waits any more")

    monkeypatch.setattr(machine.urllib.request, "getproxies", dict)
    monkeypatch.setattr(machine.socket, "create_connection", resolves_slowly)
    began = time.monotonic()
    assert "does not answer within 0.2 s" in str(machine.unreachable("https://example.org", timeout=0.2))
    assert time.monotonic() - began < 10
    hangs.set()


def test_a_proxy_of_the_environment_stands_for_the_host(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(machine.urllib.request, "getproxies", lambda: {"https": proxy})
        assert machine.unreachable("https://no-such-host.invalid") is None
    assert str(machine.unreachable("https://no-such-host.invalid")).startswith("proxy: ")
