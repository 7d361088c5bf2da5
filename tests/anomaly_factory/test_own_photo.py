"""What painting keeps of the structure's own photograph: the flat ground of a cutout."""

from itertools import product

import cv2
import numpy as np
from data.own_photo import ground_of


def wing_with_a_spot(colour: int = 220) -> tuple[np.ndarray, np.ndarray]:
    """A dark wing with a spot of the ground's colour in it, 64x64, and where its ground is."""
    outline = cv2.ellipse(np.zeros((64, 64), np.uint8), (30, 34), (25, 18), 20, 0, 360, 1, -1)
    photo = np.full((64, 64, 3), colour, np.uint8)
    photo[outline > 0] = (60, 40, 30)
    cv2.circle(photo, (30, 34), 6, (colour, colour, colour), -1)
    return photo, outline == 0


def test_ground_is_all_around_the_specimen_and_no_pale_spot_in_it():
    for colour in (220, 255, 3):
        photo, ground = wing_with_a_spot(colour)
        photo[0, 0], ground[0, 0] = 255 - colour, False  # one odd corner decides nothing
        assert np.array_equal(ground_of(photo), ground)
    # Its colour varies by the noise of JPEG, in any channel.
    for levels, channel in product((8, -8, 9, -9), (0, 2)):
        photo, ground = wing_with_a_spot()
        photo[:, 60, channel] += np.array(levels).astype(np.uint8)  # a column by the border
        ground[:, 60] = abs(levels) == 8
        assert np.array_equal(ground_of(photo), ground)
    # It hangs together with a side of the picture.
    photo = np.full((33, 33, 3), 220, np.uint8)
    rows, columns = np.indices((33, 33)) - 16
    distance = np.abs(rows) + np.abs(columns)
    photo[distance == 8] = 0  # its pixels touch by their corners alone, and shut a spot in
    assert np.array_equal(ground_of(photo), distance > 8)
    photo = np.full((64, 64, 3), 40, np.uint8)
    photo[[0, 0, -1, -1], [0, -1, 0, -1]] = 220
    photo[:30, 20] = 220  # meets one side alone
    for turns in range(4):
        assert ground_of(np.rot90(photo, turns)).sum() == 4 + 30
