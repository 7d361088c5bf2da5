"""The detection report: its files, its numbers, and what a reader does with the page."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import unquote

import detection_report
import evaluation
import numpy as np
import pytest
from backbones import make_transform
from browser import SCREENS, WIDTHS, flaws
from cutout import cut_out, find_specimen
from detection_report import find_photographs, photographs_of, write_report
from features import cells_reached
from gallery import Photograph, Picture
from model import Examined
from PIL import Image
from published_members import Origin
from reference import reference_data
from report_data import Setting, heat_map, javascript, specimen_mask
from scoring import Scored
from subspecies_member import Parents
from training_index import PAINTED_KEPT, TrainingIndex, rows_to_keep

ODD = ["quo\"te's, and comma.jpg", "<script>document.title=1</script>.jpg", "Rötliche äöüß.jpg"]
NAMES = [*ODD, *(f"plain_{i}.jpg" for i in range(9))]
SCORES = [0.95 - 0.08 * i for i in range(12)]  # six are above 0.5
LABELS = [1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]  # 4 is called wrongly, and 8 is missed
KINDS = ["major", "minor", "mimic"]
SETTING = Setting("efficientnet_lite0", ("sgd", "linear", "subspecies"), "photograph", 0.5)


def jpeg(path: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, "JPEG")
    return buffer.getvalue()


def evidence_at(row: int, column: int) -> np.ndarray:
    """All evidence in one patch of 7 x 7."""
    values = np.zeros((7, 7), np.float16)
    values[row, column] = 1.5
    return values


@pytest.fixture
def photographs(tmp_path, specimen) -> list[Photograph]:
    """Twelve, the first with its evidence in a corner and the others with it on the wings."""
    thumbnail = jpeg(specimen(tmp_path / "specimen.png"))
    draw = np.random.default_rng(0)
    rows = []
    for i, (name, score) in enumerate(zip(NAMES, SCORES, strict=True)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        feature = draw.standard_normal(1280).astype(np.float16)
        parents = Parents("8", "9" if i % 3 else "10", 0.6, 0.9 if i % 2 else 0.3)
        members = {member: score for member in SETTING.members}
        picture = Picture(thumbnail, feature, evidence_at(6, 6) if i == 0 else evidence_at(2, 2))
        rows.append(Photograph(name, path, score, members, parents, picture))
    return rows


@pytest.fixture
def index(photographs) -> TrainingIndex:
    """Six training images; those of `9` are the third, a hybrid, a painted one and the last."""
    features = np.stack([some.picture.feature for some in photographs[:6]])
    return TrainingIndex(
        names=np.array([f"train_{i}.jpg" for i in range(6)]),
        groups=np.array(["8", "10", "9", "8 x 9", "9", "9"]),
        hybrid=np.array([False, False, False, True, False, False]),
        painted=np.array([False, False, False, False, True, False]),
        features=features,
        thumbnails=[photographs[0].picture.thumbnail] * 6,
        origin=Origin("efficientnet_lite0", "a", "photograph"),
    )


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    """predictions.txt and a reference."""
    predictions, reference = tmp_path / "predictions.txt", tmp_path / "ref.csv"
    lines = [f"{name},{score:.4f}\n" for name, score in zip(NAMES, SCORES, strict=True)]
    predictions.write_text("".join(lines), encoding="utf-8")
    with reference.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "hybrid_stat", "ssp_indicator", "subspecies_ref"])
        for i, (name, label) in enumerate(zip(NAMES, LABELS, strict=True)):
            writer.writerow([name, label, KINDS[i % 3], "8 x 9" if label else "8"])
    return predictions, reference


@pytest.fixture
def report(tmp_path, photographs, index, files) -> Path:
    folder = tmp_path / "report"
    write_report(folder, photographs, SETTING, index, reference_data(*files))
    return folder / "index.html"


def read_data(folder: Path) -> dict:
    text = (folder / "data.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("const REPORT = ").removesuffix(";\n"))


# ---- files and numbers --------------------------------------------------------------------------


def test_the_folder_holds_what_the_page_shows_and_nothing_else(report):
    found = {str(p.relative_to(report.parent)) for p in report.parent.rglob("*") if p.is_file()}
    pictures = {f"photographs/{i}.jpg" for i in range(12)} | {f"training/{i}.jpg" for i in range(6)}
    names = "common threshold evaluation list photograph map start".split()
    scripts = {f"static/{name}.js" for name in names}
    assert found == pictures | scripts | {"index.html", "data.js", "static/style.css"}
    with Image.open(report.parent / "photographs/11.jpg") as image:
        assert image.size == (160, 120)


def test_photographs_are_ranked_by_score_then_name(tmp_path, photographs):
    write_report(tmp_path / "report", photographs[::-1], SETTING)
    assert read_data(tmp_path / "report")["photographs"]["name"] == NAMES


def test_links_lead_from_the_page_to_the_files(report, photographs):
    links = read_data(report.parent)["photographs"]["link"]
    assert all(re.fullmatch(r"[\w./%-]+", link, re.ASCII) for link in links)
    for link, photograph in zip(links, photographs, strict=True):
        assert (report.parent / unquote(link)).resolve() == photograph.path.resolve()


def test_links_lead_through_folders_that_are_links(tmp_path, photographs):
    """`..` leads out of the folder that a link names, not out of the one where the link lies."""
    (tmp_path / "deep/down/real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/down/real")
    real = tmp_path / "deep/down/images/one.jpg"
    real.parent.mkdir()
    real.touch()
    folder = tmp_path / "link/report"
    write_report(
        folder, [replace(photographs[0], path=tmp_path / "link/../images/one.jpg")], SETTING
    )
    (link,) = read_data(folder)["photographs"]["link"]
    assert (folder / unquote(link)).resolve() == real.resolve()


def test_scores_are_shown_to_the_sixth_decimal(tmp_path, photographs):
    write_report(tmp_path / "report", [replace(photographs[0], score=0.12345649)], SETTING)
    assert read_data(tmp_path / "report")["photographs"]["score"] == [0.123456]


def test_no_text_ends_the_script_that_it_stands_in():
    data = {"name": "</script><script>alert(1)</script>", "quotes": "\"'\u2028ä"}
    text = javascript(data)
    assert "</" not in text and text.isascii()
    assert json.loads(text.removeprefix("const REPORT = ").removesuffix(";\n")) == data


def test_a_heat_map_has_the_evidence_in_whole_numbers(photographs):
    """For a hybrid above 0, against it below; the strongest patch, of either sign, is 127."""
    values = np.zeros((2, 3), np.float16)
    values[0, 1], values[1, 2] = 0.75, -1.5
    picture = replace(photographs[0].picture, evidence=values)
    drawn = heat_map(replace(photographs[0], picture=picture))
    numbers = np.frombuffer(base64.b64decode(drawn["values"]), np.int8)
    assert (drawn["rows"], drawn["columns"], drawn["peak"]) == (2, 3, 1.5)
    assert numbers.tolist() == [0, 64, 0, 0, 0, -127]


def test_evidence_outside_the_specimen_is_measured(report):
    outside = [some["outside"] for some in read_data(report.parent)["maps"]]
    assert outside == [1.0] + [0.0] * 11


def test_the_specimen_is_found_in_a_small_picture(tmp_path, specimen, monkeypatch):
    path = specimen(tmp_path / "specimen.png")
    with Image.open(path) as image:
        image.resize((640, 480)).save(path)
    fitted = []
    solve = np.linalg.lstsq

    def note(places, colours, rcond):
        fitted.append(len(places))
        return solve(places, colours, rcond)

    monkeypatch.setattr("numpy.linalg.lstsq", note)
    mask = specimen_mask(jpeg(path))
    assert mask.shape == (72, 96)
    assert max(fitted) <= 36 * 48  # of its pixels
    large = Image.fromarray(find_specimen(np.asarray(Image.open(path))).mask)
    whole = np.asarray(large.resize((96, 72)))
    assert (mask & whole).sum() > 0.95 * (mask | whole).sum()


def test_no_specimen_is_found_on_empty_paper_and_the_whole_one_in_a_cutout(tmp_path, specimen):
    Image.new("RGB", (160, 120), (225, 222, 205)).save(tmp_path / "empty.png")
    assert specimen_mask(jpeg(tmp_path / "empty.png")) is None
    cutout, _, _ = cut_out(Image.open(specimen(tmp_path / "specimen.png")))
    cutout.save(tmp_path / "cutout.png")
    mask = specimen_mask(jpeg(tmp_path / "cutout.png"))
    assert mask.shape == (96, 96)
    assert not cells_reached(mask, 7, 7)[0, 0] and mask[:, 4:-4].any(axis=0).all()


def test_heat_maps_are_of_the_first_photographs_or_of_all(tmp_path, photographs, monkeypatch):
    monkeypatch.setattr("report_data.MAPS", 2)
    for all_maps, count in ((False, 2), (True, 12)):
        setting = Setting("efficientnet_lite0", SETTING.members, all_maps=all_maps)
        write_report(tmp_path / "report", photographs, setting)
        assert len(read_data(tmp_path / "report")["maps"]) == count


def test_heat_maps_are_of_the_first_200(tmp_path, photographs):
    plain = Picture(photographs[0].picture.thumbnail)
    rows = [replace(photographs[0], name=f"{i}.jpg", picture=plain) for i in range(201)]
    write_report(tmp_path / "report", rows, SETTING)
    assert len(read_data(tmp_path / "report")["maps"]) == 200


def test_parents_are_shown_by_the_most_similar_photograph_of_a_non_hybrid(report):
    similar = read_data(report.parent)["similar"]
    assert similar[0] == [0, 1]  # itself; the only one of 10
    assert similar[2][1] == 2  # itself
    assert similar[5][1] == 5
    assert similar[4][1] in (2, 5)  # not the painted one, which is itself


def test_the_reference_section_has_the_numbers_of_the_evaluation(report, files):
    shown = read_data(report.parent)["reference"]
    expected = evaluation.score_rows(evaluation.read_scored(*files), files[1])
    moves = expected.pop("one_hybrid")
    assert {value for _, value, _ in shown["official"]} == {
        value for name, value in expected.items() if name != "crosses"
    }
    assert next(row[2] for row in shown["official"]) == moves["challenge_score"]
    scores, labels = np.array(SCORES).round(4), np.array(LABELS)
    assert shown["roc_auc"] == evaluation.roc_auc(scores, labels)
    assert shown["pr_auc"] == evaluation.pr_auc(scores, labels)
    (name, _, found, count, low, high), *rest = shown["crosses"]
    cross = expected["crosses"]["8 x 9"]
    assert (rest, name, count) == ([], "8 x 9", cross["hybrids"])
    assert (low, high) == evaluation.wilson(found, count)
    assert found == round(count * cross["recall"])


def test_a_report_is_replaced_and_nothing_else_is(tmp_path, photographs):
    folder = tmp_path / "report"
    write_report(folder, photographs, SETTING)
    write_report(folder, photographs[:3], SETTING)
    assert len(read_data(folder)["photographs"]["name"]) == 3
    assert not list(tmp_path.glob(".*.part"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(ValueError, match="no report lies there"):
        write_report(tmp_path / "mine", photographs, SETTING)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_predictions_name_no_file_outside_the_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.jpg").touch()
    with pytest.raises(ValueError, match=r"secret\.jpg"):
        find_photographs(tmp_path / "images", ["../secret.jpg"], tmp_path / "predictions.txt")


@pytest.mark.parametrize("painted", [0, 3, PAINTED_KEPT, 2 * PAINTED_KEPT])
def test_a_training_keeps_all_photographs_and_a_sample_of_the_painted(painted):
    kept = rows_to_keep(np.array([False] * 4 + [True] * painted))
    assert kept[:4].tolist() == [0, 1, 2, 3]
    assert len(np.unique(kept)) == len(kept) == 4 + min(painted, PAINTED_KEPT)
    assert painted == 0 or kept[-1] == 3 + painted  # spread from the first to the last


# ---- the program --------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Run report.py's main on three photographs of one colour each, whose red is the score.

    Its model finds what it looks at as a network would; gives the exit status.
    """

    class Red:
        """Stands for the detector: no weights, and members that say the score."""

        backbone, preprocess, threshold = "efficientnet_lite0", "photograph", 0.25
        smallest_side = None
        transform = make_transform("efficientnet_lite0")
        members: ClassVar[dict] = {"linear": SimpleNamespace(origin=Origin()), "sgd": None}
        files: ClassVar[dict] = {"linear": tmp_path / "linear.pth"}

        def __init__(self, **options):
            self.options = options

        def load(self):
            pass

    def examine(_model, images):
        means = images[:, 0].mean(dim=(1, 2)).numpy()
        scores = (means / 2 + 0.5).astype(float)
        parents = [Parents("8", "9", 0.6, 0.9)] * len(scores)
        features = np.stack([scores, 1 - scores], axis=1).astype(np.float32)
        maps = np.repeat(scores, 4).reshape(-1, 2, 2)
        return Examined(scores, {"sgd": scores, "linear": scores}, parents, features), maps

    monkeypatch.setattr(detection_report, "Model", Red)
    monkeypatch.setattr("gallery.evidence.examine", examine)
    images = tmp_path / "scored"
    images.mkdir()
    for name, red in (("a.png", 51), ("b.png", 204), ("c.png", 102)):
        Image.new("RGB", (64, 64), (red, 0, 0)).save(images / name)

    def run_report(predictions: dict[str, float], *arguments: object) -> int:
        lines = [f"{name},{score}\n" for name, score in predictions.items()]
        (tmp_path / "predictions.txt").write_text("".join(lines))
        options = ["--predictions", tmp_path / "predictions.txt", "--images", images]
        command = ["report.py", *options, "--workers", 0, *arguments]
        monkeypatch.setattr("sys.argv", list(map(str, command)))
        return detection_report.main()

    return run_report


