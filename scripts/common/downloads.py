"""Fetch published weights and data sets, each into its place; download_models.sh starts it.

    PYTHONPATH=scripts python -m common.downloads [NAME ...]

Files at a plain address come by pooch, archives on Google Drive by gdown. What comes has a
temporary name until it is whole and checked. A file that is there is left alone.
"""

import importlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

try:
    import pooch
    from filelock import FileLock, Timeout
except ImportError as error:
    sys.exit(f"download_models: {sys.executable} has no {error.name}; run scripts/setup.sh first")

from common.archives import install
from common.program import ROOT, InputError

GDOWN = "6.5.1"
RETRIES = 2  # pooch waits 1 s before the first, 2 s before the second
SILENCE = 60  # seconds without a byte from Google Drive until it is given up; pooch takes 30


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
} | {
    name: Archive(identity, f"Models/AFgenerators/{name}", ("latest_net_G.pth",))
    for name, identity in {
        "AF4hybrid": "1-D06R7eiCF6mlCsELzopHlmsCMWhlmsQ",
        "AF4nonhybrid": "12duO1fsfuhVmBzuf0ll9n2lgiKtBsoiL",
    }.items()
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


def load_gdown() -> ModuleType:
    """gdown, which is installed where it is missing."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, f"gdown=={GDOWN}"]).returncode:
        raise InputError(f"{sys.executable} cannot install gdown; run scripts/setup.sh first")
    importlib.invalidate_caches()
    return importlib.import_module("gdown")


def fetch_file(name: str, published: Published) -> None:
    """Put a published file in its place. Raises InputError, leaving nothing behind."""
    file = ROOT / published.file
    if file.exists():
        say(f"{name} is there: {file}")
        return
    url = os.environ.get(f"{name.upper()}_URL") or published.url
    say(f"{name} from {url}")

    def download(url: str, temporary: str, keeper: pooch.Pooch) -> None:
        """pooch's own download, and the check of a checksum that may be its first digits only."""
        pooch.HTTPDownloader(progressbar=sys.stderr.isatty())(url, temporary, keeper)
        found = pooch.file_hash(temporary)
        if not found.startswith(published.sha256):
            expected = f"expected {published.sha256}; it was removed"
            raise InputError(f"{name} from {url} has SHA-256 {found}, {expected}")
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
        remedy = f"put it at {file} yourself, or run the same command again"
        raise InputError(f"{name} could not be fetched from {url} ({error}); {remedy}") from error


def fetch_archive(name: str, archive: Archive) -> None:
    """Fetch an archive from Google Drive and unpack it into its place.

    Raises InputError; the same command goes on where the transfer broke off.
    """
    folder, downloads = ROOT / archive.folder, ROOT / "Models/.downloads" / name
    if all((folder / content).exists() for content in archive.names):
        say(f"{name} is there: {folder}")
        return
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(downloads.with_suffix(".lock"), timeout=0):
            # One that came whole, by hand perhaps, need not come again.
            whole = [path for path in downloads.iterdir() if path.suffix != ".part"]
            file = whole[0] if whole else from_drive(name, archive, downloads)
            try:
                install(file, folder, list(archive.names))
            except InputError as error:
                raise InputError(f"{error}; to fetch it anew, remove {downloads}") from error
            shutil.rmtree(downloads)
    except Timeout as error:
        raise InputError(f"{name} is being fetched by another run; wait for it") from error


def from_drive(name: str, archive: Archive, downloads: Path) -> Path:
    """The archive in the folder `downloads`, fetched by gdown."""
    say(f"{name} from Google Drive")
    gdown = load_gdown()
    options = {"quiet": not sys.stderr.isatty(), "timeout": SILENCE, "retries": RETRIES}
    try:
        return Path(
            gdown.download(id=archive.identity, output=f"{downloads}/", resume=True, **options)
        )
    except (OSError, gdown.DownloadError) as error:
        answered = isinstance(error, gdown.DownloadError)  # else it was not reached
        raise InputError(
            f"{name} could not be fetched from Google Drive ({error})"
            f"{', which limits the downloads of a day' * answered}: run the same command again "
            f"later; or download https://drive.google.com/file/d/{archive.identity}/view in a "
            f"browser, put the file into {downloads}, and then run it again"
        ) from error


def main() -> int:
    names = sys.argv[1:] or list(MODELS)
    failed = []
    for name in names:  # one that fails must not keep the others from coming
        try:
            source = KNOWN.get(name)
            if source is None:
                raise InputError(f"unknown name {name}; see scripts/download_models.sh --help")
            if isinstance(source, Published):
                fetch_file(name, source)
            else:
                fetch_archive(name, source)
        except (InputError, OSError) as error:
            print(f"download_models: {error}", file=sys.stderr, flush=True)
            failed.append(name)
    if failed and len(names) > 1:
        print(f"download_models: not fetched: {' '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
