"""The short form of the fleet: one rotation of each kind of chaos, with processes on two hosts.

The long form is `make fleet`; what both do is told in fleet.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLEET = Path(__file__).with_name("fleet.py")
SHORT = ("--rotations", "10", "--processes", "6", "--hosts", "2", "--lease", "2")


@pytest.mark.slow
@pytest.mark.parametrize("store", ["redis", "postgres"])
def test_a_fleet_refreshes_once_an_hour_whatever_breaks(
    store: str, request: pytest.FixtureRequest
) -> None:
    """Processes are killed, paused and cut off, the store crashes; there is one token request per
    rotation, a replay where its outcome died with a process, and no failed request.
    """
    # Coverage would begin in each process, and leave half a file when that is killed.
    environment = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
    fleet = subprocess.run(
        [sys.executable, FLEET, "--store", store, *SHORT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if fleet.returncode == os.EX_UNAVAILABLE:
        request.getfixturevalue(f"{store}_url")  # skips the test, or fails where there must be one
    assert fleet.returncode == 0, fleet.stdout
    assert "every promise was kept" in fleet.stdout
