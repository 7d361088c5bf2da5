"""Check the submission and zip it with its weights, ready for Codabench:

    python scripts/package_submission.py [--classifiers DIR] [--members ...] [--output ZIP]

The zip holds model.py and what it imports of ours, metadata, requirements.txt, the members of the
ensemble and the weights of the networks that they need, from wherever model.py finds them, and
nothing else; cutout.py, wings.py and OpenCV only where a member looks at cutouts or wings. The
packages are those that its code imports. The files in it decide who takes part: sgd and linear
always, subspecies where it lies beside them. The zip is kept only if the organisers' program,
played on it in an empty folder, gets a score for every image.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection
from modulefinder import ModuleFinder
from pathlib import Path

from common.files import atomic
from common.program import ROOT, InputError, start
from PIL import Image, ImageDraw

SUBMISSION = ROOT / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"

# The platform's own list, compared letter by letter there: "pillow" is refused.
PLATFORM = (Path(__file__).parent / "common/platform_packages.txt").read_text().split()
# Where the module that a package brings has another name.
MODULES = {"Pillow": "PIL", "scikit-learn": "sklearn", "opencv-python-headless": "cv2"}
# What is not imported on the platform, unless it lies in the zip.
OPTIONAL = {
    "huggingface_hub",  # where no file has the weights of DINOv2; timm brings it
    "safetensors",  # where their file is one; timm brings it
    "cutout",  # for classifiers that were trained on cutouts; it brings OpenCV
    "wings",  # for the third member; likewise
    "pillow_heif",  # for HEIC, which the challenge has none of
}

# Asks model.py, the one place that knows, for the files that it would load.
LOCATE = """
import json, sys
from pathlib import Path
from model import locate_weights
classifiers, members = json.loads(sys.argv[1])
try:
    files = locate_weights(classifiers=classifiers and Path(classifiers), members=members)
except (OSError, ValueError) as error:
    sys.exit(str(error))
print(json.dumps({name: str(path) for name, path in files.items()}))
"""

# What the organisers' ingestion does once the packages are installed.
INGESTION = """
import os, sys
images, submission, output = sys.argv[1:]
sys.path.append(submission)
from PIL import Image, ImageDraw
from model import Model
model = Model()
model.load()
with open(output, "w") as predictions:
    for name in os.listdir(images):
        image = Image.open(os.path.join(images, name))
        score = model.predict(image)
        print(name + "," + str(round(score, 4)), file=predictions)
"""
# Their images come in any mode and size, and are opened without being read.
SPECIMENS = {
    "rgb.jpg": ("RGB", (300, 200)),
    "grey.png": ("L", (64, 64)),
    "transparent.png": ("RGBA", (31, 57)),
    "palette.png": ("P", (400, 30)),
    "deep.png": ("I;16", (50, 50)),
    "print.tif": ("CMYK", (224, 224)),
}


def find_code(submission: Path, loaded: Collection[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """What model.py imports in `submission`, itself included, by name in the zip; and what else
    these import, each with the first that does. What finds specimens is there if it is `loaded`."""
    unused = [name for name in ("cutout", "wings") if f"{name}.py" not in loaded]
    finder = ModuleFinder([str(submission)], excludes=unused)
    finder.run_script(str(submission / "model.py"))
    paths = [Path(module.__file__) for module in finder.modules.values() if module.__file__]
    foreign = {}
    for name, importers in finder.badmodules.items():
        foreign.setdefault(name.split(".")[0], min(importers).replace("__main__", "model"))
    return {path.relative_to(submission).as_posix(): path for path in paths}, foreign


def needed_requirements(path: Path, foreign: dict[str, str]) -> str:
    """The lines of the requirements `path` that bring what is in `foreign`.

    InputError for a line that the platform refuses, and a module that no line brings.
    """
    lines = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==[0-9][A-Za-z0-9.+!]*", line)
        if match is None or match[1] not in PLATFORM:
            raise InputError(
                f"{path}, line {number}: {line!r} is not name==version of one of the platform's "
                f"packages, which are compared letter by letter: {' '.join(PLATFORM)}"
            )
        lines[MODULES.get(match[1], match[1])] = line
    for module in foreign.keys() - lines.keys() - OPTIONAL - sys.stdlib_module_names:
        raise InputError(
            f"{path.with_name(foreign[module])}.py: imports {module}, which no package of {path} "
            f"brings ({', '.join(lines)})"
        )
    return "".join(f"{line}\n" for module, line in lines.items() if module in foreign)


def run_python(code: str, *arguments: str, folder: Path, **environment: str) -> str:
    """What `code` prints in a fresh interpreter in `folder`; InputError where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise InputError(done.stderr.strip() or f"Python ended with status {done.returncode}")
    return done.stdout


