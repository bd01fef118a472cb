"""The demonstration: it succeeds, it is readable, and it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

#: The demonstration with fewer threads and tasks, after something was changed.
SMALL = """
import atlassian_auth_adapter.testing.demo as demo
demo.THREADS, demo.TASKS = 4, 20
{change}
raise SystemExit(demo.main())
"""
#: An auth object for requests that knows no hosts, no rejections and no other threads.
BY_HAND = """
def by_hand(client):
    def auth(request):
        request.headers["Authorization"] = "Bearer " + {token}
        return request
    return auth

demo.AtlassianAuth = by_hand
"""
BEARER_EVERYWHERE = BY_HAND.format(token="client.get_access_token()")
NEW_TOKEN_EACH = BY_HAND.format(token="client.token_set(client.get_access_token()).access_token")
NEW_TOKEN_EACH += "demo.SCENES = demo.SCENES[:4]  # a later scene would wait for 30 s"
A_SCENE_BREAKS = """
def broken(stage):
    '''A broken scene

    It raises.'''
    yield demo.Check("Before", 1, 1)
    raise RuntimeError("for a reason")

demo.SCENES = (broken, *demo.SCENES)
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
    """`make demo` succeeds, ticks every line and stays within 60 columns."""
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
    assert "\x1b" not in run.stdout  # no colours in a pipe


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        slow(NEW_TOKEN_EACH, ["Many requests need a new token at once: Refreshes: "]),
        slow(
            BEARER_EVERYWHERE,
            [
                "A token is revoked early: Answers: 401 401 200 401 200, not",
                "Foreign servers: of these with a token: 2, not 0",
            ],
        ),
        (A_SCENE_BREAKS, ["A broken scene: The scene ended with: RuntimeError: for a reason, not"]),
    ],
    ids=["a refresh each", "a bearer everywhere", "a scene breaks"],
)
def test_what_does_not_hold_is_crossed_out_and_repeated_at_the_end(
    run_demo: Callable[..., subprocess.CompletedProcess[str]], change: str, named: list[str]
) -> None:
    """A tick means that the figure was measured: other auth objects, and errors, fail."""
    run = run_demo(change)
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stderr == ""
    verdict, _, ending = run.stdout.rpartition("figures are right")
    assert "\N{BALLOT X}" in verdict
    for line in named:
        assert line in " ".join(ending.split())
    assert max(map(len, run.stdout.splitlines())) <= 60


@pytest.mark.slow
def test_ticks_are_words_where_they_cannot_be_encoded(
    run_demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """In ASCII a tick is `ok`."""
    run = run_demo(TWO_SCENES, encoding="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "  ok Threads that got a token: 1" in run.stdout.splitlines()


@pytest.mark.slow
def test_what_is_not_installed_is_left_out(
    run_demo: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Without extras and trio the demonstration succeeds, and says what it left out."""
    run = run_demo("demo.find_spec = lambda name: None")
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert "Not installed, therefore left out: aiohttp, httpx2, trio." in run.stdout
    assert "Answers to httpx (sync, asyncio): 4" in run.stdout
    assert "Answers to httpx2" not in run.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("environment", "coloured"), [({}, True), slow({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals(
    environment: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    """Ticks are green in a terminal, unless NO_COLOR is set."""
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
