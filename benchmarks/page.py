"""docs/performance.md: the tables of a run, and in which rows a peer is ahead."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Cell, Work
from benchmarks.peers import FLOOR, OURS, PEERS
from benchmarks.reasons import cells_ahead, unused
from benchmarks.runner import ROOT, Results
from benchmarks.work import WORKS

__all__ = ["PAGE", "PICTURE", "complaints", "machine", "table", "write"]

PAGE, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"

INTRODUCTION = """\
# Performance

Written by `make bench`, not by hand. One command sets up an environment of its own with pinned
versions (`benchmarks/requirements.txt`), measures each cell in fresh processes, whose rounds take
turns with those of all others, and writes this page. Figures are medians of the rounds, with the
smallest and the largest in parentheses; ratios are to the constant header, or to what a table
names, in the same process at the same time. Read the ratios: times are those of this machine.

`make bench-check` demands some of these ratios and fails when one is missed.

![Cost per request, latency during renewals, stampede](performance.svg)
"""

ABOUT_PEERS = (
    f"`{FLOOR}` is the floor. Each peer is used as its documentation says, with a valid token in "
    f"memory; `{OURS}` checks all that is named here."
)


def machine(note: str) -> str:
    """Which machine, which versions, when."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    libraries = ("requests", "urllib3", "httpx", "httpcore", "httpx2", "aiohttp")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    now = datetime.now(UTC)
    return (
        f"Measured on {now:%Y-%m-%d} at {now:%H:%M} UTC with {platform.python_implementation()} "
        f"{platform.python_version()} on {platform.system()} {platform.release()}, {cpu}, "
        f"{os.cpu_count()} cores; {versions}.{f' {note}' if note else ''}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def peers() -> Iterator[str]:
    """Who is measured, and what each does not do."""
    yield "| peer | version | renews before the end | renews after a 401 | does not check or do |"
    yield "|---|---|---|---|---|"
    for peer in PEERS.values():
        does = [
            "yes" if each and peer.renews else "no"
            for each in (peer.knows_expiry, peer.handles_401)
        ]
        cells = (peer.name, peer.version or "written here", *does, peer.does_not or "nothing of it")
        yield f"| {' | '.join(cells)} |"


def shown(work: Work, cell: Cell, notes: list[str]) -> str:
    """A cell of a table; reasons go to the notes."""
    if cell.rounds:
        texts = [
            figure.shown(values)
            for figure in work.figures
            if figure.text and (values := cell.values(figure.name))
        ]
        return "; ".join(texts) + (f"; then failed: {cell.failure}" if cell.failure else "")
    reason = cell.unmeasured or f"failed: {cell.failure}"
    if reason not in notes:
        notes.append(reason)
    word = "n/a" if cell.unmeasured else "failed"
    return f"{word} [{notes.index(reason) + 1}]"


def table(work: Work, results: Results) -> Iterator[str]:
    """The lines of the table of a work: the longer list of names goes down."""
    columns = list(dict.fromkeys(column for column, _ in results))
    rows = list(dict.fromkeys(peer for _, peer in results))
    notes: list[str] = []
    if len(rows) == 1:
        yield f"| | {rows[0]} |"
        yield "|---|---|"
        for column in columns:
            yield f"| {column} | {shown(work, results[column, rows[0]], notes)} |"
    else:
        yield f"| | {' | '.join(columns)} |"
        yield f"|---|{'---|' * len(columns)}"
        for peer in rows:
            cells = (shown(work, results[column, peer], notes) for column in columns)
            yield f"| {peer} | {' | '.join(cells)} |"
    if notes:
        yield ""
        yield " ".join(f"[{number}] {note}." for number, note in enumerate(notes, 1))


def ahead(results: Mapping[str, Results]) -> Iterator[str]:
    """In which rows a peer is ahead, and why."""
    found = cells_ahead(results)
    if not found:
        yield "None in this run."
        return
    yield "| work | where, and who | why |"
    yield "|---|---|---|"
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for each in found:
        key = each.work.title, each.why or "**no reason is written for this**"
        groups.setdefault(key, {}).setdefault(each.column, []).append(each.peer)
    for (title, why), columns in groups.items():
        where = "; ".join(f"{column}: {', '.join(names)}" for column, names in columns.items())
        yield f"| {title} | {where} | {why} |"


def complaints(results: Mapping[str, Results]) -> list[str]:
    """What is wrong with the reasons and with the run."""
    found = cells_ahead(results)
    texts = [
        f"{each.peer} is ahead in {each.work.name}, {each.column}, and reasons.py does not say why"
        for each in found
        if not each.why
    ]
    if set(results) == set(WORKS):
        texts += [
            f"reasons.py is out of date: no {each.peer} is ahead in {each.work}, {each.column}"
            for each in unused(found)
        ]
    texts += [
        f"{name}, {column}, {peer}: {cell.failure}"
        for name, cells in results.items()
        for (column, peer), cell in cells.items()
        if cell.failure
    ]
    return texts


def write(results: Mapping[str, Results], about: str) -> None:
    """Write the page."""
    lines = [INTRODUCTION, about, "", "## Who is measured", "", *peers(), ""]
    lines += [ABOUT_PEERS, "", "## Where a peer is ahead", "", *ahead(results), ""]
    for name, cells in results.items():
        work = WORKS[name]
        lines += [f"## {work.title}", "", work.text, "", *table(work, cells), ""]
    if found := complaints(results):
        lines += ["## What this run says of itself", "", *(f"- {text}" for text in found), ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
