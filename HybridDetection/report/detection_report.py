"""A page to look at scored photographs: which are hybrids, of which parents, where it shows.

    python scripts/report.py --predictions predictions.txt --images PHOTOGRAPHS
    ... --reference ref_val.csv                     with what a reference says of the scores

Writes the folder report/ beside the predictions; open its index.html. The classifiers that scored
look at the photographs once more, to say where the evidence lies; ingestion.py --report does it in
one pass. --scores_only needs no classifiers, and shows photographs and scores alone.
"""

import argparse
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))
import submission  # noqa: F401  puts the submission folder on the path
from backbones import BACKBONE, make_transform
from files import inside
from gallery import BATCH_SIZE, Gallery, Photograph
from model import Model
from page import make_page
from pictures import load_batches
from report_data import Setting, javascript, report_data
from scoring import MEMBERS, Scored, score_images
from tqdm import tqdm
from training_index import INDEX_FILE, TrainingIndex, load_index

HERE = Path(__file__).resolve().parent
WORKERS = min(4, os.cpu_count() or 1)  # processes that decode images
TOLERANCE = 1e-3  # between a predicted score, of 4 decimals, and the classifiers' own
PAGE, DATA = "index.html", "data.js"

log = logging.getLogger("report")


def write_report(
    folder: Path,
    photographs: Sequence[Photograph],
    setting: Setting,
    index: TrainingIndex | None = None,
    reference: dict | None = None,
) -> None:
    """Write the page of `photographs` into `folder`, in place of the report that lies there."""
    ranked = sorted(photographs, key=lambda photograph: (-photograph.score, photograph.name))
    data = report_data(ranked, folder, setting, index, reference)
    with replaced(folder) as fresh:
        write_pictures(fresh / "photographs", [some.picture.thumbnail for some in ranked])
        write_pictures(fresh / "training", [] if index is None else index.thumbnails)
        (fresh / DATA).write_text(javascript(data), encoding="utf-8")
        (fresh / "static").mkdir()
        for path in (HERE / "static").iterdir():
            shutil.copyfile(path, fresh / "static" / path.name)
        (fresh / PAGE).write_text(make_page(data), encoding="utf-8")


def write_pictures(folder: Path, pictures: Sequence[bytes]) -> None:
    """Number them: names from outside name no file here."""
    folder.mkdir()
    for number, content in enumerate(pictures):
        (folder / f"{number}.jpg").write_bytes(content)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new folder, put in `folder`'s place when the block succeeds, else removed."""
    refuse_other_content(folder)
    fresh, old = (folder.with_name(f".{secrets.token_hex(8)}.part") for _ in range(2))
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        if old.exists() and not folder.exists():  # broken off between the two
            old.rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def refuse_other_content(folder: Path) -> None:
    """ValueError where something else than a report lies there."""
    ours = not folder.is_symlink() and all((folder / name).is_file() for name in (PAGE, DATA))
    if os.path.lexists(folder) and not ours:
        raise ValueError(f"{folder}: no report lies there, but something else; move it away")


def report_outcomes(
    gallery: Gallery,
    images: Sequence[Path],
    outcomes: dict[str, Scored | str],
    options: argparse.Namespace,
) -> None:
    """The report of ingestion.py, for what was said of all `images`, by name in their order."""
    scored = [i for i, outcome in enumerate(outcomes.values()) if isinstance(outcome, Scored)]
    gallery.complete(images, scored, options.workers)
    photographs = photographs_of(gallery, images, outcomes)
    folder = options.output_dir / "report"
    write_report(folder, photographs, *describe(gallery.model, options))
    print(f"ingestion: open {folder / PAGE}")


def photographs_of(
    gallery: Gallery,
    paths: Sequence[Path],
    outcomes: dict[str, Scored | str],
    scores: dict[str, float] | None = None,
) -> list[Photograph]:
    """The rows of the report: what was scored of `paths`, whose `outcomes` by name are in order.

    `scores` take the place of the outcomes' own.
    """
    return [
        Photograph(
            name,
            paths[position],
            outcome.score if scores is None else scores[name],
            outcome.members,
            outcome.parents,
            gallery.pictures[position],
        )
        for position, (name, outcome) in enumerate(outcomes.items())
        if isinstance(outcome, Scored) and position in gallery.pictures
    ]


