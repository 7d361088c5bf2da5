"""One training step of AnomalyFactory: the networks, their losses and their optimisers."""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from data.datasets import Sample
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from util import ROOT, checkpoint
from util.device import chosen_amp, layout
from util.distributed import Process
from util.engine import InOpenVino
from util.errors import InputError
from util.images import to_network

from models.losses import PerceptualLoss, feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator
from models.vgg import vgg19_features

BACKBONES = ROOT / "Models" / "backbones"
L1_WEIGHT = 10.0  # of --gentle


def build_generator(opt: argparse.Namespace) -> Generator:
    return Generator(opt.ngf, opt.n_downsample_global, opt.n_blocks_global)


class Painter:
    """A trained generator on `device`, ready to paint batches of uint8 images (N, S, S, 3)."""

    def __init__(
        self, generator: Generator, device: torch.device, amp: bool, engine: str = "torch"
    ):
        self.device, self.amp = device, amp
        if engine == "openvino":
            self.generator = InOpenVino(generator.eval(), torch.zeros(1, 6, 256, 256), amp)
            return
        # All weights are convolutions'. They are turned into bfloat16 once: autocast would do so at
        # every batch, which costs as much as computing.
        kind = torch.bfloat16 if amp else torch.float32
        self.generator = generator.to(device, kind, memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def paint(
        self, edges: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Results and masks, each (N, 3, S, S) in [-1, 1]."""
        pair = torch.cat([to_network(part, self.device) for part in (edges, reference)], dim=1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            return self.generator(pair)


def micro_batches(batch: Sample, size: int) -> Iterator[tuple[Sample, float]]:
    """Parts of at most `size` images, and each part's share of the batch."""
    count = len(batch["edges"])
    for start in range(0, count, size):
        part = {name: images[start : start + size] for name, images in batch.items()}
        yield part, len(part["edges"]) / count


class AnomalyFactory:
    """Generator and discriminator in training.

    A step is `set_input`, `forward`, `backward_D`, `backward_G` for each part of a batch, and then
    `step`: all gradients are taken at the same weights, as published. Gradients and losses of a
    batch are the sums of its parts', weighted by their shares: no layer mixes images.
    """

    def __init__(
        self,
        opt: argparse.Namespace,
        process: Process,
        features: nn.Sequential | None = None,  # VGG19's, where not those of BACKBONES
    ):
        self.process, self.device = process, process.device
        self.amp = chosen_amp(opt.amp, process.device)
        self.lambda_feat, self.match_features = opt.lambda_feat, not opt.no_ganFeat_loss
        self.lambda_L1 = L1_WEIGHT if opt.gentle else 0.0
        torch.manual_seed(opt.seed)
        self.netG = build_generator(opt)
        self.netD = MultiscaleDiscriminator(opt.ndf, opt.n_layers_D, opt.num_D)
        self.vgg = None
        if not opt.no_vgg_loss:
            self.vgg = PerceptualLoss(features or vgg19_features(BACKBONES))
        for network in filter(None, (self.netG, self.netD, self.vgg)):
            network.to(self.device, memory_format=layout(self.device))
        adam = {"lr": opt.lr, "betas": (opt.beta1, 0.999), "fused": True}
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **adam)
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **adam)
        self.losses_G: dict[str, torch.Tensor] = {}  # of the step so far
        self.losses_D: dict[str, torch.Tensor] = {}
        self.last_losses: dict[str, torch.Tensor] = {}

    def set_input(self, batch: Sample, share: float = 1.0) -> None:
        """Take up uint8 images (N, S, S, 3), which are a `share` of the step's batch."""
        self.share = share
        self.edges, self.reference, self.target = (
            to_network(batch[name], self.device) for name in ("edges", "reference", "target")
        )
        self.pair = torch.cat([self.edges, self.reference], dim=1)

    def forward(self) -> None:
        """Paint, and judge real and painted in one pass."""
        with self.autocast():
            self.fake, self.mask = self.netG(self.pair)
        # A leaf of its own: the losses' gradients stop here, so one pass of the discriminator
        # serves its own loss (fake detached) and the generator's.
        self.judged = self.fake.detach().float().requires_grad_()
        images = torch.cat([self.target, self.judged])
        with self.autocast():
            scores = self.netD(torch.cat([torch.cat([self.pair, self.pair]), images], dim=1))
        halves = [[maps.chunk(2) for maps in scale] for scale in scores]
        self.real_scores, self.fake_scores = (
            [[half[part] for half in scale] for scale in halves] for part in (0, 1)
        )

    def backward_D(self) -> None:
        """Add to the gradients of the discriminator."""
        real, fake = lsgan(self.real_scores, 1.0), lsgan(self.fake_scores, 0.0)
        self.note(self.losses_D, {"D_real": real, "D_fake": fake})
        loss = self.share * (real + fake) / 2
        torch.autograd.backward(loss, retain_graph=True, inputs=list(self.netD.parameters()))

    def backward_G(self) -> None:
        """Add to the gradients of the generator: through the judges to the image, then back."""
        losses = {"G_GAN": lsgan(self.fake_scores, 1.0)}
        if self.match_features:
            matching = feature_matching(self.fake_scores, self.real_scores)
            losses["G_GAN_Feat"] = self.lambda_feat * matching
        if self.lambda_L1:
            losses["G_L1"] = self.lambda_L1 * F.l1_loss(self.judged, self.target)
        if self.vgg is not None:
            with self.autocast():
                losses["G_VGG"] = self.lambda_feat * self.vgg(self.judged, self.target)
        self.note(self.losses_G, losses)
        (gradient,) = torch.autograd.grad(self.share * sum(losses.values()), self.judged)
        self.fake.backward(gradient.to(self.fake.dtype))

    def note(self, sums: dict[str, torch.Tensor], losses: dict[str, torch.Tensor]) -> None:
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + self.share * loss.detach()

    def step(self) -> None:
        """Change the weights by the gradients of the whole batch, that of all processes."""
        for network, optimizer in ((self.netG, self.optimizer_G), (self.netD, self.optimizer_D)):
            self.process.average(weight.grad for weight in network.parameters())
            optimizer.step()
            optimizer.zero_grad()
        self.last_losses = self.losses_G | self.losses_D
        self.losses_G, self.losses_D = {}, {}

    def losses(self) -> torch.Tensor:
        """The last step's, (losses,), in the order of `last_losses`, over all processes: all of
        them know when one has failed, before any saves. Does not wait for the device."""
        values = torch.stack(list(self.last_losses.values()))
        self.process.average([values])
        return values

    def panels(self) -> dict[str, torch.Tensor]:
        """The last images by name."""
        names = ("edges", "reference", "target", "mask")
        return {name: getattr(self, name) for name in names} | {"result": self.fake}

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)

    def set_learning_rate(self, rate: float) -> None:
        for optimizer in (self.optimizer_G, self.optimizer_D):
            for group in optimizer.param_groups:
                group["lr"] = rate

    def save_networks(self, folder: Path, epoch: str | int) -> None:
        for letter, network in (("G", self.netG), ("D", self.netD)):
            checkpoint.save(network.state_dict(), network_path(folder, epoch, letter))

    def load_networks(self, folder: Path, epoch: str | int) -> str:
        """Load the generator and, if it is there, the discriminator; which of them was loaded."""
        load_network(self.netG, folder, epoch, "G", self.process.first)
        if not network_path(folder, epoch, "D").exists():
            return "generator"
        load_network(self.netD, folder, epoch, "D", self.process.first)
        return "generator and discriminator"

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs of this object."""
        return {
            "netG": self.netG.state_dict(),
            "netD": self.netD.state_dict(),
            "optimizer_G": checkpoint.moments(self.optimizer_G),
            "optimizer_D": checkpoint.moments(self.optimizer_D),
        }

    def load_state(self, state: Any, path: Path) -> None:
        """Restore what `state` gave, read from `path`. Raises InputError for anything else."""
        if not isinstance(state, dict) or set(state) != set(self.state()):
            raise InputError(f"{path}: 'model' must hold {', '.join(self.state())} and no more")
        tensors = {name: checkpoint.as_tensors(part, path) for name, part in state.items()}
        checkpoint.fit(self.netG, tensors["netG"], path)
        checkpoint.fit(self.netD, tensors["netD"], path)
        checkpoint.fit_moments(self.optimizer_G, tensors["optimizer_G"], path)
        checkpoint.fit_moments(self.optimizer_D, tensors["optimizer_D"], path)


def network_path(folder: Path, epoch: str | int, letter: str) -> Path:
    return folder / f"{epoch}_net_{letter}.pth"


def load_network(
    network: nn.Module, folder: Path, epoch: str | int, letter: str, aloud: bool = True
) -> None:
    """Load weights from a file, which may hold more: that is left out and, `aloud`, named."""
    path = network_path(folder, epoch, letter)
    weights, wanted = checkpoint.load_weights(path), network.state_dict()
    more = [key for key in weights if key not in wanted]
    # What is missing is an error that names both; and more layers are another network.
    if more and wanted.keys() <= weights.keys() and not any(goes_on(network, key) for key in more):
        weights = {key: weights[key] for key in wanted}
        if aloud:
            names = textwrap.shorten(", ".join(more), 300)
            tqdm.write(f"{path}: left out {len(more)} that the network does not have: {names}")
    checkpoint.fit(network, weights, path)


def goes_on(network: nn.Module, key: str) -> bool:
    """Whether `key` is in the layer or the scale that would come next in `network`."""
    part, _, layer = key.partition(".")
    layers = dict(network.named_children()).get(part)
    return part.startswith("scale") if layers is None else layer.startswith(f"{len(layers)}.")
