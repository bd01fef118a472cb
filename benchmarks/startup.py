"""How long `atlassian-auth token` takes with a valid token, beside importing its command library.

    python benchmarks/startup.py

Whole processes, in turns, so that a busy machine disturbs all alike. Figures are medians; read the
ratios, not the milliseconds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.profiles.file import save_profile
from atlassian_auth_adapter.testing import AtlassianEmulator

ROUNDS = 30


def measured(ways: dict[str, list[str]], environment: dict[str, str]) -> dict[str, float]:
    """Median milliseconds of each process, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, command in ways.items():
            began = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    command = shutil.which("atlassian-auth", path=str(Path(sys.executable).parent))
    with AtlassianEmulator() as emulator, tempfile.TemporaryDirectory() as home:
        cloud = emulator.cloud
        environment = {
            **os.environ,
            "ATLASSIAN_CONFIG_DIR": home,
            "ATLASSIAN_TOKEN_DIRECTORY": home,
        }
        os.environ |= environment
        hosts = atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)
        profile = atlassian.Profile(
            "work",
            client_id=cloud.app.client_id,
            callback_url=cloud.app.callback_url,
            cloud_id=cloud.sites[0].id,
            cloud=hosts,
            store="file",
        )
        save_profile(profile, cloud.app.client_secret)
        client = atlassian.client_from_profile("work")
        client.oauth_complete(cloud.authorize(client.oauth_start()))
        figures = measured(
            {
                "python -c 'import click'": [sys.executable, "-c", "import click"],
                "python -c pass": [sys.executable, "-c", "pass"],
                "atlassian-auth token": [str(command), "token"],
                "atlassian-auth status": [str(command), "status"],
                "atlassian-auth --help": [str(command), "--help"],
            },
            environment,
        )
    first = next(iter(figures.values()))
    for name, value in figures.items():
        print(f"  {name:<28} {value:7.1f} ms  x {value / first:.2f}")


if __name__ == "__main__":
    main()
