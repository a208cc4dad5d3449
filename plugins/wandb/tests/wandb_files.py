"""Reads the file that an offline W&B run leaves, as ``wandb sync`` does.

It is a log of LevelDB's form: blocks of 32 KiB; in them records, each behind a checksum (4 bytes),
a length (2) and a kind (1): whole, first, middle or last part. Each record is a protobuf message.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
HEADER = 7
FIRST, LAST = (1, 2), (1, 4)


@dataclass
class RunFile:
    """What one file says."""

    path: Path
    record: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None


def run_files(folder: Path) -> list[RunFile]:
    """Read every finished run below a folder, in the order of their trials."""
    found = [finished(path) for path in folder.rglob("run-*.wandb")]
    return sorted(found, key=lambda run: run.summary.get("trial", -1))


def finished(path: Path) -> RunFile:
    """Read a run that has been finished: W&B's service may still be writing the end of it."""
    while (run := read(path)).exit_code is None:
        time.sleep(0.02)
    return run


def read(path: Path) -> RunFile:
    """Read one run."""
    from wandb.proto import wandb_internal_pb2 as protocol

    messages: Any = protocol  # Its classes are made when it is imported.
    run = RunFile(path)
    for data in records(path.read_bytes()):
        record = messages.Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.record = record.run
            _apply(run.config, record.run.config.update)
        elif kind == "config":
            _apply(run.config, record.config.update)
        elif kind == "summary":
            _apply(run.summary, record.summary.update)
        elif kind == "history":
            run.history.append({})
            _apply(run.history[-1], record.history.item)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def records(data: bytes) -> Iterator[bytes]:
    """Yield the messages of a file."""
    assert data[:4] == b":W&B"
    position, parts = HEADER, list[bytes]()
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        if kind in FIRST:
            parts = []
        parts.append(data[position + HEADER : position + HEADER + length])
        position += HEADER + length
        if kind in LAST:
            yield b"".join(parts)


def _apply(target: dict[str, Any], items: Any) -> None:
    for item in items:
        path = list(item.nested_key) or [item.key]
        inner = target
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = json.loads(item.value_json)
