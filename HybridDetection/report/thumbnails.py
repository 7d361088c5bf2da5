"""Small pictures of photographs, as the networks see them but for the square."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cutout import cut_out
from files import ImageError, open_image

QUALITY = 82  # of JPEG
CUTOUT_SIDE = 800  # pixels on which a specimen is found at the most


def make_thumbnails(
    paths: Sequence[Path], preprocess: str, side: int, workers: int
) -> Iterator[bytes | str]:
    """Of each photograph a JPEG whose longer side is `side` pixels at the most, or what ails it.

    For the `preprocess` "cutout", of the specimen cut out. Made by `workers` threads: Pillow and
    OpenCV work outside Python's lock.
    """

    def thumbnail(path: Path) -> bytes | str:
        try:
            if preprocess == "cutout":
                image = cut_out(open_image(path, CUTOUT_SIDE))[0]
            else:
                image = open_image(path, 2 * side)
        except ImageError as error:
            return str(error)
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(thumbnail, paths)
