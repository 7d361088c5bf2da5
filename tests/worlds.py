"""The made-up worlds that tests share: small photographs, data sets, weights, classifiers."""

import csv
import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from backbones import BACKBONES
from PIL import Image
from published_members import LinearClassifier, Origin
from sklearn.linear_model import SGDClassifier
from subspecies_member import Parents, SubspeciesScorer

# ---- every tree ---------------------------------------------------------------------------------


# ---- AnomalyFactory -----------------------------------------------------------------------------


# ---- HybridDetection ----------------------------------------------------------------------------

# The photographs of a report, by score. Six are above 0.5; of these 4 is called wrongly, and 8,
# below it, is missed.
ODD = ["quo\"te's, and comma.jpg", "<script>document.title=1</script>.jpg", "Rötliche äöüß.jpg"]
NAMES = [*ODD, *(f"plain_{i}.jpg" for i in range(9))]
SCORES = [0.95 - 0.08 * i for i in range(12)]
LABELS = [1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]
MEMBERS = ("sgd", "linear", "subspecies")


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
            )
        )
    return rows


def report_index(photographs: list):
    """Six training images; those of `9` are the third, a hybrid, a painted one and the last."""
    from training_index import TrainingIndex

    return TrainingIndex(
        names=np.array([f"train_{i}.jpg" for i in range(6)]),
        groups=np.array(["8", "10", "9", "8 x 9", "9", "9"]),
        hybrid=np.array([False, False, False, True, False, False]),
        painted=np.array([False, False, False, False, True, False]),
        features=np.stack([some.feature for some in photographs[:6]]),
        thumbnails=[photographs[0].thumbnail] * 6,
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


# ---- scripts ------------------------------------------------------------------------------------
