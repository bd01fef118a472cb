"""docs/performance.md: the tables of a run, and in which rows a peer is ahead."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Cell, Work, installed
from benchmarks.kept import Kept, digest
from benchmarks.peers import FLOOR, OURS, PEERS
from benchmarks.reasons import Ahead, cells_ahead
from benchmarks.runner import ROOT, Results
from benchmarks.work import WORKS

__all__ = ["PAGE", "PICTURE", "complaints", "machine", "table", "write"]

PAGE, PICTURE = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"

INTRODUCTION = """\
# Performance

Written by `make bench`, not by hand. One command sets up an environment of its own with pinned
versions (`benchmarks/requirements.txt`), measures each cell in fresh processes, whose rounds take
turns with those of all others, and writes this page; `python -m benchmarks WORK` measures one table
alone. Figures are medians of the rounds, with the smallest and the largest in parentheses; a cell
of a peer that takes longer than 10 seconds is measured once. Ratios are to the constant header, or
to what a table names, in the same process at the same time. Read the ratios: times are those of
this machine.

`make bench-check` demands some of these ratios, and fails when one is missed in the median of
three rounds.

![Cost per request, latency during renewals, stampede](performance.svg)

The scales of the picture are logarithmic; the line at the end of a bar is the spread of the rounds.
"""

ABOUT_PEERS = (
    f"`{FLOOR}` is the floor. Each peer is used as its documentation says, with a valid token in "
    f"memory; `{OURS}` checks all that is named here."
)

ABOUT_LEADS = (
    "A peer is ahead where its median is better than ours by more than 5 % (10 % where ours was "
    "measured once) and the rounds of both have no value in common. Each reason is confirmed by a "
    "profile of this run, or by another table of it. A profile is given in percent of our own "
    "time (cost per request), of all time, of the import, or of the memory: "
    "`python -m benchmarks.profile WORK COLUMN`."
)
#: What other programs may use of the cores while a run waits.
QUIET = 0.1
#: Percent; parts of a profile with less are not shown.
SMALL = 3.0


def machine(kept: Kept, note: str) -> str:
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
    versions = ", ".join(f"{name} {installed(name)}" for name in libraries)
    times = [time for each in kept.records.values() for time in (each.began, each.ended) if time]
    began, ended = (datetime.fromtimestamp(f(times, default=0), UTC) for f in (min, max))
    busy = max((each.busy for each in kept.records.values()), default=0)
    return (
        f"Measured from {began:%Y-%m-%d, %H:%M} to {ended:%H:%M} UTC, with "
        f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} "
        f"{platform.release()}, {cpu}, {os.cpu_count()} cores, of which other programs used "
        f"{busy:.0%} at most when a work began; {versions}.{f' {note}' if note else ''}"
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
    yield "| work | where, and who | why | where ours goes |"
    yield "|---|---|---|---|"
    groups: dict[tuple[str, str], dict[str, list[Ahead]]] = {}
    for each in found:
        groups.setdefault((each.work.name, each.why), {}).setdefault(each.column, []).append(each)
    for (name, why), columns in groups.items():
        where = "; ".join(f"{column}: {who(each)}" for column, each in columns.items())
        goes = "; ".join(
            f"{column}: {goes_to(each[0].profile)}" for column, each in columns.items()
        )
        yield f"| {WORKS[name].title} | {where} | {why or '**not explained**'} | {goes} |"


def who(ahead: list[Ahead]) -> str:
    """Peers that are ahead in a column, and in what, where it has several figures."""
    several = sum(figure.better is not None for figure in ahead[0].work.figures) > 1
    names: dict[str, list[str]] = {}
    for each in ahead:
        names.setdefault(each.peer, []).append(each.figure)
    return ", ".join(
        f"{peer} ({', '.join(its)})" if several else peer for peer, its in names.items()
    )


def goes_to(profile: Mapping[str, float]) -> str:
    """The larger parts of a profile."""
    parts = [f"{part} {share:.0f} %" for part, share in profile.items() if share >= SMALL]
    return ", ".join(parts) or "not looked at"


def complaints(kept: Kept) -> list[str]:
    """What this run has to say against itself."""
    now, results = digest(), kept.results
    texts = [
        f"{each.work.name}, {each.column}: {each.peer} is ahead in {each.figure}; {each.doubt}"
        for each in cells_ahead(results)
        if each.doubt
    ]
    texts += [f"{name} was not measured" for name in WORKS if name not in results]
    for name, record in kept.records.items():
        if not record.ended:
            texts.append(f"{name} was measured in part only")
        if record.digest != now:
            texts.append(f"{name} was measured with another version than this one")
        if record.busy > QUIET:
            texts.append(f"other programs used {record.busy:.0%} of the cores when {name} began")
        texts += [
            f"{name}, {column}, {peer}: {cell.failure}"
            for (column, peer), cell in record.results.items()
            if cell.failure
        ]
    for name, pinned in pins().items():
        if (found := installed(name)) != pinned:
            texts.append(f"{name} {found or 'nowhere'} is installed, not {pinned}")
    return texts


def pins() -> dict[str, str]:
    """Versions in requirements.txt, by distribution."""
    lines = (line.partition("==") for line in _lines(str(ROOT / "benchmarks/requirements.txt")))
    return {name.partition("[")[0]: pinned for name, _, pinned in lines if pinned}


def write(kept: Kept, note: str) -> None:
    """Write the page."""
    results = kept.results
    lines = [INTRODUCTION, machine(kept, note), "", "## Who is measured", "", *peers(), ""]
    lines += [ABOUT_PEERS, "", "## Where a peer is ahead", "", ABOUT_LEADS, "", *ahead(results), ""]
    if found := complaints(kept):
        lines += ["## What this run says against itself", "", *(f"- {text}" for text in found), ""]
    for name, cells in results.items():
        work = WORKS[name]
        lines += [f"## {work.title}", "", work.text, "", *table(work, cells), ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
