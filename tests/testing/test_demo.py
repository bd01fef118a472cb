"""The demonstration: it holds, it is readable, and it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

#: The demonstration with a smaller crowd, after something has been done to it.
SMALL = """
import atlassian_auth_adapter.testing.demo as demo
demo.THREADS, demo.TASKS = 4, 20
{change}
raise SystemExit(demo.main())
"""
NO_COALESCING = """
from dataclasses import replace
from atlassian_auth_adapter.refresh import protocol
from atlassian_auth_adapter.refresh.login import SharedLogin

refresh = protocol.refresh
SharedLogin.flight_under_way = lambda self: None
protocol.refresh = lambda request, rules: refresh(
    replace(request, obtained_before=float("inf")), rules
)
"""
BEARER_EVERYWHERE = """
from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth
from atlassian_auth_adapter.atlassian.gateway import Route

HTTPXFamilyAuth.admit = lambda self, location, **_: Route(location, bearer=True)
HTTPXFamilyAuth.is_ours = lambda self, location: True
"""
NO_SECOND_SENDING = """
import atlassian_auth_adapter.adapters.requests as adapter
adapter._rewound = lambda request: False
"""
A_SCENE_BREAKS = """
def broken(stage):
    '''A scene of ours

    It breaks.'''
    yield demo.Check("So far", 1, 1)
    raise RuntimeError("for a reason")

demo.SCENES = (broken, *demo.SCENES[:2])
"""
TWO_SCENES = "demo.SCENES = demo.SCENES[:2]"


@pytest.fixture
def run_demo() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the demonstration in a process of its own, warnings being errors."""

    def run(change: str = "", *, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", SMALL.format(change=change)],
            env={**os.environ, "COLUMNS": "60", "PYTHONIOENCODING": encoding},
            capture_output=True,
            encoding=encoding,
            timeout=120,
        )

    return run


@pytest.mark.slow
def test_all_figures_are_right_in_a_narrow_terminal() -> None:
    """`make demo` ends well, ticks every line and stays within 60 columns."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "atlassian_auth_adapter.testing.demo"],
        env={**os.environ, "COLUMNS": "60", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    lines = run.stdout.splitlines()
    assert max(map(len, lines)) <= 60
    ticked = [line for line in lines if line.startswith("  \N{CHECK MARK} ")]
    assert f"{len(ticked)} of {len(ticked)} figures are right" in lines[-1]
    assert "  \N{CHECK MARK} Answers to 64 threads, 500 tasks: 564" in lines
    assert "\N{BALLOT X}" not in run.stdout
    assert "\x1b" not in run.stdout  # a pipe is no place for colours


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        slow(NO_COALESCING, "The token ends under a crowd: Refreshes: "),
        slow(BEARER_EVERYWHERE, "Other people's servers: of these with a token: 4, not 0"),
        slow(NO_SECOND_SENDING, "A token ends early: Answers: 401 401 401 200, not"),
        (A_SCENE_BREAKS, "A scene of ours: The scene ended with: RuntimeError: for a reason, not"),
    ],
)
def test_a_broken_library_fails_and_is_named(
    run_demo: Callable[..., subprocess.CompletedProcess[str]], sabotage: str, named: str
) -> None:
    """The ticks mean something: what does not hold is crossed out and told at the end."""
    run = run_demo(sabotage)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stderr == ""
    verdict, _, ending = run.stdout.rpartition("figures are right")
    assert "\N{BALLOT X}" in verdict
    assert named in " ".join(ending.split())
    assert max(map(len, run.stdout.splitlines())) <= 60


def test_a_terminal_without_ticks_gets_words(
    run_demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Where stdout can only encode ASCII, a tick is `ok`."""
    run = run_demo(TWO_SCENES, encoding="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "  ok Threads that got a token: 1" in run.stdout.splitlines()


def test_what_is_not_installed_is_said_and_left_out(
    run_demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Without httpx2 and trio the demonstration still holds, and says what it could not show."""
    run = run_demo("demo.find_spec = lambda name: None")
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert "Not installed, therefore left out: httpx2, trio." in run.stdout
    assert "Answers to httpx (sync, asyncio): 4" in run.stdout
    assert "Answers to httpx2" not in run.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("environment", "coloured"), [({}, True), slow({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(
    environment: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    """In a terminal ticks are green, unless NO_COLOR is set."""
    import pty

    script = tmp_path / "small_demo.py"
    script.write_text(textwrap.dedent(SMALL.format(change=TWO_SCENES)))
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    parent, child = pty.openpty()
    run = subprocess.run(
        [sys.executable, str(script)],
        env={**clean, **environment, "PYTHONIOENCODING": "utf-8"},
        stdout=child,
        stderr=child,
        timeout=60,
    )
    os.close(child)
    shown = os.read(parent, 65536).decode()  # less than a terminal's buffer holds
    os.close(parent)
    assert run.returncode == 0, shown
    assert ("\x1b[32m\N{CHECK MARK}\x1b[0m Threads that got a token: 1" in shown) is coloured
    assert ("\x1b" in shown) is coloured
