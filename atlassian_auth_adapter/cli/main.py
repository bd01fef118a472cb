"""`atlassian-auth`: puts the commands together, and prints their errors.

Each command is `command` of a module of its name in this folder, and is imported when it is called:
`atlassian-auth token` has to start quickly.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from atlassian_auth_adapter.errors import (
    AuthorizationError,
    LoginRequiredError,
    TokenRequestRefusedError,
    optional_import,
)

with optional_import("click", "cli"):
    import click

from atlassian_auth_adapter.cli.terminal import EXIT_CODES, exit_code, say

__all__ = ["COMMANDS", "app", "main"]

#: The commands, with what `--help` says of each.
COMMANDS = {
    "login": "Sign in with the browser, or as a service account.",
    "status": "Show the stored login, and when it ends.",
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
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def app(debug: bool) -> None:
    """Sign in to Jira, Confluence and Bitbucket once, for all programs on this machine."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, or with --debug raises what it raises."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given  # at any position: people add it to what they typed before
    given = [argument for argument in given if argument != "--debug"]
    try:
        result = app.main(given, prog_name="atlassian-auth", standalone_mode=False)
        sys.stdout.flush()  # here, where an error is printed
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted.", stderr=True)
        return 130
    except SystemExit as end:
        # The emulator has a parser of its own: 0 or 2. click and rich: 1 when the reader has gone.
        return 0 if end.code == 1 else int(end.code or 0)
    except BrokenPipeError:  # the reader has gone, such as head
        _drop_output()
        return 0
    except Exception as error:
        if debug:
            raise
        _print_error(error)
        if isinstance(error, OSError):  # perhaps that of standard output
            _drop_output()
        return exit_code(error)
    return result if isinstance(result, int) else 0


def _print_error(error: Exception) -> None:
    text = str(error).replace("oauth_start()", "atlassian-auth login")
    is_refused = isinstance(error, AuthorizationError) and bool(error.advice)
    if isinstance(error, LoginRequiredError) or is_refused:  # its own advice is for programs
        text = f"{error.args[0]} Sign in: atlassian-auth login"
    elif isinstance(error, TokenRequestRefusedError):
        text += " For another client secret: atlassian-auth login --new-secret"
    elif exit_code(error) == 1:
        text = f"{type(error).__name__}: {error} Run it again with --debug for the details."
    say(f"Error: {text}", stderr=True)


def _drop_output() -> None:
    """Drop what could not be printed, which Python would try to print again at exit."""
    with suppress(OSError):  # UnsupportedOperation: it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
