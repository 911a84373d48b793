"""Brings a file from the network once, however many ranks want it at the same time."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path

from datafiles.once import make_once


def download(file: Path, url: str, md5: str) -> None:
    """Download a file unless it is there; while one process does, the others wait, and then find it.

    Args:
        file: The path of the file, which appears there only when it is complete.
        url: The address that it comes from.
        md5: Its checksum, in hexadecimal digits.

    Raises:
        ValueError: It cannot be downloaded, or is another file than expected.
    """

    def bring(part: Path) -> None:
        found = hashlib.md5(usedforsecurity=False)
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as target:
                while block := answer.read(1 << 20):
                    found.update(block)
                    target.write(block)
            if found.hexdigest() != md5:
                raise ValueError(f"its MD5 checksum is {found.hexdigest()}, not {md5}")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{file} cannot be downloaded from {url}: {error}. On a machine without a network, bring the file "
                "there by other means, or name the folder that has it with --data."
            ) from None

    make_once(file, bring)
