"""Downloads from a server that redirects, stalls or babbles: whole and checked, or not there."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest
from common import downloads

WEIGHTS = b"weights" * 100
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class Moody(http.server.BaseHTTPRequestHandler):
    """Does at each path what its name says."""

    asked: list[str]
    over: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        place = self.path.strip("/")
        if place.startswith("to:"):
            self.answer(302, b"", Location=place.removeprefix("to:"))
        elif place == "stall":
            self.over.wait(20)
        elif place == "stop":  # within the file
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            self.wfile.write(WEIGHTS[:300])
            self.wfile.flush()
            self.over.wait(20)
        elif place == "babble":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        elif place == "page":
            self.answer(200, b"<html>busy, try again later</html>")
        elif place == "limit":
            self.answer(429, b"", **{"Retry-After": "1"})
        elif place == "nothing":
            self.answer(200, b"")
        else:
            self.answer(200, WEIGHTS)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Address of a moody server, and the paths that it is asked for."""
    asked: list[str] = []
    over = threading.Event()
    handler = type("Handler", (Moody,), {"asked": asked, "over": over})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as moody:
        threading.Thread(target=moody.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{moody.server_port}", asked
        over.set()
        moody.shutdown()


@pytest.fixture
def fetch(server, monkeypatch, tmp_path):
    """Fetches a place of the server as weights of a known checksum; gives the file's path."""
    slept: list[float] = []
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    monkeypatch.setattr("pooch.core.time.sleep", slept.append)
    real = pooch.HTTPDownloader.__init__

    def impatient(self, *arguments: object, **options: object) -> None:
        assert "timeout" not in options  # pooch's own: it gives up a server that is silent
        real(self, *arguments, **options, timeout=0.3)

    monkeypatch.setattr(pooch.HTTPDownloader, "__init__", impatient)

    def fetch_file(place: str) -> Path:
        published = downloads.Published(f"{server[0]}/{place}", "models/w.pth", SHA256)
        downloads.fetch_file("w", published)
        return tmp_path / "models/w.pth"

    fetch_file.slept = slept
    return fetch_file


def test_redirects_are_followed(fetch, server):
    assert fetch("to:/to:/file").read_bytes() == WEIGHTS
    assert server[1] == ["/to:/to:/file", "/to:/file", "/file"]


@pytest.mark.parametrize(
    ("place", "asked", "reason"),
    [
        ("to:file:///etc/passwd", 3, "No connection adapters were found for 'file:///etc/passwd'"),
        ("to:/to:/page", 3, "has SHA-256"),
        ("page", 1, "has SHA-256"),
        ("nothing", 1, "has SHA-256"),
        ("stall", 3, "Read timed out"),
        ("stop", 3, "Read timed out"),
        ("babble", 3, "BadStatusLine"),
        ("limit", 3, "429 Client Error"),
    ],
)
def test_what_a_moody_server_gives_is_refused(fetch, server, tmp_path, place, asked, reason):
    with pytest.raises(downloads.DownloadError) as raised:
        fetch(place)
    assert reason in str(raised.value)
    assert f"{server[0]}/{place}" in str(raised.value)
    assert len(server[1]) == asked
    if "SHA-256" not in reason:
        assert fetch.slept == [1, 2]  # seconds: it waits longer each time
    assert list((tmp_path / "models").iterdir()) == []


def test_redirects_without_end_are_an_error(fetch, server, tmp_path):
    loop = "to:/" * 40
    with pytest.raises(downloads.DownloadError, match="Exceeded 30 redirects"):
        fetch(loop)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_silent_server_is_given_up_in_the_end():
    assert 1 <= pooch.downloaders.DEFAULT_TIMEOUT <= 60  # seconds
