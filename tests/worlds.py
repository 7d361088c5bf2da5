"""The made-up worlds that tests share: small photographs, data sets, weights, classifiers."""

import csv
import io
import json
import pickle
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from backbones import BACKBONES, NETWORKS, WINGS, version
from PIL import Image, ImageDraw
from published_members import LinearClassifier, Origin
from sklearn.linear_model import SGDClassifier
from subspecies_member import Parents, SubspeciesScorer

ROOT = Path(__file__).resolve().parents[1]
HEADER = (
    "CAMID,file_url,hybrid_stat,split,zenodo_link,md5,subspecies,"
    "parent_subspecies_1,parent_subspecies_2,filename"
)

# ---- every tree ---------------------------------------------------------------------------------


def specimen_on(image: Image.Image, wings: tuple[int, int, int]) -> Image.Image:
    """Dark wings and a body, that can be cut out."""
    pen = ImageDraw.Draw(image)
    for box in [(30, 20, 76, 60), (84, 20, 130, 60), (46, 50, 78, 84), (82, 50, 114, 84)]:
        pen.ellipse(box, fill=wings)
    pen.rectangle((74, 35, 86, 70), fill=wings)
    return image


def draw_specimen(path: Path, wings: tuple[int, int, int] = (90, 40, 20)) -> Path:
    """A photograph on light paper with a label."""
    image = Image.new("RGB", (160, 120), (225, 222, 205))
    ImageDraw.Draw(image).rectangle((5, 90, 45, 112), fill=(20, 60, 160))
    path.parent.mkdir(parents=True, exist_ok=True)
    specimen_on(image, wings).save(path)
    return path


def play(program: str, *arguments: object) -> int:
    """Run a program of the repository to its end; its exit status."""
    before = sys.argv, torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    term = signal.getsignal(signal.SIGTERM)
    sys.argv = [str(ROOT / program), *map(str, arguments)]
    torch.set_num_threads(1)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        return 0
    except SystemExit as stopped:
        return stopped.code or 0
    finally:
        sys.argv = before[0]
        torch.set_num_threads(before[1])
        signal.signal(signal.SIGINT, before[2])
        signal.signal(signal.SIGTERM, term)


def start(program: str, *arguments: object) -> int:
    """The same in a process of its own, for a program that hands over to another."""
    command = [sys.executable, ROOT / program, *arguments]
    return subprocess.run(list(map(str, command)), check=False).returncode


def draw_photos(folder: Path, count: int, size: tuple[int, int] = (160, 120)) -> None:
    """Photographs without one, each of another colour."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        image = Image.new("RGB", size, (225, 222, 205))
        specimen_on(image, tuple(draw.integers(0, 120, 3).tolist()))
        image.save(folder / f"S{number:03d}.png")


# ---- AnomalyFactory -----------------------------------------------------------------------------


def write_dataset(world: Path, count: int) -> Path:
    """A generator's data set with a list to train on and one to paint."""
    dataset = world / "dataset"
    draw_photos(dataset / "Images/8/train/good", count, (48, 40))
    draw_photos(dataset / "Images/8/train/pidinet_edges", count, (48, 40))
    for name in ("train_AFhybrid", "test_nonhybrid"):
        folder = dataset / "List" / name
        folder.mkdir(parents=True)
        for column in ("edges", "color_ref", "color_gt"):
            kind = "pidinet_edges" if column == "edges" else "good"
            lines = [f"Images/8/train/{kind}/S{number:03d}.png" for number in range(count)]
            list_file = folder / f"{name.split('_')[0]}_{column}.txt"
            list_file.write_text("\n".join(lines) + "\n")
    return dataset


# ---- HybridDetection ----------------------------------------------------------------------------