RED = {"a.png": 0.2, "b.png": 0.8, "c.png": 0.4}  # of 255


def test_the_program_shows_the_predicted_scores(start, tmp_path):
    """Of 4 decimals, as the reference has them, and not those that the model gives again."""
    assert start(RED | {"b.png": 0.8004}, "--batch_size", 2) == 0
    data = read_data(tmp_path / "report")
    assert data["photographs"]["name"] == ["b.png", "c.png", "a.png"]
    assert data["photographs"]["score"] == [0.8004, 0.4, 0.2]
    assert data["photographs"]["members"]["sgd"] == pytest.approx([0.8, 0.4, 0.2], abs=1e-4)
    assert [shown["peak"] for shown in data["maps"]] == pytest.approx([0.8, 0.4, 0.2], abs=1e-3)
    assert data["memberNames"] == ["sgd", "linear"]
    assert "training_index.npz: no such file" in data["noTraining"]
    for place, red in enumerate((204, 102, 51)):
        with Image.open(tmp_path / f"report/photographs/{place}.jpg") as image:
            assert image.getpixel((32, 32))[0] == pytest.approx(red, abs=3)


@pytest.mark.parametrize(("off", "status"), [(0.0009, 0), (0.0011, 1), (-0.0011, 1)])
def test_scores_of_other_classifiers_are_refused(start, tmp_path, capsys, off, status):
    assert start(RED | {"b.png": 0.8 + off}) == status
    assert (tmp_path / "report").exists() is (status == 0)
    assert ("b.png has the score" in capsys.readouterr().err) is (status == 1)


