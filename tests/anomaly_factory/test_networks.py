"""The published networks and losses, written out here and stated in numbers."""

import math

import models.anomaly_factory
import pytest
import torch
from models.anomaly_factory import AnomalyFactory
from models.losses import PerceptualLoss, feature_matching, lsgan
from models.networks import Generator, MultiscaleDiscriminator
from options.train_options import train_options
from torch import nn
from torch.nn import functional as F
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


def test_generator_blends_content_into_the_reference_by_the_mask():
    network = Generator(ngf=2, n_downsample=2, n_blocks=1)
    for decoder, value in ((network.ano_model, -0.5), (network.msk_model, 0.25)):
        nn.init.zeros_(decoder[-2].weight)
        nn.init.constant_(decoder[-2].bias, math.atanh(value))
    pair = torch.rand(1, 6, 16, 16)
    fake, mask = network(pair)
    torch.testing.assert_close(mask, torch.full((1, 3, 16, 16), 0.25))
    torch.testing.assert_close(fake, 0.25 * -0.5 + 0.75 * pair[:, 3:])


@pytest.mark.parametrize("network", [Generator, MultiscaleDiscriminator])
def test_initial_weights_have_a_deviation_of_002(network):
    torch.manual_seed(0)
    sizes = {"ngf": 8, "n_blocks": 2} if network is Generator else {"ndf": 16}
    weights = [value for value in network(**sizes).parameters() if value.dim() == 4]
    for weight in weights:
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert abs(weight.mean().item()) < 0.002
    assert torch.cat([w.flatten() for w in weights]).std().item() == pytest.approx(0.02, rel=0.01)


def normed(x: torch.Tensor) -> torch.Tensor:
    """Instance normalisation by its definition."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def random_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Random weights for `network`, large enough to tell its layers apart; loaded into it."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        key: torch.randn(value.shape, generator=generator) * 0.3
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(weights)
    return weights


def test_generator_written_out():
    """pix2pixHD's, layer by layer, under the published keys: two halvings, two blocks."""
    network = Generator(ngf=4, n_downsample=2, n_blocks=2)
    weights = random_weights(network)

    def parts(key):
        return weights[f"{key}.weight"], weights[f"{key}.bias"]

    def reflected(x, width, key):
        return F.conv2d(F.pad(x, (width,) * 4, mode="reflect"), *parts(key))

    def decoder(x, name):
        for place in (0, 3):
            options = {"stride": 2, "padding": 1, "output_padding": 1}
            x = normed(F.conv_transpose2d(x, *parts(f"{name}.{place}"), **options)).relu()
        return reflected(x, 3, f"{name}.7").tanh()

    pair = torch.rand(2, 6, 24, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x = normed(reflected(pair, 3, "enc_model.1")).relu()
    for place in (4, 7):
        x = normed(F.conv2d(x, *parts(f"enc_model.{place}"), stride=2, padding=1)).relu()
    for place in (10, 11):
        y = normed(reflected(x, 1, f"enc_model.{place}.conv_block.1")).relu()
        x = x + normed(reflected(y, 1, f"enc_model.{place}.conv_block.5"))
    content, mask = decoder(x, "ano_model"), decoder(x, "msk_model")

    found, found_mask = network(pair)
    torch.testing.assert_close(found_mask, mask, rtol=0, atol=1e-4)
    expected = mask * content + (1 - mask) * pair[:, 3:]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_discriminator_written_out():
    """pix2pixHD's, layer by layer: the last scale sees the full size, the first one the half."""
    network = MultiscaleDiscriminator(ndf=4, n_layers=2, num_D=2)
    weights = random_weights(network)
    images = torch.rand(2, 9, 33, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    half = F.avg_pool2d(images, 3, stride=2, padding=1, count_include_pad=False)
    found = network(images)
    for maps, scale, x in zip(found, (1, 0), (images, half), strict=True):
        assert len(maps) == 4
        for layer, stride in enumerate((2, 2, 1, 1)):
            key = f"scale{scale}_layer{layer}.0"
            x = F.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], stride, padding=2)
            x = normed(x) if layer in (1, 2) else x
            x = F.leaky_relu(x, 0.2) if layer < 3 else x
            torch.testing.assert_close(maps[layer], x, rtol=0, atol=1e-4)


