"""Downloads from a server that redirects, stalls or babbles: whole and checked, or not there."""

import hashlib
import http.server
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
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
        elif place == "drip":  # each byte in time, the file never
            self.send_response(200)
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
            self.drip()
        elif place == "chunks":  # the same without a length
            self.protocol_version = "HTTP/1.1"  # knows chunks
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.drip(b"1\r\nx\r\n")
        elif place == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            self.drip()
        elif place == "steady":  # slow, but over the least rate
            pieces = 12
            self.send_response(200)
            self.send_header("Content-Length", str(pieces * downloads.CHUNK))
            self.end_headers()
            for _ in range(pieces):
                self.wfile.write(bytes(downloads.CHUNK))
                self.over.wait(0.05)
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

    def drip(self, drop: bytes = b"x") -> None:
        """For ten seconds: a test of somebody who waits for ever is to fail, not to hang."""
        with suppress(OSError):  # whom it drips on has had enough
            for _ in range(500):
                if self.over.wait(0.02):
                    return
                self.wfile.write(drop)

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

    def fetch_file(place: str, sha256: str = SHA256, **options: float) -> Path:
        published = downloads.Published(f"{server[0]}/{place}", "models/w.pth", sha256)
        downloads.fetch_file("w", published, **options)
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


@pytest.mark.parametrize("place", ["drip", "chunks", "headers"])
def test_a_server_that_drips_is_given_up(fetch, server, tmp_path, place):
    """No read of it times out, for a byte comes each time."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(downloads.DownloadError) as raised:
        fetch(place, patience=0.2)
    assert "less than 65,536 bytes came within 0.2 s" in str(raised.value)
    assert server[1] == [f"/{place}"] * 3
    assert list((tmp_path / "models").iterdir()) == []
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_slow_server_is_waited_for(fetch):
    whole = bytes(12 * downloads.CHUNK)
    path = fetch("steady", hashlib.sha256(whole).hexdigest(), patience=0.5)
    assert path.read_bytes() == whole


def test_the_least_rate():
    assert (downloads.CHUNK, downloads.PATIENCE) == (65536, 120)  # bytes, seconds


def ticking(every: float, times: int, size: int, folder: Path) -> list[str]:
    """A command that puts `size` bytes into `folder` so often."""
    program = (
        "import sys, time\n"
        "for _ in range(int(sys.argv[2])):\n"
        "    time.sleep(float(sys.argv[1]))\n"
        "    open(sys.argv[3] + '/a', 'ab').write(bytes(int(sys.argv[4])))\n"
    )
    return [sys.executable, "-S", "-c", program, *map(str, (every, times, folder, size))]


def test_an_archive_that_comes_slowly_is_waited_for(tmp_path, capfd):
    steady = ticking(0.3, 5, downloads.CHUNK, tmp_path)
    assert downloads.run_growing(steady, tmp_path, 1, ())
    assert not downloads.run_growing([sys.executable, "-S", "-c", "exit(1)"], tmp_path, 9, ())
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("every", [60, 0.02])
def test_an_archive_that_stops_coming_or_drips_is_given_up(tmp_path, monkeypatch, capfd, every):
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def start(*arguments: object, **options: object) -> subprocess.Popen:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(downloads.subprocess, "Popen", start)
    assert not downloads.run_growing(ticking(every, 3000, 1, tmp_path), tmp_path, 0.3, ())
    assert "less than 65,536 bytes came within 0.3 s" in capfd.readouterr().out
    assert started[0].returncode == -signal.SIGKILL


ARCHIVE = downloads.Archive("1D", "Models/classifiers", ("a",))


@pytest.fixture
def silent_gdown(tmp_path, monkeypatch) -> None:
    """The folder `tmp_path` as repository, and a gdown that brings nothing."""
    (tmp_path / "gdown").mkdir()
    (tmp_path / "gdown/__init__.py").touch()
    version = f"gdown {downloads.GDOWN}"
    (tmp_path / "gdown/__main__.py").write_text(
        f"import sys, time\nif '--version' in sys.argv: sys.exit(print('{version}'))\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(downloads, "ROOT", tmp_path)
    monkeypatch.setattr(downloads, "why_unreachable", lambda url: "")


def test_fetch_archive_names_what_stopped_coming(silent_gdown):
    with pytest.raises(downloads.DownloadError, match="w could not be fetched"):
        downloads.fetch_archive("w", ARCHIVE, patience=0.3)


def test_what_another_run_has_fetched_meanwhile_is_left_alone(
    silent_gdown, tmp_path, monkeypatch, capsys
):
    """That run ends while this one waits for an answer of the server."""
    place = tmp_path / "Models/classifiers"

    def answer(url: str) -> str:
        place.mkdir(parents=True)
        (place / "a").touch()
        return ""

    monkeypatch.setattr(downloads, "why_unreachable", answer)
    downloads.fetch_archive("w", ARCHIVE, patience=0.3)
    assert capsys.readouterr().out == f"download_models: w is there: {place}\n"
    assert [path.name for path in (tmp_path / "Models/.downloads").iterdir()] == ["w.lock"]