def describe(
    model: Model | None, options: argparse.Namespace
) -> tuple[Setting, TrainingIndex | None]:
    """How `model` scores, and its training's index; a log says why there is none."""
    if model is None:
        return Setting(threshold=options.threshold), None
    index, reason = None, ""
    origin = next(iter(model.members.values())).origin
    try:
        index = load_index(next(iter(model.files.values())).parent / INDEX_FILE, origin)
    except (OSError, ValueError) as error:
        reason = str(error)
        log.warning("no training images in the report: %s", reason)
    setting = Setting(
        backbone=model.backbone,
        members=tuple(name for name in MEMBERS if name in model.members),
        preprocess=model.preprocess,
        threshold=model.threshold if options.threshold is None else options.threshold,
        no_training=reason,
        all_maps=options.all_heat_maps,
        tsne=options.tsne,
    )
    return setting, index


# ---- the program --------------------------------------------------------------------------------


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
    parser.add_argument("--workers", type=int, default=WORKERS, help="0: decode in this process")
    parser.add_argument("--all_heat_maps", action="store_true", help="not only the first 200")
    parser.add_argument("--tsne", action="store_true", help="map the features by t-SNE, not PCA")
    parser.add_argument("--scores_only", action="store_true", help="without classifiers")
    options = parser.parse_args()
    if options.batch_size < 1 or options.workers < 0:
        parser.error("--batch_size must be at least 1 and --workers at least 0")
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        parser.error(f"--threshold must be 0 to 1, not {options.threshold}")
    return options


def find_photographs(images: Path, names: Sequence[str], predictions: Path) -> list[Path]:
    """The files of `names` in `images`; ValueError where there are none or some are missing."""
    if not names:
        raise ValueError(f"{predictions}: holds no predictions")
    paths = [inside(images, name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing:
        raise ValueError(
            f"{images}: {len(missing)} of the {len(names)} photographs in {predictions} are not "
            f"there (first: {', '.join(missing[:3])}); name the folder that was scored"
        )
    return paths


def score_again(
    gallery: Gallery, scores: dict[str, float], paths: Sequence[Path], options: argparse.Namespace
) -> dict[str, Scored | str]:
    """What the model says of each photograph by name; ValueError where it is not what scored."""
    names, said = list(scores), {}
    with tqdm(total=len(paths), unit="image", disable=None) as bar:
        for outcomes in score_images(
            gallery.model, paths, options.batch_size, options.workers, gallery=gallery
        ):
            for position, outcome in outcomes.items():
                name = names[position]
                if isinstance(outcome, str):
                    tqdm.write(f"report: {outcome}", file=sys.stderr)
                elif not abs(outcome.score - scores[name]) <= TOLERANCE:
                    raise ValueError(
                        f"{options.predictions}: {name} has the score {scores[name]}, but these "
                        f"classifiers give {outcome.score:.4f}: name those that scored "
                        "and how (--classifiers, --members, --fast), or say --scores_only"
                    )
                said[name] = outcome
            bar.update(len(outcomes))
    return {name: said[name] for name in names}  # in a batch, what cannot be read comes first


def look_only(
    gallery: Gallery, scores: dict[str, float], paths: Sequence[Path], options: argparse.Namespace
) -> dict[str, Scored | str]:
    """The predicted score of each photograph by name, and its thumbnail."""
    names, said = list(scores), {}
    transform = make_transform(BACKBONE)  # of any; only the thumbnails count
    for batch in load_batches(
        paths, transform, options.batch_size, options.workers, thumbnail=gallery.thumbnail
    ):
        gallery.keep(batch.indices, batch.thumbnails)
        said |= {names[i]: Scored(scores[names[i]], {}, None) for i in batch.indices}
        for message in batch.failures.values():
            print(f"report: {message}", file=sys.stderr)
        said |= {names[position]: text for position, text in batch.failures.items()}
    return {name: said[name] for name in names}


def run(options: argparse.Namespace) -> int:
    from evaluation import read_predictions  # pandas takes a second, which ingestion.py can spare
    from reference import reference_data

    folder = options.output or options.predictions.parent / "report"
    refuse_other_content(folder)
    scores = read_predictions(options.predictions)
    paths = find_photographs(options.images, list(scores), options.predictions)
    reference = options.reference and reference_data(options.predictions, options.reference)
    if options.scores_only:
        gallery = Gallery(None)
        outcomes = look_only(gallery, scores, paths, options)
    else:
        model = Model(
            device=options.device,
            classifiers=options.classifiers,
            members=options.members,
            fast=options.fast,
        )
        model.load()
        gallery = Gallery(model)
        outcomes = score_again(gallery, scores, paths, options)
    # The reference knows the predicted scores, of 4 decimals; the page and it shall agree.
    photographs = photographs_of(gallery, paths, outcomes, scores)
    if not photographs:
        raise ValueError(f"{options.images}: none of {len(paths)} photographs can be read")
    write_report(folder, photographs, *describe(gallery.model, options), reference)
    print(f"report: open {folder / PAGE}")
    return int(len(photographs) < len(paths))


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    try:
        return run(parse_arguments())
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
