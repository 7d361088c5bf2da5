"""Networks and losses against weights, inputs and outputs of the published code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from models.losses import feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator


@pytest.fixture
def golden(shared: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    def golden(name: str) -> dict[str, torch.Tensor]:
        with np.load(shared / "golden" / name) as arrays:
            return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}

    return golden


def weights(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = "weight:"
    return {
        key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)
    }


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.fixture
def discriminator(golden) -> MultiscaleDiscriminator:
    network = MultiscaleDiscriminator(ndf=8, n_layers=3, num_D=2)
    network.load_state_dict(weights(golden("discriminator.npz")))
    return network


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_generator(golden, layout):
    arrays = golden("generator.npz")
    network = Generator(ngf=6, n_downsample=3, n_blocks=2)
    network.load_state_dict(weights(arrays))
    network.to(memory_format=layout)
    fake, mask = network(arrays["input"])
    assert_close(fake, arrays["fake"])
    assert_close(mask, arrays["mask"])


def test_discriminator(golden, discriminator):
    arrays = golden("discriminator.npz")
    scores = discriminator(arrays["input"])
    assert [len(scale) for scale in scores] == [5, 5]
    for scale, maps in enumerate(scores):
        for layer, found in enumerate(maps):
            assert_close(found, arrays[f"output:{scale}:{layer}"])


def test_losses(golden, discriminator):
    arrays = golden("losses.npz")
    real, fake = (
        discriminator(torch.cat([arrays["condition"], arrays[name]], dim=1))
        for name in ("real", "fake")
    )
    assert_close(lsgan(fake, 1.0), arrays["G_GAN"])
    assert_close(10 * feature_matching(fake, real), arrays["G_GAN_Feat"])
    assert_close(lsgan(real, 1.0), arrays["D_real"])
    assert_close(lsgan(fake, 0.0), arrays["D_fake"])
