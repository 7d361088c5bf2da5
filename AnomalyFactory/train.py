"""Train a generator of AnomalyFactory.

One process:   python AnomalyFactory/train.py --name AF4hybrid \\
                   --dataroot ./Datasets/Images4TrainAFhybrid/List/train_AFhybrid
Several GPUs:  ... --gpu_ids 0,1
On the CPU:    ... --gpu_ids -1
Several machines: torchrun starts it on each, --gpu_ids names the GPUs of one

Writes into {checkpoints_dir}/{name}/: latest_net_G.pth and latest_net_D.pth, numbered ones
every --save_epoch_freq epochs, resume.pth, loss_log.csv and .png, samples.html, and training.html,
which shows how it goes. SIGTERM and Ctrl-C save first; --continue_train goes on from there as if
nothing had happened, and so does a restart by torchrun. It goes on from what the published program
saved, too, with an Adam that begins anew.
"""

import argparse
import hashlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from data.datasets import Sample, loader, steps_per_epoch, training_order, training_pairs
from data.lists import ListFiles, Pair, find_list, read_pairs
from filelock import FileLock, Timeout
from models.anomaly_factory import AnomalyFactory, micro_batches, network_path
from options.base_options import GENERATORS, rooted
from options.train_options import train_options
from tqdm import tqdm
from util import checkpoint, distributed
from util.device import chosen_amp, prepare
from util.distributed import Process
from util.errors import InputError, reported
from util.report import Report, due

# What may change between a stop and its resume: where things lie, what is written when, the
# machine's share of the work, and the length and the learning rate of what is still to come.
FREE = {
    *("name", "checkpoints_dir", "dataroot", "phase", "continue_train"),
    *("load_pretrain", "which_epoch"),  # where a training began
    *("print_freq", "display_freq", "save_latest_freq", "save_epoch_freq", "no_html"),
    *("verbose", "debug"),
    *("gpu_ids", "nThreads", "micro_batch"),
    *("niter", "niter_decay", "lr"),
    "fineSize",  # equals --loadSize
}
STOP_EVERY = 20  # steps between looks for a signal of several GPUs: each look stops them all
ITERATION = "iter.txt"  # what the published program notes beside its networks
PLAIN = str | int | float | None  # what `course_of` notes
UNFINISHED = f".{'[0-9a-f]' * 16}.part*"  # as util/files.py names a file until it is whole


def main() -> int:
    opt = train_options()
    process = distributed.start(opt.gpu_ids)
    folder = opt.checkpoints_dir / opt.name
    with held(folder) if process.first else nullcontext():
        return train(opt, folder, process)


