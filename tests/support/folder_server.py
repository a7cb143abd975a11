"""A web server of one folder on loopback, with the manners and the malice that the tests of stores need."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(slots=True)
class FolderServer:
    """What it serves and how; a test changes it while it runs."""

    root: Path
    url: str = ""
    ranges: bool = True
    """Whether it answers a request for a part with that part."""
    cut: int | None = None
    """Bytes after which a body ends without a word."""
    endless: bool = False
    """Whether a body never ends, and says no length."""
    lie: Callable[[bytes], bytes] | None = None
    """What it makes of a body."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, range) of each GET."""


@contextmanager
def folder_server(root: Path) -> Iterator[FolderServer]:
    """A running server on a free port."""
    state = FolderServer(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            return

        def do_HEAD(self) -> None:
            self._serve(body=False)

        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Range")))
            self._serve(body=True)

        def _serve(self, *, body: bool) -> None:
            path = state.root / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            try:
                self._answer(path.read_bytes(), body=body)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client has had enough

        def _answer(self, data: bytes, *, body: bool) -> None:
            data = state.lie(data) if state.lie else data
            if state.endless:
                self.send_response(200)
                self.end_headers()
                while body:
                    self.wfile.write(b"\0" * 65536)
                return
            asked = self.headers.get("Range") if state.ranges else None
            total = len(data)
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last) if last else total - 1, total - 1)
                data = data[start : end + 1]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end}/{total}")
            else:
                self.send_response(200)
            if state.ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data if state.cut is None else data[: state.cut])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