@pytest.mark.parametrize("arguments", [[], ["--scores_only"]])
def test_a_photograph_that_cannot_be_read_moves_no_other(start, tmp_path, capsys, arguments):
    """It is named, left out, and the exit status is 1; in its batch it comes first."""
    (tmp_path / "scored/b.png").write_bytes(b"no picture")
    assert start(RED, *arguments) == 1
    assert "b.png" in capsys.readouterr().err
    data = read_data(tmp_path / "report")
    assert data["photographs"]["name"] == ["c.png", "a.png"]
    assert data["photographs"]["score"] == [0.4, 0.2]
    links = [link.rpartition("/")[2] for link in data["photographs"]["link"]]
    assert links == ["c.png", "a.png"]
    with Image.open(tmp_path / "report/photographs/0.jpg") as image:
        assert image.getpixel((32, 32))[0] == pytest.approx(102, abs=3)


def test_no_report_is_made_of_no_photograph(start, tmp_path, capsys):
    (tmp_path / "scored/b.png").write_bytes(b"no picture")
    assert start({"b.png": 0.8}) == 1
    assert "none of 1 photographs can be read" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_scores_alone_need_no_model_and_are_believed(start, tmp_path, monkeypatch):
    monkeypatch.delattr(detection_report, "Model")
    assert start({"a.png": 0.9, "b.png": 0.1}, "--scores_only", "--threshold", 0) == 0
    data = read_data(tmp_path / "report")
    assert data["photographs"]["score"] == [0.9, 0.1]
    assert (data["threshold"], data["memberNames"], data["maps"]) == (0, [], [None, None])


