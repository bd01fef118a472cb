"""How long the command takes with a valid token, beside importing its command library."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Column, Figure, Round, UnmeasuredError, Work
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, CLOUD_ID
from benchmarks.peers import OURS
from benchmarks.work.imports import compared, python

PAIRS = 8
#: What says where profiles and logins are.
DIRECTORIES = (
    "ATLASSIAN_CONFIG_DIR",
    "ATLASSIAN_TOKEN_DIRECTORY",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)


@contextmanager
def logged_in() -> Iterator[None]:
    """This process and those it starts have a profile whose login is valid.

    It is where most people have it: no variable names a directory, and the home directory is new.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        for variable in DIRECTORIES:
            os.environ.pop(variable, None)
        os.environ["HOME"] = str(home)
        import atlassian_auth_adapter as atlassian
        from atlassian_auth_adapter.profiles.directories import config_file, data_directory
        from atlassian_auth_adapter.profiles.file import save_profile
        from atlassian_auth_adapter.records import Login, write

        if not all(each.is_relative_to(home) for each in (config_file(), data_directory())):
            raise UnmeasuredError("the profiles of this platform are not below HOME")
        profile = atlassian.Profile(
            "work",
            client_id=CLIENT_ID,
            callback_url="http://localhost:8080/callback",
            cloud_id=CLOUD_ID,
            store="file",
        )
        save_profile(profile, CLIENT_SECRET)
        client = atlassian.client_from_profile("work")
        now = time.time()
        tokens = atlassian.TokenSet("valid", "refresh", now + 3600, "", "Bearer", now)
        record = Login(generation=1, login_id="login", token_set=tokens)
        store = atlassian.FileTokenStore(data_directory())
        store.save(client.token_key.name, write(client.token_key, record), expected=None)
        yield


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    command = shutil.which("atlassian-auth", path=str(Path(sys.executable).parent))
    if command is None:
        raise UnmeasuredError("the command is not installed beside this Python")
    with logged_in():
        arguments = [command, *column.options["arguments"]]
        return compared(python("import click"), arguments, 1 if tiny else PAIRS)


WORK = Work(
    "startup",
    "Start-up of the command",
    "The command with a valid token in a file of the default directory, as a ratio to a process "
    "that imports click, on which it is built, and the milliseconds between. Processes of both "
    "take turns.",
    tuple(
        Column(f"atlassian-auth {name}", "", {"arguments": [name]})
        for name in ("token", "status", "--help")
    ),
    (Figure("ratio", "{:.2f}", "smaller"), Figure("more", "{:+.0f} ms")),
    measure,
    seconds=3.0,
    peers=(OURS,),
)
