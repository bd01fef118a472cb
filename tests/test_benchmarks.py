"""The benchmarks run: nothing here asserts a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.bounds import BOUNDS, Bound, cells_for, judged
from benchmarks.figures import Cell, Column, Figure
from benchmarks.page import PAGE, PICTURE, table
from benchmarks.peers import FLOOR, OURS, PEERS
from benchmarks.reasons import REASONS, cells_ahead, unused
from benchmarks.runner import Results, measured, run
from benchmarks.work import WORKS

ROOT = Path(__file__).parent.parent


def column_of(work: str, name: str) -> Column:
    """A column by its name."""
    return next(column for column in WORKS[work].columns if column.name == name)


def test_a_tiny_round_of_the_floor_and_of_ours() -> None:
    """A fresh process measures each; another library would be one more row."""
    work = WORKS["hot-gateway"]
    column = column_of("hot-gateway", "requests")
    results = run(work, [(column, FLOOR), (column, OURS)], rounds=1, tiny=True)
    for cell in results.values():
        assert not cell.failure
        assert set(cell.rounds[0]) == {figure.name for figure in work.figures}
    lines = list(table(work, results))
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [FLOOR, OURS]


def test_a_tiny_round_against_the_local_server() -> None:
    """An expired token is renewed once for all threads that meet it."""
    answer = measured(WORKS["stampede"], column_of("stampede", "requests, 64"), OURS, tiny=True)
    assert answer["round"]["token requests"] == 1
    assert answer["round"]["answered"] == "4 of 4 answered"


def test_what_cannot_be_measured_says_why() -> None:
    """It is a reason in the table, and no failure."""
    work, column = WORKS["hot-site"], column_of("hot-site", "requests")
    results = run(work, [(column, FLOOR)], rounds=1, tiny=True)
    assert "accepts no OAuth token" in results["requests", FLOOR].unmeasured
    assert list(table(work, results))[2].endswith("| n/a [1] |")


def test_each_bound_names_what_is_measured() -> None:
    """Its work, its column, its figure and its peer exist."""
    cells = cells_for(BOUNDS)
    for bound in BOUNDS:
        work, _ = cells[bound.work]
        assert bound.figure in {figure.name for figure in work.figures}
        assert bound.peer in ("", *PEERS)


def results_with(values: Mapping[str, list[float | str]], figure: str) -> Results:
    """Results of one column, by peer."""
    return {
        ("column", peer): Cell([{figure: value} for value in each]) for peer, each in values.items()
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [
        ([1.0, 9.0, 1.5], [1.0, 3.0, 1.0], "MISSED"),
        ([1.0, 9.0, 1.0], [1.0, 3.0, 1.0], "ok"),
        ([1.0, "not all answered"], [1.0, 1.0], "not measured: some requests were not answered"),
        ([], [1.0], "not measured: some requests were not answered"),
    ],
)
def test_a_bound_on_a_ratio_is_judged_by_the_median_of_rounds(
    ours: list[float | str], theirs: list[float | str], word: str
) -> None:
    """Each round is compared with the same round of the peer."""
    bound = Bound("text", "stampede", "column", "seconds", 1.0, peer="Authlib")
    results = {"stampede": results_with({OURS: ours, "Authlib": theirs}, "seconds")}
    verdict = judged(bound, results)
    assert (verdict.word, verdict.is_met) == (word, word == "ok")


def test_a_peer_that_is_ahead_needs_a_reason() -> None:
    """One without a reason is found, and so is a reason that no cell needs."""
    slower = results_with({FLOOR: [1.0], OURS: [2.0], "Authlib": [1.0]}, "seconds")
    ahead = cells_ahead({"stampede": slower})
    assert [(each.peer, bool(each.why)) for each in ahead] == [("Authlib", True)]
    unknown = results_with({OURS: ["lost"], "Authlib": ["survives"]}, "login")
    assert [each.why for each in cells_ahead({"cancelled": unknown})] == [""]
    assert len(unused(ahead)) == len(REASONS) - 1


def test_figures_show_their_spread() -> None:
    """The median, and the smallest and the largest of the rounds."""
    figure = Figure("seconds", "max {:.1f} s")
    assert figure.shown([3.0, 1.0, 2.0]) == "max 2.0 s (1.0 to 3.0)"
    assert figure.shown([1.0]) == "max 1.0 s"
    assert figure.shown(["yes", "yes"]) == "yes"


def test_the_command_lists_its_works() -> None:
    """`--help` needs no peer."""
    run_ = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert run_.returncode == 0, run_.stderr
    assert "stampede" in run_.stdout


def test_the_page_shows_each_work_and_each_peer() -> None:
    """docs/performance.md comes from this suite: after a change, `make bench` writes it again."""
    text = PAGE.read_text(encoding="utf-8")
    for work in WORKS.values():
        assert f"\n## {work.title}\n" in text
    for peer in PEERS.values():
        assert f"\n| {peer.name} |" in text
    assert PICTURE.name in text
    assert PICTURE.exists()
