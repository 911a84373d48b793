"""Offline runs of Weights & Biases, read from their files: records in blocks, as LevelDB has them in its log."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _HEADER, _IDENT = 32768, 7, 7


def records(file: Path) -> Iterator[bytes]:
    """The records of a file, put together from their parts."""
    content, place, whole = file.read_bytes(), _IDENT, b""
    assert content[:4] == b":W&B"
    while place + _HEADER <= len(content):
        if _BLOCK - place % _BLOCK < _HEADER:
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (1, 4):  # A whole record, or the last part of one.
            yield whole
            whole = b""


def offline_run(folder: Path) -> dict[str, Any]:
    """What an offline run holds: its name, project, group and identifier, config, summary, curves and exit code."""
    from wandb.proto import wandb_internal_pb2 as protocol

    (file,) = folder.glob("*.wandb")
    found: dict[str, Any] = {"config": {}, "summary": {}, "curves": {}, "exit": None}
    for line in records(file):
        record = protocol.Record.FromString(line)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found |= {"name": run.display_name, "project": run.project, "group": run.run_group, "id": run.run_id}
            found["config"] |= {item.key: json.loads(item.value_json) for item in run.config.update if item.key}
        elif kind == "config":
            found["config"] |= {item.key: json.loads(item.value_json) for item in record.config.update if item.key}
        elif kind == "summary":
            for item in record.summary.update:
                found["summary"][item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        elif kind == "history":
            for item in record.history.item:
                name = item.key or ".".join(item.nested_key)
                found["curves"].setdefault(name, []).append(json.loads(item.value_json))
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found
