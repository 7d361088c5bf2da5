"""One training step of AnomalyFactory: the networks, their losses and their optimisers."""

import argparse
from pathlib import Path
from typing import Any

import torch
from data.datasets import Sample
from options.base_options import ROOT
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from util import checkpoint
from util.distributed import Process
from util.images import to_network

from models.losses import PerceptualLoss, feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator
from models.vgg import vgg19_features

BACKBONES = ROOT / "Models" / "backbones"


def build_generator(opt: argparse.Namespace) -> Generator:
    return Generator(opt.ngf, opt.n_downsample_global, opt.n_blocks_global)


class Painter:
    """A trained generator on `device`, ready to paint batches of uint8 images (N, S, S, 3)."""

    def __init__(self, generator: Generator, device: torch.device, amp: bool):
        self.generator = generator.to(device, memory_format=torch.channels_last).eval()
        self.device, self.amp = device, amp
        if amp:  # once; autocast would do so at every batch, which costs as much as computing
            for module in generator.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.to(torch.bfloat16)

    @torch.inference_mode()
    def paint(
        self, edges: torch.Tensor, reference: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Results and masks, each (N, 3, S, S) in [-1, 1]."""
        pair = to_network(torch.cat([edges, reference], dim=-1), self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
            return self.generator(pair)

    @torch.inference_mode()
    def inherit(
        self,
        edges: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
        reference: torch.Tensor,  # uint8 (N, S, S, 3)
        photo: torch.Tensor,  # of the structure, uint8 (N, S, S, 3)
        full_photo: torch.Tensor,  # the same photo, uint8 (N, T, T, 3)
        share: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Results (N, 3, T, T) in [-1, 1], and masks (N, 3, S, S).

        A result is the structure's photo and `share` of what the reference changes: the painting
        with the reference less the painting with the structure's own photo, an image analogy
        (Hertzmann et al. 2001) in its plainest form. What the generator does to both alike, its
        blur and its traces, cancels out.
        """
        with_reference, mask = self.paint(edges, reference)
        with_photo, _ = self.paint(edges, photo)
        whole = to_network(full_photo, self.device)
        change = (with_reference - with_photo).float()
        if change.shape != whole.shape:
            change = F.interpolate(change, whole.shape[2:], mode="bicubic", antialias=True)
        return (whole + share * change).clamp(-1, 1), mask


class AnomalyFactory:
    """Generator and discriminator in training.

    A step is `set_input`, `forward`, `backward_D`, `backward_G`, `step`. Both gradients are taken
    at the same weights, as in the published code.
    """

    def __init__(self, opt: argparse.Namespace, process: Process):
        self.device, self.amp = process.device, opt.amp
        self.lambda_feat, self.match_features = opt.lambda_feat, not opt.no_ganFeat_loss
        self.lambda_L1 = opt.lambda_L1
        torch.manual_seed(opt.seed)
        self.netG = build_generator(opt)
        self.netD = MultiscaleDiscriminator(opt.ndf, opt.n_layers_D, opt.num_D)
        self.vgg = None
        if not opt.no_vgg_loss:
            with process.first_then_others():
                self.vgg = PerceptualLoss(vgg19_features(BACKBONES))
        for network in filter(None, (self.netG, self.netD, self.vgg)):
            network.to(self.device)
        adam = {"lr": opt.lr, "betas": (opt.beta1, 0.999), "fused": True}
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **adam)
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **adam)
        self.run_G, self.run_D = self.netG, self.netD
        if process.world > 1:
            self.run_G = DistributedDataParallel(self.netG)
            self.run_D = DistributedDataParallel(self.netD)

    def set_input(self, batch: Sample) -> None:
        self.edges, self.reference, self.target = (
            to_network(batch[name], self.device) for name in ("edges", "reference", "target")
        )
        self.pair = torch.cat([self.edges, self.reference], dim=1)

    def forward(self) -> None:
        """Paint, and judge real and painted in one pass."""
        with self.autocast():
            self.fake, self.mask = self.run_G(self.pair)
        # A leaf of its own: the losses' gradients stop here, so one pass of the discriminator
        # serves its own loss (fake detached) and the generator's.
        self.judged = self.fake.detach().float().requires_grad_()
        images = torch.cat([self.target, self.judged])
        with self.autocast():
            scores = self.run_D(torch.cat([self.pair.repeat(2, 1, 1, 1), images], dim=1))
        halves = [[maps.chunk(2) for maps in scale] for scale in scores]
        self.real_scores, self.fake_scores = (
            [[half[part] for half in scale] for scale in halves] for part in (0, 1)
        )

    def backward_D(self) -> None:
        """Gradients of the discriminator."""
        real, fake = lsgan(self.real_scores, 1.0), lsgan(self.fake_scores, 0.0)
        self.loss_D = {"D_real": real, "D_fake": fake}
        weights = list(self.netD.parameters())
        torch.autograd.backward((real + fake) / 2, retain_graph=True, inputs=weights)

    def backward_G(self) -> None:
        """Gradients of the generator: through discriminator and VGG to the image, then back."""
        losses = {"G_GAN": lsgan(self.fake_scores, 1.0)}
        if self.match_features:
            matching = feature_matching(self.fake_scores, self.real_scores)
            losses["G_GAN_Feat"] = self.lambda_feat * matching
        if self.lambda_L1:
            losses["G_L1"] = self.lambda_L1 * F.l1_loss(self.judged, self.target)
        if self.vgg is not None:
            with self.autocast():
                losses["G_VGG"] = self.lambda_feat * self.vgg(self.judged, self.target)
        self.loss_G = losses
        (gradient,) = torch.autograd.grad(sum(losses.values()), self.judged)
        self.fake.backward(gradient.to(self.fake.dtype))

    def step(self) -> None:
        for optimizer in (self.optimizer_G, self.optimizer_D):
            optimizer.step()
            optimizer.zero_grad()

    def losses(self) -> dict[str, torch.Tensor]:
        """The last step's losses by name, detached."""
        return {name: loss.detach() for name, loss in (self.loss_G | self.loss_D).items()}

    def panels(self) -> dict[str, torch.Tensor]:
        """The last step's images by name."""
        return {
            "edges": self.edges,
            "reference": self.reference,
            "result": self.fake,
            "target": self.target,
            "mask": self.mask,
        }

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)

    def set_learning_rate(self, rate: float) -> None:
        for optimizer in (self.optimizer_G, self.optimizer_D):
            for group in optimizer.param_groups:
                group["lr"] = rate

    def save_networks(self, folder: Path, epoch: str | int) -> None:
        for letter, network in (("G", self.netG), ("D", self.netD)):
            checkpoint.save(network.state_dict(), network_path(folder, epoch, letter))

    def load_networks(self, folder: Path, epoch: str | int) -> bool:
        """Load G and, if it is there, D; whether D was."""
        load_network(self.netG, folder, epoch, "G")
        has_D = network_path(folder, epoch, "D").exists()
        if has_D:
            load_network(self.netD, folder, epoch, "D")
        return has_D

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs of this object."""
        return {
            "netG": self.netG.state_dict(),
            "netD": self.netD.state_dict(),
            "optimizer_G": self.optimizer_G.state_dict(),
            "optimizer_D": self.optimizer_D.state_dict(),
            "torch_random": torch.get_rng_state(),
        }

    def load_state(self, state: dict[str, Any], path: Path) -> None:
        """Restore what `state` gave, read from `path`."""
        checkpoint.fit(self.netG, state["netG"], path)
        checkpoint.fit(self.netD, state["netD"], path)
        self.optimizer_G.load_state_dict(state["optimizer_G"])
        self.optimizer_D.load_state_dict(state["optimizer_D"])
        torch.set_rng_state(state["torch_random"])


def network_path(folder: Path, epoch: str | int, letter: str) -> Path:
    return folder / f"{epoch}_net_{letter}.pth"


def load_network(network: nn.Module, folder: Path, epoch: str | int, letter: str) -> None:
    path = network_path(folder, epoch, letter)
    checkpoint.fit(network, checkpoint.load_weights(path), path)
