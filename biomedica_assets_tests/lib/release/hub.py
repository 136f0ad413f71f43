"""A Hugging Face hub on loopback, as far as an upload of a dataset needs one: create, preupload, LFS, commit."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass
class Hub:
    """``files`` is what a commit left in the repository; ``requests`` what was asked."""

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    objects: dict[str, bytes] = dataclasses.field(default_factory=dict)
    created: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)
    endpoint: str = ""

    def __enter__(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._answer(hub.post(self.path, self._body()))

            def do_PUT(self) -> None:
                data = self._body()
                oid = self.path.rpartition("/")[2]
                if hashlib.sha256(data).hexdigest() != oid:
                    self._answer({"error": "digest"}, 400)
                    return
                hub.objects[oid] = data
                self._answer({})

            def do_GET(self) -> None:
                self._answer({"id": "lab/figures", "sha": "0" * 40, "siblings": []})

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    parts = []
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        parts.append(self.rfile.read(size))
                        self.rfile.readline()
                    self.rfile.readline()
                    return b"".join(parts)
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _answer(self, values: Any, status: int = 200) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                data = json.dumps(values).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def post(self, path: str, body: bytes) -> Any:
        """What the hub answers to a POST."""
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.endpoint}/datasets/lab/figures", "id": "lab/figures", "name": "lab/figures"}
        if re.search(r"/preupload/", path):
            files = json.loads(body)["files"]
            large = (".tar", ".parquet", ".png")
            modes = {f["path"]: "lfs" if f["path"].endswith(large) else "regular" for f in files}
            return {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
        if path.endswith("/info/lfs/objects/batch"):
            wanted = json.loads(body)["objects"]
            actions = {o["oid"]: {"upload": {"href": f"{self.endpoint}/lfs/{o['oid']}"}} for o in wanted}
            return {"transfer": "basic", "objects": [{**o, "actions": actions[o["oid"]]} for o in wanted]}
        if "/commit/" in path:
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    self.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    self.files[value["path"]] = self.objects[value["oid"]]
            return {"commitUrl": f"{self.endpoint}/datasets/lab/figures/commit/1", "commitOid": "1" * 40}
        return {"errors": [], "warnings": []}
