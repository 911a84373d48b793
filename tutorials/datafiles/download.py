"""Brings a file from the network once, however many ranks want it at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import urllib.request
from pathlib import Path


def download(file: Path, url: str, md5: str) -> None:
    """Download a file unless it is there; while one process does, the others wait, and then find it.

    Args:
        file: Where it belongs. It appears under this name only when it is complete.
        url: Where it comes from.
        md5: Its checksum, in hexadecimal digits.

    Raises:
        ValueError: It cannot be downloaded, or is another file than expected.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{socket.gethostname()}-{os.getpid()}.part")
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        # The system releases the lock when its owner ends, however it ends. Where a file system has no locks, each
        # process downloads for itself, which costs time but breaks nothing.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if file.exists():
            return  # Another one has brought it meanwhile.
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as target:
                shutil.copyfileobj(answer, target)
            found = hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest()
            if found != md5:
                raise ValueError(f"its MD5 checksum is {found}, not {md5}")
            part.replace(file)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{file} cannot be downloaded from {url}: {error}. On a machine without a network, bring the file "
                "there by other means, or name the folder that has it with --data."
            ) from None
        finally:
            part.unlink(missing_ok=True)
