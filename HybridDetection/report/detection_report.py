"""A page to look at scored photographs: which are hybrids, of which parents, where it shows.

    python scripts/report.py --predictions predictions.txt --images PHOTOGRAPHS
    ... --reference ref_val.csv                     with what a reference says of the scores

Writes the folder report/ beside the predictions; open its index.html. The classifiers that scored
look at the photographs once more, to say where the evidence lies.
"""

import argparse
import io
import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
import evidence
import numpy as np
import torch
from backbones import IMAGE_SIZE, squares_of
from evaluation import read_predictions
from files import inside
from ingestion import BATCH_SIZE, WORKERS
from model import MEMBERS, Model
from pages import STATIC, render
from pictures import freed_memory_kept, load_pictures
from PIL import Image
from processes import use_own_cores
from report_data import Photograph, reference_data, report_data
from scoring import enough_memory
from spelling import but_there
from tqdm import tqdm
from training_index import INDEX_FILE, QUALITY, TrainingIndex, load_index, make_thumbnails

MAPS = 200  # photographs with a heat map, the first by score
THUMBNAIL = 320  # pixels of the longer side
TOLERANCE = 1e-3  # between a predicted score, of 4 decimals, and the classifiers' own
PAGE, DATA = "index.html", "data.js"


def find_photographs(images: Path, names: Sequence[str], predictions: Path) -> dict[str, Path]:
    """The files of `names` in `images`; ValueError where there are none or some are missing."""
    if not names:
        raise ValueError(f"{predictions}: holds no predictions")
    paths = {name: inside(images, name) for name in names}
    if missing := [name for name, path in paths.items() if not path.is_file()]:
        hint = but_there(paths[missing[0]])
        raise ValueError(
            f"{images}: {len(missing)} of the {len(names)} photographs in {predictions} are not "
            f"there (first: {', '.join(missing[:3])}){hint}; name the folder that was scored"
        )
    return paths


def look_at(
    model: Model, scores: dict[str, float], paths: Sequence[Path], options: argparse.Namespace
) -> dict[str, dict]:
    """What the model says of photographs by name, as Photograph has it; the first have a map.

    Those that cannot be read are left out. Raises ValueError where the model is not what scored.
    """
    names, size, said = list(scores), options.batch_size, {}
    mapped = len(names) if options.all_heat_maps else MAPS
    loaded = load_pictures(
        paths, model.view, size, options.workers, smallest_side=model.smallest_side
    )
    for batch in tqdm(loaded, total=-(-len(names) // size), unit="batch", disable=None):
        for message in batch.failures.values():
            tqdm.write(f"report: {message}", file=sys.stderr)
        if not batch.indices:
            continue
        with enough_memory(size):
            looked = evidence.examine(model, batch.pictures, batch.indices[0] < mapped)
        examined, maps, wing_maps = looked
        features = examined.features
        for row, place in enumerate(batch.indices):
            name, score = names[place], float(examined.scores[row])
            if not abs(score - scores[name]) <= TOLERANCE:
                raise ValueError(
                    f"{options.predictions}: {name} has the score {scores[name]}, but these "
                    f"classifiers give {score:.4f}: name those that scored and how "
                    "(--classifiers, --members, --fast)"
                )
            said[name] = {
                "score": score,
                "members": {member: float(some[row]) for member, some in examined.members.items()},
                "parents": examined.parents and examined.parents[row],
                "feature": None if features is None else features[row].astype(np.float16),
                "evidence": maps[row] if place < mapped else None,
                "wing_evidence": wing_maps[row] if place < mapped else None,
                "wings": picture_of_wings(model, batch.pictures[row : row + 1]),
            }
    return said


def picture_of_wings(model: Model, pictures: torch.Tensor) -> bytes | None:
    """A JPEG of both sides in the first of pictures of bytes; None where no member sees them."""
    if model.wing_network is None:
        return None
    left, right = squares_of(pictures, True)[0].split(IMAGE_SIZE)
    buffer = io.BytesIO()
    Image.fromarray(torch.cat([left, right], dim=1).numpy()).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def photographs_of(
    model: Model, scores: dict[str, float], paths: dict[str, Path], options: argparse.Namespace
) -> list[Photograph]:
    """The rows of the report, the highest score first, by all decimals that the model gives.

    Which have a heat map is told by the predicted scores, of four decimals.
    """
    scores = dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
    with freed_memory_kept():
        said = look_at(model, scores, [paths[name] for name in scores], options)
    wanted = [paths[name] for name in said]
    pictures = make_thumbnails(wanted, model.preprocess, THUMBNAIL, options.workers)
    photographs = []
    for (name, row), picture in zip(said.items(), pictures, strict=True):
        if isinstance(picture, str):
            print(f"report: {picture}", file=sys.stderr)
        else:
            photographs.append(Photograph(name, paths[name], thumbnail=picture, **row))
    return sorted(photographs, key=lambda some: (-some.score, some.name))


def describe(model: Model, threshold: float | None) -> tuple[dict, TrainingIndex | None]:
    """How `model` scores, as report_data has it, and its training's index if there is one."""
    index, reason = None, ""
    origin = next(iter(model.members.values())).origin
    try:
        index = load_index(next(iter(model.files.values())).parent / INDEX_FILE, origin)
    except (OSError, ValueError) as error:
        reason = str(error)  # the page tells it
    setting = {
        "backbone": model.backbone,
        "memberNames": list(model.members),
        "preprocess": model.preprocess,
        "threshold": model.threshold if threshold is None else threshold,
        "noTraining": reason,
    }
    return setting, index


def write_report(
    folder: Path,
    photographs: Sequence[Photograph],
    setting: dict,
    index: TrainingIndex | None = None,
    reference: dict | None = None,
) -> None:
    """Write the page of photographs by score into `folder`, whole, in place of the report there."""
    refuse_other_content(folder)
    data = report_data(photographs, folder, setting, index, reference)
    pictures = {"photographs": dict(enumerate(some.thumbnail for some in photographs))}
    pictures["wings"] = {i: some.wings for i, some in enumerate(photographs) if some.wings}
    shown = {place for pair in data["similar"] or () for place in pair or ()} - {None}
    pictures["training"] = {place: index.thumbnails[place] for place in shown}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".", suffix=".part", dir=folder.parent) as temporary:
        fresh = Path(temporary) / "report"
        for name, contents in pictures.items():
            (fresh / name).mkdir(parents=True)
            for number, content in contents.items():  # names from outside name no file here
                (fresh / name / f"{number}.jpg").write_bytes(content)
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
        (fresh / DATA).write_text(f"const REPORT = {text};\n", encoding="utf-8")
        shutil.copytree(STATIC, fresh / "static")
        (fresh / PAGE).write_text(render("report.html", data=data), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary) / "old")  # a killed run leaves no half of it there
        fresh.rename(folder)