def test_lsgan_is_the_mean_square_on_the_last_map_of_each_scale():
    inner = torch.full((1, 1, 2, 2), 1e6)
    scores = [[inner, torch.tensor([0.5, -1.0])], [inner, torch.tensor([3.0])]]
    assert lsgan(scores, 1.0).item() == (0.25 + 4) / 2 + 4
    assert lsgan(scores, 0.0).item() == (0.25 + 1) / 2 + 9


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        # Three strided layers: 4 / (3 + 1) / 2 scales, on all maps but the last.
        ([[1, 2, 3, 4, 1e6], [10, 20, 30, 40, 1e6]], 0.5 * 110),
        ([[1, 2, 1e6]], 4 / (1 + 1) * 3),
        ([[1, 2, 3, 1e6]], 4 / (2 + 1) * 6),
    ],
)
def test_feature_matching_is_the_weighted_l1_of_the_inner_maps(differences, expected):
    fake = [[torch.zeros(1, 2, n + 1, 3) for n in range(len(scale))] for scale in differences]
    real = [
        [maps + (-1) ** n * value for n, (maps, value) in enumerate(zip(*pair, strict=True))]
        for pair in zip(fake, differences, strict=True)
    ]
    leaf = real[0][0].requires_grad_()
    fake[0][0].requires_grad_()
    loss = feature_matching(fake, real)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert leaf.grad is None and fake[0][0].grad is not None


@pytest.mark.parametrize("real", [[[1, 2, 3]], [[1, 2, 3], [1, 2]]])
def test_feature_matching_leaves_no_map_out(real):
    fake = [[torch.ones(1)] * 3] * 2
    with pytest.raises(ValueError, match="shorter"):
        feature_matching(fake, [[torch.ones(1) for _ in scale] for scale in real])


class Double(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 2 * features


def test_perceptual_loss_weighs_five_depths():
    # A doubling on both sides of each of the five places stands for VGG19's layers there.
    doubling = {place + side for place in (1, 6, 11, 20, 29) for side in (0, 1)}
    layers = [Double() if place in doubling else nn.Identity() for place in range(37)]
    fake, real = torch.full((1, 3, 4, 4), 1.0), torch.full((1, 3, 4, 4), -1.0)
    expected = 2 * (2 / 32 + 8 / 16 + 32 / 8 + 128 / 4 + 512 * 1)
    assert PerceptualLoss(nn.Sequential(*layers))(fake, real).item() == expected


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


@pytest.mark.parametrize(("with_vgg", "gentle"), [(False, False), (True, False), (False, True)])
def test_one_pass_gives_the_gradients_of_the_three_of_pix2pixhd(with_vgg, gentle, monkeypatch):
    monkeypatch.setattr(models.anomaly_factory, "vgg19_features", lambda _: narrow_vgg())
    arguments = ["--name", "x", "--dataroot", "x", "--phase", "x", "--gpu_ids", "-1"]
    sizes = "--ngf 4 --ndf 4 --n_blocks_global 1 --loadSize 32".split()
    sizes += [] if with_vgg else ["--no_vgg_loss"]
    sizes += ["--gentle"] if gentle else []
    model = AnomalyFactory(train_options([*arguments, *sizes]), Process(torch.device("cpu")))
    random = torch.Generator().manual_seed(0)
    names = ("edges", "reference", "target")
    size = (2, 32, 32, 3)
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
    if with_vgg:
        loss_G = loss_G + 10 * model.vgg(fake, target)
    if gentle:
        loss_G = loss_G + 10 * (fake - target).abs().mean()
    loss_D = (lsgan(judge(fake.detach()), 0.0) + lsgan(judge(target), 1.0)) / 2
    for network, loss in ((model.netG, loss_G), (model.netD, loss_D)):
        weights = list(network.parameters())
        for weight, expected in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            assert torch.allclose(weight.grad, expected, rtol=1e-3, atol=1e-6)


def test_the_published_course():
    options = train_options(["--name", "x", "--dataroot", "x", "--phase", "x", "--no_vgg_loss"])
    assert (options.niter, options.niter_decay) == (8000, 8000)
    assert options.lambda_feat == 10
    assert not (options.gentle or options.ask_reference)
    sizes = (options.ngf, options.n_downsample_global, options.n_blocks_global)
    assert sizes == (64, 4, 9)
    assert (options.ndf, options.n_layers_D, options.num_D) == (64, 3, 2)
    options.ngf = options.ndf = 2
    model = AnomalyFactory(options, Process(torch.device("cpu")))
    for optimizer in (model.optimizer_G, model.optimizer_D):
        (group,) = optimizer.param_groups
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))
        assert (group["eps"], group["weight_decay"]) == (1e-8, 0)
