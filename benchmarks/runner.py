"""The runner: a fresh process for each measurement, all cells of a work in turns, in rounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures import Cell, Column, Work
from benchmarks.peers import PEERS

__all__ = ["Results", "cells_of", "measured", "run"]

ROOT = Path(__file__).parent.parent
#: Seconds after which a measurement has failed.
LONGEST = 600.0

#: Of one work: by column and peer.
Results = dict[tuple[str, str], Cell]
Note = Callable[[str], None]


def cells_of(work: Work) -> list[tuple[Column, str]]:
    """Each column with each peer that is measured."""
    names = work.peers if work.peers is not None else PEERS
    return [(column, peer) for column in work.columns for peer in names]


def run(
    work: Work,
    cells: Iterable[tuple[Column, str]],
    *,
    rounds: int = 0,
    tiny: bool = False,
    note: Note = lambda text: None,
) -> Results:
    """Measure the cells in so many rounds; 0: as many as the work has.

    A cell that cannot be measured, or has failed, is not tried again.
    """
    cells = list(cells)
    results: Results = {(column.name, peer): Cell() for column, peer in cells}
    for number in range(rounds or work.rounds):
        note(f"{work.name}: round {number + 1} of {rounds or work.rounds}")
        for column, peer in cells:
            cell = results[column.name, peer]
            if cell.unmeasured or cell.failure:
                continue
            answer = measured(work, column, peer, tiny=tiny)
            cell.unmeasured = answer.get("unmeasured", "")
            cell.failure = answer.get("failure", "")
            if cell.failure:
                note(f"{work.name}, {column.name}, {peer}: {cell.failure}")
            if "round" in answer:
                cell.rounds.append(answer["round"])
    return results


def measured(work: Work, column: Column, peer: str, *, tiny: bool = False) -> dict[str, Any]:
    """One round of one cell, from a fresh process."""
    if column.library and (lacking := PEERS[peer].lacking(column.library)):
        return {"unmeasured": lacking}
    command = [sys.executable, "-m", "benchmarks.child", work.name, column.name, peer]
    process = subprocess.Popen(
        [*command, "tiny" if tiny else "full"],
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
