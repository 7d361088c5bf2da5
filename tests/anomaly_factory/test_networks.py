"""Keys and shapes of the published checkpoints, and the loss that has no golden file."""

import models.anomaly_factory
import pytest
import torch
from models.anomaly_factory import AnomalyFactory
from models.losses import PerceptualLoss, feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator
from options.train_options import train_options
from torch import nn
from torchvision.models.vgg import cfgs, make_layers
from util.distributed import Process


def test_generator_has_the_published_keys():
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in Generator().state_dict().items()}
    assert len(shapes) == 2 * (1 + 4 + 9 * 2 + 2 * (4 + 1))
    assert shapes["enc_model.1.weight"] == (64, 6, 7, 7)
    assert shapes["enc_model.13.weight"] == (1024, 512, 3, 3)
    assert shapes["enc_model.24.conv_block.5.weight"] == (1024, 1024, 3, 3)
    assert shapes["ano_model.0.weight"] == (1024, 512, 3, 3)
    assert shapes["msk_model.13.weight"] == (3, 64, 7, 7)


def test_discriminator_has_the_published_keys():
    shapes = {
        key: tuple(value.shape) for key, value in MultiscaleDiscriminator().state_dict().items()
    }
    assert len(shapes) == 2 * 2 * 5
    assert shapes["scale0_layer0.0.weight"] == (64, 9, 4, 4)
    assert shapes["scale1_layer3.0.weight"] == (512, 256, 4, 4)
    assert shapes["scale1_layer4.0.weight"] == (1, 512, 4, 4)


def test_discriminator_stops_widening_at_512_channels():
    weights = MultiscaleDiscriminator(ndf=256, n_layers=3, num_D=1).state_dict()
    assert weights["scale0_layer3.0.weight"].shape == (512, 512, 4, 4)


def test_discriminator_may_start_above_512_channels():
    with torch.device("meta"):
        (maps,) = MultiscaleDiscriminator(ndf=600, n_layers=1, num_D=1)(torch.empty(1, 9, 32, 32))
    assert [layer.shape[1] for layer in maps] == [600, 512, 1]


def test_generator_blends_content_into_the_reference():
    network = Generator(ngf=2, n_downsample=2, n_blocks=1)
    nn.init.zeros_(network.msk_model[-2].weight)
    nn.init.zeros_(network.msk_model[-2].bias)
    pair = torch.rand(1, 6, 16, 16)
    fake, mask = network(pair)
    assert torch.equal(mask, torch.zeros_like(mask))
    assert torch.equal(fake, pair[:, 3:])


def test_perceptual_loss_weighs_five_depths():
    # 37 identities stand for VGG19's layers: every slice sees the same difference of 2.
    loss = PerceptualLoss(nn.Sequential(*[nn.Identity() for _ in range(37)]))
    fake, real = torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), -1.0)
    assert loss(fake, real).item() == pytest.approx(2 * (1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 1))


def test_perceptual_loss_has_gradients_for_the_fake_alone():
    torch.manual_seed(0)
    loss = PerceptualLoss(nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(37)]))
    fake = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss(fake, torch.rand(1, 3, 4, 4)).backward()
    assert fake.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in loss.parameters())


def narrow_vgg() -> nn.Sequential:
    """VGG19's layers with a sixteenth of its channels and random weights."""
    layers = make_layers([step if step == "M" else step // 16 for step in cfgs["E"]])
    for weight in layers.parameters():
        nn.init.normal_(weight, std=0.2)
    return layers


@pytest.mark.parametrize(("with_vgg", "lambda_L1"), [(False, 0), (True, 0), (False, 20)])
def test_one_pass_gives_the_gradients_of_the_three_of_pix2pixhd(with_vgg, lambda_L1, monkeypatch):
    monkeypatch.setattr(models.anomaly_factory, "vgg19_features", lambda _: narrow_vgg())
    arguments = ["--name", "x", "--dataroot", "x", "--phase", "x", "--gpu_ids", "-1"]
    sizes = "--ngf 4 --ndf 4 --n_blocks_global 1 --loadSize 32".split()
    sizes += [] if with_vgg else ["--no_vgg_loss"]
    sizes += ["--lambda_L1", str(lambda_L1)]
    model = AnomalyFactory(train_options([*arguments, *sizes]), Process(torch.device("cpu")))
    random = torch.Generator().manual_seed(0)
    names = ("edges", "reference", "target")
    size = (2, 32, 32, 3)
    model.set_input(
        {name: torch.randint(256, size, dtype=torch.uint8, generator=random) for name in names}
    )
    model.forward()
    model.backward_D()
    model.backward_G()

    def judge(image: torch.Tensor) -> list[list[torch.Tensor]]:
        return model.netD(torch.cat([model.pair, image], dim=1))

    fake, _ = model.netG(model.pair)
    of_fake, of_real = judge(fake), judge(model.target)
    loss_G = lsgan(of_fake, 1.0) + 10 * feature_matching(of_fake, of_real)
    if with_vgg:
        loss_G = loss_G + 10 * model.vgg(fake, model.target)
    loss_G = loss_G + lambda_L1 * (fake - model.target).abs().mean()
    loss_D = (lsgan(judge(fake.detach()), 0.0) + lsgan(judge(model.target), 1.0)) / 2
    for network, loss in ((model.netG, loss_G), (model.netD, loss_D)):
        weights = list(network.parameters())
        for weight, expected in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            assert torch.allclose(weight.grad, expected, rtol=1e-3, atol=1e-6)
