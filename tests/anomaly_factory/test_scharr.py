"""The plain gradient detector: its numbers on waves, and next to nothing on plain ground."""

import numpy as np
from models.scharr import scharr_edges


def test_the_strength_of_waves():
    y, x = np.mgrid[:96, :128]
    red = 128 + (y + 1) * np.sin(x * x / 400)  # of one slope after another, steeper downwards
    blue = 128 + 50 * np.cos(y / 7)
    photo = np.stack([red, np.full_like(red, 128), blue], axis=-1).round().astype(np.uint8)
    found = scharr_edges(np.stack([photo, photo[:, ::-1]]))
    assert found.dtype == np.uint8 and found.shape == (2, 96, 128)
    expected = [0, 0, 47, 92, 21, 163, 168, 62, 12]
    assert np.abs(found[0, 70, 5::15].astype(int) - expected).max() <= 1
    assert np.abs(found[0].astype(int) - found[1, :, ::-1]).max() <= 1  # each by itself


def test_next_to_nothing_on_plain_ground():
    noise = np.random.default_rng(0).integers(0, 2, (1, 64, 64, 3))
    assert abs(int(scharr_edges((200 + noise).astype(np.uint8)).max()) - 14) <= 1
    assert scharr_edges(np.full((1, 64, 64, 3), 90, np.uint8)).max() == 0
