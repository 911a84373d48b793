"""Images in class folders, as many data sets come: a folder for each class, in it a file for each image."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import TensorDataset


def read_folders(folder: Path, classes: Sequence[str], size: int) -> TensorDataset:
    """All images of a folder, decoded once: a small training would spend its time on that, epoch by epoch.

    Args:
        folder: The folder with a folder for each class. Hidden files are ignored.
        classes: The names of the classes; the place of a name in the list is its label.
        size: The number of pixels of each side; an image of another size is resized.

    Returns:
        Images (count, 3, size, size), bytes, and labels (count,).

    Raises:
        ValueError: A class has no images, or a file is no image, or damaged.
    """
    files = [sorted(file for file in (folder / name).glob("*") if file.name[0] != ".") for name in classes]
    if absent := [name for name, found in zip(classes, files, strict=True) if not found]:
        raise ValueError(f"{folder} has no images of the class {', '.join(absent)}.")
    images = np.empty((sum(map(len, files)), 3, size, size), np.uint8)

    def read_into(place: int, file: Path) -> None:
        images[place] = _read_image(file, size)

    with ThreadPoolExecutor() as pool:  # Decoding leaves the interpreter to the others.
        for _ in pool.map(read_into, range(len(images)), [file for found in files for file in found]):
            pass
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in files])
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels))


def write_small_folders(folder: Path, classes: Sequence[str], count: int = 8, size: int = 150) -> None:
    """Write `count` images of each class, which are noise in a colour that tells the class; one is wider."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        tint = 200 * np.array([label % 2, label // 2 % 2, label // 4 % 2])
        for number in range(count):
            pixels = rng.integers(0, 56, (size, size + 40 * (number == 0), 3)) + tint
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.jpg")


def _read_image(file: Path, size: int) -> NDArray[np.uint8]:
    """An image, of shape (3, size, size)."""
    try:
        with Image.open(file) as image:
            image = image.convert("RGB")  # type: ignore[assignment]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} is no image, or damaged: {error}. Remove it, or bring it again.") from None
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)  # type: ignore[assignment]
    return np.asarray(image).transpose(2, 0, 1)
