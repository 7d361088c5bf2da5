"""dataset.py: thumbnails show what the networks look at, and change nothing of it."""

import io

import backbones
import dataset
import decoders
import numpy as np
import pytest
import torch
from gallery import THUMBNAIL
from PIL import Image


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("preprocess", backbones.PREPROCESSES)
@pytest.mark.parametrize("workers", [0, 2])
def test_thumbnails_change_nothing_of_the_images(tmp_path, specimen, preprocess, workers):
    paths = [specimen(tmp_path / f"{index}.png", (90, 40, 20 + index)) for index in range(3)]
    paths.insert(1, tmp_path / "broken.png")
    paths[1].write_bytes(b"no picture")
    transform = backbones.make_transform("efficientnet_lite0", preprocess)
    (plain,) = dataset.load_batches(paths, transform, 8, workers)
    (pictured,) = dataset.load_batches(paths, transform, 8, workers, thumbnail=80)
    assert not any(plain.thumbnails)
    assert plain.indices == pictured.indices == [0, 2, 3]
    assert torch.equal(plain.images, pictured.images)
    sizes = {opened(content).size for content in pictured.thumbnails}
    assert sizes == {(80, 60) if preprocess == "photograph" else (112, 112)}
    assert len(pictured.thumbnails) == 3


def test_a_thumbnail_of_a_cutout_shows_the_specimen_alone(tmp_path, specimen):
    path = specimen(tmp_path / "a.png")
    transform = backbones.make_transform("efficientnet_lite0", "cutout")
    (batch,) = dataset.load_batches([path], transform, 1, 0, thumbnail=80)
    picture = opened(batch.thumbnails[0])
    assert picture.format == "JPEG"
    corner = picture.getpixel((2, 2))
    assert max(abs(value - 220) for value in corner) < 8


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((60, 40), (60, 40)),  # never enlarged
        ((119, 40), (119, 40)),
        ((121, 40), (61, 20)),
        ((160, 120), (80, 60)),
        ((1000, 10), (84, 1)),  # never empty
        ((30, 3000), (1, 79)),
    ],
)
def test_a_thumbnail_is_about_as_large_as_wanted(size, expected):
    content = dataset.jpeg_thumbnail(Image.new("RGB", size, "red"), 80)
    assert opened(content).size == expected


def test_a_thumbnail_shows_means_and_skips_no_pixel():
    stripes = np.tile(np.repeat(np.uint8([[0, 255]]), 160, axis=0), (1, 80))  # each a pixel wide
    content = dataset.jpeg_thumbnail(Image.fromarray(np.dstack([stripes] * 3)), 80)
    assert np.abs(np.asarray(opened(content)).astype(int) - 128).max() <= 1


def test_the_largest_thumbnail_has_room():
    noise = np.random.default_rng(0).integers(0, 256, (479, 479, 3), np.uint8)
    content = dataset.jpeg_thumbnail(Image.fromarray(noise), THUMBNAIL)
    assert opened(content).size == (479, 479)
    assert len(content) < decoders.THUMBNAIL_BYTES
