"""The format of CIFAR-10's archive for Python: a tar file of pickled batches, or the folder that it unpacks to.

A batch is a dictionary: b"data" holds an array of bytes (images, 3072), for each image the 1,024 red values, then the
green and the blue ones, row by row; b"labels" is a list of numbers from 0 to 9.
"""

from __future__ import annotations

import codecs
import io
import pickle
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"

Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (count, 3, 32, 32) and labels (count,)."""


def read_batches(folder: Path, names: Iterable[str]) -> Batch:
    """Batches, one after another.

    Args:
        folder: The folder with the archive, or with the folder that it unpacks to, which is taken first.
        names: The names of the batches, "data_batch_1" for example.

    Raises:
        ValueError: The archive or a batch is damaged, or holds something else.
    """
    read = [_read_batch(where, content) for where, content in _contents(folder, list(names))]
    images, labels = zip(*read, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def write_archive(file: Path, batches: dict[str, Batch]) -> None:
    """Write batches, by their names, as an archive like that of CIFAR-10."""
    with tarfile.open(file, "w:gz") as archive:
        for name, (images, labels) in batches.items():
            batch = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": images.reshape(-1, 3072)}
            content = pickle.dumps(batch, protocol=2)  # The protocol of the original.
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _contents(folder: Path, names: list[str]) -> list[tuple[str, bytes]]:
    """The place of each batch, for messages, and its content."""
    if (folder / FOLDER).is_dir():
        return [(str(folder / FOLDER / name), (folder / FOLDER / name).read_bytes()) for name in names]
    file, found = folder / ARCHIVE, {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                stream = archive.extractfile(entry)
                if stream is not None and Path(entry.name).name in names:
                    found[Path(entry.name).name] = stream.read()
    except (EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(f"{file} is damaged: {error}. Remove it, and it is downloaded again.") from None
    if absent := [name for name in names if name not in found]:
        raise ValueError(f"{file} is damaged: it has no {', '.join(absent)}. Remove it, and it is downloaded again.")
    return [(f"{FOLDER}/{name} in {file}", found[name]) for name in names]


def _read_batch(where: str, content: bytes) -> Batch:
    try:
        batch: dict[bytes, Any] = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        images, labels = np.asarray(batch[b"data"], np.uint8), np.asarray(batch[b"labels"], np.int64)
        images = images.reshape(len(labels), 3, 32, 32)
    except (EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where} is no batch of CIFAR-10, or damaged: {problem}. Bring the file again.") from None
    return images, labels


class _Unpickler(pickle.Unpickler):
    """Makes arrays, numbers and text of a pickle, and refuses everything else, which could be any program."""

    def find_class(self, module: str, name: str) -> Any:
        reconstruct = np.empty(0).__reduce__()[0]
        allowed = {
            ("numpy", "_reconstruct"): reconstruct,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,  # Python 3 writes bytes in old pickles so.
        }
        package = module.partition(".")[0]
        if (package, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[package, name]
