"""Fetch published weights and data sets, each into its place; download_models.sh starts it.

    PYTHONPATH=scripts python -m common.downloads [NAME ...]

Files at a plain address come by pooch, archives on Google Drive by gdown. What comes has a
temporary name until it is whole and checked. A file that is there is left alone. A server that is
silent or drips is given up.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.archives import ArchiveError, SpoiltArchive, install

ROOT = Path(__file__).resolve().parents[2]
GDOWN = "6.5.1"
DRIVE = "https://drive.google.com"
RETRIES = 2  # pooch waits 1 s before the first, 2 s before the second
CHUNK = 2**16  # bytes that come to a file at a time; gdown's come by 2**19
PATIENCE = 120.0  # seconds in which CHUNK must come: over 0.5 kB/s, from Google Drive 4.4 kB/s


class DownloadError(Exception):
    """Something that did not come; the message names it, its address and the next step."""


@dataclass(frozen=True)
class Published:
    """A file at a plain address."""

    url: str  # the environment variable {NAME}_URL overrides it
    file: str  # where it belongs, below the repository
    sha256: str  # what is known of it: all, the first digits, or nothing


@dataclass(frozen=True)
class Archive:
    """An archive on Google Drive."""

    identity: str
    folder: str  # where its contents belong, below the repository
    names: tuple[str, ...]  # what must be in it


MODELS: dict[str, Published | Archive] = {
    "pidinet": Published(
        "https://raw.githubusercontent.com/hellozhuo/pidinet/master/trained_models/table5_pidinet.pth",
        "Models/edges/table5_pidinet.pth",
        "80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c",
    ),
    "dinov2": Published(
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "Models/backbones/dinov2_vitb14_pretrain.pth",
        "",
    ),
    "vgg19": Published(
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        "Models/backbones/vgg19-dcbb9e9d.pth",
        "dcbb9e9d",  # PyTorch's file names carry the first digits
    ),
    "classifiers": Archive(
        "1Un188eNc8Nit644ZAzcOYwUoA3Dfh1TE", "Models/classifiers", ("clf1024.pth", "sgd_clf.pkl")
    ),
    "AF4hybrid": Archive(
        "1-D06R7eiCF6mlCsELzopHlmsCMWhlmsQ",
        "Models/AFgenerators/AF4hybrid",
        ("latest_net_G.pth",),
    ),
    "AF4nonhybrid": Archive(
        "12duO1fsfuhVmBzuf0ll9n2lgiKtBsoiL",
        "Models/AFgenerators/AF4nonhybrid",
        ("latest_net_G.pth",),
    ),
}
DATASETS: dict[str, Published | Archive] = {
    name: Archive(identity, f"Datasets/{name}", ("Images",))
    for name, identity in {
        "Images4TrainClassifier": "1MLIP8gbKVm_A0a5HTowBvfzsuRk7j37u",
        "Images4TrainAFnonhybrid": "1Fk41aXh9n02roX57ynnUip069Hc3amWv",
        "Images4TrainAFhybrid": "1UUqLajOSo1faw_tE_JkWMMKvl_Ck6xdJ",
    }.items()
}
KNOWN = MODELS | DATASETS


def say(message: str) -> None:
    print(f"download_models: {message}", flush=True)


@contextmanager
def growing(path: Path, patience: float) -> Iterator[None]:
    """OSError where, within the block, `path` grows by less than CHUNK in `patience` seconds.

    A read that waits is interrupted, too: each byte of a drip would begin its own time-out anew.
    For the main thread, whose signals it uses.
    """
    size = 0

    def look(*_: object) -> None:
        nonlocal size
        before, size = size, path.stat().st_size if path.exists() else 0
        if size < before + CHUNK:
            raise OSError(f"less than {CHUNK:,} bytes came within {patience:g} s")

    handler = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, patience, patience)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def fetch_file(name: str, published: Published, patience: float = PATIENCE) -> None:
    """Put a published file in its place. Raises DownloadError, leaving nothing behind."""
    file = ROOT / published.file
    if file.exists():
        say(f"{name} is there: {file}")
        return
    try:
        import pooch
    except ImportError as error:
        raise DownloadError(f"{sys.executable} has no pooch; run scripts/setup.sh first") from error
    url = os.environ.get(f"{name.upper()}_URL") or published.url
    say(f"{name} from {url}")

    def download(url: str, temporary: str, keeper: pooch.Pooch) -> None:
        """pooch's own download, and the check of a checksum that may be its first digits only."""
        bar = sys.stderr.isatty()
        with growing(Path(temporary), patience):
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK)(url, temporary, keeper)
        found = pooch.file_hash(temporary)
        if not found.startswith(published.sha256):
            raise DownloadError(
                f"{name} from {url} has SHA-256 {found}, expected {published.sha256}; "
                "it was removed"
            )
        if not published.sha256:
            say(f"{name} has no published checksum; SHA-256 of what came: {found}")
        Path(temporary).chmod(0o644)  # pooch's temporary files are for their owner alone

    keeper = pooch.create(
        file.parent, "", registry={file.name: None}, urls={file.name: url}, retry_if_failed=RETRIES
    )
    pooch.get_logger().setLevel("WARNING")
    try:
        keeper.fetch(file.name, downloader=download)
    except OSError as error:  # as requests' own errors are
        raise DownloadError(
            f"{name} could not be fetched from {url} ({error}); put it at {file} yourself, or run "
            "the same command again"
        ) from error


