"""The made-up worlds that tests share: small photographs, data sets, weights, classifiers."""

import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.linear_model import SGDClassifier

HEADER = (
    "CAMID,file_url,hybrid_stat,split,zenodo_link,md5,subspecies,"
    "parent_subspecies_1,parent_subspecies_2,filename"
)

# ---- every tree ---------------------------------------------------------------------------------


def draw_photos(folder: Path, count: int, size: tuple[int, int] = (160, 120)) -> None:
    """Pictures with wings that can be cut out, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        image = Image.new("RGB", size, (225, 222, 205))
        pen = ImageDraw.Draw(image)
        wings = tuple(draw.integers(0, 120, 3).tolist())
        for box in [(30, 20, 76, 60), (84, 20, 130, 60), (46, 50, 78, 84), (82, 50, 114, 84)]:
            pen.ellipse(box, fill=wings)
        pen.rectangle((74, 35, 86, 70), fill=wings)
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


def write_classifiers(folder: Path) -> Path:
    """The published members with random weights, for the light backbone."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    layers = []
    for inputs, outputs in ((1280, 1024), (1024, 1024), (1024, 512)):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.BatchNorm1d(outputs), torch.nn.ReLU()]
    linear = torch.nn.Sequential(*layers, torch.nn.Linear(512, 2))
    state = torch.nn.ModuleDict({"classifier": linear}).state_dict()
    state._metadata[""] |= {"backbone": "efficientnet_lite0", "training": "1f3c"}
    torch.save(state, folder / "clf1024.pth")
    features = np.random.default_rng(0).standard_normal((30, 1280))
    sgd = SGDClassifier(loss="log_loss").fit(features, (features[:, 0] > 0).astype(int))
    sgd.backbone_, sgd.training_ = "efficientnet_lite0", "1f3c"
    (folder / "sgd_clf.pkl").write_bytes(pickle.dumps(sgd))
    return folder


def write_subspecies(path: Path) -> None:
    """The member of three subspecies and one known cross, of random weights, beside these."""
    draw = np.random.default_rng(0)
    np.savez(
        path,
        subspecies=np.array(["8", "9", "10"]),
        weights=draw.standard_normal((3, 1280)),
        intercepts=np.zeros(3),
        axes=draw.standard_normal((1280, 2)),
        means=np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]]),
        quantiles=np.array([[0.2, 0.8], [1.0, 60.0]]),
        spread=np.array(1.0),
        crosses=np.array([[0, 2]]),
        cross_weights=draw.standard_normal((4, 1280)),
        cross_intercepts=np.zeros(4),
        threshold=np.array(0.625),
        backbone=np.array("efficientnet_lite0"),
        training=np.array("1f3c"),
        preprocess=np.array("photograph"),
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
