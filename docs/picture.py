"""Makes docs/atlassian-auth.svg: the command in a terminal of 90 columns, against the emulator.

python docs/picture.py
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

import atlassian_auth_adapter as atlassian
from atlassian_auth_adapter.testing import AtlassianEmulator

PICTURE = Path(__file__).with_name("atlassian-auth.svg")
WIDTH = 90
COMMANDS = ("status", "doctor", "sites", "token | cut -c -20")


def main() -> None:
    """Run the commands and keep what they show."""
    paper = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with AtlassianEmulator() as emulator, tempfile.TemporaryDirectory() as home:
        cloud = emulator.cloud
        os.environ |= {
            "ATLASSIAN_CONFIG_DIR": home,
            "XDG_DATA_HOME": home,
            "FORCE_COLOR": "1",
            "COLUMNS": str(WIDTH),
        }
        profile = atlassian.Profile(
            "work",
            client_id=cloud.app.client_id,
            callback_url=cloud.app.callback_url,
            site_url=cloud.sites[0].url,
            scopes=("read:jira-user", "read:jira-work", "offline_access"),
            cloud=atlassian.CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience),
            store="file",
        )
        atlassian.save_profile(profile, cloud.app.client_secret)
        client: Any = atlassian.client_from_profile("work")
        client.oauth_complete(cloud.authorize(client.oauth_start()))
        for command in COMMANDS:
            program = f"{sys.executable} -m atlassian_auth_adapter.cli.start {command}"
            run = subprocess.run(program, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
            paper.print(Text(f"$ atlassian-auth {command}", style="bold"))
            paper.print(Text.from_ansi(_elsewhere(run.stdout, cloud, home)))
    picture = paper.export_svg(title="atlassian-auth")
    # Rich's template fetches a font from elsewhere; a picture of ours asks nobody.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    PICTURE.write_text(picture.replace("Fira Code", "ui-monospace"), encoding="utf-8")


def _elsewhere(shown: str, cloud: Any, home: str) -> str:
    """The output as of Atlassian Cloud and of a home of its own."""
    for url, instead in (
        (cloud.sites[0].url, "https://acme.atlassian.net"),
        (cloud.api_url, "https://api.atlassian.com"),
        (cloud.auth_url, "https://auth.atlassian.com"),
    ):
        host = instead.removeprefix("https://")
        shown = shown.replace(url, instead).replace(url.removeprefix("http://"), f"{host}:443")
    shown = re.sub("(ahead of|behind) 127.0.0.1", r"\1 auth.atlassian.com", shown)
    return shown.replace(home, "~/.local/share")


if __name__ == "__main__":
    main()
