"""Scans of documents: drawn, turned, skewed, blurred, noisy, as JPEG."""

# ruff: noqa: PLC0415 (packages that make documents are imported where they do)
from __future__ import annotations

from pathlib import Path

import numpy as np


def scanned(pdf: Path, path: Path, seed: int, *, angle: float, dpi: int, noise: float = 4.0, pages: int = 0) -> None:
    """Draw a PDF as a scanner would: turned, a little blurred, noisy, as JPEG."""
    import pypdfium2
    from PIL import Image, ImageFilter

    rng = np.random.default_rng(seed)
    source = pypdfium2.PdfDocument(str(pdf))
    drawn = []
    for number in range(min(len(source), pages or len(source))):
        picture = source[number].render(scale=dpi / 72).to_pil().convert("L")
        quarter, skew = round(angle / 90) * 90, angle - round(angle / 90) * 90
        picture = picture.rotate(skew, resample=Image.Resampling.BICUBIC, fillcolor=255)
        picture = picture.rotate(quarter, expand=True).filter(ImageFilter.GaussianBlur(0.5))
        grey = np.asarray(picture, np.float32)
        grey = 12 + grey * 0.92 + rng.normal(0, noise, grey.shape)
        drawn.append(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)))
    source.close()
    drawn[0].save(path, "PDF", resolution=dpi, save_all=True, append_images=drawn[1:], quality=75)
