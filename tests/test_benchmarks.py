"""The benchmarks run: nothing here asserts a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import atlassian_auth_adapter
from benchmarks import page
from benchmarks.__main__ import check
from benchmarks.bounds import BOUNDS, Bound, cells_for, judged
from benchmarks.figures import Cell, Column, Figure, Work
from benchmarks.kept import Kept, Record
from benchmarks.page import PAGE, PICTURE, table
from benchmarks.peers import FLOOR, OURS, PEERS
from benchmarks.profile import PARTS, part_of_file
from benchmarks.progress import Progress
from benchmarks.reasons import cells_ahead, explained
from benchmarks.runner import Job, Results, lacking, measured, run
from benchmarks.work import WORKS

ROOT = Path(__file__).parent.parent


def column_of(work: str, name: str) -> Column:
    """A column by its name."""
    return next(column for column in WORKS[work].columns if column.name == name)


def column_for_us(work: Work) -> Column:
    """The first one in which this library is measured."""
    return next(column for column in work.columns if not lacking(work, column, OURS))


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_tiny_round_of_each_work(work: Work) -> None:
    """It brings each figure that its table shows, or says why it cannot."""
    answer = measured(work, column_for_us(work), OURS, how="tiny")
    assert "failure" not in answer, answer
    if "unmeasured" not in answer:
        assert set(answer["round"]) >= {figure.name for figure in work.figures}


def test_the_floor_stands_beside_ours() -> None:
    """A fresh process measures each; another library would be one more row."""
    work = WORKS["hot-gateway"]
    column = column_of("hot-gateway", "requests")
    results = run(Job(work, [(column, FLOOR), (column, OURS)], 1, tiny=True))
    assert not any(cell.failure for cell in results.values())
    lines = list(table(work, results))
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [FLOOR, OURS]


def test_an_expired_token_is_renewed_once_for_all_threads() -> None:
    """The local server counts the token requests of a stampede."""
    answer = measured(WORKS["stampede"], column_of("stampede", "requests, 64"), OURS, how="tiny")
    assert answer["round"]["token requests"] == 1
    assert answer["round"]["answered"] == "4 of 4 answered"


def test_what_cannot_be_measured_says_why() -> None:
    """It is a reason in the table, and no failure; no process is started for it."""
    work, column = WORKS["hot-site"], column_of("hot-site", "requests")
    job = Job(work, [(column, FLOOR)], 1, tiny=True)
    assert (job.missing(0), job.seconds_left) == ([], 0)
    assert "accepts no OAuth token" in job.results["requests", FLOOR].unmeasured
    assert list(table(work, job.results))[2].endswith("| n/a [1] |")


def a_work(measure: Any = None, **settings: Any) -> Work:
    """One that nobody measures in a process of its own."""
    figures = (Figure("seconds", "{:.1f} s", "smaller"),)
    return Work("stampede", "", "", (Column("column"),), figures, measure, **settings)


@pytest.mark.parametrize("beside", [1, 3])
def test_an_interrupted_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    """What was measured before is not measured again, whether cells run one by one or at once."""
    work, names, asked = a_work(beside=beside), [FLOOR, OURS, "Authlib"], list[str]()

    def measured_here(work: Work, column: Column, peer: str, *, how: str) -> dict[str, Any]:
        asked.append(peer)
        return {"round": {"seconds": 1.0}} if peer != "Authlib" else {"failure": "no answer"}

    monkeypatch.setattr("benchmarks.runner.measured", measured_here)
    cells = [(work.columns[0], name) for name in names]
    first = Job(work, cells, 2)
    first.results["column", FLOOR].rounds = [{"seconds": 2.0}]
    kept = Kept({"stampede": Record("now", results=run(first))}, tmp_path / "results.json")
    assert sorted(asked) == sorted([FLOOR, OURS, OURS, "Authlib"])
    kept.save()
    again = Kept.read(kept.file)
    assert again.records == kept.records
    assert again.results["stampede"]["column", FLOOR].rounds == [{"seconds": 2.0}, {"seconds": 1.0}]
    assert Job(work, cells, 2, again.results["stampede"]).seconds_left == 0


def test_a_run_goes_on_only_with_the_same_version(tmp_path: Path) -> None:
    """A run that is complete, or of another version, is followed by a new one."""
    kept = Kept({"stampede": Record("now", ended=1.0)}, tmp_path / "results.json")
    assert kept.goes_on(["stampede", "renewal"], "now")
    assert not kept.goes_on(["stampede"], "now")
    assert not kept.goes_on(["stampede", "renewal"], "later")
    assert not Kept.read(tmp_path / "none.json").goes_on(["stampede"], "now")


def test_the_time_left_is_estimated_from_what_was_measured() -> None:
    """Before that, from what the work says of itself; cells that run at once take less."""
    work = a_work(seconds=30.0, beside=2)
    job = Job(work, [(work.columns[0], FLOOR), (work.columns[0], OURS)], 4)
    assert job.seconds_left == 4 * 2 * 30 / 2
    job.results["column", FLOOR] = Cell([{"seconds": 1.0}], seconds=10.0)
    assert job.seconds_left == (3 * 10 + 4 * 10) / 2
    assert Progress([job, job]).left == "about 1 min left"


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [([2.0, 1.0, 1.0], "1.00  ok"), ([1.0, 2.0, 2.0], "2.00  MISSED")],
)
def test_the_check_judges_the_median_of_three_rounds(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: list[float],
    expected: str,
) -> None:
    """Of each work, also of one that `make bench` measures once."""
    names = ("package", "requests, 100,000")
    counts = dict.fromkeys(names, 0)

    def measured_here(_: Work, column: Column, __: str, *, how: str) -> dict[str, Any]:
        assert how == "full"
        counts[column.name] += 1
        return {"round": {"ratio": values[counts[column.name] - 1], "bytes": 1.0}}

    monkeypatch.setattr("benchmarks.runner.measured", measured_here)
    bounds = [bound for bound in BOUNDS if bound.column in names]
    monkeypatch.setattr("benchmarks.__main__.BOUNDS", bounds)
    assert check(0) == ("MISSED" in expected)
    assert counts == dict.fromkeys(names, 3)
    assert expected in capsys.readouterr().out


def test_a_peer_that_is_ahead_needs_a_reason_that_a_profile_confirms() -> None:
    """Without one, or where its parts take too little, the page says so and the run complains."""
    slower = results_with({FLOOR: [1.0], OURS: [2.0], "Authlib": [1.0]}, "seconds")
    (found,) = cells_ahead({"stampede": slower})
    assert (found.peer, found.why) == ("Authlib", "")
    assert "does not confirm" in found.doubt
    slower["column", OURS].profile = {"the store": 60.0, "waiting": 40.0}
    (found,) = cells_ahead({"stampede": slower})
    assert "lock of the store" in found.why
    assert not found.doubt
    unknown = results_with({OURS: ["lost"], "Authlib": ["survives"]}, "login")
    (found,) = cells_ahead({"cancelled": unknown})
    assert "does not say why" in found.doubt
    kept = Kept({"cancelled": Record("", results=unknown)})
    assert any("does not say why" in text for text in page.complaints(kept))
    assert any("**not explained**" in line for line in page.ahead({"cancelled": unknown}))


def test_shares_of_our_own_time_leave_out_everybody_elses() -> None:
    """The figure is the time of the auth object; the benchmark and the HTTP library are not it."""
    key, profile = ("requests", "Authlib", "auth object"), {"the HTTP library": 90.0}
    profile |= {"where the token goes": 6.0, "the auth object": 4.0}
    assert explained(WORKS["hot-gateway"], key, 0.5, profile).why


def test_rounds_that_have_values_in_common_show_no_difference() -> None:
    """A median may be better by chance."""
    close = results_with({OURS: [1.0, 2.0, 3.0], "Authlib": [1.1, 1.2, 1.3]}, "seconds")
    assert cells_ahead({"stampede": close}) == []
    once = results_with({OURS: [1.0], "Authlib": [0.92]}, "seconds")
    assert cells_ahead({"stampede": once}) == []
    beyond_the_floor = results_with({OURS: [96.0, 96.0], "Authlib": [110.0, 115.0]}, "of the floor")
    assert cells_ahead({"throughput": beyond_the_floor}) == []


def test_each_part_of_a_profile_has_files() -> None:
    """A part of the library that was moved is found again, or its name would never appear."""
    package = Path(atlassian_auth_adapter.__file__).parent
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert {part_of_file(path) for path in files} >= {part for part, _ in PARTS}
    for _, begins in PARTS:
        for beginning in begins:
            assert any(path.startswith(beginning) for path in files), beginning


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
