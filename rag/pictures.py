"""Pictures: what may be unpacked of one, and what is kept of it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from easyrec.errors import DataError, MissingExtra

Pixels: TypeAlias = NDArray[np.uint8]
"""(height, width, 3): red, green, blue."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
PIXELS = 50_000_000
"""Of a picture at most: more is a bomb, or nothing that can be read at once."""
SIDE = 20_000
"""Pixels of its longer side at most."""
KEPT_BYTES = 1 << 20
"""Of a picture that is kept as it is."""
KEPT_SIDE = 1600
"""Pixels of the longer side of one that is kept."""
FEW_COLOURS = 256
"""Up to which a picture is a drawing, which PNG keeps better."""


def pixels_of(content: bytes, most: int = PIXELS) -> Pixels:
    """The first frame of a picture, upright, on white where it is clear.

    Args:
        content: A file of one of `FORMATS`.
        most: Pixels at most.

    Raises:
        DataError: It is none, is damaged, or has more pixels.
        MissingExtra: The package Pillow is not installed.
    """
    return next(frames_of(content, 1, most))


def frames_of(content: bytes, frames: int, most: int = PIXELS) -> Iterator[Pixels]:
    """The pages of a TIFF file, or the first frame of another picture, one after the other.

    Args:
        content: A file of one of `FORMATS`.
        frames: How many at most.
        most: Pixels of each at most.

    Raises:
        DataError: It is none, is damaged, or has more pixels.
        MissingExtra: The package Pillow is not installed.
    """
    images, package = _package()
    number = 0
    while number < frames:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of fields that are damaged, and of sizes, which are looked at below
                with images.open(io.BytesIO(content), formats=FORMATS) as image:
                    if number:
                        image.seek(number)
                    width, height = image.size
                    if width * height > most or max(width, height) > SIDE:
                        raise DataError(f"has {width} x {height} pixels, and {most} are read at most")
                    pages = getattr(image, "n_frames", 1) if image.format == "TIFF" and frames > 1 else 1
                    made = _plain(package.exif_transpose(image), images)
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 (the package raises whatever a damaged picture leads it to)
            raise DataError(f"is no picture that can be read: {str(error)[:200]}") from None
        yield made
        number += 1
        if number >= pages:
            return


def _plain(image: Any, images: Any) -> Pixels:
    """Red, green and blue of a picture."""
    if image.mode in ("I", "I;16", "I;16B", "F"):
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        grey = ((values - low) * (255 / (high - low)) if high > low else values * 0).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = images.alpha_composite(images.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def kept(pixels: Pixels, content: bytes | None = None) -> bytes:
    """A picture as PNG or JPEG of bounded size.

    Args:
        pixels: It.
        content: The file that it is out of, which is kept as it is if it is small and of one of the two.

    Raises:
        MissingExtra: The package Pillow is not installed.
    """
    small = content is not None and len(content) <= KEPT_BYTES and max(pixels.shape[:2]) <= KEPT_SIDE
    if small and content is not None and content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return content
    images, _ = _package()
    image = images.fromarray(pixels)
    image.thumbnail((KEPT_SIDE, KEPT_SIDE))
    file = io.BytesIO()
    if image.getcolors(FEW_COLOURS) is not None:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _package() -> tuple[Any, Any]:
    """The package.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("pillow", "rag") from None
    return Image, ImageOps
