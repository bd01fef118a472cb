"""What `make bench-check` demands of the medians. Source: issue 15, 2026-11-26."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.figures import Column, Work
from benchmarks.peers import OURS
from benchmarks.runner import Results
from benchmarks.work import WORKS

__all__ = ["BOUNDS", "Bound", "Verdict", "cells_for", "judged"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One demand.

    Attributes:
        text: What is bounded, for people.
        work: Name of the work.
        column: Name of its column.
        figure: Name of its figure.
        most: The largest value that is allowed.
        peer: If given, the bound is on the ratio to this peer in the same round.
    """

    text: str
    work: str
    column: str
    figure: str
    most: float
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bound and what was measured; None: it could not be."""

    bound: Bound
    measured: float | None
    why: str

    @property
    def is_met(self) -> bool:
        """Whether the bound holds."""
        return self.measured is not None and self.measured <= self.bound.most

    @property
    def word(self) -> str:
        """For the table."""
        if self.measured is None:
            return f"not measured: {self.why}"
        return "ok" if self.is_met else "MISSED"


def hot_path(library: str) -> list[Bound]:
    """Bounds of the auth object for a library.

    aiohttp has no auth objects but middlewares, which make a request and see its answer: there it
    is the whole request, answered from memory. (The floor of a middleware alone is an empty
    coroutine of 0.3 microseconds, less than a look at two clocks and a URL can take.)
    """
    most = 3.0 if library == "requests" else 1.5
    figure = "whole request" if library == "aiohttp" else "auth object"
    places = {"hot-gateway": most, "hot-data-center": most, "hot-site": 6.0}
    return [
        Bound(f"{figure} over the floor, {library}, {work}", work, library, figure, each)
        for work, each in places.items()
    ]


def renewals(library: str) -> list[Bound]:
    """Bounds of the latency during renewals."""
    text = f"latency during renewals over that without, {library}"
    return [Bound(f"{text}, {name}", "renewal", library, name, 1.2) for name in ("p99", "maximum")]


HOT = ("requests", "httpx", "httpx async", "httpx2", "httpx2 async", "aiohttp")

BOUNDS: tuple[Bound, ...] = (
    *(bound for library in HOT for bound in hot_path(library)),
    *(bound for library in ("requests", "httpx async", "aiohttp") for bound in renewals(library)),
    Bound(
        "500 tasks on an expired token, httpx: over Authlib",
        "stampede",
        "httpx async, 500",
        "seconds",
        1.0,
        peer="Authlib",
    ),
    Bound("import of the package over an empty process", "imports", "package", "ratio", 1.2),
    Bound("import of AtlassianAuth over requests", "imports", "over requests", "ratio", 1.15),
    Bound(
        "atlassian-auth token over `import click`", "startup", "atlassian-auth token", "ratio", 1.5
    ),
    Bound(
        "bytes beside the tokens of an idle login, of 100,000",
        "memory",
        "requests, 100,000",
        "bytes",
        2048,
    ),
    *(
        Bound(f"threads with 400 {name}, one for four", "threads", name, "many", 100)
        for name in ("logins that expire", "tasks on one source")
    ),
)


def cells_for(bounds: Iterable[Bound]) -> dict[str, tuple[Work, list[tuple[Column, str]]]]:
    """By the name of a work: the cells that the bounds need."""
    cells: dict[str, tuple[Work, list[tuple[Column, str]]]] = {}
    for bound in bounds:
        work = WORKS[bound.work]
        column = next(each for each in work.columns if each.name == bound.column)
        _, listed = cells.setdefault(bound.work, (work, []))
        for peer in (OURS, bound.peer):
            if peer and (column, peer) not in listed:
                listed.append((column, peer))
    return cells


def judged(bound: Bound, results: Mapping[str, Results]) -> Verdict:
    """Whether the bound holds in the median of the rounds."""
    cells = results[bound.work]
    names = (OURS, bound.peer) if bound.peer else (OURS,)
    measured = [cells[bound.column, name] for name in names]
    missing = next((cell.unmeasured or cell.failure for cell in measured if not cell.rounds), "")
    rounds = [
        _numbers(each) for each in zip(*(c.values(bound.figure) for c in measured), strict=False)
    ]
    if missing or not rounds or None in rounds:
        return Verdict(bound, None, missing or "some requests were not answered")
    ratios = [first / math.prod(others) for first, *others in filter(None, rounds)]
    return Verdict(bound, statistics.median(ratios), "")


def _numbers(values: tuple[float | str, ...]) -> list[float] | None:
    """The values, or None if one of them is a text."""
    numbers = [value for value in values if not isinstance(value, str)]
    return numbers if len(numbers) == len(values) else None
