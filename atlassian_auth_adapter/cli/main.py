"""`atlassian-auth`: puts the commands together, and prints their errors.

Each command is `command` of a module of its name in this folder, and is imported when it is called:
`atlassian-auth token` has to start quickly.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from atlassian_auth_adapter.errors import AtlassianAuthError, optional_import

with optional_import("click", "cli"):
    import click

from atlassian_auth_adapter.cli.terminal import EXIT_CODES, say
from atlassian_auth_adapter.cli.words import Said, about, profile_of
from atlassian_auth_adapter.events import logger

__all__ = ["COMMANDS", "app", "main"]

#: The commands, with what `--help` says of each.
COMMANDS = {
    "login": "Sign in with the browser, or as a service account.",
    "status": "Show the stored logins, and when they end.",
    "token": "Print a valid access token, for scripts.",
    "api": "Make a request with the login, and print the answer.",
    "sites": "List the Cloud sites that the login reaches.",
    "refresh": "Refresh now, so that a login does not end unused.",
    "logout": "Revoke the login if possible, and forget it.",
    "doctor": "Check profile, network and login, and say what to do.",
    "emulator": "Run an emulator of Atlassian, to try things out.",
    "demo": "Show what this package promises, offline.",
}
EPILOG = "Exit codes: " + "; ".join(f"{code} {meaning}" for code, _, meaning in EXIT_CODES) + "."


class _Commands(click.Group):
    """Knows its commands by name."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command
        command = importlib.import_module(f"atlassian_auth_adapter.cli.{name}").command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="atlassian-auth-adapter", message="%(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error, and what is logged.")
def app(debug: bool) -> None:
    """Sign in to Jira, Confluence and Bitbucket once, for all programs on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given  # at any position: people add it to what they typed before
    given = [argument for argument in given if argument != "--debug"]
    with _logging(debug=debug):
        return _run(given)


@contextmanager
def _logging(*, debug: bool) -> Iterator[None]:
    """Print what the library logs, or nothing of it: the command says itself what has happened."""
    handler = logging.StreamHandler() if debug else logging.NullHandler()
    level = logger.level
    logger.addHandler(handler)
    if debug:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _run(given: list[str]) -> int:
    named: dict[str, str] = {}
    try:
        result = app.main(given, prog_name="atlassian-auth", standalone_mode=False, obj=named)
        sys.stdout.flush()  # here, where an error is printed
    except SystemExit as end:
        # The emulator has a parser of its own: 0 or 2. click and rich: 1 when the reader has gone.
        return 0 if end.code == 1 else int(end.code or 0)
    except BrokenPipeError:  # the reader has gone, such as head
        _drop_output()
        return 0
    except BaseException as error:
        if not isinstance(error, Exception | KeyboardInterrupt):
            raise
        logger.exception("the command has failed")  # shown with --debug
        return _failed(error, named, as_json="--json" in given)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, named: Mapping[str, str], *, as_json: bool) -> int:
    """Print the error, and return the exit code; see `begin_answer` for what is in `named`."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        said = Said("interrupted", "Interrupted.", "", 130)
    elif isinstance(error, click.ClickException):
        said = Said("usage", error.format_message(), "", error.exit_code)
    else:
        said = about(error, profile_of(named.get("profile", "")))
    # An OSError may be that of standard output; some of ours are timeouts, which are OSErrors too.
    is_of_output = isinstance(error, OSError) and not isinstance(error, AtlassianAuthError)
    if as_json and not is_of_output:
        out = sys.stderr if "answer" in named else sys.stdout
        with suppress(OSError):
            out.write(json.dumps(said.facts, indent=2) + "\n")
            out.flush()
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        say(said.text if said.code == 130 else f"Error: {said.text}", stderr=True)
        if said.advice:
            say(said.advice, stderr=True)
    if is_of_output:
        _drop_output()
    return said.code


def _drop_output() -> None:
    """Drop what could not be printed, which Python would try to print again at exit."""
    with suppress(OSError):  # UnsupportedOperation: it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