@pytest.mark.parametrize(("arguments", "expected"), [((), 0.25), (("--threshold", 0), 0)])
def test_the_page_begins_at_the_threshold_of_the_training_or_the_one_named(
    start, tmp_path, arguments, expected
):
    assert start(RED, *arguments) == 0
    assert read_data(tmp_path / "report")["threshold"] == expected


def test_the_first_three_missing_photographs_are_named(start, tmp_path, capsys):
    assert start(RED | {f"{i}.png": 0.5 for i in range(4)}) == 1
    errors = capsys.readouterr().err
    assert "4 of the 7 photographs" in errors
    assert "(first: 0.png, 1.png, 2.png)" in errors
    assert start({}) == 1
    assert "holds no predictions" in capsys.readouterr().err


def test_ingestion_says_its_own_scores_by_name(tmp_path, photographs):
    """One could not be scored, and of one no picture was taken: the places of the rest stay."""
    pictures = {place: photographs[place].picture for place in (0, 1, 3)}
    paths = [Path(f"{name}.jpg") for name in "abcd"]
    outcomes = {"a": Scored(0.1, {"sgd": 0.2}, None), "b": "no image"}
    outcomes |= {name: Scored(0.3, {"sgd": 0.4}, None) for name in "cd"}
    rows = photographs_of(SimpleNamespace(pictures=pictures), paths, outcomes)
    assert [(row.name, row.path, row.score) for row in rows] == [
        ("a", paths[0], 0.1),
        ("d", paths[3], 0.3),
    ]
    assert rows[1].picture is pictures[3]


def test_the_old_report_stays_when_the_new_one_fails(tmp_path, photographs, monkeypatch):
    folder = tmp_path / "report"
    write_report(folder, photographs[:3], SETTING)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(detection_report, "make_page", fail)
    with pytest.raises(OSError, match="no space left"):
        write_report(folder, photographs, SETTING)
    assert len(read_data(folder)["photographs"]["name"]) == 3
    assert not list(tmp_path.glob(".*.part"))


def test_the_old_report_is_put_back_when_the_new_one_cannot_take_its_name(
    tmp_path, photographs, monkeypatch
):
    folder = tmp_path / "report"
    write_report(folder, photographs[:3], SETTING)
    rename, names = Path.rename, []

    def fail_once(path: Path, target: Path) -> Path:
        names.append(path)
        if len(names) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(KeyboardInterrupt):
        write_report(folder, photographs, SETTING)
    assert len(read_data(folder)["photographs"]["name"]) == 3
    assert not list(tmp_path.glob(".*.part"))


