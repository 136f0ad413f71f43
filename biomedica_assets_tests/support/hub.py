"""A Hugging Face Hub on loopback that huggingface_hub's own client can tell from the real one by nothing it looks at.

Tokens and their rights, repositories with a history of commits, preupload, LFS objects, commits on a parent with
additions and deletions, pages of a tree, files by range. ``trouble`` plays faults. Xet, whose protocol is not public,
is not played: tests switch it off in the client.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".tar", ".parquet", ".png")
PAGE = 7
WRITER = "hf_writer"
READER = "hf_reader"


class No(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


Trouble = Callable[[str, str, int], "No | None"]
"""Method, path and number of this request among those of its method and path: what goes wrong with it, if anything."""


def user(name: str, role: str, orgs: dict[str, str] | None = None, scoped: list[dict[str, Any]] | None = None) -> Any:
    """What ``whoami`` says of a token, in the Hub's own form."""
    token: dict[str, Any] = {"displayName": f"{name}-token", "role": role}
    if scoped is not None:
        token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
    return {
        "type": "user", "name": name, "fullname": name,
        "orgs": [{"type": "org", "name": org, "roleInOrg": part} for org, part in (orgs or {}).items()],
        "auth": {"type": "access_token", "accessToken": token},
    }  # fmt: skip


@dataclasses.dataclass
class Repo:
    """Files at the head, and at each commit before."""

    private: bool
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    large: set[str] = dataclasses.field(default_factory=set)
    history: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)
    messages: list[str] = dataclasses.field(default_factory=list)
    operations: list[list[tuple[str, str]]] = dataclasses.field(default_factory=list)

    @property
    def head(self) -> str:
        return list(self.history)[-1]

    def keep(self, message: str, operations: list[tuple[str, str]]) -> str:
        self.messages.append(message)
        self.operations.append(operations)
        oid = hashlib.sha1(f"{len(self.history)}{message}".encode()).hexdigest()
        self.history[oid] = dict(self.files)
        return oid

    def entry(self, path: str) -> dict[str, Any]:
        data = self.files[path]
        sha256 = hashlib.sha256(data).hexdigest()
        found = {"type": "file", "path": path, "size": len(data), "oid": blob(data)}
        if path in self.large:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n".encode()
            found |= {"oid": blob(pointer), "lfs": {"oid": sha256, "size": len(data), "pointerSize": len(pointer)}}
        return found


def blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclasses.dataclass
class Hub:
    """``repos`` by name, ``objects`` in large storage by digest, ``requests`` as (method, path)."""

    tokens: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {WRITER: user("ada", "write", {"lab": "write", "museum": "read"})}
    )
    repos: dict[str, Repo] = dataclasses.field(default_factory=dict)
    objects: dict[str, bytes] = dataclasses.field(default_factory=dict)
    requests: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    trouble: Trouble = lambda method, path, n: None
    on_the_way: Callable[[str, int, bytes], bytes] = lambda path, start, data: data
    """Makes of path, offset and bytes of an answer the bytes that arrive."""
    endpoint: str = ""

    @property
    def written(self) -> list[tuple[str, str]]:
        """Requests that change or send something."""
        return [(method, path) for method, path in self.requests if method not in {"GET", "HEAD"}]

    @property
    def put(self) -> list[str]:
        """Digests of objects that were sent, in order."""
        return [path.rpartition("/")[2] for method, path in self.requests if method == "PUT"]

    def add(self, name: str, *, private: bool = True) -> Repo:
        """A repository as the Hub makes one."""
        made = self.repos[name] = Repo(private, {".gitattributes": b"*.tar filter=lfs diff=lfs merge=lfs -text\n"})
        made.keep("initial commit", [])
        return made

    def __enter__(self) -> Hub:
        handler = type("Played", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a success.

        Raises:
            No: of anything else.
        """
        address = urlsplit(target)
        path, query = unquote(address.path), {k: v[0] for k, v in parse_qs(address.query).items()}
        for pattern, methods, act in _ROUTES:
            if method in methods and (match := re.fullmatch(pattern, path)):
                found = act(self, _Asked(token, query, body), *match.groups())
                return found if isinstance(found, tuple) else (json.dumps(found).encode(), {})
        raise No(404, message=f"no such address: {method} {path}")


@dataclasses.dataclass
class _Asked:
    token: str
    query: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def _who(hub: Hub, asked: _Asked) -> Any:
    if asked.token not in hub.tokens:
        raise No(401, message="Invalid credentials in Authorization header" if asked.token else "Unauthorized")
    return hub.tokens[asked.token]


def _may(who: Any, owner: str, name: str) -> bool:
    token = who["auth"]["accessToken"]
    if token["role"] == "fineGrained":
        scopes = token["fineGrained"]["scoped"]
        return any(s["entity"]["name"] in {owner, name} and "repo.write" in s["permissions"] for s in scopes)
    orgs = {org["name"]: org["roleInOrg"] for org in who["orgs"]}
    return token["role"] == "write" and (owner == who["name"] or orgs.get(owner, "read") != "read")


def _repo(hub: Hub, asked: _Asked, name: str, *, write: bool = False) -> Repo:
    found = hub.repos.get(name)
    owner = name.partition("/")[0]
    who = hub.tokens.get(asked.token)
    if asked.token and who is None:
        raise No(401, message="Invalid credentials in Authorization header")
    member = who is not None and owner in {who["name"], *(org["name"] for org in who["orgs"])}
    if found is None or (found.private and not member):
        raise No(404 if who else 401, "RepoNotFound", "Repository not found")
    if write and not (who and _may(who, owner, name)):
        raise No(403, message=f"You don't have the right to write to {name}")
    return found


def _info(hub: Hub, asked: _Asked, name: str, revision: str | None = None) -> Any:
    repo = _repo(hub, asked, name)
    if revision not in {None, "main", *repo.history}:
        raise No(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    sha = repo.head if revision in {None, "main"} else revision
    siblings = [{"rfilename": path} for path in sorted(repo.history[sha])]
    return {"id": name, "sha": sha, "private": repo.private, "disabled": False, "gated": False, "siblings": siblings,
            "tags": [], "downloads": 0, "likes": 0, "author": name.partition("/")[0]}  # fmt: skip


def _create(hub: Hub, asked: _Asked) -> Any:
    who, wanted = _who(hub, asked), asked.json
    owner = wanted.get("organization") or who["name"]
    name = f"{owner}/{wanted['name']}"
    if name in hub.repos:
        raise No(409, message="You already created this dataset repo")
    if not _may(who, owner, name):
        raise No(403, message=f"You don't have the rights to create a dataset under the namespace {owner!r}")
    hub.add(name, private=wanted.get("private", wanted.get("visibility") == "private"))
    return {"url": f"{hub.endpoint}/datasets/{name}", "id": name, "name": name}


def _tree(hub: Hub, asked: _Asked, name: str, revision: str, below: str | None) -> Any:
    """Files in pages, the next one in ``Link``, as the Hub does it."""
    repo = _repo(hub, asked, name)
    prefix = f"{below}/" if below else ""
    found = sorted(path for path in repo.files if path.startswith(prefix))
    if prefix and not found:
        raise No(404, "EntryNotFound", f"{below} does not exist")
    entries: list[Any] = []
    for path in found:
        inner = path.removeprefix(prefix)
        if "/" not in inner or asked.query.get("recursive") in {"True", "true", "1"}:
            entries.append(repo.entry(path))
        folder = prefix + inner.partition("/")[0]
        if "/" in inner and not any(entry["path"] == folder for entry in entries):
            entries.append({"type": "directory", "path": folder, "size": 0, "oid": "0" * 40})
    low = int(asked.query.get("cursor", "0"))
    headers = {"X-Repo-Commit": repo.head}
    if low + PAGE < len(entries):
        rest = "&".join(f"{k}={v}" for k, v in {**asked.query, "cursor": str(low + PAGE)}.items())
        where = f"/{below}" if below else ""
        headers["Link"] = f'<{hub.endpoint}/api/datasets/{name}/tree/{revision}{where}?{rest}>; rel="next"'
    return json.dumps(entries[low : low + PAGE]).encode(), headers


def _paths(hub: Hub, asked: _Asked, name: str, _revision: str) -> Any:
    repo = _repo(hub, asked, name)
    form = parse_qs(asked.body.decode()) if not asked.body.startswith(b"{") else asked.json
    found: list[Any] = []
    for path in form["paths"]:
        if path in repo.files:
            found.append(repo.entry(path))
        elif any(there.startswith(f"{path}/") for there in repo.files):
            found.append({"type": "directory", "path": path, "size": 0, "oid": "0" * 40})
    return found


def _preupload(hub: Hub, asked: _Asked, name: str, _revision: str) -> Any:
    repo = _repo(hub, asked, name, write=True)
    found: list[Any] = []
    for file in asked.json["files"]:
        path = file["path"]
        entry = repo.entry(path) if path in repo.files else {}
        oid = entry.get("lfs", entry).get("oid")
        mode = "lfs" if path.endswith(LARGE) else "regular"
        found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return {"files": found}


def _batch(hub: Hub, asked: _Asked, name: str) -> Any:
    _repo(hub, asked, name, write=True)
    found: list[Any] = []
    for wanted in asked.json["objects"]:
        lacks = wanted["oid"] not in hub.objects
        href, check = f"{hub.endpoint}/lfs/{wanted['oid']}", f"{hub.endpoint}/verify/{name}"
        actions = {"actions": {"upload": {"href": href}, "verify": {"href": check}}} if lacks else {}
        found.append({"oid": wanted["oid"], "size": wanted["size"], **actions})
    return {"transfer": "basic", "objects": found}


def _put(hub: Hub, asked: _Asked, oid: str) -> Any:
    if hashlib.sha256(asked.body).hexdigest() != oid:
        raise No(400, message="the bytes have another digest")
    hub.objects[oid] = asked.body
    return {}


def _verify(hub: Hub, asked: _Asked, _name: str) -> Any:
    if len(hub.objects.get(asked.json["oid"], b"")) != asked.json["size"]:
        raise No(404, message="the object did not arrive")
    return {}


def _commit(hub: Hub, asked: _Asked, name: str, _revision: str) -> Any:
    repo = _repo(hub, asked, name, write=True)
    lines = [json.loads(line) for line in asked.body.splitlines()]
    header = lines[0]["value"]
    if header.get("parentCommit", repo.head) != repo.head:
        raise No(412, message="A commit has happened since. Please refresh and try again.")
    files, large = dict(repo.files), set(repo.large)
    done: list[tuple[str, str]] = []
    for line in lines[1:]:
        kind, value = line["key"], line["value"]
        path = value["path"]
        done.append((kind, path))
        if kind == "deletedFile":
            if path not in files:
                raise No(404, "EntryNotFound", "A file with this name doesn't exist")
            del files[path]
            large.discard(path)
        elif kind == "file":
            files[path] = base64.b64decode(value["content"])
            large.discard(path)
        elif value["oid"] not in hub.objects:
            raise No(400, message=f"LFS object {value['oid']} is not there")
        else:
            files[path] = hub.objects[value["oid"]]
            large.add(path)
    repo.files, repo.large = files, large
    oid = repo.keep(header["summary"], done)
    return {"success": True, "commitUrl": f"{hub.endpoint}/datasets/{name}/commit/{oid}", "commitOid": oid}


def _resolve(hub: Hub, asked: _Asked, name: str, revision: str, path: str) -> Any:
    repo = _repo(hub, asked, name)
    files = repo.files if revision == "main" else repo.history.get(revision)
    if files is None:
        raise No(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if path not in files:
        raise No(404, "EntryNotFound", f"{path} does not exist")
    data = files[path]
    tag = hashlib.sha256(data).hexdigest() if path in repo.large else blob(data)
    return data, {"ETag": f'"{tag}"', "X-Repo-Commit": repo.head, "Accept-Ranges": "bytes"}


def _writable(hub: Hub, asked: _Asked, name: str) -> Any:
    _repo(hub, asked, name, write=True)
    return {}


_NAME = r"([^/]+/[^/]+)"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    (r"/api/whoami-v2", "GET", _who),
    (r"/api/repos/create", "POST", _create),
    (r"/api/validate-yaml", "POST", lambda hub, asked: {"errors": [], "warnings": []}),
    (rf"/api/datasets/{_NAME}", "GET", _info),
    (rf"/api/datasets/{_NAME}/revision/([^/]+)", "GET", _info),
    (rf"/api/datasets/{_NAME}/auth-check/write", "GET", _writable),
    (rf"/api/datasets/{_NAME}/tree/([^/]+)(?:/(.+))?", "GET", _tree),
    (rf"/api/datasets/{_NAME}/paths-info/([^/]+)", "POST", _paths),
    (rf"/api/datasets/{_NAME}/preupload/([^/]+)", "POST", _preupload),
    (rf"/api/datasets/{_NAME}/commit/([^/]+)", "POST", _commit),
    (rf"/datasets/{_NAME}\.git/info/lfs/objects/batch", "POST", _batch),
    (r"/lfs/(\w+)", "PUT", _put),
    (rf"/verify/{_NAME}", "POST", _verify),
    (rf"/datasets/{_NAME}/resolve/([^/]+)/(.+)", "GET HEAD", _resolve),
]


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def _handle(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        body = b"".join(self._body())
        hub.requests.append((self.command, path))
        try:
            if (no := hub.trouble(self.command, path, hub.requests.count((self.command, path)))) is not None:
                raise no
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            data, headers = hub.answer(self.command, self.path, token, body)
            self._send(data, headers)
        except No as no:
            said = {"X-Error-Code": no.code, "X-Error-Message": " ".join(no.message.split()), **no.headers}
            self._say(no.status, json.dumps({"error": no.message}).encode(), said)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _send(self, data: bytes, headers: dict[str, str]) -> None:
        wanted = self.headers.get("Range", "")
        if last := re.fullmatch(r"bytes=-(\d+)", wanted):
            wanted = f"bytes={max(0, len(data) - int(last[1]))}-"
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if span is None:
            self._say(200, self.hub.on_the_way(self.path, 0, data), headers)
            return
        low, high = int(span[1]), min(int(span[2]) + 1 if span[2] else len(data), len(data))
        self._say(
            206,
            self.hub.on_the_way(self.path, low, data[low:high]),
            headers | {"Content-Range": f"bytes {low}-{high - 1}/{len(data)}"},
        )

    def _say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *_: object) -> None:
        """Stay quiet."""
