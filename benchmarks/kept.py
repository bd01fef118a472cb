"""What was measured, in benchmarks/.results.json: a run that was interrupted goes on with it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.figures import Cell
from benchmarks.runner import ROOT, Results
from benchmarks.work import WORKS

__all__ = ["Kept", "Record", "digest"]

FILE = ROOT / "benchmarks" / ".results.json"
#: What is measured and how; of it a change of the texts is no reason to measure again.
MEASURED = (
    "atlassian_auth_adapter/**/*.py",
    "benchmarks/*.py",
    "benchmarks/peers/*.py",
    "benchmarks/work/*.py",
    "benchmarks/requirements.txt",
)
TEXTS = {"__main__.py", "kept.py", "page.py", "picture.py", "progress.py", "reasons.py"}


@dataclass(slots=True)
class Record:
    """What one work has brought.

    Attributes:
        digest: Of what was measured.
        began, ended: POSIX timestamps; 0: not yet.
        busy: The largest share of the cores that other programs used when a round began.
        results: By column and peer.
    """

    digest: str
    began: float = 0.0
    ended: float = 0.0
    busy: float = 0.0
    results: Results = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """All of it, in the order of the works."""

    records: dict[str, Record]
    file: Path = FILE

    @classmethod
    def read(cls, file: Path = FILE) -> Kept:
        """What the file says; nothing where there is none."""
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        records = {}
        for name in (name for name in WORKS if name in known):
            cells = known[name].pop("cells")
            results = {(column, peer): Cell(**cell) for column, peer, cell in cells}
            records[name] = Record(**known[name], results=results)
        return cls(records, file)

    def save(self) -> None:
        """Replace the file."""
        known = {}
        for name, record in self.records.items():
            cells = [[*key, asdict(cell)] for key, cell in record.results.items()]
            known[name] = {
                "digest": record.digest,
                "began": record.began,
                "ended": record.ended,
                "busy": record.busy,
                "cells": cells,
            }
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(known))
        beside.replace(self.file)

    def goes_on(self, works: Iterable[str], now: str) -> bool:
        """Whether a run of these works was interrupted, and nothing has changed since."""
        found = [self.records[name] for name in works if name in self.records]
        same = [record for record in found if record.digest == now]
        return bool(same) and not (
            len(same) == len(list(works)) and all(record.ended for record in same)
        )

    @property
    def results(self) -> dict[str, Results]:
        """Of each work that was measured."""
        return {name: record.results for name, record in self.records.items()}


def digest() -> str:
    """Of what is measured and how: the library, the benchmarks, Python, the versions of peers."""
    found = sha256(platform.python_version().encode())
    for pattern in MEASURED:
        for path in sorted(ROOT.glob(pattern)):
            if path.name not in TEXTS:
                found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]
