"""Train a generator of AnomalyFactory.

One process:   python AnomalyFactory/train.py --name AF4hybrid --phase train_AFhybrid \\
                   --dataroot ./Datasets/Images4TrainAFhybrid
Several GPUs:  torchrun --standalone --nproc_per_node=2 AnomalyFactory/train.py ... --gpu_ids 0,1
On the CPU:    ... --gpu_ids -1

Writes into {checkpoints_dir}/{name}/: latest_net_G.pth and latest_net_D.pth, numbered ones now
and then, resume.pth, loss_log.csv and .png, samples.html. SIGTERM and Ctrl-C save first;
--continue_train goes on from there as if nothing had happened.
"""

import argparse
import functools
import signal
import sys
import time
from pathlib import Path

import torch
from data.augmentation import random_augmentation
from data.datasets import TrainingOrder, TrainingPairs, steps_per_epoch, training_loader
from data.few_photos import FewPhotos
from data.lists import check_images, find_list, read_pairs
from models.anomaly_factory import AnomalyFactory, network_path
from options.train_options import train_options
from tqdm import tqdm
from util import checkpoint, distributed
from util.distributed import Process
from util.errors import InputError, reported
from util.visualizer import LossLog, SamplePage

# What must not change between a stop and its resume.
COURSE = (
    *("batchSize", "seed", "loadSize", "tps_aug", "tps_percent", "block_aug", "no_flip"),
    *("recolour", "warp", "erase"),
    *("beta1", "no_vgg_loss", "no_ganFeat_loss", "lambda_L1"),
)


def main() -> int:
    opt = train_options()
    process = distributed.start(opt.gpu_ids)
    if opt.batchSize % process.world:
        raise InputError(
            f"--batchSize {opt.batchSize} is the total over all {process.world} processes and must"
            " be a multiple of their number"
        )
    folder = opt.checkpoints_dir / opt.name
    check_beginning(opt, folder)
    files = find_list(opt.dataroot, opt.phase)
    pairs = read_pairs(files, training=True)
    check_images(files, pairs, ("edges", "color_gt"), process)

    torch.backends.cudnn.benchmark = True  # all batches have one size
    model = AnomalyFactory(opt, process)
    done = begin(model, opt, folder, len(pairs), process)
    stop = StopSignals()
    steps = steps_per_epoch(len(pairs), opt.batchSize)
    end = steps * (opt.niter + opt.niter_decay)
    order = TrainingOrder(
        len(pairs), opt.batchSize, opt.seed, done, end, process.rank, process.world
    )
    augment = functools.partial(
        random_augmentation,
        flips=not opt.no_flip,
        windows=opt.block_aug,
        warps=opt.tps_percent if opt.tps_aug else 0.0,
    )
    few_photos = FewPhotos(opt.recolour, opt.erase, opt.warp)
    samples = TrainingPairs(pairs, opt.loadSize, augment, few_photos)
    loader = training_loader(samples, order, opt.nThreads)
    report = Report(opt, folder, done * opt.batchSize, process)

    quiet = None if process.first else True
    bar = tqdm(loader, initial=done, total=end, unit="step", disable=quiet)
    for batch in bar:
        epoch = done // steps + 1
        model.set_learning_rate(opt.lr * decay(epoch, opt.niter, opt.niter_decay))
        model.set_input(batch)
        model.forward()
        model.backward_D()
        model.backward_G()
        model.step()
        done += 1

        report.after_step(model, epoch, done)
        if process.first:
            if done % steps == 0 and epoch % opt.save_epoch_freq == 0:
                model.save_networks(folder, epoch)
            if due(done, opt.batchSize, opt.save_latest_freq) and done < end:
                save(model, opt, folder, len(pairs), done)
        if process.any(stop.received is not None):
            break

    bar.close()
    if process.first:
        save(model, opt, folder, len(pairs), done)
        report.log.draw()
        tqdm.write(f"{folder}: {done} of {end} steps done, {done * opt.batchSize:,} images")
    process.stop()
    return 128 + (stop.received or signal.SIGTERM) if done < end else 0