# The photographs of a report, by score. Six are above 0.5; of these 4 is called wrongly, and 8,
# below it, is missed.
ODD = ["quo\"te's, and comma.jpg", "<script>document.title=1</script>.jpg", "Rötliche äöüß.jpg"]
NAMES = [*ODD, *(f"plain_{i}.jpg" for i in range(9))]
SCORES = [round(0.95 - 0.08 * i, 2) for i in range(12)]
LABELS = [1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
MEMBERS = ("sgd", "linear", "subspecies")
WING_FEATURES = NETWORKS[WINGS].feature_size


def evidence_at(row: int, column: int) -> np.ndarray:
    """All evidence in one patch of 7 x 7."""
    values = np.zeros((7, 7), np.float16)
    values[row, column] = 1.5
    return values


def report_photographs(folder: Path, picture: Path) -> list:
    """Twelve, the first with its evidence in a corner and the others with it on the wings."""
    from report_data import Photograph

    buffer = io.BytesIO()
    Image.open(picture).save(buffer, "JPEG")
    draw = np.random.default_rng(0)
    rows = []
    for i, (name, score) in enumerate(zip(NAMES, SCORES, strict=True)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        rows.append(
            Photograph(
                name=name,
                path=path,
                score=score,
                thumbnail=buffer.getvalue(),
                members=dict.fromkeys(MEMBERS, score),
                parents=Parents("8", "9" if i % 3 else "10", 0.6, 0.9 if i % 2 else 0.3),
                feature=draw.standard_normal(1280).astype(np.float16),
                evidence=evidence_at(2, 2) if i else evidence_at(6, 6),
                wings=buffer.getvalue(),
                wing_evidence=None if i else evidence_at(0, 3),
            )
        )
    return rows


def report_index(photographs: list):
    """Four training photographs; those of `9` are the last two."""
    from training_index import TrainingIndex

    return TrainingIndex(
        names=np.array([f"train_{i}.jpg" for i in range(4)]),
        groups=np.array(["8", "10", "9", "9"]),
        features=np.stack([some.feature for some in photographs[:4]]),
        thumbnails=np.array([photographs[0].thumbnail] * 4),
        origin=Origin("efficientnet_lite0", "a", "photograph"),
    )


def report_reference(folder: Path) -> tuple[Path, Path]:
    """predictions.txt of these photographs, and a reference."""
    predictions, reference = folder / "predictions.txt", folder / "ref.csv"
    lines = [f"{name},{score:.4f}\n" for name, score in zip(NAMES, SCORES, strict=True)]
    predictions.write_text("".join(lines), encoding="utf-8")
    with reference.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "hybrid_stat", "ssp_indicator", "subspecies_ref"])
        for i, (name, label) in enumerate(zip(NAMES, LABELS, strict=True)):
            kind = ("major", "minor", "mimic")[i % 3]
            writer.writerow([name, label, kind, "8 x 9" if label else "8"])
    return predictions, reference


def read_report(folder: Path) -> dict:
    """What the page in `folder` draws."""
    text = (folder / "data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("const REPORT = ").removesuffix(";\n"))


def write_linear(folder: Path, metadata: object = None, feature_size: int = 1280) -> Path:
    """clf1024.pth of random weights, whose scores are spread, with PyTorch's `metadata`."""
    torch.manual_seed(0)
    linear = LinearClassifier(feature_size)
    linear.classifier[9].weight.data *= 60
    linear.classifier[9].bias.data = 60 * linear.classifier[9].bias - torch.tensor([0, 2.1])
    state = linear.state_dict()
    if metadata is not None:
        state._metadata = metadata
    path = folder / "clf1024.pth"
    torch.save(state, path)
    return path


def write_sgd(folder: Path, feature_size: int = 1280, **memory: object) -> Path:
    """sgd_clf.pkl of random weights that remembers `memory`."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, feature_size))
    sgd = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    sgd.coef_ = rng.standard_normal((1, feature_size)) / 8
    sgd.intercept_ = np.array([1.5])
    vars(sgd).update(memory)
    path = folder / "sgd_clf.pkl"
    path.write_bytes(pickle.dumps(sgd))
    return path


def write_pair(
    folder: Path,
    training: str | None = "1f3c",
    backbone: str | None = "efficientnet_lite0",
    preprocess: str | None = None,
) -> Path:
    """Both classifiers of one training; None: without that memory, as the published ones are."""
    folder.mkdir(parents=True, exist_ok=True)
    memory = {"backbone": backbone, "training": training, "preprocess": preprocess}
    memory = {name: value for name, value in memory.items() if value is not None}
    size = BACKBONES[backbone or "dinov2_base"].feature_size
    write_linear(folder, {"": {"version": 1} | memory}, size)
    write_sgd(folder, size, **{f"{name}_": value for name, value in memory.items()})
    return folder


def write_third(folder: Path, scorer: SubspeciesScorer, **memory: object) -> Path:
    """subspecies.npz of `scorer`, whose origin is changed to `memory`."""
    origin = replace(scorer.origin, **memory)
    arrays = {name: value for name, value in vars(scorer).items() if name != "origin"}
    path = folder / "subspecies.npz"
    np.savez(path, **arrays, **{name: np.array(text or "") for name, text in vars(origin).items()})
    return path


def third_member() -> SubspeciesScorer:
    """A member of three subspecies and one known cross, of random weights, beside these.

    Of such as spread the scores of drawn specimens, and let the others speak where there is none.
    """
    draw = np.random.default_rng(1104)
    return SubspeciesScorer(
        subspecies=np.array(["8", "9", "10"]),
        crosses=np.array([[0, 2]]),
        weights=draw.standard_normal((4, WING_FEATURES)).astype(np.float32) / 90,
        intercepts=np.zeros(4),
        threshold=np.array(0.625),
        version=np.array(version(WINGS)),
        origin=Origin("efficientnet_lite0", "1f3c"),
    )


# ---- scripts ------------------------------------------------------------------------------------


def write_table(path: Path, names: list[str], hybrids: int) -> None:
    """A CSV of photographs, the first of them hybrids."""
    rows = [HEADER]
    for number, name in enumerate(names):
        kind = "hybrid" if number < hybrids else "non-hybrid"
        cells = ",8.0,9.0" if number < hybrids else f"{8 + number % 2}.0,,"
        rows.append(f"S{number},http://x/{number},{kind},train,z,m,{cells},{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
