"""A picture in every format and mode that is opened, to be damaged."""

import io
import zlib

import cv2
import numpy as np
from PIL import Image, ImageCms

# Turned upside down, and in the colours of a profile.
EXIF = Image.Exif()
EXIF[274] = 3
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
NOTED = {"exif": EXIF.tobytes(), "icc_profile": SRGB.tobytes()}
SAVING = {
    "jpeg": ("JPEG", "RGB", {"quality": 80}),
    "progressive.jpeg": ("JPEG", "RGB", {"progressive": True}),
    "cmyk.jpeg": ("JPEG", "CMYK", {}),
    "grey.jpeg": ("JPEG", "L", {}),
    "png": ("PNG", "RGB", {}),
    "palette.png": ("PNG", "P", {"transparency": 3}),
    "deep.png": ("PNG", "I;16", {}),
    "deep_colour.png": (".png", "16 bits", {}),
    "alpha.png": ("PNG", "LA", {}),
    "animated.png": ("PNG", "RGB", {"save_all": True}),
    "tiff": ("TIFF", "RGB", {}),
    "packed.tiff": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "zipped.tiff": ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tiff": ("TIFF", "RGB", {"compression": "jpeg"}),
    "lines.tiff": ("TIFF", "1", {"compression": "group4"}),
    "deep.tiff": ("TIFF", "I;16B", {}),
    "deep_colour.tiff": (".tiff", "16 bits", {}),
    "palette_alpha.tiff": ("TIFF", "PA", {}),
    "float.tiff": ("TIFF", "F", {}),
    "whole.tiff": ("TIFF", "I", {}),
    "print.tiff": ("TIFF", "CMYK", {}),
    "lab.tiff": ("TIFF", "LAB", {}),
    "pages.tiff": ("TIFF", "RGB", {"save_all": True}),
    "noted.jpeg": ("JPEG", "RGB", NOTED),
    "noted.png": ("PNG", "RGBA", NOTED),
    "noted.tiff": ("TIFF", "L", NOTED | {"save_all": True}),
    "noted.webp": ("WEBP", "RGB", NOTED),
    "pages.mpo": ("MPO", "RGB", {"save_all": True}),
    "webp": ("WEBP", "RGB", {}),
    "lossless.webp": ("WEBP", "RGBA", {"lossless": True}),
    "animated.webp": ("WEBP", "RGB", {"save_all": True}),
    "bmp": ("BMP", "RGB", {}),
    "palette.bmp": ("BMP", "P", {}),
}
FLOATS = {"float.tiff"}


def encoded(kind: str) -> bytes:
    """A picture of 40 x 30 noisy pixels in the format and mode of `kind`."""
    form, mode, options = SAVING[kind]
    draw = np.random.default_rng(zlib.crc32(kind.encode()))
    pages = [Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8)) for _ in range(2)]
    if mode == "16 bits":  # which Pillow reads but does not write
        return cv2.imencode(form, np.asarray(pages[0], np.uint16) * 257)[1].tobytes()
    if mode == "I;16B":
        pages = [Image.fromarray(np.asarray(page, ">u2")[..., 0] * 257) for page in pages]
    elif mode in ("I;16", "I", "F"):
        pages = [Image.fromarray(np.asarray(page, np.uint16)[..., 0] * 257) for page in pages]
        pages = pages if mode == "I;16" else [page.convert("I").convert(mode) for page in pages]
    elif mode == "LAB":
        pages = [Image.frombytes("LAB", page.size, page.tobytes()) for page in pages]
    else:
        pages = [page.convert(mode) for page in pages]
    more = {"append_images": pages[1:], "duration": 50} if options.get("save_all") else {}
    buffer = io.BytesIO()
    pages[0].save(buffer, form, **options, **more)
    return buffer.getvalue()
