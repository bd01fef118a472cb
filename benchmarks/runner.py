"""The runner: a fresh process for each measurement, all cells of a work in turns, in rounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Cell, Column, Work
from benchmarks.peers import OURS, PEERS

__all__ = ["Job", "Results", "cells_of", "measured", "run"]

ROOT = Path(__file__).parent.parent
#: Seconds after which a measurement has failed.
LONGEST = 600.0

#: Seconds; a cell that takes longer is measured once, unless it is ours.
LONG = 10.0

#: Of one work: by column and peer.
Results = dict[tuple[str, str], Cell]


def cells_of(work: Work) -> list[tuple[Column, str]]:
    """Each column with each peer that is measured."""
    names = work.peers if work.peers is not None else PEERS
    return [(column, peer) for column in work.columns for peer in names]


@dataclass(slots=True)
class Job:
    """A work that is to be measured.

    Attributes:
        work: The work.
        cells: Columns and names of peers.
        rounds: How often; 0: as often as the work says.
        results: What is measured already.
        tiny: Only the least that shows that it works.
    """

    work: Work
    cells: list[tuple[Column, str]]
    rounds: int = 0
    results: Results = field(default_factory=dict)
    tiny: bool = False

    def __post_init__(self) -> None:
        self.rounds = self.rounds or self.work.rounds
        for column, peer in self.cells:
            cell = self.results.setdefault((column.name, peer), Cell())
            cell.unmeasured = cell.unmeasured or lacking(self.work, column, peer)

    @property
    def beside(self) -> int:
        """How many cells are measured at once; what is tiny tells no time."""
        return max(self.work.beside, os.cpu_count() or 1) if self.tiny else self.work.beside

    def missing(self, number: int) -> list[tuple[Column, str]]:
        """The cells that a round has not measured yet; the first one is 0."""
        return [
            (column, peer)
            for column, peer in self.cells
            for cell in (self.results[column.name, peer],)
            if not cell.is_over and len(cell.rounds) <= number and not self.suffices(cell, peer)
        ]

    def suffices(self, cell: Cell, peer: str) -> bool:
        """Whether a cell has taken so long that its first round says enough."""
        return bool(cell.rounds) and cell.seconds > LONG * len(cell.rounds) and peer != OURS

    @property
    def seconds_left(self) -> float:
        """About how long the rest takes."""
        known = [cell for cell in self.results.values() if cell.rounds]
        usual = self.work.seconds
        if known:
            usual = sum(c.seconds for c in known) / sum(len(c.rounds) for c in known)
        left = 0.0
        for (_, peer), cell in self.results.items():
            if not cell.is_over and not self.suffices(cell, peer):
                each = cell.seconds / len(cell.rounds) if cell.rounds else usual
                left += each * max(0, self.rounds - len(cell.rounds))
        return left / self.beside


def lacking(work: Work, column: Column, peer: str) -> str:
    """Why a cell cannot be measured, without trying; "": perhaps it can."""
    found = PEERS[peer].lacking(column.library) if column.library else ""
    return found or work.unmeasured(column, peer)


def run(job: Job, done: Callable[[str], None] = lambda text: None) -> Results:
    """Measure what is missing, round after round; `done` is told of each cell.

    A cell that cannot be measured, or has failed, is not tried again.
    """
    for number in range(job.rounds):

        def measure(each: tuple[Column, str], number: int = number) -> str:
            column, peer = each
            cell = job.results[column.name, peer]
            began = time.perf_counter()
            answer = measured(job.work, column, peer, how="tiny" if job.tiny else "full")
            cell.seconds += time.perf_counter() - began
            cell.unmeasured = answer.get("unmeasured", "")
            cell.failure = answer.get("failure", "")
            if "round" in answer:
                cell.rounds.append(answer["round"])
            where = f"{job.work.name} {number + 1}/{job.rounds}, {column.name}, {peer}"
            return f"{where}: {cell.failure}" if cell.failure else where

        for text in in_turns(measure, job.missing(number), job.beside):
            done(text)
    return job.results


def in_turns(
    measure: Callable[[tuple[Column, str]], str], cells: Iterable[tuple[Column, str]], beside: int
) -> Iterable[str]:
    """Measure the cells, so many at once."""
    if beside == 1:
        yield from map(measure, cells)
        return
    pool = ThreadPoolExecutor(beside)
    try:
        yield from pool.map(measure, cells)
    finally:
        pool.shutdown(cancel_futures=True)


def measured(work: Work, column: Column, peer: str, *, how: str = "full") -> dict[str, Any]:
    """One round of one cell, from a fresh process; `how` is "full", "tiny" or "profile"."""
    if reason := lacking(work, column, peer):
        return {"unmeasured": reason}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.child", work.name, column.name, peer, how],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", "NO_PROXY": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return {"failure": f"no answer within {LONGEST:.0f} s"}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.communicate()
    lines = output.splitlines()
    if process.returncode or not lines:
        return {"failure": f"exit code {process.returncode}: {errors[-300:]}"}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
