"""Why a peer is ahead of us, where one is: texts for the page, checked for staleness by each run.

A reason is for works, columns and peers that match its patterns. A run names each cell in which a
peer is ahead without a reason, and each reason for which no cell was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from benchmarks.figures import Cell, Work
from benchmarks.peers import FLOOR, OURS
from benchmarks.runner import Results
from benchmarks.work import WORKS

__all__ = ["REASONS", "Ahead", "Reason", "cells_ahead", "unused"]

#: A peer is ahead when its median is better than ours by more than this share: the rest is noise.
NOISE = 0.05


@dataclass(frozen=True, slots=True)
class Reason:
    """Why peers are ahead.

    Attributes:
        work, column, peer: Patterns of names, as of file names.
        why: One sentence.
    """

    work: str
    column: str
    peer: str
    why: str


REASONS: tuple[Reason, ...] = (
    Reason(
        "hot-*",
        "*",
        "*",
        "it does not look where the token goes; ours compares origin and path of each URL with the "
        "grant, compares two clocks with the end of the token, and is prepared for a 401.",
    ),
    Reason(
        "throughput",
        "*",
        "*",
        "the same checks, seen over a server that answers at once.",
    ),
    Reason(
        "stampede",
        "*",
        "*",
        "ours looks into the store, takes its lock and saves the new login before it goes on; and "
        "all waiting requests wake at once and meet the pool of connections.",
    ),
    Reason(
        "rejections",
        "*",
        "*",
        "ours saves the new login before it goes on, and sends each rejected request again by "
        "itself.",
    ),
    Reason(
        "renewal",
        "*",
        "*",
        "ours takes the store's lock, keeps a journal and saves the new login; a request beside it "
        "waits for the interpreter now and then.",
    ),
    Reason("imports", "*", "*", "it has fewer parts."),
    Reason(
        "memory",
        "*",
        "*",
        "it keeps a dictionary; ours has a client with its place, its settings and its locks.",
    ),
)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A cell in which a peer is ahead of us; why is "" where nothing is written."""

    work: Work
    column: str
    peer: str
    why: str


def is_ahead(work: Work, cell: Cell, ours: Cell) -> bool:
    """Whether the cell is better than ours in the first figure of the work."""
    figure = work.figures[0]
    its, mine = cell.median(figure.name), ours.median(figure.name)
    if its is None or figure.better is None:
        return False
    if figure.better not in ("smaller", "larger"):
        return its == figure.better and mine != figure.better
    if isinstance(its, str):
        return False
    if mine is None or isinstance(mine, str):
        return True
    return its < mine * (1 - NOISE) if figure.better == "smaller" else its > mine * (1 + NOISE)


def cells_ahead(results: Mapping[str, Results]) -> list[Ahead]:
    """Each cell in which a peer is ahead of us."""
    found = []
    for name, cells in results.items():
        for (column, peer), cell in cells.items():
            ours = cells.get((column, OURS))
            if peer in (FLOOR, OURS) or ours is None or ours.unmeasured:
                continue
            if is_ahead(WORKS[name], cell, ours):
                found.append(Ahead(WORKS[name], column, peer, _why(name, column, peer)))
    return found


def _matches(reason: Reason, work: str, column: str, peer: str) -> bool:
    pairs = (work, reason.work), (column, reason.column), (peer, reason.peer)
    return all(fnmatchcase(name, pattern) for name, pattern in pairs)


def _why(work: str, column: str, peer: str) -> str:
    return next((each.why for each in REASONS if _matches(each, work, column, peer)), "")


def unused(ahead: list[Ahead]) -> list[Reason]:
    """Reasons for which no cell was found: they are out of date."""
    return [
        reason
        for reason in REASONS
        if not any(_matches(reason, each.work.name, each.column, each.peer) for each in ahead)
    ]
