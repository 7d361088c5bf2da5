"""The method of cutting out, on drawn photographs and on made-up scenes."""

import io

import cutout
import cv2
import numpy as np
import pandas as pd
import pytest
from cutout import GROUND, box_of, cut_out, find_specimen, is_cutout, judge, on_flat_ground
from demo.paper import collection_of
from demo.photograph import photograph
from demo.traits import SUBSPECIES, individual
from pictures import load_pictures
from PIL import Image

PAPER, WING = (85, 0, 0), (10, 0, 0)  # Lab


class Scene:
    """A picture drawn in Lab, with a dark specimen of two pairs of wings on even paper."""

    def __init__(self, size: tuple[int, int] = (600, 400)) -> None:
        self.lab = np.full((*size[::-1], 3), PAPER, np.float32)
        for y, axes, places in ((150, (95, 50), (200, 400)), (235, (60, 45), (230, 370))):
            for x in places:
                self.ellipse((x, y), axes)

    def ellipse(self, centre, axes, colour=WING) -> None:
        cv2.ellipse(self.lab, centre, axes, 0, 0, 360, colour, cv2.FILLED)

    @property
    def rgb(self) -> np.ndarray:
        return np.rint(255 * cv2.cvtColor(self.lab, cv2.COLOR_LAB2RGB).clip(0, 1)).astype(np.uint8)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_masks_of_drawn_photographs():
    """Of whole butterflies, on the paper that goes with their subspecies."""
    values = []
    for number, name in enumerate(SUBSPECIES):
        rng = np.random.default_rng([8, number])
        traits, species = individual((name,), rng), SUBSPECIES[name].species
        collection = collection_of(name, "train", rng)
        files = photograph(traits, species, "DEMO00001", collection, rng, pinned=True)
        files = map(io.BytesIO, files)
        rgb, truth = (np.asarray(Image.open(file)) for file in files)
        found = find_specimen(rgb)
        assert found.confidence >= 0.9
        values.append(iou(found.mask, truth > 0))
    assert np.mean(values) > 0.96 and min(values) > 0.94


def test_real_specimens_are_found_with_confidence(shared):
    """How much of each photograph they cover was judged by eye; charts and ruler are not there."""
    shares = {"images/H.e.phyllis/114_BOQ2_calibrated_D.jpg": 0.057}
    shares |= {"images/H.e.emma/10429077_d.jpg": 0.535, "full/IMG_1960.jpg": 0.109}
    for name, share in shares.items():
        found = find_specimen(np.asarray(Image.open(shared / "heliconius" / name).convert("RGB")))
        assert (found.confidence, found.reason) == (1.0, "")
        assert found.mask.mean() == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("side", [224, 1600])
@pytest.mark.parametrize("paper", [(78, 0, 0), (75, -50, 45), (93, 1, -2)])
def test_loose_wings_on_gridded_paper(side, paper):
    """Four wings, the lower two with a pale bar at the upper rim, and no line, ruler or disc."""
    lab, truth = np.full((side, side, 3), paper, np.float32), np.zeros((4, side, side), np.uint8)

    def at(*shares: float) -> tuple[int, ...]:
        return tuple(round(share * side) for share in shares)

    def box(left: float, top: float, right: float, bottom: float, colour) -> None:
        cv2.rectangle(lab, at(left, top), at(right, bottom), colour, cv2.FILLED)

    width = max(1, side // 200)
    cv2.line(lab, at(0.5, 0), at(0.5, 1), (45, 0, 0), width)
    cv2.line(lab, at(0, 0.48), at(1, 0.48), (45, 0, 0), width)
    box(0, 0.9, 0.55, 1, (86, 0, 0))
    for number in range(24):
        place = 0.02 + 0.022 * number
        cv2.line(lab, at(place, 0.9), at(place, 0.94), (25, 0, 0), width)
    box(0.58, 0.88, 0.75, 0.95, (96, 0, 0))  # a label
    cv2.circle(lab, at(0.95, 0.95), round(0.14 * side), (15, 0, 0), cv2.FILLED)
    cv2.circle(lab, at(0.95, 0.95), round(0.11 * side), (96, 0, 0), cv2.FILLED)
    wings = ((0.3, 0.3, 30), (0.7, 0.3, -30), (0.34, 0.64, 0), (0.66, 0.64, 0))
    for wing, (x, y, turn) in zip(truth, wings, strict=True):
        axes = at(0.15, 0.09) if turn else at(0.1, 0.11)
        cv2.ellipse(wing, at(x, y), axes, turn, 0, 360, 1, cv2.FILLED)
        lab[wing > 0] = (12, 3, 4)
        bar = wing * (np.arange(side)[:, None] < (y - 0.06) * side) if not turn else 0 * wing
        lab[bar > 0] = (72, 6, 12)
    lab = cv2.GaussianBlur(lab, (0, 0), side / 500)
    lab += np.random.default_rng(0).normal(0, 0.7, lab.shape).astype(np.float32)
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1)
    found = find_specimen(np.rint(255 * rgb).astype(np.uint8))
    assert found.confidence == 1
    assert iou(found.mask, truth.any(axis=0)) > 0.93
    assert found.mask[truth.any(axis=0)].mean() > 0.98
    whole = []
    for place, piece in cutout.pieces(found.mask):
        whole.append(max(iou(piece, wing[place] > 0) for wing in truth))
    assert len(whole) == 4 and min(whole) > 0.9