# ---- in a browser -------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_a_reader_stumbles_over_nothing(open_page, report, scheme, width):
    page = open_page(report, scheme, width)
    assert flaws(page, report.parent) == []
    page.locator(".row button").first.click()
    assert flaws(page, report.parent.parent) == []


def names_shown(page) -> list[str]:
    texts = page.locator(".row .name").all()
    return [text.evaluate("element => element.firstChild.textContent") for text in texts]


def test_the_list_is_filtered_sorted_and_saved(open_page, report):
    page = open_page(report)
    assert page.title() == "Which of these are hybrids?"
    assert names_shown(page)[:3] == ODD  # as they are
    page.get_by_role("searchbox", name="Name").fill("PLAIN_1")
    assert names_shown(page) == ["plain_1.jpg"]
    page.get_by_role("button", name="Show all").click()
    page.locator("#decision").select_option("non-hybrid")
    assert page.locator("#selected").text_content() == "6 of 12 photographs"
    page.locator("#decision").select_option("all")
    page.locator("#truth").select_option("called wrongly")
    assert names_shown(page) == [NAMES[4], NAMES[8]]
    page.locator("#truth").select_option("all")
    page.locator("#parents").select_option("8 x 9")
    assert names_shown(page) == [NAMES[i] for i in (1, 5, 7, 11)]
    page.locator("#sort").select_option("score, lowest first")
    assert names_shown(page) == [NAMES[i] for i in (11, 7, 5, 1)]
    page.locator("#lowest").fill("0.5")
    assert names_shown(page) == [NAMES[5], NAMES[1]]
    page.locator("#parents").select_option("all")
    page.locator("#lowest").fill("0.9")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    rows = list(csv.DictReader(io.StringIO(saved.value.path().read_text(encoding="utf-8"))))
    assert [(row["filename"], row["score"], row["decision"]) for row in rows] == [
        (NAMES[0], "0.95", "hybrid")
    ]


def test_the_slider_changes_the_counts_at_once(open_page, report):
    page = open_page(report)
    counts = page.locator("#counts")
    assert "6 called hybrid, 6 non-hybrid" in counts.text_content()
    assert "Recall 83\u00a0% (5 of 6), precision 83\u00a0%" in counts.text_content()
    assert page.locator("#missed button").count() == 1
    page.locator("#threshold").fill("0.9")
    assert "1 called hybrid, 11 non-hybrid" in counts.text_content()
    assert "Recall 17\u00a0% (1 of 6), precision 100\u00a0%" in counts.text_content()
    assert page.locator("#missed button").count() == 5
    assert page.locator(".row .called").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_heat_maps_cover_their_pictures_in_the_list(open_page, report, width):
    page = open_page(report, width=width)
    page.get_by_label("Heat maps").check()
    page.locator(".row img").first.evaluate("image => image.decode()")
    picture = page.locator(".row img").first.bounding_box()
    assert picture["height"] > 10
    assert page.locator(".row canvas").first.bounding_box() == pytest.approx(picture, abs=1)


def test_the_threshold_stays_in_view_on_a_desk(open_page, report):
    page = open_page(report)
    page.locator("#reading").scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert page.locator("#bar").bounding_box()["y"] == pytest.approx(0, abs=1)


