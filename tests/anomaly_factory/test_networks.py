"""The published networks and losses: their keys, their goldens, and the losses in numbers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from models.anomaly_factory import AnomalyFactory
from models.losses import PerceptualLoss, feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator
from models.vgg import FILE_NAME, vgg19_features
from options.train_options import train_options
from torch import nn
from torchvision.models.vgg import cfgs, make_layers
from util.distributed import Process
from util.errors import InputError


def test_the_discriminator_stops_widening_at_512_channels():
    with torch.device("meta"):
        (maps,) = MultiscaleDiscriminator(ndf=600, n_layers=1, num_D=1)(torch.empty(1, 9, 32, 32))
        widest = MultiscaleDiscriminator().state_dict()["scale1_layer3.0.weight"]
    assert [layer.shape[1] for layer in maps] == [600, 512, 1] and widest.shape == (512, 256, 4, 4)


# ---- against weights, inputs and outputs of the published code -----------------------------------


@pytest.fixture
def golden(shared: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    def golden(name: str) -> dict[str, torch.Tensor]:
        arrays = np.load(shared / "golden" / name)
        return {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}

    return golden


def weights(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key[7:]: value for key, value in arrays.items() if key.startswith("weight:")}


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_golden_generator(golden, layout):
    arrays = golden("generator.npz")
    network = Generator(ngf=6, n_downsample=3, n_blocks=2)
    network.load_state_dict(weights(arrays))
    network.to(memory_format=layout)
    fake, mask = network(arrays["input"])
    assert_close(fake, arrays["fake"])
    assert_close(mask, arrays["mask"])


def test_golden_discriminator_and_losses(golden):
    arrays = golden("discriminator.npz")
    network = MultiscaleDiscriminator(ndf=8, n_layers=3, num_D=2)
    network.load_state_dict(weights(arrays))
    scores = network(arrays["input"])
    assert [len(scale) for scale in scores] == [5, 5]
    for scale, maps in enumerate(scores):
        for layer, found in enumerate(maps):
            assert_close(found, arrays[f"output:{scale}:{layer}"])
    arrays = golden("losses.npz")
    real, fake = (
        network(torch.cat([arrays["condition"], arrays[name]], dim=1)) for name in ("real", "fake")
    )
    assert_close(lsgan(fake, 1.0), arrays["G_GAN"])
    assert_close(10 * feature_matching(fake, real), arrays["G_GAN_Feat"])
    assert_close(lsgan(real, 1.0), arrays["D_real"])
    assert_close(lsgan(fake, 0.0), arrays["D_fake"])


# ---- losses --------------------------------------------------------------------------------------


def test_perceptual_loss_weighs_five_depths():
    # A doubling on both sides of each of the five places stands for VGG19's layers there.
    doubling = {place + side for place in (1, 6, 11, 20, 29) for side in (0, 1)}
    double = nn.Conv2d(3, 3, 1, groups=3, bias=False)
    nn.init.constant_(double.weight, 2)
    layers = [double if place in doubling else nn.Identity() for place in range(37)]
    fake, real = torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), -1.0)
    expected = 2 * (2 / 32 + 8 / 16 + 32 / 8 + 128 / 4 + 512 * 1)
    assert PerceptualLoss(nn.Sequential(*layers))(fake, real).item() == expected


def test_vgg19s_weights_are_read_from_the_backbones_folder(tmp_path: Path):
    with pytest.raises(InputError, match=f"{FILE_NAME}: .*download_models.sh vgg19.*--no_vgg_loss"):
        vgg19_features(tmp_path)
    features = make_layers(cfgs["E"])
    weights = {f"features.{key}": value for key, value in features.state_dict().items()}
    torch.save(weights | {"classifier.0.bias": torch.zeros(3)}, tmp_path / FILE_NAME)
    loss = PerceptualLoss(vgg19_features(tmp_path))
    assert torch.equal(loss.slices[0][0].weight, features[0].weight)
    assert [len(part) for part in loss.slices] == [2, 5, 5, 9, 9]


# ---- a training step -----------------------------------------------------------------------------


def narrow_vgg() -> nn.Sequential:
    """VGG19's layers with a sixteenth of its channels and random weights."""
    layers = make_layers([step if step == "M" else step // 16 for step in cfgs["E"]])
    for weight in layers.parameters():
        nn.init.normal_(weight, std=0.2)
    return layers


@pytest.mark.parametrize("options", ["--no_vgg_loss", "", "--no_vgg_loss --gentle"])
def test_one_pass_gives_the_gradients_of_the_three_of_pix2pixhd(options):
    arguments = "--name x --dataroot x --ngf 4 --ndf 4 --n_blocks_global 1 --loadSize 32 " + options
    process = Process(torch.device("cpu"))
    model = AnomalyFactory(train_options(arguments.split()), process, narrow_vgg())
    for optimizer in (model.optimizer_G, model.optimizer_D):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"], group["eps"]) == (2e-4, (0.5, 0.999), 1e-8)
        assert group["weight_decay"] == 0
    random = torch.Generator().manual_seed(0)
    names, size = ("edges", "reference", "target"), (2, 32, 32, 3)
    batch = {name: torch.randint(256, size, dtype=torch.uint8, generator=random) for name in names}
    model.set_input(batch)
    model.forward()
    model.backward_D()
    model.backward_G()
    images = (batch[name].permute(0, 3, 1, 2).contiguous() for name in names)
    edges, reference, target = (image / 127.5 - 1 for image in images)
    pair = torch.cat([edges, reference], dim=1)

    def judge(image: torch.Tensor) -> list[list[torch.Tensor]]:
        return model.netD(torch.cat([pair, image], dim=1))

    fake, _ = model.netG(pair)
    of_fake, of_real = judge(fake), judge(target)
    loss_G = lsgan(of_fake, 1.0) + 10 * feature_matching(of_fake, of_real)
    if model.vgg:
        loss_G += 10 * model.vgg(fake, target)
    if "--gentle" in options:
        loss_G += 10 * (fake - target).abs().mean()
    loss_D = (lsgan(judge(fake.detach()), 0.0) + lsgan(judge(target), 1.0)) / 2
    for network, loss in ((model.netG, loss_G), (model.netD, loss_D)):
        weights = list(network.parameters())
        for weight, expected in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            assert torch.allclose(weight.grad, expected, rtol=1e-3, atol=1e-6)
    assert not model.vgg or all(weight.grad is None for weight in model.vgg.parameters())