def train(opt: argparse.Namespace, folder: Path, process: Process) -> int:
    """Train into `folder`; the exit status."""
    if opt.batchSize % process.world:
        raise InputError(
            f"--batchSize {opt.batchSize} is the total over all {process.world} processes and must"
            " be a multiple of their number"
        )
    resume = folder / "resume.pth"
    # torchrun counts for each machine by itself.
    opt.continue_train |= process.any(distributed.restarted()) and resume.exists()
    networks = beginning(opt, folder)
    state = resumable(resume) if opt.continue_train and not networks else None
    before = state["course"].get("--amp") if state else None
    opt.amp = chosen_amp(opt.amp, process.device, before)
    files = find_list(opt.dataroot, opt.phase)
    pairs = read_pairs(files, training=True)[: opt.max_dataset_size]
    steps = steps_per_epoch(len(pairs), opt.batchSize)
    prepare()
    model = AnomalyFactory(opt, process)
    course = course_of(opt, files, pairs)
    done = go_on(model, state, course, resume) if state else 0
    if networks:
        done = start_from(networks, model, opt, steps)
    if opt.verbose and process.first:
        tqdm.write(f"{model.netG}\n{model.netD}")
    del state  # it is as large as the networks and what Adam remembers
    received: list[int] = []  # SIGTERM and Ctrl-C: training finishes its step and saves
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: received.append(number))
    end = steps * (opt.niter + opt.niter_decay)
    share = process.rank, process.world
    shuffled = not opt.serial_batches
    order = training_order(len(pairs), opt.batchSize, opt.seed, done, end, *share, shuffled)
    batches = loader(training_pairs(pairs, opt), order, opt.nThreads, process.device)

    def save() -> None:
        """The resume file holds the networks too and comes first: a crash between two files cannot
        mix two states, and leaves a training that can go on."""
        if process.first:
            checkpoint.save({"model": model.state(), "steps": done, "course": course}, resume)
            model.save_networks(folder, "latest")
            report.log.draw()

    with Report(opt, folder, process, done, end, steps) as report:
        bar = tqdm(batches, initial=done, total=end, unit="step", disable=process.quiet)
        for batch in bar:
            epoch = done // steps + 1
            model.set_learning_rate(opt.lr * decay(epoch, opt.niter, opt.niter_decay))
            step(model, batch, opt.micro_batch)
            done += 1

            report.after_step(model, done)
            if done % steps == 0 and epoch % opt.save_epoch_freq == 0:
                report.losses(model)  # raises where there is nothing left to save
                if process.first:
                    model.save_networks(folder, epoch)
            if done < end and due(done, opt.batchSize, opt.save_latest_freq):
                report.losses(model)
                save()
            looks = done % STOP_EVERY == 0 or model.device.type == "cpu" or process.world == 1
            if looks and process.any(bool(received)):
                break

        bar.close()
        if model.last_losses:
            report.losses(model)
        save()
    stopper = signal.Signals([signal.SIGTERM, *received][-1])  # none here: another has one
    if process.first:
        report.close(stopper)
        tqdm.write(f"{folder}: {done} of {end} steps done, {done * opt.batchSize:,} images")
    process.stop()
    return 128 + stopper if done < end else 0


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` alone during the block, else raise InputError; what killed savings left in it
    is removed first. The system lets go when the process ends, however that happens."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "training.lock"
    try:
        with FileLock(path, timeout=0):
            for unfinished in folder.glob(UNFINISHED):
                unfinished.unlink()
            yield
    except Timeout as error:
        raise InputError(
            f"{path}: a training of this name is running; stop it, or choose another --name"
        ) from error


def step(model: AnomalyFactory, batch: Sample, micro_batch: int) -> None:
    """Change the weights by a batch, `micro_batch` images at once."""
    for images, share in micro_batches(batch, micro_batch):
        model.set_input(images, share)
        model.forward()
        model.backward_D()
        model.backward_G()
    model.step()


def beginning(opt: argparse.Namespace, folder: Path) -> Path | None:
    """The folder of the networks that are started from, where there are any.

    Raises InputError when `folder` does not allow what the options ask for: starting anew never
    writes over a training, nor over a generator that was downloaded.
    """
    resume, generator = folder / "resume.pth", network_path(folder, "latest", "G")
    if opt.continue_train:
        if resume.exists():
            return None
        if (folder / ITERATION).exists():
            return folder
        raise InputError(
            f"--continue_train: {resume} is not there; leave it out to start anew. Neither is"
            f" {ITERATION}, with which a training of the published program would go on"
        )
    for there in filter(Path.exists, (resume, generator)):
        raise InputError(
            f"{there} is there already: go on with --continue_train, choose another --name, with"
            f" --load_pretrain {folder} to start from it, or move that folder away"
        )
    if not opt.load_pretrain:
        return None
    name = opt.load_pretrain.name
    for found in (opt.load_pretrain, opt.checkpoints_dir / name, rooted(GENERATORS) / name):
        if network_path(found, opt.which_epoch, "G").is_file():
            return found
    raise InputError(
        f"{network_path(opt.load_pretrain, opt.which_epoch, 'G')}: no such checkpoint, nor is there"
        f" one of this name in {opt.checkpoints_dir} or {GENERATORS}. Train it first, AF4hybrid by"
        " train_AF4hybrid.sh, or fetch it: scripts/download_models.sh AF4hybrid"
    )


def start_from(folder: Path, model: AnomalyFactory, opt: argparse.Namespace, steps: int) -> int:
    """Load the networks in `folder`; the steps done, where a published training is gone on with,
    which had `steps` an epoch."""
    loaded, done = model.load_networks(folder, opt.which_epoch), 0
    said = f"starting from the {loaded} in {folder}"
    if opt.continue_train:
        done = published_steps(folder / ITERATION, steps, opt.batchSize)
        said = f"going on from the {loaded} in {folder}, {done} steps done; Adam begins anew"
    elif folder != opt.load_pretrain:
        said += f": {opt.load_pretrain} is not there"
    if model.process.first:
        tqdm.write(said)
    return done


def published_steps(path: Path, steps: int, batch_size: int) -> int:
    """The steps done by a training of the published program, which notes in `path` the epoch that
    it is in, from 1, and how many images of it are done. Raises InputError for anything else."""
    try:
        epoch, images = map(int, path.read_text("utf-8").replace(",", " ").split())
        if epoch < 1 or images < 0:
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"{path}: expected two whole numbers, the epoch, from 1, and how many images of it are"
            " done; 1 and 0 begin with the first"
        ) from error
    return (epoch - 1) * steps + min(images // batch_size, steps)


def resumable(path: Path) -> dict[str, Any]:
    """What `train` saved as `path`. Raises InputError for anything else."""
    state = checkpoint.load(path)
    parts = {"model": dict, "steps": int, "course": dict}
    whole = isinstance(state, dict) and {key: type(state[key]) for key in state} == parts
    plain = whole and all(isinstance(value, PLAIN) for value in state["course"].values())
    if not plain or state["steps"] < 0:
        raise InputError(
            f"{path}: not a resume file of this program; move {path.parent} away and start anew"
        )
    return state


def go_on(model: AnomalyFactory, state: dict[str, Any], course: dict, path: Path) -> int:
    """Load the `state` of the resume file `path`; the number of steps already done."""
    recorded = state["course"]
    for name in {**course, **recorded}:
        before, now = recorded.get(name), course.get(name)
        if (before or None) != (now or None):  # a switch that it did not know was off
            raise InputError(f"{path} was written with {name} {before}, but now it is {now}")
    model.load_state(state["model"], path)
    return state["steps"]


def course_of(opt: argparse.Namespace, files: ListFiles, pairs: list[Pair]) -> dict[str, object]:
    """What fixes the samples, their order and the losses, under the names that a user knows."""
    paths = [path for pair in pairs for path in (pair.edges, pair.target)]
    lines = "\n".join(str(path.relative_to(files.dataset)) for path in paths)
    content = hashlib.sha256(lines.encode()).hexdigest()
    options = {f"--{name}": value for name, value in vars(opt).items() if name not in FREE}
    note = files.dataset / "made_from.txt"
    source = note.read_text("utf-8", "replace").strip() if note.is_file() else "photographs"
    return options | {"the list's content, in SHA-256,": content, "images made from": source}


def decay(epoch: int, niter: int, niter_decay: int) -> float:
    """Factor on the learning rate in `epoch` (from 1): 1, then linearly down to 1/niter_decay."""
    return min(1.0, (niter + niter_decay + 1 - epoch) / max(niter_decay, 1))


if __name__ == "__main__":
    with reported("train.py"):
        sys.exit(main())
