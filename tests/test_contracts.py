"""Contracts that outlive any rebuilding: what files hold, as goldens of a small made-up world.

The programs run as a user runs them, one after the other, in this process for speed; nothing inside
them is looked at. Texts and shapes are exact. Processors differ in the last digits of floats, so
numbers have a tolerance: far below what another constant, order or bound would move.
"""

import csv
import functools
import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from worlds import play

SUBMISSION = "HybridDetection/submission/dino2B_contestAF_1024linear2cls"
COUNTS = {"8": 8, "9": 7, "10": 6}  # photographs of each subspecies, beside six of 8 x 9
TINY = "--gpu_ids -1 --loadSize 32 --ngf 2 --n_blocks_global 1 --nThreads 0".split()


# ---- the made-up world, and the programs in it; a script outside the tests hashes it, too --------


def butterfly(path: Path, kind: str, number: int) -> Path:
    """Dark wings on pale paper; their colour says the subspecies, their shape the specimen."""
    random = np.random.default_rng([number, *map(ord, kind)])
    image = Image.new("RGB", (96, 72), (225, 222, 205))
    colour = {"8": (150, 40, 20), "9": (30, 50, 140), "10": (60, 120, 30)}.get(kind, (90, 45, 90))
    pen = ImageDraw.Draw(image)
    shift, size, spot = (int(random.integers(-4, 5)) for _ in range(3))
    for x in (30, 66):
        pen.ellipse((x - 20 - size // 2, 14 + shift, x + 20 + size // 2, 44 + shift), colour)
        pen.ellipse((x - 12, 36 + shift, x + 12, 62 + shift), tuple(c // 2 for c in colour))
        pen.ellipse((x - 4 + spot, 22 + shift, x + 4 + spot, 30 + shift), (240, 220, 90))
    pen.rectangle((45, 24 + shift, 51, 56 + shift), fill=(40, 30, 20))
    noise = random.integers(-9, 10, (72, 96, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


def make_photographs(folder: Path) -> None:
    """challenge.csv, and the three data sets with their photographs."""
    rows = [worlds.HEADER]
    for kind, count in {**COUNTS, "8_9": 6}.items():
        hybrid = "_" in kind
        status = "hybrid" if hybrid else "non-hybrid"
        for number in range(count):
            name = f"S{kind}N{number}.png"
            cells = ",8.0,9.0" if hybrid else f"{kind}.0,,"
            rows.append(f"{name[:-4]},http://x/{name},{status},train,z,m,{cells},{name}")
            for place in (
                f"AFhybrid/Images/{status}/train/good",
                f"Classifier/Images/{status}",
                f"AFnonhybrid/Images/{kind}/train/good",
            ):
                butterfly(folder / f"Images4Train{place}" / name, kind, number)
    (folder / "challenge.csv").write_text("\n".join(rows) + "\n")


def make_lists(folder: Path) -> None:
    for dataset in ("hybrid", "nonhybrid"):
        options = ("--dataset", folder / f"Images4TrainAF{dataset}", "--detector", "scharr")
        assert play("AnomalyFactory/extract_edges.py", *options, "--gpu_ids", -1) == 0
    options = ("--csv", folder / "challenge.csv", "--datasets", folder, "--references", 3)
    assert play("scripts/make_lists.py", *options) == 0


def paint(folder: Path) -> None:
    """A generator that learns nothing paints all lists, and its images are reported on.

    Another goes on from it for a few steps: what is learned differs between processors, and is
    looked at from afar.
    """
    dataset = folder / "Images4TrainAFnonhybrid"
    where = ("--checkpoints_dir", folder / "generators", *TINY)
    options = ("--dataroot", dataset / "List/train_AFnonhybrid", "--niter_decay", 2, "--ndf", 2)
    options += ("--no_vgg_loss", "--block_aug", "--no_html", "--batchSize", 5, "--print_freq", 5)
    options += ("--tps_aug", 1)
    still = ("--name", "still", "--niter", 0, "--lr", 0)
    moved = ("--name", "moved", "--niter", 1, "--load_pretrain", folder / "generators/still")
    for course in (still, moved):
        assert play("AnomalyFactory/train.py", *where, *options, *course) == 0
    where += ("--name", "still", "--dataroot", dataset, "--no_html")
    for phase, count in (("nonhybrid", 21), ("signalhybrid", 6), ("nonsignalhybrid", 14)):
        options = ("--results_dir", folder / "results" / phase, "--phase", f"test_{phase}")
        options += ("--how_many", count)
        options += ("--inherit", 0.5) if phase == "nonsignalhybrid" else ()
        assert play("AnomalyFactory/test.py", *where, *options) == 0
    options = ("--results", folder / "results", "--dataset", dataset, "--gpu_ids", -1)
    assert play("AnomalyFactory/evaluate.py", *options, "--output", folder / "evaluation") == 0


def collect(folder: Path) -> None:
    options = ("--csv", folder / "challenge.csv", "--datasets", folder)
    options += ("--results", folder / "results")
    assert play("scripts/make_classifier_csv.py", *options) == 0


def train(folder: Path) -> None:
    """Train the members; plots, which take most of the time, stay empty."""

    def save_nothing(_figure: Figure, target: object, **_options: object) -> None:
        if isinstance(target, str | Path):
            Path(target).touch()

    options = ("--ROOT_DATA_DIR", folder / "Images4TrainClassifier", "--NEPOCH", 5)
    options += ("--CLF_SAVE_DIR", folder / "trained", "--CACHE_DIR", folder / "cache")
    options += ("--backbone", "efficientnet_lite0", "--DEVICE", "cpu", "--WORKERS", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_nothing)
        assert play("HybridDetection/train/training.py", *options) == 0


def make_classifiers(folder: Path) -> Path:
    """The three members' files, of random weights for the light backbone."""
    worlds.write_pair(folder, preprocess="photograph")
    worlds.write_third(folder, worlds.third_member())
    return folder


def score(folder: Path) -> None:
    """Photographs of every mode, by fixed classifiers: all members, and the published two."""
    for number, kind in enumerate(["8", "9", "10", "8_9"]):
        butterfly(folder / f"photographs/{kind}.png", kind, 50 + number)
    with Image.open(folder / "photographs/9.png") as image:
        image.convert("L").save(folder / "photographs/grey.png")
        image.convert("CMYK").save(folder / "photographs/print.tif")
        image.resize((500, 300)).save(folder / "photographs/large.jpg", quality=90)
        clear = image.convert("RGBA")
        clear.putalpha(image.convert("L"))
        clear.save(folder / "photographs/clear.png")
        deep = np.asarray(image.convert("L"), np.uint16) * 200
        Image.fromarray(deep).save(folder / "photographs/deep.png")
    make_classifiers(folder / "fixed")
    options = (folder / "photographs", folder / "all", "--classifiers", folder / "fixed")
    options += ("--device", "cpu", "--workers", 0, "--batch_size", 4)
    assert play(f"{SUBMISSION}/ingestion.py", *options, "--details") == 0
    options = (options[0], folder / "published", *options[2:], "--members", "sgd", "linear")
    assert play(f"{SUBMISSION}/ingestion.py", *options) == 0


def rate(folder: Path) -> None:
    """Challenge scores of made-up predictions with many equal ones."""
    draw = np.random.default_rng(7)
    reference, predictions = ["filename,hybrid_stat,ssp_indicator"], []
    for number in range(90):
        kind, hybrid = ("major", "minor", "mimic")[number % 3], int(number % 5 == 0)
        reference.append(f"{number}.jpg,{hybrid},{kind}")
        score = np.clip(draw.normal(0.35 + 0.3 * hybrid, 0.15), 0, 1)
        predictions.append(f"{number}.jpg,{score:.2f}")
    (folder / "reference.csv").write_text("\n".join(reference) + "\n")
    (folder / "predictions.txt").write_text("\n".join(reversed(predictions)))
    options = ("--predictions", folder / "predictions.txt", "--output", folder / "scores.json")
    options += ("--reference", folder / "reference.csv")
    assert worlds.start("scripts/score_predictions.py", *options) == 0


def package(folder: Path) -> None:
    """The zip, which the program plays by the organisers' loop; what it says of it."""
    options = ("--classifiers", folder / "fixed", "--output", folder / "submission.zip")
    with redirect_stdout(io.StringIO()) as said:
        assert play("scripts/package_submission.py", *options) == 0
    (folder / "packaged.txt").write_text(said.getvalue())


STEPS = (make_photographs, make_lists, paint, collect, train, score, rate, package)


# ---- the goldens --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Everything that the programs make, each from what those before it made."""
    folder = tmp_path_factory.mktemp("contracts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        for step in STEPS:
            step(folder)
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_lists_and_the_classifiers_csv(world):
    found = sorted(world.glob("Images4*/List/**/*.*"))
    digests = [f"{digest(path)} {path.relative_to(world).as_posix()}" for path in found]
    assert len(digests) == 16
    whole = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert whole[:16] == "c046ed5bf3da3486", digests


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_edge_maps(world):
    scharr = pixels(world / "Images4TrainAFnonhybrid/Images/8/train/pidinet_edges/S8N0.png")
    assert scharr[30, 8:17].tolist() == [238, 66, 1, 163, 249, 255, 255, 255, 255]
    assert scharr.mean() == pytest.approx(226.858218, abs=1e-6)


PAINTINGS = {  # the pixels (90, 60) and (128, 128), and the mean of each colour
    "nonhybrid/AF_8_8_gen00000": (199, 139, 143, 25, 43, 13, 182.81, 147.16, 131.31),
    "signalhybrid/AF_9_8_gen00003": (234, 194, 210, 30, 40, 4, 180.93, 142.02, 125.37),
    "nonsignalhybrid/AF_8_10_gen00003": (169, 206, 153, 41, 22, 12, 166.42, 156.04, 128.47),
}


def test_paintings(world):
    for name, expected in PAINTINGS.items():
        image = pixels(world / f"results/{name}.png")
        assert image.shape == (256, 256, 3)
        assert np.abs([*image[60, 90], *image[128, 128]] - np.array(expected[:6])).max() <= 1, name
        assert image.mean(axis=(0, 1)) == pytest.approx(expected[6:], abs=0.03), name


def test_losses_of_a_generators_training(world):
    """Samples, losses and their order; then what Adam and the learning rates make of them."""
    names = ("G_GAN", "G_GAN_Feat", "D_real", "D_fake")
    still = read_rows(world / "generators/still/loss_log.csv")
    for place, values in {
        0: (2.27197, 7.3768, 2.24726, 0.060617),
        7: (2.24501, 5.4473, 2.24547, 0.0538929),
        -1: (2.2533, 6.80613, 2.2635, 0.0588817),
    }.items():
        assert [float(still[place][name]) for name in names] == pytest.approx(values, rel=5e-4)
    moved = read_rows(world / "generators/moved/loss_log.csv")
    rates = [float(row["lr"]) for row in moved]
    assert rates == [2e-4] * 12 + [1e-4] * 6
    assert float(moved[1]["G_GAN"]) == pytest.approx(2.2098, rel=1e-3)
    assert float(moved[-1]["G_GAN"]) == pytest.approx(1.58619, rel=0.01)
    assert float(moved[-1]["G_GAN_Feat"]) == pytest.approx(5.25223, rel=0.03)


FIGURES = {  # of the non-hybrids, and of the hybrids
    "frechet.value": (202.380163, 173.801869),
    "frechet.low": (192.707731, 143.449323),
    "kid.value": (0.510331, 0.333510),
    "memorised.closest": (12.294192, 8.009912),
    "memorised.median": (13.844602, 13.172860),
    "appearance.distance.value": (7.546796, 25.506523),
    "appearance.distance_before": (0.676673, 65.467540),
    "structure.f1.value": (0.634628, 0.836351),
}


def test_figures_of_the_generation_report(world):
    found = json.loads((world / "evaluation/figures.json").read_text())
    assert (found["painted"], found["photographs"], found["left_out"]) == (41, 27, [])
    assert found["close_distance"] == pytest.approx(2.941789, rel=1e-4)
    for name, expected in FIGURES.items():
        for kind, value in zip(("non-hybrids", "hybrids"), expected, strict=True):
            figure = functools.reduce(dict.get, name.split("."), found["sets"][kind])
            assert figure == pytest.approx(value, rel=1e-3), (kind, name)


def check_sums(path: Path, arrays: Mapping[str, np.ndarray], expected: dict) -> None:
    """Each array's sum of absolute values, to a share of it."""
    for name, (value, tolerance) in expected.items():
        found = float(np.abs(np.asarray(arrays[name], np.float64)).sum())
        assert found == pytest.approx(value, rel=tolerance), f"{name}; sha256 {digest(path)}..."


def test_trained_linear_classifier(world):
    state = torch.load(world / "trained/clf1024.pth", weights_only=True)
    expected = {}
    for layer, inputs, outputs in ((0, 1280, 1024), (3, 1024, 1024), (6, 1024, 512), (9, 512, 2)):
        expected[f"classifier.{layer}.weight"] = (outputs, inputs)
        expected[f"classifier.{layer}.bias"] = (outputs,)
        if layer < 9:
            for name in ("weight", "bias", "running_mean", "running_var"):
                expected[f"classifier.{layer + 1}.{name}"] = (outputs,)
            expected[f"classifier.{layer + 1}.num_batches_tracked"] = ()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected
    assert all(value.dtype == torch.float32 for value in state.values() if value.ndim)
    memory = state._metadata[""]
    assert (memory["backbone"], memory["preprocess"]) == ("efficientnet_lite0", "photograph")
    assert re.fullmatch("[0-9a-f]{16}", memory["training"])
    assert state["classifier.1.num_batches_tracked"] == 5
    bias = state["classifier.9.bias"].tolist()
    assert bias == pytest.approx([0.0112419, 0.0206872], abs=2e-5)
    sums = {"classifier.0.weight": (18323.18, 1e-4), "classifier.1.running_var": (613.890, 1e-3)}
    sums |= {"classifier.7.bias": (0.16894, 0.02), "classifier.9.weight": (21.9772, 1e-4)}
    check_sums(world / "trained/clf1024.pth", state, sums)


def test_trained_sgd_classifier(world):
    sgd = pickle.loads((world / "trained/sgd_clf.pkl").read_bytes())
    assert (sgd.backbone_, sgd.preprocess_) == ("efficientnet_lite0", "photograph")
    memory = torch.load(world / "trained/clf1024.pth", weights_only=True)._metadata[""]
    assert sgd.training_ == memory["training"]
    folds = sgd.calibrated_classifiers_
    found = [float(np.abs(fold.estimator.coef_).sum()) for fold in folds]
    values = [38.0664, 43.3195, 36.5733, 40.4647, 41.7075]
    assert found == pytest.approx(values, rel=2e-3), digest(world / "trained/sgd_clf.pkl")
    slopes = [fold.calibrators[0].a_ for fold in folds]
    assert slopes == pytest.approx([-0.32845, -0.40566, -0.38288, -0.37505, -0.43848], rel=5e-3)


def test_trained_member_that_knows_the_subspecies(world):
    path = world / "trained/subspecies.npz"
    with np.load(path) as file:
        arrays = dict(file)
    shapes = {name: value.shape for name, value in arrays.items()}
    assert shapes == {
        **{"subspecies": (3,), "crosses": (1, 2), "threshold": ()},
        **{"weights": (4, 3072), "intercepts": (4,), "version": ()},
        **{"backbone": (), "training": (), "preprocess": ()},
    }
    assert arrays["subspecies"].tolist() == ["10", "8", "9"]
    assert arrays["crosses"].tolist() == [[1, 2]]
    assert arrays["weights"].dtype == np.float32
    sums = {"weights": 37.70328, "intercepts": 70.61451, "threshold": 0.545821}
    check_sums(path, arrays, {name: (value, 5e-4) for name, value in sums.items()})


def test_scores_of_held_out_images(world):
    """Which are held out, in which order, and what each member and all together say of them."""
    rows = read_rows(world / "trained/held_out_photographs/classifier_scores.csv")
    names = ["S8N4", "S9N1", "S9N2", "S9N6", "S8_9N5", "AF_9_9_gen00010"]
    assert [row["filename"] for row in rows] == [f"{name}.png" for name in names]
    found = [[float(row[name]) for name in ("sgd", "subspecies", "ensemble")] for row in rows]
    assert found[0] == pytest.approx([0.147147, 0.545857, 0.545857], abs=3e-3)
    assert found[-1] == pytest.approx([0.193074, 0.819266, 0.819266], abs=3e-3)
    rows = read_rows(world / "trained/published_split/classifier_scores.csv")
    names = ["AF_8_8_gen00005", "S10N1", "S8N4", "S9N1", "AF_10_10_gen00016", "AF_8_8_gen00000"]
    assert [row["filename"] for row in rows[:6]] == [f"{name}.png" for name in names]


DETAILS = """\
filename,score,sgd,linear,subspecies,threshold,decision,parent_1,share_1,parent_2,share_2,parents,certainty
10.png,0.388527,0.217346,0.388527,0.294070,0.625000,non-hybrid,8,0.75,10,0.25,8 x 10,0.555
8.png,0.713895,0.102908,0.713895,0.231504,0.625000,hybrid,8,0.75,10,0.25,8 x 10,0.801
8_9.png,0.579624,0.173029,0.521838,0.579624,0.625000,non-hybrid,8,0.75,10,0.25,8 x 10,0.994
9.png,0.686977,0.275678,0.518387,0.686977,0.625000,hybrid,8,0.75,10,0.25,8 x 10,0.955
clear.png,0.380335,0.380335,0.269176,0.075567,0.625000,non-hybrid,8,0.75,10,0.25,8 x 10,0.999
deep.png,0.608245,0.301733,0.608245,0.118353,0.625000,non-hybrid,10,0.75,8,0.25,8 x 10,0.621
grey.png,0.659393,0.246161,0.659393,0.125072,0.625000,hybrid,10,0.75,8,0.25,8 x 10,0.681
large.jpg,0.507940,0.251300,0.507940,0.448553,0.625000,non-hybrid,10,0.55,8,0.45,8 x 10,1.000
print.tif,0.686977,0.275678,0.518387,0.686977,0.625000,hybrid,8,0.75,10,0.25,8 x 10,0.955
"""


def same_text(found: str, expected: str, tolerance: float) -> None:
    """Equal, but that numbers in it, of as many decimals, may differ by `tolerance`."""
    number = r"\d+\.\d+"
    assert re.sub(number, "#", found) == re.sub(number, "#", expected)
    numbers = [list(map(float, re.findall(number, text))) for text in (found, expected)]
    assert numbers[0] == pytest.approx(numbers[1], abs=tolerance)


def test_predictions_and_details_of_fixed_classifiers(world):
    found = (world / "all/details.csv").read_bytes().decode()
    same_text(found, DETAILS, 5e-6)
    rows = [line.split(",") for line in DETAILS.splitlines()[1:]]
    everybody = "\n".join(f"{row[0]},{float(row[1]):.4f}" for row in rows)
    same_text((world / "all/predictions.txt").read_bytes().decode(), everybody, 1.01e-4)
    larger = "\n".join(f"{row[0]},{max(map(float, row[2:4])):.4f}" for row in rows)
    same_text((world / "published/predictions.txt").read_bytes().decode(), larger, 1.01e-4)


def test_challenge_scores(world):
    found = json.loads((world / "scores.json").read_text())
    assert found == pytest.approx(
        {
            "A_score_major_recall": 4 / 6,
            "A_score_minor_recall": 5 / 6,
            "A_PRC_AUC": 0.8610305958132045,
            "A_PRC_AUC_major": 0.9166666666666666,
            "A_PRC_AUC_minor": 0.8722222222222222,
            "mimic_recall": 3 / 6,
            "mimic_PRC_AUC": 0.7968253968253968,
            "challenge_score": 3 / (6 / 4 + 6 / 5 + 6 / 3),
        },
        abs=1e-12,
    )


def test_the_zip_played_by_the_organisers_loop(world):
    with zipfile.ZipFile(world / "submission.zip") as archive:
        names = set(archive.namelist())
        needed = archive.read("requirements.txt").decode().split()
    assert names >= {"model.py", "metadata", "clf1024.pth", "sgd_clf.pkl", "subspecies.npz"}
    packages = "torch torchvision timm numpy Pillow opencv-python-headless"
    assert [line.partition("==")[0] for line in needed] == packages.split()
    said = (world / "packaged.txt").read_text()
    found = re.search("scored 6 images unpacked alone: (.*)", said)[1]
    expected = "deep.png,0.6813 grey.png,0.6082 palette.png,0.6813 print.tif,0.7047 "
    found = re.sub(r"rgb\.jpg,\S+ ", "", found)  # what it draws there is its own affair
    same_text(found, expected + "transparent.png,0.6406", 1.01e-4)
