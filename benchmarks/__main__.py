"""The command: everything, some kinds of work, or the bounds.

python -m benchmarks                     everything; writes docs/performance.md and its picture
python -m benchmarks stampede renewal    these, as tables on the screen
python -m benchmarks --check             the bounds; exit code 1 when one is missed
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from benchmarks import page
from benchmarks.bounds import BOUNDS, cells_for, judged
from benchmarks.figures import Cell
from benchmarks.peers import PEERS
from benchmarks.runner import ROOT, Results, cells_of, run
from benchmarks.work import WORKS

#: What the last run of each work has brought, so that a new page needs no new run.
KEPT = ROOT / "benchmarks" / ".results.json"
CHECK_ROUNDS = 3


def note(text: str) -> None:
    """Say on the standard error how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def check(rounds: int) -> int:
    """Measure what is bounded, and print the table."""
    results = {
        name: run(work, cells, rounds=rounds or min(CHECK_ROUNDS, work.rounds), note=note)
        for name, (work, cells) in cells_for(BOUNDS).items()
    }
    verdicts = [judged(bound, results) for bound in BOUNDS]
    print(f"{'bound':<72}{'at most':>9}{'measured':>10}")
    for each in verdicts:
        measured = "" if each.measured is None else f"{each.measured:,.2f}"
        print(f"{each.bound.text:<72}{each.bound.most:>9,.2f}{measured:>10}  {each.word}")
    missed = [each for each in verdicts if not each.is_met]
    print(f"\n{len(verdicts) - len(missed)} of {len(verdicts)} bounds hold")
    return int(bool(missed))


def kept() -> dict[str, Results]:
    """What the last runs have found, in the order of the works."""
    known = json.loads(KEPT.read_text()) if KEPT.exists() else []
    results: dict[str, Results] = {name: {} for name in WORKS}
    for name, column, peer, cell in known:
        if name in WORKS:
            results[name][column, peer] = Cell(**cell)
    return {name: found for name, found in results.items() if found}


def keep(results: dict[str, Results]) -> None:
    """Keep them in place of those of earlier runs."""
    cells = [
        [name, column, peer, asdict(cell)]
        for name, found in {**kept(), **results}.items()
        for (column, peer), cell in found.items()
    ]
    KEPT.write_text(json.dumps(cells))


def publish(results: dict[str, Results], about: str) -> int:
    """Write page and picture; 1 when the run has something to say of itself."""
    from benchmarks.picture import draw

    page.write(results, about)
    draw(results)
    found = page.complaints(results)
    for text in found:
        note(text)
    return int(bool(found))


def main() -> int:
    """Measure; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], help="none: all of them")
    parser.add_argument("--check", action="store_true", help="only what is bounded")
    parser.add_argument("--rounds", type=int, default=0, help="0: as many as each work has")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), help="only these")
    parser.add_argument("--tiny", action="store_true", help="the least that shows that it works")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the page")
    parser.add_argument("--page", action="store_true", help="write the page of the last runs again")
    options = parser.parse_args()
    if options.check:
        return check(options.rounds)
    results: dict[str, Results] = {}
    for name in () if options.page else options.works or WORKS:
        work = WORKS[name]
        cells = [each for each in cells_of(work) if each[1] in (options.peers or PEERS)]
        results[name] = run(work, cells, rounds=options.rounds, tiny=options.tiny, note=note)
        print("\n".join(["", f"## {work.title}", "", *page.table(work, results[name])]), flush=True)
        if not (options.peers or options.tiny):
            keep({name: results[name]})
    if options.page or not (options.works or options.peers or options.tiny):
        return publish(kept(), page.machine(options.note))
    return int(any(cell.failure for cells in results.values() for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
