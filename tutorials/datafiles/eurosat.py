"""The format of EuroSAT with all bands: an archive of TIFF files in folders by class, or what it unpacks to.

An image is 64 x 64 pixels of 13 bands, unsigned 16-bit numbers, in Sentinel-2's order: coastal aerosol, blue, green,
red and so on.
"""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor

from datafiles.download import download
from datafiles.once import make_once

ARCHIVE = "EuroSATallBands.zip"
URL = f"https://huggingface.co/datasets/torchgeo/eurosat/resolve/1ce6f1bfb56db63fd91b6ecc466ea67f2509774c/{ARCHIVE}"
MD5 = "5ac12b3b2557aa56e1826e981e8e200e"
INSIDE = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"  # Where the archive has the class folders.
CLASSES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
SHAPE = (64, 64, 13)  # Rows, columns, bands.
RGB = [3, 2, 1]
PACKED = "rgb.pt"

Pixels: TypeAlias = NDArray[np.uint16]
Place: TypeAlias = Path | zipfile.Path

# The error tells what tifffile would log about a damaged file.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read_image(file: Place) -> Pixels:
    """An image (rows, columns, bands) from a file that is packed or not, and goes by pixels or by bands.

    Raises:
        ValueError: The file is no such image, or damaged.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(file.read_bytes())) as tiff:
            page = tiff.pages.first
            image = page.asarray()
            if page.axes == "SYX":  # Band by band.
                image = np.moveaxis(image, 0, -1)
            if image.shape != SHAPE or image.dtype != np.uint16:
                raise ValueError(f"it has {image.shape} values of type {image.dtype}, not {SHAPE} of uint16")
    except Exception as error:  # tifffile may raise anything for a damaged file.
        raise ValueError(f"{file} is no image of EuroSAT, or damaged: {error}. Bring the file again.") from None
    return image


def write_image(file: Path, image: Pixels) -> None:
    """Write an image (rows, columns, bands) as in the archive: plain numbers, pixel by pixel."""
    tifffile.imwrite(file, image, photometric="minisblack", planarconfig="contig", metadata=None)


def prepare(folder: Path) -> None:
    """Make the one file that `read_packed` reads, unless it is there: the red, green and blue bands, and the labels.

    Args:
        folder: The folder with the class folders, or with what the archive unpacks to, or else with the archive, which
            is downloaded if it is absent. The packed file goes there, too.

    Raises:
        ValueError: The archive cannot be downloaded, a class has no images, or something is damaged.
    """
    make_once(folder / PACKED, lambda file: _pack(folder, file))
    read_packed(folder)


def read_packed(folder: Path) -> tuple[Tensor, Tensor]:
    """Images (count, rows, columns, 3), 16-bit numbers, and labels (count,), mapped into memory.

    The processes of a node share that memory, and unused parts of the file take none.

    Raises:
        ValueError: The packed file is damaged.
    """
    try:
        packed = torch.load(folder / PACKED, mmap=True)
        return packed["images"], packed["labels"]
    except Exception as error:  # A damaged file may raise anything.
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{folder / PACKED} is damaged: {reason}. Remove it, and it is made again.") from None


def write_small_files(folder: Path, count: int = 12) -> None:
    """Write `count` images of each class, which are noise in bands whose brightness tells the class."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        brightness = 400 * ((label * np.array([3, 7, 1, 9] * 4)[: SHAPE[-1]]) % 10)
        for number in range(1, count + 1):
            image = rng.integers(0, 1000, SHAPE) + brightness
            write_image(folder / name / f"{name}_{number}.tif", image.astype(np.uint16))


def _pack(folder: Path, file: Path) -> None:
    root = _root(folder)
    named = [(label, image) for label, name in enumerate(CLASSES) for image in _images(root / name)]
    if len(named) > 1000:  # It takes a while.
        print(f"packing the red, green and blue bands of {len(named)} images: once, for all trainings", flush=True)
    images = torch.empty(len(named), *SHAPE[:2], len(RGB), dtype=torch.int16)
    for place, (_, image) in enumerate(named):
        # Sentinel-2 has few values above 10,000, and the networks see none above 4,000.
        images[place] = torch.from_numpy(read_image(image)[:, :, RGB].clip(max=32767).astype(np.int16))
    torch.save({"images": images, "labels": torch.tensor([label for label, _ in named])}, file)


def _root(folder: Path) -> Place:
    """The folder, or the place in the archive, that has the class folders."""
    for place in (folder, folder / INSIDE):
        if any((place / name).is_dir() for name in CLASSES):
            return place
    archive = folder / ARCHIVE
    download(archive, URL, MD5)
    try:
        return zipfile.Path(archive) / INSIDE
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive} is damaged: {error}. Remove it, and it is downloaded again.") from None


def _images(folder: Place) -> list[Place]:
    found: list[Place] = [file for file in folder.iterdir() if file.name.endswith(".tif")] if folder.is_dir() else []
    if not found:
        raise ValueError(f"{folder} has no images (*.tif). Bring the files of this class again.")
    return sorted(found, key=lambda file: file.name)
