"""The same scripts once more, with the oldest SDKs that they work with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
OLDEST = Path(sys.prefix) / "oldest-sdks"  # where the Makefile installs oldest.txt
PROGRAM = """
import sys, atlassian, jira, pytest
assert all(module.__file__.startswith(sys.argv[1]) for module in (atlassian, jira))
sys.exit(pytest.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_the_oldest_sdks_pass_the_same_tests() -> None:
    """What works with the newest SDKs works with the oldest, in a process that imports those."""
    if not (OLDEST / ".ready").exists():
        reason = f"the oldest SDKs are not in {OLDEST}: run `make slow`, which installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    modules = [str(HERE / name) for name in ("test_recipes.py", "test_jira_client.py")]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    paths = filter(None, [str(OLDEST), os.environ.get("PYTHONPATH")])
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(OLDEST), *options, *modules],
        cwd=HERE.parents[1],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout
