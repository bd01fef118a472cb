"""The command: everything, some kinds of work, or the bounds.

python -m benchmarks                     everything; writes docs/performance.md and its picture
python -m benchmarks stampede renewal    these, as tables on the screen
python -m benchmarks --check             the bounds; exit code 1 when one is missed
python -m benchmarks --page              writes the page of what was measured last

A run that was interrupted goes on where it was; with --anew it does not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

from benchmarks import page
from benchmarks.bounds import BOUNDS, cells_for, judged
from benchmarks.kept import Kept, Record, digest
from benchmarks.peers import OURS, PEERS
from benchmarks.profile import profiled
from benchmarks.progress import Progress, busy, note
from benchmarks.reasons import columns_behind
from benchmarks.runner import Job, Results, cells_of, run
from benchmarks.work import WORKS

CHECK_ROUNDS = 3


def check(rounds: int) -> int:
    """Measure what is bounded, and print the table."""
    jobs = {
        name: Job(work, cells, rounds or CHECK_ROUNDS)
        for name, (work, cells) in cells_for(BOUNDS).items()
    }
    progress = Progress(list(jobs.values()))
    results = {name: run(job, progress.done) for name, job in jobs.items()}
    verdicts = [judged(bound, results) for bound in BOUNDS]
    print(f"{'bound':<72}{'at most':>9}{'measured':>10}")
    for each in verdicts:
        measured = "" if each.measured is None else f"{each.measured:,.2f}"
        print(f"{each.bound.text:<72}{each.bound.most:>9,.2f}{measured:>10}  {each.word}")
    missed = [each for each in verdicts if not each.is_met]
    print(f"\n{len(verdicts) - len(missed)} of {len(verdicts)} bounds hold")
    return int(bool(missed))


def measure_and_keep(works: Iterable[str], kept: Kept, anew: bool) -> None:
    """Measure some works, or what an interrupted run of them has left."""
    now, works = digest(), list(works)
    goes_on = not anew and kept.goes_on(works, now)
    jobs: dict[str, Job] = {}
    for name in works:
        record = kept.records.get(name)
        if record is None or not goes_on or record.digest != now:
            record = Record(now)
        for cell in record.results.values():
            cell.failure = ""  # it is tried again
        kept.records[name] = record
        jobs[name] = Job(WORKS[name], cells_of(WORKS[name]), results=record.results)
    progress = Progress(list(jobs.values()))
    if goes_on:
        note("goes on with the run that was interrupted; --anew begins a new one")
    note(f"{len(works)} kinds of work, {progress.left}")
    for name, job in jobs.items():
        record = kept.records[name]
        if not job.seconds_left:
            continue
        record.began = record.began or time.time()
        record.busy = max(record.busy, busy())

        def done(cell: str) -> None:
            kept.save()
            progress.done(cell)

        run(job, done)
        for column in columns_behind(job.work, job.results):
            note(f"{name}, {column.name}: a peer is ahead; looks where our time or memory goes")
            job.results[column.name, OURS].profile = profiled(job.work, column)
        record.ended = time.time()
        kept.save()


def only_shown(works: Iterable[str], options: argparse.Namespace) -> int:
    """Measure some peers, or less than a whole work, and print tables; nothing is kept."""
    failed = False
    for name in works:
        cells = [each for each in cells_of(WORKS[name]) if each[1] in (options.peers or PEERS)]
        job = Job(WORKS[name], cells, options.rounds or int(options.tiny), tiny=options.tiny)
        failed |= has_failed(run(job, Progress([job]).done))
        show(name, job.results)
    return int(failed)


def show(name: str, results: Results) -> None:
    """Print the table of a work."""
    lines = ["", f"## {WORKS[name].title}", "", *page.table(WORKS[name], results)]
    print("\n".join(lines), flush=True)


def has_failed(results: Results) -> bool:
    """Whether a cell was not measured as it should be."""
    return any(cell.failure for cell in results.values())


def publish(kept: Kept, text: str) -> int:
    """Write page and picture; 1 when the run has something to say against itself."""
    from benchmarks.picture import draw

    page.write(kept, text)
    draw(kept.results)
    found = page.complaints(kept)
    for each in found:
        note(each)
    return int(bool(found))


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="none: all of them")
    parser.add_argument("--check", action="store_true", help="only what is bounded")
    parser.add_argument("--rounds", type=int, default=0, help="0: as many as each work has")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="only these")
    parser.add_argument("--tiny", action="store_true", help="the least that shows that it works")
    parser.add_argument("--anew", action="store_true", help="do not go on with an interrupted run")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the page")
    parser.add_argument("--page", action="store_true", help="write the page of the last runs again")
    options = parser.parse_args()
    if options.check:
        return check(options.rounds)
    works = options.works or list(WORKS)
    if options.peers or options.tiny or options.rounds:
        return only_shown(works, options)
    kept = Kept.read()
    if not options.page:
        measure_and_keep(works, kept, options.anew)
        for name in works:
            show(name, kept.records[name].results)
    if options.page or not options.works:
        return publish(kept, options.note)
    return int(any(has_failed(kept.records[name].results) for name in works))


if __name__ == "__main__":
    sys.exit(main())
