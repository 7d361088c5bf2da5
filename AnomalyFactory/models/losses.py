"""The losses of the generator and the discriminator. `scores` are MultiscaleDiscriminator's."""

import torch
from torch import nn
from torch.nn import functional as F

Scores = list[list[torch.Tensor]]


def lsgan(scores: Scores, target: float) -> torch.Tensor:
    """Least-squares GAN: mean square of (score - target) on each scale's last map, summed."""
    return sum((maps[-1].float() - target).square().mean() for maps in scores)


def feature_matching(fake: Scores, real: Scores) -> torch.Tensor:
    """L1 between the inner maps of fake and (detached) real, as weighted by pix2pixHD."""
    n_layers = len(fake[0]) - 2
    weight = 4 / (n_layers + 1) / len(fake)
    return weight * sum(
        F.l1_loss(of_fake.float(), of_real.detach().float())
        for fake_maps, real_maps in zip(fake, real, strict=True)
        for of_fake, of_real in zip(fake_maps[:-1], real_maps[:-1], strict=True)
    )


class PerceptualLoss(nn.Module):
    """L1 between VGG19 features at relu1_1, 2_1, 3_1, 4_1 and 5_1 (Johnson et al. 2016).

    The published code feeds VGG the images in [-1, 1] as they are, without ImageNet's mean and
    deviation, and the factor 10 was chosen for that; so this does too.
    """

    ENDS = (2, 7, 12, 21, 30)  # in torchvision's `vgg19().features`, just after each relu
    WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, features: nn.Sequential):
        super().__init__()
        starts = (0, *self.ENDS[:-1])
        self.slices = nn.ModuleList(
            features[start:end] for start, end in zip(starts, self.ENDS, strict=True)
        )
        self.requires_grad_(False)

    def forward(self, fake: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        loss = fake.new_zeros(())
        for vgg_slice, weight in zip(self.slices, self.WEIGHTS, strict=True):
            fake = vgg_slice(fake)
            with torch.no_grad():
                real = vgg_slice(real)
            loss = loss + weight * F.l1_loss(fake.float(), real.float())
        return loss
