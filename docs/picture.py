"""Makes docs/atlassian-auth.svg: the command in a terminal of 72 columns, against the emulator.

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
COMMANDS = ("status", "doctor", "sites", "token | cut -c -20")


def main() -> None:
    """Run the commands and keep what they show."""
    paper = Console(record=True, width=72, file=io.StringIO(), force_terminal=True)
    with AtlassianEmulator() as emulator, tempfile.TemporaryDirectory() as home:
        cloud = emulator.cloud
        os.environ |= {
            "ATLASSIAN_CONFIG_DIR": home,
            "ATLASSIAN_TOKEN_DIRECTORY": home,
            "FORCE_COLOR": "1",
            "COLUMNS": "72",
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
            paper.print(Text.from_ansi(run.stdout.replace(cloud.sites[0].url, "https://acme.test")))
    picture = paper.export_svg(title="atlassian-auth")
    # Rich's template fetches a font from elsewhere; a picture of ours asks nobody.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    PICTURE.write_text(picture.replace("Fira Code", "ui-monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