def draw_specimens(folder: Path) -> None:
    """An image of each kind; the coloured one has wings to cut out."""
    for number, (specimen, (mode, size)) in enumerate(SPECIMENS.items()):
        image = Image.new(mode, size, (225, 222, 205) if mode == "RGB" else 20 + number * 20)
        if mode == "RGB":
            for box in ((40, 50, 140, 120), (160, 50, 260, 120), (130, 75, 170, 90)):
                ImageDraw.Draw(image).ellipse(box, fill=(60, 30, 20))
        image.save(folder / specimen)


def play_ingestion(archive: Path) -> list[str]:
    """The lines of predictions.txt for images of many kinds; InputError for one without a score."""
    with tempfile.TemporaryDirectory() as name:
        images, submission, elsewhere = (Path(name, part) for part in ("images", "zip", "away"))
        predictions = Path(name, "predictions.txt")
        images.mkdir()
        elsewhere.mkdir()
        draw_specimens(images)
        with zipfile.ZipFile(archive) as file:
            file.extractall(submission)
        # What the zip lacks must not come from a network or a cache.
        offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(elsewhere)}
        try:
            folders = map(str, (images, submission, predictions))
            run_python(INGESTION, *folders, folder=elsewhere, **offline)
        except InputError as error:
            raise InputError(f"the zip fails in the organisers' program: {error}") from error
        lines = sorted(predictions.read_text().splitlines())
    for specimen, line in zip(sorted(SPECIMENS), lines, strict=True):
        if not re.fullmatch(re.escape(specimen) + r",(0\.\d{1,4}|1\.0)", line):
            raise InputError(f"expected {specimen!r} and a score of 0 to 1, found {line!r}")
    return lines


def write_zip(submission: Path, loaded: dict[str, Path], output: Path) -> list[str]:
    """Zip the code and what it loads, all at the root, and keep it if it scores images; its lines
    of predictions."""
    code, foreign = find_code(submission, loaded)
    requirements = needed_requirements(submission / "requirements.txt", foreign)
    entry = zipfile.ZipInfo.from_file(submission / "requirements.txt", "requirements.txt")
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic(output) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(entry, requirements)  # an entry for its permissions
            for name, path in ({"metadata": submission / "metadata"} | code | loaded).items():
                archive.write(path, name)
        return play_ingestion(temporary)


def run(options: argparse.Namespace) -> int:
    classifiers = options.classifiers and str(options.classifiers.resolve())
    asked = json.dumps([classifiers, options.members])
    found = json.loads(run_python(LOCATE, asked, folder=SUBMISSION))
    loaded = {name: Path(path) for name, path in found.items()}
    lines = write_zip(SUBMISSION, loaded, options.output)
    for name, path in loaded.items():
        print(f"package_submission: {name} is {path}")
    print(f"package_submission: scored {len(lines)} images unpacked alone: {' '.join(lines)}")
    size = options.output.stat().st_size / 1e6
    print(f"package_submission: wrote {options.output} ({size:.0f} MB)")
    return 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    add = parser.add_argument
    where = "the folder of the members (default: where model.py finds them)"
    add("--classifiers", type=Path, metavar="DIR", help=where)
    who = "who takes part, sgd and linear among them (default: all that lie there)"
    add("--members", nargs="+", choices=["sgd", "linear", "subspecies"], help=who)
    add("--output", type=Path, default=ROOT / "submission.zip", help="the zip to write")
    options = parser.parse_args(arguments)
    if options.members and not {"sgd", "linear"} <= {*options.members}:
        parser.error("--members must name sgd and linear: in the zip, neither scores alone")
    return options


if __name__ == "__main__":
    start(run, parse_arguments)
