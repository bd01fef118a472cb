"""Import time of an auth object over that of its HTTP library."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.figures import Column, Figure, Round, UnmeasuredError, Work
from benchmarks.peers import FLOOR, OURS, PEERS

#: Pairs of processes in a round.
PAIRS = 4


def seconds_of(command: list[str]) -> float:
    """How long a process takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def compared(bare: list[str], command: list[str], pairs: int) -> dict[str, float | str]:
    """Ratio of a command to another one, and milliseconds between: medians of pairs in turns."""
    seconds_of(bare), seconds_of(command)
    taken = [(seconds_of(bare), seconds_of(command)) for _ in range(pairs)]
    return {
        "ratio": statistics.median(other / least for least, other in taken),
        "more": statistics.median(other - least for least, other in taken) * 1e3,
    }


def python(statement: str) -> list[str]:
    """A process of Python that does this."""
    return [sys.executable, "-c", statement]


def statements(column: Column, peer: str) -> tuple[str, str]:
    """What imports the HTTP library alone, and what imports the auth object as well."""
    library = column.library
    if not library:
        return "pass", str(column.options["statement"])
    bare = f"import {library.removesuffix(' async')}"
    return bare, f"{bare}; {PEERS[peer].imports[library]}"


def unmeasured(column: Column, peer: str) -> str:
    """See `figures.Work`."""
    if not column.library and peer != OURS:
        return "imports its HTTP library with its package; see the other columns"
    if column.library and column.library not in PEERS[peer].imports:
        return "nothing is imported for it beside the other columns"
    return ""


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    bare, statement = statements(column, peer)
    try:
        subprocess.run(python(statement), check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        *_, last = error.stderr.strip().splitlines()
        raise UnmeasuredError(last.partition(" (")[0]) from None  # without the path of this machine
    return compared(python(bare), python(statement), 1 if tiny else PAIRS)


WORK = Work(
    "imports",
    "Import time",
    "A process that imports the auth object, as a ratio to one that imports the HTTP library "
    "alone, and the milliseconds between. The last column is the package itself over an "
    "interpreter that does nothing. Processes of both take turns.",
    (
        *(
            Column(f"over {name}", name)
            for name in ("requests", "httpx", "httpx2", "httpx2 async", "aiohttp")
        ),
        Column("package", "", {"statement": "import atlassian_auth_adapter"}),
    ),
    (Figure("ratio", "{:.2f}", "smaller"), Figure("more", "{:+.0f} ms")),
    measure,
    unmeasured=unmeasured,
    rounds=2,
    seconds=3.0,
    profile="imports",
    peers=tuple(name for name in PEERS if name != FLOOR and PEERS[name].imports),
)