def test_the_panel_opens_by_keyboard(open_page, report):
    page = open_page(report)
    panel = page.get_by_role("dialog")
    page.locator(".row button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert panel.get_by_role("heading", name=NAMES[0]).is_visible()
    assert "Look twice" in panel.text_content()
    assert "8 and 10" in panel.text_content()
    sources = [image.get_attribute("src") for image in panel.locator(".pair img").all()]
    assert sources == ["training/0.jpg", "training/1.jpg"]
    assert not panel.locator("canvas").is_visible()
    panel.get_by_label("Heat map").check()
    picture = panel.locator(".large img").bounding_box()
    assert panel.locator("canvas").bounding_box() == pytest.approx(picture, abs=1)
    assert page.locator(".row canvas").count() == page.locator(".row").count()
    page.keyboard.press("ArrowRight")
    assert panel.get_by_role("heading", name="document.title").is_visible()
    assert "Look twice" not in panel.text_content()
    page.keyboard.press("Escape")
    assert not panel.is_visible()


@pytest.mark.parametrize(("outside", "warned"), [(0.18, False), (0.22, True)])
def test_a_fifth_of_the_evidence_outside_is_warned_of(
    open_page, tmp_path, photographs, outside, warned
):
    values = outside * evidence_at(6, 6) + (1 - outside) * evidence_at(2, 2)
    picture = replace(photographs[0].picture, evidence=values.astype(np.float16))
    write_report(tmp_path / "report", [replace(photographs[0], picture=picture)], SETTING)
    page = open_page(tmp_path / "report/index.html")
    assert ("look twice" in page.locator(".row").text_content()) is warned
    page.locator(".row button").click()
    assert ("Look twice" in page.get_by_role("dialog").text_content()) is warned


def test_the_focus_returns_to_the_photograph_that_was_looked_at(open_page, report):
    page = open_page(report)
    page.locator(".row button").first.focus()
    page.keyboard.press("Enter")
    page.locator("#panel_heat").check()  # the rows are made anew
    page.locator("#panel_title").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    # A dialog tells that it was closed a moment later.
    page.wait_for_function("document.activeElement.closest('.row')?.dataset.number === '1'")
    button = page.locator("#missed button").first
    button.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert button.evaluate("element => element === document.activeElement")
    canvas = page.locator("#map_canvas")
    canvas.focus()
    for key in ("ArrowRight", "Enter", "Escape"):
        page.keyboard.press(key)
    assert canvas.evaluate("element => element === document.activeElement")


def test_a_screen_reader_is_told_what_the_controls_are(open_page, report):
    page = open_page(report)
    assert page.get_by_role("slider", name="threshold").count() == 1
    assert page.get_by_role("spinbutton", name="A hybrid scores above").count() == 1
    assert page.get_by_role("listitem").nth(2).get_attribute("aria-posinset") == "3"
    assert page.get_by_role("button", name=re.compile("^rank 3 .*Rötliche")).count() == 1
    assert page.get_by_role("region", name="Hybrids found, by cross").count() == 1
    canvas = page.get_by_role("application", name="Map of the features")
    canvas.focus()
    tip = page.locator("#map_tip")
    assert tip.get_attribute("aria-live") == "polite"
    told = []
    for key in ("Right", "Right", "Down", "Down", "Down", "Up"):
        page.keyboard.press(f"Arrow{key}")
        told.append(tip.locator("b").text_content())
    assert told == [*NAMES[:2], "train_0.jpg", "train_1.jpg", "train_2.jpg", "train_1.jpg"]
    page.get_by_role("button", name="training photographs").click()  # off, the painted one stays
    canvas.focus()
    page.keyboard.press("ArrowDown")
    assert tip.locator("b").text_content() == "train_4.jpg"


FORMULAS = [
    "=1+1.jpg",
    "+1.jpg",
    "-1.jpg",
    "@a.jpg",
    "\t=.jpg",
    "\r=.jpg",
    "\uff1d1.jpg",
    "'=1.jpg",
]


def test_a_saved_selection_starts_no_formula(open_page, tmp_path, photographs):
    rows = [
        replace(row, name=name, members={"sgd": -0.3}, parents=Parents("=8", "9", 0.6, 0.9))
        for row, name in zip(photographs, [*FORMULAS, 'a;"=1.jpg'], strict=False)
    ]
    setting = Setting("efficientnet_lite0", ("sgd", "subspecies"), "photograph", 0.5)
    rows = [replace(row, members={"sgd": -0.3, "subspecies": 0.25}) for row in rows]
    write_report(tmp_path / "report", rows, setting)
    page = open_page(tmp_path / "report/index.html")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    text = saved.value.path().read_bytes().decode()
    saved_rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["filename"] for row in saved_rows] == [
        *(f"'{name}" for name in FORMULAS[:-1]),
        "'=1.jpg",
        'a;"=1.jpg',
    ]
    assert {row["sgd"] for row in saved_rows} == {"-0.3"}  # a number stays one
    assert {(row["parent_1"], row["parent_2"]) for row in saved_rows} == {("'=8", "9")}
    assert '"a;""=1.jpg",' in text  # where ; parts the cells, none of them begins with =


def test_on_paper_are_the_first_photographs_and_no_controls(open_page, report):
    page = open_page(report, scheme="dark", width=390)
    page.wait_for_function(f"onPaper.length === {len(NAMES)} && onPaper.every(i => i.complete)")
    assert page.locator(".row").count() < len(NAMES)
    page.emulate_media(media="print")
    pictures = page.evaluate(
        "() => { dispatchEvent(new Event('beforeprint'));"
        " return [...document.querySelectorAll('.row img')].map(i => i.complete && i.width > 0) }"
    )
    assert pictures == [True] * len(NAMES)
    for control in ("nav", "#threshold", "#filters", ".on_screen"):
        assert not page.locator(control).first.is_visible()
    assert page.locator("#printed").text_content() == ""
    colours = "getComputedStyle(document.body)"
    assert page.evaluate(f"[{colours}.backgroundColor, {colours}.color]") == [
        "rgb(255, 255, 255)",
        "rgb(34, 33, 29)",
    ]
    style = "getComputedStyle(document.querySelector('.row')).breakInside"
    assert page.evaluate(style) == "avoid"
    width, height = page.evaluate(
        "[map_canvas.width / map_canvas.clientWidth, map_canvas.height / map_canvas.clientHeight]"
    )
    assert width == pytest.approx(height, rel=0.01)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator(".row").count() < len(NAMES)
    assert page.evaluate(f"{colours}.color") == "rgb(238, 235, 227)"


