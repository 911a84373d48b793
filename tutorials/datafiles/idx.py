"""The format of MNIST's files.

After two zero bytes come the type of the values (8 for bytes), the number of dimensions, their sizes, in four bytes
each, the highest first, and the values.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def read_idx(file: Path) -> Bytes:
    """The array in an IDX file of bytes.

    Args:
        file: The path, of a packed file if the name ends with .gz. A file of that name without .gz is taken first.

    Raises:
        ValueError: It is no such file, or a part of it is missing.
    """
    unpacked = file.with_suffix("") if file.suffix == ".gz" else file
    file = unpacked if unpacked.exists() else file
    again = "Remove it, and it is downloaded again."
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file} is damaged: {error}. {again}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{file} begins with {content[:4].hex(' ')}, but an IDX file of bytes with 00 00 08. {again}")
    begin = 4 + 4 * content[3]
    sizes = [int.from_bytes(content[place : place + 4], "big") for place in range(4, begin, 4)]
    if len(content) != begin + math.prod(sizes):
        told = f"a header for {' x '.join(map(str, sizes))} values says {begin + math.prod(sizes)}"
        raise ValueError(f"{file} is damaged: it has {len(content)} bytes, but {told}. {again}")
    return np.frombuffer(bytearray(content), np.uint8, offset=begin).reshape(sizes)


def write_idx(file: Path, array: NDArray[Any]) -> None:
    """Write an array of numbers from 0 to 255; packed, if the file's name ends with .gz."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