def size_of(folder: Path) -> int:
    """Bytes of the files in `folder`."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # it got its final name meanwhile
            total += path.stat().st_size
    return total


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Hold `folder` alone during the block. DownloadError where another run holds it.

    What it gives is the lock's file: a process that has it, too, holds the folder until it ends.
    """
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError(
                f"{folder.name} is being fetched by another run, or by the gdown of one that was "
                "killed; wait for it, then run the same command again"
            ) from error
        yield lock.fileno()


def run_growing(command: list[str], folder: Path, patience: float, lock: Sequence[int]) -> bool:
    """Run `command` while what it puts into `folder` grows; whether it succeeded.

    It is ended where less than CHUNK comes within `patience` seconds. It shares `lock`, the files
    of `held`: should this process be killed, it goes on alone, and another would spoil its file.
    """
    with subprocess.Popen(command, pass_fds=lock) as process:
        try:
            size = size_of(folder)
            while True:
                try:
                    return process.wait(patience) == 0
                except subprocess.TimeoutExpired:
                    before, size = size, size_of(folder)
                    if size < before + CHUNK:
                        say(f"less than {CHUNK:,} bytes came within {patience:g} s")
                        return False
        finally:
            process.kill()


def why_unreachable(url: str) -> str:
    """Why the server of `url` gives no answer of whatever kind; empty where it gives one."""
    import requests  # as gdown does, so that proxies and certificates are the same

    try:
        requests.get(url, timeout=30, stream=True).close()
    except requests.RequestException as error:
        return str(error)
    return ""


def is_there(name: str, archive: Archive) -> bool:
    """Whether the contents of an archive are in their place, which is said then."""
    folder = ROOT / archive.folder
    found = all((folder / content).exists() for content in archive.names)
    if found:
        say(f"{name} is there: {folder}")
    return found


def fetch_archive(name: str, archive: Archive, patience: float = PATIENCE) -> None:
    """Fetch an archive from Google Drive and unpack it into its place.

    Raises DownloadError, or ArchiveError where what came cannot be installed as things are.
    """
    if is_there(name, archive):
        return
    folder = ROOT / archive.folder
    by_hand = (
        f"open {DRIVE}/file/d/{archive.identity}/view in a browser, then: "
        f"PYTHONPATH={ROOT}/scripts {sys.executable} -m common.archives DOWNLOADED_FILE "
        f"{folder} {' '.join(archive.names)}"
    )
    if reason := why_unreachable(DRIVE):
        raise DownloadError(
            f"{name} could not be fetched: {DRIVE} cannot be reached ({reason}). Try again with a "
            f"network; or, on a machine that has one, {by_hand}"
        )
    gdown = [sys.executable, "-m", "gdown"]
    version = subprocess.run([*gdown, "--version"], capture_output=True, text=True).stdout
    if GDOWN not in version:
        say(f"installing gdown {GDOWN}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, f"gdown=={GDOWN}"]).returncode:
            raise DownloadError(
                f"gdown could not be installed for {sys.executable}; run scripts/setup.sh first"
            )
    downloads = ROOT / "Models/.downloads" / name
    downloads.parent.mkdir(parents=True, exist_ok=True)
    with held(downloads) as lock:
        if is_there(name, archive):  # another run may have ended since
            return
        say(f"{name} from Google Drive")
        downloads.mkdir(exist_ok=True)
        command = [*gdown, "--continue", "--output", f"{downloads}/", archive.identity]
        if not run_growing(command, downloads, patience, [lock]):
            raise DownloadError(
                f"{name} could not be fetched. Google Drive limits the downloads of a day: try "
                f"later, or {by_hand}"
            )
        files = list(downloads.iterdir())
        if len(files) != 1:
            raise DownloadError(
                f"{downloads} should hold one file, but holds {len(files)}; remove that folder and "
                "run the same command again"
            )
        try:
            install(files[0], folder, list(archive.names))
        except SpoiltArchive as error:
            raise DownloadError(f"{error}; remove {downloads} to fetch it anew") from error
        shutil.rmtree(downloads)


def main() -> int:
    names = sys.argv[1:] or list(MODELS)
    failed = []
    for name in names:  # one that fails must not keep the others from coming
        try:
            source = KNOWN.get(name)
            if source is None:
                raise DownloadError(
                    f"unknown name {name}; scripts/download_models.sh --help lists them"
                )
            if isinstance(source, Published):
                fetch_file(name, source)
            else:
                fetch_archive(name, source)
        except (DownloadError, ArchiveError, OSError) as error:
            print(f"download_models: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed and len(names) > 1:
        print(f"download_models: not fetched: {' '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
