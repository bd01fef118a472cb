"""The examples: what users copy has to run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
FETCHED = {
    "requests_session": "Projects: Acme",
    "httpx_async": "Projects: Acme",
    "aiohttp_search": "Issues: 120",
    "httpx2_sync": "Spaces: Docs",
    "data_center_pkce": "Projects: Acme",
    "jira_sdk": "Issues: 120\nAttached: A note",
    "atlassian_python_api": "Issues: 120",
    "flask_app": "A stranger's redirect: 400",
    "fastapi_app": "A stranger's redirect: 400",
}


def test_every_example_is_tested() -> None:
    """No example can be added without a test that runs it."""
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(FETCHED)


@pytest.mark.parametrize("name", FETCHED)
def test_an_example_runs_offline_as_it_stands(name: str, tmp_path: Path) -> None:
    """An example says who we are and shows something it fetched, without a warning."""
    run = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert re.search(r"^I am Ada Example\b", run.stdout, re.MULTILINE)
    assert FETCHED[name] in run.stdout
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind


@pytest.mark.parametrize("name", FETCHED)
def test_an_example_is_short(name: str) -> None:
    """An example fits on a screen: fewer than 40 lines, none too long to read."""
    lines = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 100