def test_the_open_photograph_is_printed_alone(open_page, report):
    page = open_page(report)
    page.locator(".row button").first.click()
    page.emulate_media(media="print")
    panel = page.get_by_role("dialog")
    assert panel.locator(".large img").is_visible()
    assert not page.locator("#list").is_visible()
    assert not panel.locator("button").first.is_visible()
    assert not panel.get_by_role("link").is_visible()


def test_a_long_list_says_how_many_are_printed(open_page, tmp_path, photographs):
    rows = [replace(photographs[0], name=f"{i}.jpg") for i in range(201)]
    write_report(tmp_path / "report", rows, Setting())
    page = open_page(tmp_path / "report/index.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".row").count() == 200
    assert page.locator("#printed").text_content() == "The first 200 are printed."


def test_called_hybrids_have_a_colour_of_their_own_on_the_map(open_page, report):
    page = open_page(report)
    hues = page.evaluate("subspecies.map((_, i) => +subspeciesColour(i).match(/\\d+/)[0])")
    assert len(hues) == 3 and all(50 <= hue <= 355 for hue in hues)  # orange is 20 to 30


def test_many_points_on_the_map_are_small(open_page, report):
    page = open_page(report)
    radii = page.evaluate("[1, 800, 1250, 5000, 10000].map(pointRadius)")
    assert radii == pytest.approx([3.5, 3.5, 2.8, 1.4, 1.4])


def test_the_map_shows_the_picture_under_the_pointer(open_page, report):
    page = open_page(report)
    canvas = page.locator("#map_canvas")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert NAMES[0] in page.locator("#map_tip").text_content()
    assert page.locator("#map_tip img").get_attribute("src") == "photographs/0.jpg"
    page.get_by_role("button", name="scored photographs").click()  # off
    left, top = page.evaluate("mapScale()(...REPORT.featureMap.training[4])")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + left, box["y"] + top)
    assert "painted, 9" in page.locator("#map_tip").text_content()


# ---- what the scripts compute -------------------------------------------------------------------


def test_photographs_are_sorted_and_called_by_their_own_numbers(open_page, tmp_path, photographs):
    sgd, certainty = (0.1, 0.4, 0.3, 0.2), (0.6, 0.9, 0.7, 0.3)
    rows = [
        replace(
            photographs[0 if i == 2 else 1],
            name=f"{i}.jpg",
            score=(0.9, 0.7, 0.5, 0.2)[i],
            members=dict.fromkeys(SETTING.members, 0.5) | {"sgd": sgd[i]},
            parents=Parents("8", "9", (0.75, 0.7, 0.6, 0.5)[i], certainty[i]),
        )
        for i in range(4)
    ]
    write_report(tmp_path / "report", rows, SETTING)
    page = open_page(tmp_path / "report/index.html")
    orders = page.evaluate(
        "Object.fromEntries(Object.keys(SORTS).map(n => [n, [0, 1, 2, 3].sort(SORTS[n])]))"
    )
    assert orders["sgd, highest first"] == [1, 2, 3, 0]
    assert orders["certainty of the parents"] == [1, 2, 0, 3]
    assert orders["evidence outside the specimen"] == [2, 0, 1, 3]
    assert page.evaluate("[0, 1, 2, 3].map(called)") == [True, True, False, False]
    assert page.evaluate("[0, 0.054, 0.1, 0.5].map(percent)") == [
        f"{text}\u00a0%" for text in ("0", "5.4", "10", "50")
    ]
    widths = page.locator(".row").first.locator(".measure i")
    assert [bar.evaluate("e => e.style.width") for bar in widths.all()] == ["10%", "50%", "50%"]
    page.locator("#threshold").fill("0.6")
    page.locator("#highest").fill("0.5")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    kept = list(csv.DictReader(io.StringIO(saved.value.path().read_text(encoding="utf-8"))))
    assert [row["filename"] for row in kept] == ["2.jpg", "3.jpg"]
    assert {row["threshold"] for row in kept} == {"0.6"}
    assert [(row["share_1"], row["share_2"]) for row in kept] == [("0.6", "0.4"), ("0.5", "0.5")]
    page.locator(".row button").first.click()
    told = page.get_by_role("dialog").text_content()
    assert "Rank 3 of 4" in told
    assert "8 (share 60\u00a0%)9 (share 40\u00a0%)" in told