def test_patterns_of_the_challenges_photographs_are_in_the_mask(shared):
    """Every sixtieth that has a trait mask, which is twice as long; two of them lie on a chart."""
    folder = shared / "challenge"
    if not folder.is_dir():
        pytest.skip(f"needs the challenge's photographs in {folder}")
    rows = pd.read_csv(folder / "photographs.csv").dropna(subset="trait_mask")[::60]
    inside = []
    for row in rows.itertuples():
        rgb = np.asarray(Image.open(folder / "images" / row.part / row.filename).convert("RGB"))
        trait = np.asarray(Image.open(folder / "trait_masks" / row.trait_mask)) > 0
        found = find_specimen(rgb)
        assert found.confidence >= cutout.CONFIDENT and found.mask.mean() < 0.6
        assert sum(1 for _ in cutout.pieces(found.mask)) <= 4
        inside.append(found.mask.repeat(2, 0).repeat(2, 1)[trait].mean())
    assert len(inside) == 38 and np.mean(np.array(inside) >= 0.95) > 0.9


def test_the_papers_surface_is_quadratic_and_passes_below_the_specimen():
    scene = Scene()
    wings = scene.lab[..., 0] < 50
    y, x = np.mgrid[-1:1:400j, -1:1:600j].astype(np.float32)
    lightness = 80 - 14 * x**2 - 9 * y**2 + 5 * x * y + 2 * x - 3 * y
    paper = np.stack([lightness, 0 * x - 2, 3 - x], axis=2)
    surface = cutout.fit_paper(np.where(wings[..., None], scene.lab, paper))
    assert np.abs(surface - paper).max() < 0.1


def plate(scene: Scene, cut: int) -> None:
    """A rectangle without its corners: 0.90 of its area is left for a cut of 28, 0.86 for 34."""
    left, top, right, bottom = 220, 290, 380, 390
    xs = [left + cut, right - cut, right, right, right - cut, left + cut, left, left]
    ys = [top, top, top + cut, bottom - cut, bottom, bottom, bottom - cut, top + cut]
    cv2.fillPoly(scene.lab, [np.array([xs, ys]).T], WING)


def speck(scene: Scene, half: int) -> None:
    scene.lab[150 - half : 151 + half, 200 - half : 201 + half] = PAPER  # 25 or 49 pixels


def antenna(scene: Scene, width: int = 4, knob: int = 0, top: int = 20) -> None:
    """The specimen is 391 pixels long; wings and joint have about 48,000 pixels."""
    scene.lab[top:120, 300 : 300 + width] = WING
    scene.ellipse((302, 40), (knob, knob))
    scene.lab[110:160, 280:320] = WING  # joins it to the forewings


def fringe(scene: Scene, lighter: float) -> None:
    """Ten pixels around the left forewing."""
    scene.ellipse((200, 150), (105, 60), (PAPER[0] + lighter, 0, 0))
    scene.ellipse((200, 150), (95, 50))


def antenna_along_the_edge(scene: Scene) -> None:
    antenna(scene, top=0)
    scene.lab[0:4, 250:304] = WING


@pytest.mark.parametrize(
    ("draw", "place", "specimen"),
    [
        # What adjoins a forewing: SHADOW; DIFFERENCE, in hue; a fringe.
        *[
            (lambda s, c=colour: s.ellipse((480, 200), (40, 40), c), (490, 210), found)
            for colour, found in [
                ((85 * 0.64, 0, 0), False),
                ((85 * 0.56, 0, 0), True),
                ((85, 0, 3), False),
                ((85, 0, 7), True),
            ]
        ],
        (lambda s: fringe(s, 3), (100, 150), False),
        (lambda s: fringe(s, 8), (100, 150), True),
        # FAINT, BRIGHT: a piece like that is card.
        (lambda s: s.ellipse((300, 340), (70, 40), (63, 0, 13)), (300, 340), False),
        (lambda s: s.ellipse((300, 340), (70, 40), (62, 0, 22)), (300, 340), True),
        (lambda s: s.ellipse((300, 340), (70, 40), (66, 0, 40)), (300, 340), False),
        # PATTERN, SPECK: a hole is a gap or a pale part of the wing.
        (lambda s: s.ellipse((200, 150), (25, 15), (85, 0, 1.7)), (200, 150), False),
        (lambda s: s.ellipse((200, 150), (25, 15), (85, 0, 3)), (200, 150), True),
        (lambda s: speck(s, 2), (200, 150), True),
        (lambda s: speck(s, 3), (200, 150), False),
        # PLATE, LONG: a prop.
        (lambda s: plate(s, 28), (300, 340), False),
        (lambda s: plate(s, 34), (300, 340), True),
        (lambda s: s.ellipse((300, 340), (96, 26)), (300, 340), True),
        (lambda s: s.ellipse((300, 340), (106, 25)), (300, 340), False),
        # CUT_OFF: the picture's edge cuts off half of a disc, or touches it.
        (lambda s: s.ellipse((300, 400), (50, 50)), (300, 380), False),
        (lambda s: s.ellipse((300, 345), (50, 50)), (300, 380), True),
        # CRUMB: of 22,800 pixels, those of a side's wings, 2 % is a disc with a radius of 12;
        # SCRAP: of 40, if it is further than 18 pixels from the rest.
        (lambda s: s.ellipse((230, 300), (10, 10)), (230, 300), False),
        (lambda s: s.ellipse((230, 304), (14, 14)), (230, 304), True),
        (lambda s: s.ellipse((300, 340), (37, 37)), (300, 340), False),
        (lambda s: s.ellipse((300, 340), (44, 44)), (300, 340), True),
        # LINE, and the knob goes with its antenna.
        (lambda s: antenna(s, 4), (302, 50), False),
        (lambda s: antenna(s, 8), (304, 50), True),
        (lambda s: antenna(s, knob=6, top=40), (302, 40), False),
        (antenna_along_the_edge, (260, 1), False),
    ],
)
def test_what_is_specimen(draw, place, specimen):
    scene = Scene()
    draw(scene)
    found = find_specimen(scene.rgb).mask
    assert found[235, 370] and not found[20, 20]  # a hindwing, and paper
    assert found[place[::-1]] == specimen


def lay(lab: np.ndarray, at: tuple[int, int], size: float = 1, turn: int = 0, pose="pinned"):
    """Draw a specimen, its wings 300 pixels across times `size`: pinned, in four loose wings, in
    two sides, or in two pairs, one above the other."""
    far, low = {"pinned": (0, 0), "loose": (20, 15), "sides": (20, 0), "pairs": (0, 20)}[pose]
    tile = np.zeros((401, 401), np.uint8)
    for out in (-1, 1):
        cv2.ellipse(tile, (200 + out * (75 + far), 165 - low), (80, 38), out * -20, 0, 360, 1, -1)
        cv2.ellipse(tile, (200 + out * (50 + far), 230 + low), (54, 42), 0, 0, 360, 1, -1)
    if pose == "pinned":
        cv2.ellipse(tile, (200, 220), (9, 70), 0, 0, 360, 1, -1)
    place = cv2.getRotationMatrix2D((200, 200), turn, size)
    place[:, 2] += np.subtract(at, 200)
    lab[cv2.warpAffine(tile, place, lab.shape[1::-1]) > 0] = WING


@pytest.mark.parametrize(
    ("specimens", "several"),
    [
        *[([{"at": (450, 450), "pose": pose, "turn": turn}], False) for turn in (0, 50)
        for pose in ("pinned", "loose", "sides", "pairs")],
        ([{"at": (250, 450)}, {"at": (650, 450)}], True),
        ([{"at": (300, 450)}, {"at": (650, 450), "size": 0.5}], True),
        ([{"at": (150 + 300 * place, 450), "size": 0.8} for place in range(3)], True),
        ([{"at": (250, 450), "pose": "loose"}, {"at": (650, 450), "pose": "loose"}], True),
        ([{"at": (250, 450), "pose": "loose"}, {"at": (650, 450)}], True),
    ],
)  # fmt: skip
def test_several_specimens_are_doubtful_and_loose_wings_of_one_are_not(specimens, several):
    lab = np.full((900, 900, 3), PAPER, np.float32)
    for options in specimens:
        lay(lab, **options)
    scene = Scene()
    scene.lab = lab
    found = find_specimen(scene.rgb)
    assert iou(found.mask, lab[..., 0] < 50) > 0.95
    if several:
        assert found.confidence < 0.8 and found.reason == "several specimens"
    else:
        assert (found.confidence, found.reason) == (1, "")


