"""Checkpoints on disk: what is written, and what is refused; see faults/test_readers.py, too."""

from pathlib import Path

import pytest
import torch
from util import checkpoint
from util.errors import InputError

WEIGHTS = {"weight": torch.arange(200.0)}


class OnDevice(torch.Tensor):
    """Stands for a tensor on a GPU: `to` gives it as a plain one."""

    def to(self, device: str, **layout: object) -> torch.Tensor:
        assert device == "cpu"
        return self.as_subclass(torch.Tensor).to(device, **layout)


def test_equal_weights_give_equal_bytes_and_lie_on_the_cpu(tmp_path: Path):
    """A file that holds anything but plain tensors is refused by PyTorch's safe loader."""
    moved = WEIGHTS["weight"].as_subclass(OnDevice)
    content = {"netG": {"weight": moved}, "steps": 1}
    for name in ("new/latest_net_G.pth", "40_net_G.pth"):
        checkpoint.save(content, tmp_path / name)
    written = (tmp_path / "new/latest_net_G.pth").read_bytes()
    assert (tmp_path / "40_net_G.pth").read_bytes() == written
    found = checkpoint.load(tmp_path / "40_net_G.pth")
    assert torch.equal(found["netG"]["weight"], WEIGHTS["weight"]) and found["steps"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": torch.zeros(3, dtype=torch.int64)}, "'bias' holds other than finite floats"),
        ({"weight": torch.zeros(2)}, r"size mismatch for weight: .*\[2\].*\[3\]"),
        ({"more": torch.zeros(2)}, r"Unexpected key.*\"more\".*; are the options .* \(--ngf"),
    ],
)
def test_a_misfit_is_named(change: dict, message: str):
    network, path = torch.nn.BatchNorm2d(3), Path("net.pth")
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    checkpoint.fit(network, checkpoint.as_tensors(weights, path), path)
    with pytest.raises(InputError, match=f"^net.pth: {message}"):
        checkpoint.fit(network, checkpoint.as_tensors(weights | change, path), path)
    with pytest.raises(InputError, match="Missing key"):
        checkpoint.fit(network, {"weight": weights["weight"]}, path)


def test_adams_memory_lies_as_the_weights_do():
    """A fused step wants weights, gradients and moments in one layout; files have them plain."""
    images = torch.rand(2, 4, 8, 8)
    stepped = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(1)
        network = torch.nn.Conv2d(4, 4, 3).to(memory_format=memory_format)
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        network(images).square().mean().backward()
        optimizer.step()
        plain = {
            key: value.clone(memory_format=torch.contiguous_format)
            for key, value in checkpoint.moments(optimizer).items()
        }
        assert set(plain) == {f"{n}.{m}" for n in (0, 1) for m in ("step", "exp_avg", "exp_avg_sq")}
        again = torch.optim.Adam(network.parameters(), fused=True)
        checkpoint.fit_moments(again, plain, Path("resume.pth"))
        assert again.state[network.weight]["exp_avg"].stride() == network.weight.stride()
        again.step()
        stepped.append(network.weight.detach().clone())
        for key, value, message in (
            ("9.step", plain["0.step"], "Adam remembers"),
            ("0.exp_avg", torch.zeros(3), "Adam remembers"),
            ("1.exp_avg", plain["1.exp_avg"].long(), "'1.exp_avg' holds other"),
        ):
            with pytest.raises(InputError, match=rf"resume\.pth: .*{message}"):
                checkpoint.fit_moments(again, plain | {key: value}, Path("resume.pth"))
    torch.testing.assert_close(*stepped)
