"""Where our time or memory goes: what the reasons of the page are made of.

python -m benchmarks.profile hot-gateway requests           of this library
python -m benchmarks.profile hot-gateway requests Authlib   of a peer

The work itself runs, in a fresh process. For time, all threads are looked at every millisecond
while a clock of the work runs; a look counts for the innermost file of the library that is at work,
or for what is at work instead. For imports it is what `-X importtime` says of the modules that the
HTTP library alone does not import. For memory it is what tracemalloc says of 100 logins.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

from benchmarks.clocks import Clock
from benchmarks.figures import Column, Work
from benchmarks.libraries import library_named
from benchmarks.peers import OURS, PEERS
from benchmarks.runner import measured
from benchmarks.work import WORKS

__all__ = ["PARTS", "profiled", "shares_of"]

#: Seconds between two looks; so many looks are enough; seconds after which no other round begins.
EVERY, ENOUGH, LONGEST = 0.001, 2000, 5.0
#: Functions that wait, by file: a thread in one of them is not at work; nor is one that has not
#: moved since the last look, as one that waits for a lock.
WAITING = {
    ("threading.py", "wait"),
    ("threading.py", "acquire"),
    ("threading.py", "join"),
    ("threading.py", "_wait_for_tstate_lock"),
    ("selectors.py", "select"),
    ("socket.py", "readinto"),
    ("socket.py", "create_connection"),
    ("sync.py", "read"),
    ("queue.py", "get"),
    ("thread.py", "_worker"),
    ("load.py", "work"),  # sleeps until its next request is due
}
OUR_PACKAGE = "atlassian_auth_adapter"
#: Parts of the library, by what the paths of their files begin with; the first one counts.
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "where the token goes",
        ("atlassian/gateway", "atlassian/plain_urls", "atlassian/locations", "hosts"),
    ),
    ("the answer", ("atlassian/verdicts", "pacing")),
    ("the auth object", ("adapters/",)),
    ("the end of the token", ("expiry", "clock", "refresh/source", "refresh/login", "sources")),
    ("the store", ("stores/", "disk/", "records")),
    ("the token request", ("transport", "oauth/", "exchange", "refresh/sending")),
    ("one renewal for all", ("threads", "refresh/")),
    ("the client", ("clients/", "tokens", "events", "lazy", "profiles/")),
)
HTTP_LIBRARIES = {
    *("requests", "urllib3", "httpx", "httpcore", "httpx2", "httpcore2", "aiohttp", "h11"),
    *("anyio", "sniffio", "multidict", "yarl", "http"),
}


# -- in the fresh process --------------------------------------------------------------------------


def shares_of(work: Work, column: Column, peer: str) -> dict[str, float]:
    """Percent of the time, or of the memory, by part."""
    counts = {"time": time_of, "imports": imports_of, "memory": memory_of}[work.profile](
        work, column, peer
    )
    whole = sum(counts.values())
    return {part: 100 * count / whole for part, count in counts.most_common()} if whole else {}


def time_of(work: Work, column: Column, peer: str) -> Counter[str]:
    """Looks by part."""
    counts, over = Counter[str](), threading.Event()
    main, stood = threading.get_ident(), dict[int, tuple[int, int]]()

    def look() -> None:
        frames = sys._current_frames()  # noqa: SLF001 - documented
        del frames[threading.get_ident()]
        stands = {ident: (id(frame), frame.f_lasti) for ident, frame in frames.items()}
        at_work = [
            part
            for ident, frame in frames.items()
            if ident == main or stands[ident] != stood.get(ident)
            if (part := part_of(frame)) != "waiting"
        ]
        for part in at_work or ["waiting"]:
            counts[part] += 1 / max(1, len(at_work))
        stood.clear()
        stood.update(stands)

    def watch() -> None:
        while not over.wait(EVERY):
            if Clock.running:
                look()

    sys.setswitchinterval(EVERY / 4)  # or looks would wait for the other threads
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    end = time.monotonic() + LONGEST
    try:
        while sum(counts.values()) < ENOUGH and time.monotonic() < end:
            work.measure(column, peer, False)
    finally:
        over.set()
        watching.join()
    return counts


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and its callers."""
    while frame:
        yield frame
        frame = frame.f_back


def part_of(frame: FrameType | None) -> str:
    """What a thread is doing."""
    stack = list(outwards(frame))
    code = stack[0].f_code
    if (code.co_filename.rpartition("/")[2], code.co_name) in WAITING:
        return "waiting"
    for each in stack:
        package, inside = place_of(each.f_code.co_filename)
        if package == "importlib":
            return "imports"
        if package == OUR_PACKAGE:
            return part_of_file(inside)
        if package == "benchmarks":
            break
        if package and package not in HTTP_LIBRARIES and package != "asyncio":
            return package
    packages = (place_of(each.f_code.co_filename)[0] for each in stack)
    return next((kind for each in packages if (kind := kind_of(each))), "the rest")


def kind_of(package: str) -> str:
    """What code of a package is, where nothing of an auth library is at work."""
    if package in HTTP_LIBRARIES:
        return "the HTTP library"
    return {"asyncio": "the event loop", "benchmarks": "the benchmark"}.get(package, "")


@cache
def place_of(path: str) -> tuple[str, str]:
    """Package of a file, and its path in the package; "" for what has none."""
    if path.startswith("<frozen importlib"):
        return "importlib", path
    parts = Path(path).parts
    for name in (OUR_PACKAGE, "benchmarks"):
        if name in parts and "site-packages" not in parts:
            return name, "/".join(parts[parts.index(name) + 1 :])
    if "site-packages" in parts:
        rest = parts[parts.index("site-packages") + 1 :]
        return rest[0].removesuffix(".py"), "/".join(rest[1:])
    return next((name for name in ("asyncio", "http") if name in parts), ""), path


def part_of_file(inside: str) -> str:
    """The part of the library that a file of it belongs to."""
    return next((part for part, begins in PARTS if inside.startswith(begins)), "the client")


def imports_of(work: Work, column: Column, peer: str) -> Counter[str]:
    """Microseconds by package."""
    from benchmarks.work.imports import statements

    bare, statement = statements(column, peer)
    command = [sys.executable, "-X", "importtime", "-c"]
    process = subprocess.run([*command, bare], check=True, capture_output=True, text=True)
    known = {name for name, _ in imported(process.stderr)}
    process = subprocess.run([*command, statement], check=True, capture_output=True, text=True)
    counts = Counter[str]()
    for name, microseconds in imported(process.stderr):
        if name not in known:
            package = name.partition(".")[0]
            counts["standard library" if package in sys.stdlib_module_names else package] += (
                microseconds
            )
    return counts


def imported(report: str) -> Iterator[tuple[str, int]]:
    """Modules and their own microseconds, as `-X importtime` reports."""
    for line in report.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            yield fields[2].strip(), int(fields[0])


def memory_of(_: Work, column: Column, peer: str, count: int = 100) -> Counter[str]:
    """Bytes by part."""
    from benchmarks.work.memory import login_of, our_auth_objects

    way = PEERS[peer].way(library_named(column.library))
    make = our_auth_objects() if peer == OURS else way.auth
    kept = [make(login_of(number)) for number in range(20)]  # everything is loaded
    gc.collect()
    tracemalloc.start(20)
    kept += [make(login_of(20 + number)) for number in range(count)]
    gc.collect()
    counts = Counter[str]()
    for trace in tracemalloc.take_snapshot().traces:
        packages = [place_of(frame.filename) for frame in reversed(trace.traceback)]
        found = next((each for each in packages if each[0] not in ("", "importlib")), ("", ""))
        package, inside = found
        part = part_of_file(inside) if package == OUR_PACKAGE else package or "the rest"
        counts[part] += trace.size
    tracemalloc.stop()
    assert len(kept) == count + 20
    return counts


# -- outside of it ---------------------------------------------------------------------------------


def profiled(work: Work, column: Column, peer: str = OURS) -> dict[str, float]:
    """The shares, from a fresh process; nothing where it fails: then no reason is confirmed."""
    shares: dict[str, float] = measured(work, column, peer, how="profile").get("profile", {})
    return shares


def main() -> None:
    """Print the shares of one cell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("column")
    parser.add_argument("peer", nargs="?", default=OURS, choices=PEERS)
    options = parser.parse_args()
    work = WORKS[options.work]
    column = next((each for each in work.columns if each.name == options.column), None)
    if column is None:
        parser.error(f"columns: {', '.join(each.name for each in work.columns)}")
    answer = measured(work, column, options.peer, how="profile")
    for part, share in answer.pop("profile", {}).items():
        print(f"{share:6.1f} %  {part}")
    if answer:
        sys.exit(json.dumps(answer))


if __name__ == "__main__":
    main()