def test_a_heat_map_is_orange_for_a_hybrid_and_lies_as_the_evidence_does(
    open_page, tmp_path, photographs
):
    evidence = np.zeros((2, 3), np.float16)
    evidence[0, 1], evidence[1, 2] = 0.75, -1.5
    picture = replace(photographs[0].picture, evidence=evidence)
    write_report(tmp_path / "report", [replace(photographs[0], picture=picture)], SETTING)
    page = open_page(tmp_path / "report/index.html")
    pixels = page.evaluate(
        "[...heatCanvas(REPORT.maps[0]).getContext('2d').getImageData(0, 0, 3, 2).data]"
    )
    pixels = np.reshape(pixels, (2, 3, 4))
    assert pixels[0, 1] == pytest.approx([240, 100, 0, 96], abs=3)
    assert pixels[1, 2] == pytest.approx([30, 110, 220, 190], abs=3)
    assert pixels[..., 3].sum() == pixels[0, 1, 3] + pixels[1, 2, 3]
    page.locator(".row button").click()
    told = page.get_by_role("dialog").text_content()
    assert "All patches: 0.76 for, 1.50 against" in told


def test_the_charts_show_the_numbers_of_the_reference(open_page, report):
    page = open_page(report)
    shown = read_data(report.parent)["reference"]

    def place(circle: str) -> list[float]:
        return page.evaluate(f"['cx', 'cy'].map(name => +{circle}.getAttribute(name))")

    # Of six hybrids five are found, of six others one is called.
    assert place("roc_mark") == pytest.approx([40 + 250 / 6, 260 - 250 * 5 / 6])
    assert place("precision_recall_mark") == pytest.approx([40 + 250 * 5 / 6, 260 - 250 * 5 / 6])
    assert page.locator("#roc .curve").get_attribute("d").startswith("M40.0 260.0L40.0 218.3L")
    bins = page.evaluate(
        "[...document.querySelectorAll('#histogram rect')].map(e => +e.dataset.bin)"
    )
    assert sorted(bins) == sorted(int(60 * round(score, 4)) for score in SCORES)
    assert "83\u00a0% of the non-hybrids stay below" in page.locator("#counts").text_content()
    official = page.locator("#official tbody tr").first.locator("td").all_text_contents()
    assert official[1:] == [f"{value:.3f}" for value in shown["official"][0][1:]]
    *_, low, high = shown["crosses"][0]
    bar = page.locator("#crosses rect")
    width = float(bar.get_attribute("width"))
    assert (float(bar.get_attribute("x")), width) == pytest.approx(
        (2 + 156 * low, 156 * (high - low))
    )
    page.locator("#threshold").fill("0.9")
    assert page.locator("#cut").get_attribute("transform") == "translate(900 0)"
    assert place("precision_recall_mark") == pytest.approx([40 + 250 / 6, 10])
    missed = page.locator("#missed button").all_text_contents()
    assert [text[:6] for text in missed] == ["0.3100", "0.5500", "0.7100", "0.7900", "0.8700"]


def test_precision_is_of_those_that_the_reference_knows(open_page, tmp_path, photographs, files):
    """Of six that are called it knows five: four hybrids and another."""
    reference = reference_data(*files)
    del reference["labels"][NAMES[0]]
    write_report(tmp_path / "report", photographs, SETTING, reference=reference)
    page = open_page(tmp_path / "report/index.html")
    assert "(4 of 5), precision 80\u00a0%" in page.locator("#counts").text_content()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    kept = csv.DictReader(io.StringIO(saved.value.path().read_text(encoding="utf-8")))
    assert [row["hybrid_stat"] for row in kept] == ["", *map(str, LABELS[1:])]


def test_the_map_has_its_second_axis_upwards_and_leaves_out_what_has_no_place(open_page, report):
    data = report.parent / "data.js"
    text = data.read_text()
    drawn = read_data(report.parent)["featureMap"]
    drawn["training"][1] = [-1, -1]
    drawn["shares"] = [0.5, 0.25]
    data.write_text(re.sub('"featureMap":{.*?},', f'"featureMap":{json.dumps(drawn)},', text))
    page = open_page(report)
    assert page.evaluate("mapScale()(0.5, 1)[1] < mapScale()(0.5, 0)[1]")
    points = page.evaluate("mapPoints().map(([kind, i]) => kind + i)")
    scored = [f"photographs{i}" for i in range(11, -1, -1)]
    assert points == [*(f"training{i}" for i in (0, 2, 3)), "painted4", "training5", *scored]
    assert "axes 1 and 2, 50\u00a0% and 25\u00a0%" in page.locator("#map_frame").text_content()


def test_page_down_goes_eight_photographs_on(open_page, report):
    page = open_page(report)
    page.locator(".row button").first.focus()
    page.keyboard.press("PageDown")
    number = "document.activeElement.closest('.row').dataset.number"
    assert page.evaluate(number) == "8"


def test_the_report_is_imported_without_what_takes_seconds(run, repository):
    slow = "{'pandas', 'sklearn', 'matplotlib'} & {*sys.modules}"
    code = f"import detection_report, sys; print({slow})"
    done = run("-c", code, cwd=repository / "HybridDetection/report")
    assert done.stdout == "set()\n", done.stderr
