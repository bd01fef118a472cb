"""Big uploads and downloads are streamed, also when the token is rejected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "streams.py"
MEGABYTES = 32
LINES = ("requests  open", "requests  download", "httpx     multipart", "httpx     async")


@pytest.mark.slow
def test_no_copy_of_a_big_body_is_in_memory() -> None:
    """The peak of a process does not grow with a body, sent once or twice; that of a copy does."""
    pytest.importorskip("resource", reason="ru_maxrss is of Unix")
    run = subprocess.run(
        [sys.executable, SCRIPT, "--megabytes", str(MEGABYTES), *LINES],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()[1:]
    assert len(lines) == 2 * (1 + len(LINES))
    for line in lines:
        *_, grown, verdict = line.split()
        assert (float(grown) > MEGABYTES / 2) is (verdict == "copied")