@pytest.mark.parametrize(("contact", "separated"), [(26, True), (40, False)])
def test_a_chart_that_a_wing_touches_goes_and_the_wing_stays(contact, separated):
    scene = Scene((800, 400))  # BRIDGE: 16 pixels to each side
    scene.lab[90:251, 640:761] = WING
    for number, colour in enumerate([(60, 40, 20), (50, -40, 30), (88, 0, 0), (60, 0, -40)]):
        y = 100 + 36 * number
        scene.lab[y : y + 30, 650:750] = colour
    scene.lab[150 - contact // 2 : 150 + contact // 2, 485:645] = WING
    found = find_specimen(scene.rgb).mask
    assert found[150, 200] and found[235, 370]
    assert found[245, 755] != separated


def test_the_papers_colour_is_the_commonest_bright_one():
    """More is dark, and as much is bright but of many colours."""
    lab = np.full((500, 800, 3), (20, 0, 0), np.float32)
    lab[:200] = (50, 9, 9)
    lab[:100] += np.random.default_rng(0).uniform(-20, 20, (100, 800, 3))
    assert cutout.paper_colour(lab).round(1).tolist() == [50, 9, 9]


# What is judged is drawn: a mask, and how far the colour around it is from paper.
@pytest.mark.parametrize(
    ("box_share", "around", "pieces", "inside", "height", "size", "confidence", "reason"),
    [
        (0.55, 14.9, 1, 60, 100, (400, 300), 1, ""),
        (0.55, 15.1, 1, 60, 100, (400, 300), 0, "uneven ground around it"),  # 1.5 PAPER
        (0.29, 0, 1, 60, 100, (400, 300), 0.5, "hardly fills its outline"),
        (0.85, 0, 1, 60, 100, (400, 300), 0.5, "fills its box"),
        (0.55, 0, 1, 27.5, 100, (400, 300), 0.5, "faint"),
        (0.55, 0, 9, 60, 100, (400, 300), 0.5, "many pieces"),
        (0.55, 0, 1, 60, 50, (400, 300), 0.5, "very long"),
        (0.55, 0, 1, 60, 100, (1000, 1000), 0.5, "very small"),
    ],
)
def test_each_doubt(box_share, around, pieces, inside, height, size, confidence, reason):
    """`pieces` bars that fill `box_share` of a box 200 pixels long and `height` high; all but the
    first are lower, for five wings would be two specimens'."""
    mask = np.zeros(size[::-1], bool)
    if pieces == 1:  # a bar from end to end, and one across: together `box_share`
        mask[50 : 50 + round(box_share * height), 50:250] = True
        mask[50 : 50 + height, 50] = True
    else:
        bar = round(200 / pieces * box_share)
        for left in np.linspace(50, 250 - bar, pieces).round().astype(int):
            mask[50 : 50 + (height if left == 50 else height // 6), left : left + bar] = True
    distance = np.where(mask, np.float32(inside), np.float32(around))
    assert judge(mask, distance) == (pytest.approx(confidence, abs=0.06), reason)


def test_a_specimen_is_centred_and_fills_its_square():
    scene = Scene()
    mask = find_specimen(scene.rgb).mask
    left, top, right, bottom = box_of(mask)
    square = on_flat_ground(scene.rgb, mask)
    side = round((right - left) / 0.92)
    assert cutout.FILLED == 0.92 and square.shape == (side, side, 3)
    x, y, end, low = box_of((square != 220).any(axis=2))
    assert (end - x, low - y) == (right - left, bottom - top)
    assert abs(x + end - side) <= 1 and abs(y + low - side) <= 1
    here, inside = mask[top:bottom, left:right], square[y:low, x:end]
    opacity = 2 * cv2.blur(np.float32(here), (3, 3), borderType=cv2.BORDER_CONSTANT) - 1
    share = (here * np.maximum(opacity, 0))[..., None]
    blended = share * scene.rgb[top:bottom, left:right] + (1 - share) * 220
    assert np.array_equal(inside, np.rint(blended))
    assert (inside[~here] == 220).all()
    core = cv2.erode(np.uint8(here), np.ones((3, 3)), borderValue=0) > 0
    assert np.array_equal(inside[core], scene.rgb[top:bottom, left:right][core])
    # The rim fades: no pixel of it is as dark as the wing, none as light as the ground.
    rim = inside[here & ~core]
    assert rim.min() > 40  # the wing is 27
    assert (rim < 220).any(axis=1).all()


def test_low_confidence_leaves_the_photograph_whole(monkeypatch):
    image = Image.fromarray(Scene().rgb)
    mask = find_specimen(Scene().rgb).mask
    for confidence, whole in [(0.499, True), (0.5, False)]:
        found = cutout.Found(mask, confidence, "faint")
        monkeypatch.setattr(cutout, "find_specimen", lambda rgb, found=found: found)
        result, its_mask, its_confidence = cut_out(image)
        assert (result is image, its_confidence) == (whole, confidence)
        assert its_mask is mask


def test_in_a_picture_of_nothing_nothing_is_found():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for rgb in (np.zeros((1, 1, 3), np.uint8), np.full((3, 40_000, 3), 200, np.uint8), noise):
        found = find_specimen(rgb)
        assert (found.confidence, found.reason) == (0.0, "nothing found")
        assert found.mask.shape == rgb.shape[:2] and not found.mask.any()


# As the program writes them, and smaller; 256 is the side of painted images.
@pytest.mark.parametrize(
    ("suffix", "quality", "side"),
    [("PNG", None, None), ("JPEG", 95, None), ("JPEG", 75, None), ("PNG", None, 256)],
)
def test_a_cutout_stays_as_it_is(suffix, quality, side):
    whole = Image.fromarray(Scene().rgb)
    once, _, confidence = cut_out(whole)
    assert not is_cutout(np.asarray(whole)) and confidence > 0.9
    if side is not None:
        once = once.resize((side, side), Image.Resampling.BICUBIC)
    wings = np.abs(np.asarray(once).astype(int) - 220).max(axis=2) > 60
    file = io.BytesIO()
    once.save(file, suffix, quality=quality or 0, subsampling=0 if quality == 95 else 2)
    once = Image.open(file).convert("RGB")
    twice, mask, confidence = cut_out(once)
    assert np.array_equal(np.asarray(twice), np.asarray(once))
    assert confidence == 1.0 and iou(mask, wings) > 0.95
    assert cutout.specimen_alone(once)[0].tobytes() == once.tobytes()


def a_cutout(box=(4, 96, 30, 70), **changed) -> np.ndarray:
    rgb = np.full((100, 100, 3), GROUND, np.uint8)
    top, bottom, left, right = box
    rgb[top:bottom, left:right] = 60
    for place, value in changed.values():
        rgb[place] = value
    return rgb


@pytest.mark.parametrize(
    ("rgb", "known"),
    [
        (a_cutout(), True),
        (a_cutout()[:, 1:], False),  # no square
        (a_cutout(jpeg=(np.s_[0, 50, 2], 210)), True),
        (a_cutout(paper=(np.s_[0, 50, 2], 209)), False),
        (np.full((100, 100, 3), GROUND, np.uint8), False),  # nothing is on it
        (a_cutout((5, 94, 30, 70)), True),  # 89 pixels, and may be 3 fewer than 92
        (a_cutout((6, 94, 30, 70)), False),
        (a_cutout((2, 98, 30, 70)), False),  # or 3 more
        (a_cutout((7, 99, 30, 70)), True),  # 3 pixels off the middle
        (a_cutout((8, 99, 30, 70)), False),
        (a_cutout((4, 96, 33, 74)), False),  # 3.5, to the right
    ],
)
def test_a_cutout_is_a_square_of_ground_that_a_specimen_fills(rgb, known):
    assert is_cutout(rgb) is known


def test_a_photograph_that_stays_whole_is_named_where_it_is_looked_at(tmp_path, caplog):
    paths = [tmp_path / "paper.png", tmp_path / "wings.png"]
    for path, rgb in zip(paths, (np.full((64, 96, 3), 200, np.uint8), Scene().rgb), strict=True):
        Image.fromarray(rgb).save(path)
    for preprocess in ("photograph", "cutout"):
        list(load_pictures(paths, preprocess, 2, 0))
    doubt = "no specimen was found with confidence: it is not cut out, its wings are a guess"
    assert caplog.messages == [f"{paths[0]}: {doubt}"]


def test_every_cutout_is_known_as_one():
    """The edge that must be ground is free whatever the size of the specimen."""
    for width in range(18, 300):
        specimen = np.full((width // 2, width, 3), 30, np.uint8)
        assert is_cutout(on_flat_ground(specimen, np.ones(specimen.shape[:2], bool)))
