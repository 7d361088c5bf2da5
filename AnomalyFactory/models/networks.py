"""The networks of AnomalyFactory. Module names and positions are those of the published
checkpoints, so `latest_net_G.pth` and `latest_net_D.pth` load as they are."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    """Encoder with two decoders: one paints content, the other the mask that blends it in."""

    def __init__(
        self,
        ngf: int = 64,  # channels after the first convolution
        n_downsample: int = 4,  # halvings of the image before the residual blocks
        n_blocks: int = 9,  # residual blocks at the lowest resolution
    ):
        super().__init__()
        widths = [ngf * 2**level for level in range(n_downsample + 1)]
        encoder = [nn.ReflectionPad2d(3), nn.Conv2d(6, ngf, 7), *norm_relu(ngf)]
        for narrow, wide in pairwise(widths):
            encoder += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), *norm_relu(wide)]
        encoder += [ResidualBlock(widths[-1]) for _ in range(n_blocks)]
        self.enc_model = nn.Sequential(*encoder)
        self.ano_model = decoder(widths[::-1])
        self.msk_model = decoder(widths[::-1])
        self.apply(normal_weights)

    def forward(self, pair: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and mask, each (N, 3, H, W) in [-1, 1].

        `pair` is (N, 6, H, W) in [-1, 1]: the edge map, then the reference photo; H and W are
        multiples of 2**n_downsample.
        """
        features = self.enc_model(pair)
        content, mask = self.ano_model(features), self.msk_model(features)
        reference = pair[:, 3:]
        return mask * content + (1 - mask) * reference, mask


class InstanceNorm(nn.Module):
    """Instance normalisation; on a CPU as one group per channel, where torch's own instance_norm
    copies back and forth. On a GPU, autocast would turn group_norm's input into float32."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if features.is_cuda:
            return F.instance_norm(features)
        return F.group_norm(features, self.channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            *norm_relu(channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.conv_block(features)


def norm_relu(channels: int) -> list[nn.Module]:
    return [InstanceNorm(channels), nn.ReLU(inplace=True)]


def decoder(widths: list[int]) -> nn.Sequential:
    """Features of `widths[0]` channels -> RGB in [-1, 1], twice the size at every further width."""
    layers = []
    for wide, narrow in pairwise(widths):
        layers += [
            nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1),
            *norm_relu(narrow),
        ]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(widths[-1], 3, 7), nn.Tanh()]
    return nn.Sequential(*layers)


class MultiscaleDiscriminator(nn.Module):
    """PatchGANs on the image and on its halvings (pix2pixHD)."""

    def __init__(
        self,
        ndf: int = 64,  # channels after the first convolution
        n_layers: int = 3,  # strided convolutions of each PatchGAN
        num_D: int = 2,  # scales
        in_channels: int = 9,  # edge map, reference, and the image that is judged
    ):
        super().__init__()
        self.n_layers, self.num_D = n_layers, num_D
        widths = [ndf, *(min(ndf * 2**level, 512) for level in range(1, n_layers + 1))]
        for scale in range(num_D):
            layers = [nn.Sequential(patch_conv(in_channels, ndf, 2), nn.LeakyReLU(0.2, True))]
            for level in range(n_layers):
                narrow, wide = widths[level], widths[level + 1]
                stride = 2 if level < n_layers - 1 else 1
                layers.append(
                    nn.Sequential(
                        patch_conv(narrow, wide, stride),
                        InstanceNorm(wide),
                        nn.LeakyReLU(0.2, True),
                    )
                )
            layers.append(nn.Sequential(patch_conv(widths[-1], 1, 1)))
            for number, layer in enumerate(layers):
                self.add_module(f"scale{scale}_layer{number}", layer)
        self.halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.apply(normal_weights)

    def forward(self, images: torch.Tensor) -> list[list[torch.Tensor]]:
        """Per scale, full size first, the maps of every layer; the last one is the score."""
        scales = []
        for scale in reversed(range(self.num_D)):  # published: the last scale sees the full size
            maps = [images]
            for number in range(self.n_layers + 2):
                maps.append(self.get_submodule(f"scale{scale}_layer{number}")(maps[-1]))
            scales.append(maps[1:])
            if scale:
                images = self.halve(images)
        return scales


def patch_conv(channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 4, stride=stride, padding=2)


def normal_weights(module: nn.Module) -> None:
    """pix2pixHD's initial weights: normal with standard deviation 0.02."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