def refuse_other_content(folder: Path) -> None:
    """ValueError where something else than a report lies there."""
    ours = not folder.is_symlink() and all((folder / name).is_file() for name in (PAGE, DATA))
    if os.path.lexists(folder) and not ours:
        raise ValueError(f"{folder}: no report lies there, but something else; move it away")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--predictions", type=Path, required=True, help="of ingestion.py")
    parser.add_argument("--images", type=Path, required=True, help="the folder that was scored")
    parser.add_argument("--reference", type=Path, help="the challenge's ref_*.csv")
    parser.add_argument("--output", type=Path, help="default: report/ beside the predictions")
    parser.add_argument("--classifiers", type=Path, help="their folder, as for ingestion.py")
    parser.add_argument("--members", nargs="+", choices=MEMBERS, help="likewise")
    parser.add_argument("--threshold", type=float, help="likewise")
    parser.add_argument("--fast", action="store_true", help="likewise")
    parser.add_argument("--device", help="likewise")
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE)
    parser.add_argument("--workers", type=int, default=WORKERS, help="that decode images")
    parser.add_argument("--all_heat_maps", action="store_true", help="not only the first 200")
    options = parser.parse_args()
    if options.batch_size < 1 or options.workers < 0 or not 0 <= (options.threshold or 0) <= 1:
        parser.error("--batch_size must be 1 or more, --workers 0 or more, --threshold 0 to 1")
    return options


def run(options: argparse.Namespace) -> int:
    folder = options.output or options.predictions.parent / "report"
    refuse_other_content(folder)
    scores = read_predictions(options.predictions)
    reference = options.reference and reference_data(options.predictions, options.reference)
    paths = find_photographs(options.images, list(scores), options.predictions)
    chosen = {name: getattr(options, name) for name in ("classifiers", "members", "fast", "device")}
    use_own_cores()
    model = Model(**chosen)
    model.load()
    photographs = photographs_of(model, scores, paths, options)
    if not photographs:
        raise ValueError(f"{options.images}: none of {len(scores)} photographs can be read")
    setting, index = describe(model, options.threshold)
    setting["folder"] = str(options.images.resolve())  # where training finds what is corrected
    write_report(folder, photographs, setting, index, reference)
    print(f"report: open {folder / PAGE}")
    return int(len(photographs) < len(scores))


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        return run(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
