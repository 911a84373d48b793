"""A report on a port of this machine, made anew when the journals have grown."""

from __future__ import annotations

import functools
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from evo.errors import UserError
from evo.report.pages.markup import escaped, page_part, renewal
from evo.storage.rundir import RunDirectory
from evo.texts import printable

HOST = "127.0.0.1"
"""Only this machine can ask: a report holds what the user has not published."""
_SHARE = 4.0  # How many times as long as a page took to make it is shown at least.
_NO_VERSION = "none"  # Of a page that says what is wrong: the next version is always another one.
_HTML, _TEXT, _SCRIPT = "text/html; charset=utf-8", "text/plain; charset=utf-8", "text/javascript; charset=utf-8"


def version_of(runs: Sequence[str]) -> str:
    """A short text that is another one when a run directory has changed; only looks at sizes and times of files.

    Args:
        runs: The run directories.
    """
    seen = []
    for run in runs:
        directory = RunDirectory(Path(run))
        for file in [*directory.journals(), directory.path / "study.json", directory.path / "summary.json"]:
            with suppress(OSError):
                found = file.stat()
                is_journal = file.suffix == ".jsonl"
                seen.append((str(file), found.st_size, 0 if is_journal else found.st_mtime_ns))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


class LivePage:
    """The page of the moment, which is made when it is asked for and has changed since.

    A long page of a search that goes on changes all the time, and making it must not fill a core of a login node: a new
    version counts only after some times as long as the last page took.

    Args:
        make: Makes the page of a version.
        version: Tells the version of the moment.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, make: Callable[[str], str], version: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make, self._version, self._clock = make, version, clock
        self._lock = threading.Lock()
        self._page: ServedPage | None = None
        self._kept_until = 0.0

    def version(self) -> str:
        """The version that a browser is to show."""
        page = self._page
        return page.version if page is not None and self._clock() < self._kept_until else self._version()

    def get(self) -> ServedPage:
        """The page."""
        with self._lock:  # Who asks meanwhile gets the same page, rather than making another one.
            began = self._clock()
            if self._page is not None and began < self._kept_until:
                return self._page
            try:
                version = self._version()
                if self._page is None or self._page.version != version:
                    self._page = ServedPage(version, HTTPStatus.OK, gzip.compress(as_bytes(self._make(version)), 5))
            except UserError as error:  # A journal may be damaged for a moment, or the directory be gone.
                body = gzip.compress(as_bytes(error_page(error)))
                self._page = ServedPage(_NO_VERSION, HTTPStatus.INTERNAL_SERVER_ERROR, body)
            ended = self._clock()
            self._kept_until = ended + _SHARE * (ended - began)
            return self._page


class ServedPage(NamedTuple):
    """A page as it was made.

    Args:
        version: What the server calls this state of the runs.
        status: Whether it is the report.
        body: The page, compressed by gzip.
    """

    version: str
    status: HTTPStatus
    body: bytes


def error_page(error: UserError) -> str:
    """What is shown where no report can be made; it asks for a newer one as a report does."""
    return "".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>evo</title></head><body>',
            f"<p>{escaped(error)}</p>{renewal(_NO_VERSION)}",
            f"<script>{page_part('page.js')}</script></body></html>",
        ]
    )


def as_bytes(text: str) -> bytes:
    """A page as UTF-8, whatever is in it."""
    return text.encode("utf-8", "backslashreplace")


def make_server(page: LivePage, script: str, port: int) -> ThreadingHTTPServer:
    """A server of a page on this machine.

    Args:
        page: The page.
        script: What stands at /plotly.js, which a browser keeps.
        port: The port; 0 means one that is free.

    Raises:
        UserError: The port cannot be used.
    """
    handler = functools.partial(_Handler, page, gzip.compress(as_bytes(script), 6))
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"--serve {port}: {why}; choose another port, or leave it out for a free one") from None
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    """Answers requests.

    Args:
        page: The page.
        script: The script, compressed.
        request: What `BaseHTTPRequestHandler` takes, as the following ones.
    """

    server_version = "evo"
    sys_version = ""

    def __init__(self, page: LivePage, script: bytes, *request: object) -> None:
        self._page = page
        self._script = script
        super().__init__(*request)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with the page, its version or its script."""
        # A web site that makes its own name mean 127.0.0.1 must not read the page through the user's browser.
        name = self.headers.get("Host", "").rpartition(":")[0]
        if name not in (HOST, "localhost"):
            self._answer(HTTPStatus.FORBIDDEN, _TEXT, gzip.compress(b"ask 127.0.0.1 or localhost\n"))
            return
        path = self.path.partition("?")[0]
        try:
            if path == "/":
                page = self._page.get()
                self._answer(page.status, _HTML, page.body)
            elif path == "/version":
                self._answer(HTTPStatus.OK, _TEXT, gzip.compress(self._page.version().encode()))
            elif path == "/plotly.js":
                self._answer(HTTPStatus.OK, _SCRIPT, self._script, kept=True)
            else:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, gzip.compress(b"not found\n"))
        except UserError as error:  # The directory may be gone for a moment.
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, gzip.compress(as_bytes(f"{error}\n")))

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, kind: str, body: bytes, kept: bool = False) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # The browser has left.
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "max-age=86400, immutable" if kept else "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing about requests that went well."""

    def log_error(self, format: str, *args: object) -> None:
        """Say what went wrong, in one line."""
        print(f"evo: {printable(format % args)}", flush=True)