def check_beginning(opt: argparse.Namespace, folder: Path) -> None:
    """Raise InputError when `folder` does not allow what the options ask for.

    Starting anew never writes over a training, nor over a generator that was downloaded.
    """
    resume, generator = folder / "resume.pth", network_path(folder, "latest", "G")
    if opt.continue_train:
        if not resume.exists():
            raise InputError(f"--continue_train: {resume} is not there; leave it out to start anew")
        return
    if resume.exists():
        raise InputError(
            f"{resume} is there already: go on with --continue_train, choose another --name, or"
            " move that folder away"
        )
    if generator.exists():
        raise InputError(
            f"{generator} is there already: choose another --name, with --load_pretrain {folder}"
            " to start from it, or move that folder away"
        )
    if opt.load_pretrain:
        checkpoint.require(network_path(opt.load_pretrain, opt.which_epoch, "G"))


def begin(
    model: AnomalyFactory, opt: argparse.Namespace, folder: Path, count: int, process: Process
) -> int:
    """Load what the options say training starts from; the number of steps already done."""
    if opt.continue_train:
        path = folder / "resume.pth"
        state = checkpoint.load(path)
        if not isinstance(state, dict) or not {"model", "steps", "course"} <= state.keys():
            raise InputError(f"{path}: not a resume file of this program")
        before = state["course"]
        for name, now in course(opt, count).items():
            if before.get(name) != now:
                raise InputError(
                    f"{path} was written with {name} {before.get(name)}, but now it is {now}"
                )
        model.load_state(state["model"], path)
        return state["steps"]
    if opt.load_pretrain:
        has_D = model.load_networks(opt.load_pretrain, opt.which_epoch)
        if process.first:
            networks = "generator and discriminator" if has_D else "generator"
            tqdm.write(f"starting from the {networks} in {opt.load_pretrain}")
    return 0


def save(
    model: AnomalyFactory, opt: argparse.Namespace, folder: Path, count: int, done: int
) -> None:
    """Write the resume file and the latest networks.

    The resume file holds the networks too and comes first: a crash between two files cannot mix
    two states, and leaves a training that can go on.
    """
    state = {"model": model.state(), "steps": done, "course": course(opt, count)}
    checkpoint.save(state, folder / "resume.pth")
    model.save_networks(folder, "latest")


def course(opt: argparse.Namespace, count: int) -> dict[str, float]:
    """What fixes the samples, their order and the losses, under the names that a user knows."""
    return {f"--{name}": getattr(opt, name) for name in COURSE} | {"lines in the list": count}


def decay(epoch: int, niter: int, niter_decay: int) -> float:
    """Factor on the learning rate in `epoch` (from 1): 1, then linearly down to 1/niter_decay."""
    return min(1.0, (niter + niter_decay + 1 - epoch) / max(niter_decay, 1))


def due(done: int, batch_size: int, every: int) -> bool:
    """Whether the last step's batch reached a multiple of `every` images."""
    return done * batch_size // every > (done - 1) * batch_size // every


class StopSignals:
    """Notes SIGTERM and Ctrl-C, so that training can finish its step and save."""

    def __init__(self):
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)

    def note(self, number: int, _frame: object) -> None:
        self.received = number


class Report:
    """Writes the loss log and the samples when they are due; one process does."""

    def __init__(self, opt: argparse.Namespace, folder: Path, images: int, process: Process):
        self.opt, self.process = opt, process
        if process.first:
            self.log = LossLog(folder, images)
            self.page = SamplePage(folder, opt.name, images)
        self.started, self.images_before = time.monotonic(), images

    def after_step(self, model: AnomalyFactory, epoch: int, done: int) -> None:
        opt, images = self.opt, done * self.opt.batchSize
        if due(done, opt.batchSize, opt.print_freq):
            losses = model.losses()
            means = self.process.mean(torch.stack(list(losses.values()))).tolist()
            if self.process.first:
                row = dict(zip(losses, means, strict=True))
                rate = model.optimizer_G.param_groups[0]["lr"]
                self.log.add({"images": images, "epoch": epoch, "lr": rate} | row)
                seconds = time.monotonic() - self.started
                speed = (images - self.images_before) / seconds
                text = " ".join(f"{name} {value:.3f}" for name, value in row.items())
                tqdm.write(f"epoch {epoch}, {images:,} images, {speed:.1f} images/s: {text}")
        if self.process.first and due(done, opt.batchSize, opt.display_freq):
            self.log.draw()
            if not opt.no_html:
                self.page.add(epoch, images, model.panels())


if __name__ == "__main__":
    with reported("train.py"):
        sys.exit(main())
