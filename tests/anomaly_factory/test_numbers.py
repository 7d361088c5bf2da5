"""Losses and weights that are no numbers stop a program, and what was saved before stays."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from models import painting
from models.networks import Generator
from models.pidinet import load_pidinet
from util.errors import InputError


@pytest.fixture
def options(tiny, dataset, tmp_path) -> list[str]:
    """Options of a training of two steps an epoch."""
    small = "--ndf 2 --no_vgg_loss --batchSize 2 --niter_decay 0 --name AF --no_html".split()
    paths = ["--dataroot", str(dataset), "--checkpoints_dir", str(tmp_path)]
    return [*tiny, *small, *paths, "--phase", "train_AFhybrid"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.pth")}


@pytest.mark.parametrize(("epochs", "step"), [(2, 4), (4, 4)])
def test_a_loss_that_is_no_number_stops_the_training(run, options, tmp_path, epochs, step):
    """Step 3 makes the weights wild, step 4 sees it, whether it is the last one or not."""
    run("train.py", *options, "--niter", 1)
    before = content(tmp_path / "AF")
    assert set(before) == {"resume.pth", "latest_net_G.pth", "latest_net_D.pth"}
    wild = ["--continue_train", "--lr", "1e30", "--niter", epochs, "--save_latest_freq", 1000]
    output = run("train.py", *options, *wild, "--save_epoch_freq", 1, status=2)
    assert re.search(
        rf"step {step}, epoch 2: the loss \w+ is (nan|inf), so the training has", output
    )
    assert {name: data for name, data in content(tmp_path / "AF").items() if name in before} == (
        before
    )
    assert "2_net_G.pth" not in content(tmp_path / "AF")
    run("train.py", *options, "--continue_train", "--niter", 2)
    assert torch.load(tmp_path / "AF/resume.pth", weights_only=True)["steps"] == 4


def test_edge_weights_that_are_no_numbers_are_refused(tmp_path, random_pidinet):
    key = next(iter(random_pidinet))
    for value in (random_pidinet[key] * torch.nan, random_pidinet[key].int()):
        torch.save({"state_dict": random_pidinet | {key: value}}, tmp_path / "table5_pidinet.pth")
        with pytest.raises(InputError, match=r"table5_pidinet\.pth: .* (finite|floats)"):
            load_pidinet(tmp_path / "table5_pidinet.pth")


def test_an_image_that_is_no_number_is_named_and_not_written(run, tiny, dataset, tmp_path):
    """Weights that are finite, and too large to compute with."""
    weights = Generator(ngf=2, n_blocks=1).state_dict()
    folder = tmp_path / "generators/AF"
    folder.mkdir(parents=True)
    paths = ["--dataroot", dataset, "--checkpoints_dir", folder.parent, "--name", "AF"]
    arguments = [*tiny, *paths, "--phase", "test_signalhybrid", "--results_dir", tmp_path / "out"]
    torch.save(weights, folder / "latest_net_G.pth")
    run("test.py", *arguments)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    assert len(before) == 2
    wild = {key: value * 1e38 for key, value in weights.items()}
    torch.save(wild, folder / "latest_net_G.pth")
    output = run("test.py", *arguments, "--overwrite", status=2)
    assert re.search(r"AF_9_8_gen0000[01]\.png: the generator of --name AF paints NaN", output)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}


def test_one_wild_pixel_stops_its_image_and_no_other_of_the_batch(monkeypatch):
    fake = torch.zeros(2, 3, 4, 4)
    fake[1, 2, 3, 3] = torch.nan
    painter = SimpleNamespace(device=torch.device("cpu"), paint=lambda *_: (fake, fake))
    batch = {"edges": fake, "reference": fake, "place": torch.arange(2)}
    monkeypatch.setattr(painting, "loader", lambda *_: [batch])
    samples = SimpleNamespace(pairs=[SimpleNamespace(generated_name=name) for name in ("A", "B")])
    options = SimpleNamespace(name="AF", batchSize=2, nThreads=0, inherit=None, keep_ground=False)
    written = []
    results = SimpleNamespace(write=lambda name, panels: written.append(name))
    with pytest.raises(InputError, match=r"^B: the generator of --name AF paints NaN"):
        painting.paint(painter, samples, [[0, 1]], {0, 1}, options, results, True)
    assert written == ["A"]
