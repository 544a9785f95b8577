"""A hub on the loopback: the requests that huggingface_hub makes, answered from a dictionary.

Weights go the way of large files: a redirect, then bytes with ranges; it can cut an answer short
and dawdle.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

_STEP = 1 << 16


@attrs.define
class FakeHub:
    """Its repositories: name → revision → file → bytes. `requests` are those it had.

    `gated` and `broken` are names it answers 403 and 500 to. `cuts` says after how many bytes an
    answer of a large file breaks off, once for each entry; `pause_s` waits after every 64 kB.
    """

    repositories: dict[str, dict[str, dict[str, bytes]]]
    gated: set[str] = attrs.field(factory=set)
    broken: set[str] = attrs.field(factory=set)
    cuts: list[int] = attrs.field(factory=list)
    pause_s: float = 0.0
    requests: list[str] = attrs.field(factory=list)
    endpoint: str = ""
    files_endpoint: str = ""

    def commit(self, repository: str, revision: str) -> str | None:
        """Return the commit of a revision: a hash of its name and of what it holds."""
        known = self.repositories[repository]
        for name, files in known.items():
            made = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()
            if revision in (name, made):
                return made
        return None

    def files(self, repository: str, commit: str) -> dict[str, bytes]:
        """Return the files of a commit."""
        for name, files in self.repositories[repository].items():
            if self.commit(repository, name) == commit:
                return files
        raise KeyError(commit)

    def downloads(self) -> list[str]:
        """Return the requests for files' bytes, with their ranges."""
        return [line for line in self.requests if line.startswith("GET /cdn")]


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve until the block ends."""
    bound = type("Bound", (Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), bound) for _ in range(2)]
    # Large files come from a second place, as the hub's do: the client treats such redirects apart.
    hub.endpoint, hub.files_endpoint = (
        f"http://127.0.0.1:{server.server_address[1]}" for server in servers
    )
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".gguf", ".bin"))


def hash_of(name: str, data: bytes) -> str:
    """Return the hash that names a file's blob."""
    return hashlib.sha256(data).hexdigest() if is_large(name) else hashlib.sha1(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        wanted = self.headers.get("Range")
        self.hub.requests.append(" ".join(filter(None, (self.command, path, wanted))))
        if path.startswith("/cdn/"):
            return self.send_large(path.removeprefix("/cdn/"), wanted)
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        repository = found[1] if found else ""
        if repository in self.hub.gated and not (api and api[2] != "tree"):
            return self.refuse(403, "GatedRepo")
        if repository in self.hub.broken:
            return self.refuse(501, "")
        if repository not in self.hub.repositories:
            return self.refuse(404, "RepoNotFound")
        revision = (api[3] or "main") if api else file[2]  # type: ignore[index]
        commit = self.hub.commit(repository, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound")
        files = self.hub.files(repository, commit)
        if api:
            said = self.tree(files) if api[2] == "tree" else self.info(repository, commit, files)
            return self.send(json.dumps(said).encode(), {"Content-Type": "application/json"})
        if file[3] not in files:  # type: ignore[index]
            return self.refuse(404, "EntryNotFound")
        return self.resolve(file[3], files[file[3]], commit)  # type: ignore[index]

    def info(self, repository: str, commit: str, files: dict[str, bytes]) -> dict[str, Any]:
        siblings = [{"rfilename": name} for name in files]
        return {"_id": "0", "id": repository, "modelId": repository, "sha": commit,
                "private": False, "tags": [], "downloads": 0, "likes": 0,
                "siblings": siblings}  # fmt: skip

    def tree(self, files: dict[str, bytes]) -> list[dict[str, Any]]:
        entries = []
        for name, data in files.items():
            entry = {"type": "file", "path": name, "size": len(data), "oid": hash_of(name, data)}
            if is_large(name):
                large = {"oid": hash_of(name, data), "size": len(data), "pointerSize": 130}
                entry["lfs"] = large
            entries.append(entry)
        return entries

    def resolve(self, name: str, data: bytes, commit: str) -> None:
        said = {"X-Repo-Commit": commit, "ETag": f'"{hash_of(name, data)}"'}
        if not is_large(name):
            return self.send(data, said)
        digest = hash_of(name, data)
        said |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        said["Location"] = f"{self.hub.files_endpoint}/cdn/{digest}"
        return self.send(b"", said, 302)

    def send_large(self, digest: str, wanted: str | None) -> None:
        all_files = (
            (name, data)
            for revisions in self.hub.repositories.values()
            for files in revisions.values()
            for name, data in files.items()
        )
        data = next((d for name, d in all_files if hash_of(name, d) == digest), None)
        if data is None:
            return self.refuse(404, "EntryNotFound")
        said = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        begin = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if begin is None:
            return self.send(data, said)
        at = int(begin[1])
        said["Content-Range"] = f"bytes {at}-{len(data) - 1}/{len(data)}"
        return self.send(data[at:], said, 206)

    def refuse(self, status: int, code: str) -> None:
        self.send(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        large = self.path.startswith("/cdn/")
        end = self.hub.cuts.pop(0) if large and self.hub.cuts else len(body)
        try:
            for at in range(0, min(end, len(body)), _STEP):
                self.wfile.write(body[at : min(at + _STEP, end)])
                if large and self.hub.pause_s:
                    time.sleep(self.hub.pause_s)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if end < len(body):
            self.close_connection = True
