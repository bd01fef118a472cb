"""What the commands have in common: options, output for people and for programs, exit codes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from atlassian_auth_adapter.clients.texts import one_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.console import Console

__all__ = [
    "EXIT_CODES",
    "console",
    "distance",
    "exit_code",
    "json_option",
    "moment",
    "plain",
    "profile_option",
    "say",
    "show",
    "text_of_option",
]

#: Exit code, the errors of the library that have it, and what it means.
EXIT_CODES: tuple[tuple[int, tuple[str, ...], str], ...] = (
    (0, (), "done"),
    (1, (), "an unexpected error: run it again with --debug"),
    (2, (), "the command line is wrong"),
    (3, ("ConfigurationError", "TokenRequestRefusedError"), "fix the configuration"),
    (4, ("LoginRequiredError",), "sign in: atlassian-auth login"),
    (5, ("AuthorizationError", "AccessDeniedError"), "the person or the server refused"),
    (
        6,
        (
            "TokenEndpointUnavailableError",
            "ResourceUnavailableError",
            "TokenStoreUnavailableError",
            "TokenStoreTimeoutError",
        ),
        "no usable answer: try again soon",
    ),
    (7, ("TokenStoreError",), "the store failed"),
    (8, (), "a check of doctor failed"),
    (9, (), "api: the server answered with an error"),
    (130, (), "interrupted"),
)


def exit_code(error: BaseException) -> int:
    """The exit code of an error: that of the closest class in the table."""
    for cls in type(error).__mro__:
        for code, names, _ in EXIT_CODES:
            if cls.__name__ in names:
                return code
    return 1


def _profiles(_context: Any, _parameter: Any, begun: str) -> list[CompletionItem]:
    """The names of profiles, for the completion of a shell."""
    from click.shell_completion import CompletionItem

    from atlassian_auth_adapter.profiles.file import profiles

    return [CompletionItem(name) for name in profiles() if name.startswith(begun)]


def text_of_option(_context: Any, option: click.Parameter, value: Any) -> Any:
    """The text or texts of an option, as `one_line` reads them: scripts take them from files."""
    name = option.opts[-1]
    if isinstance(value, tuple):
        return tuple(one_line(text, name) for text in value)
    return value and one_line(value, name)


profile_option = click.option(
    "-p",
    "--profile",
    "name",
    default="",
    callback=text_of_option,
    metavar="NAME",
    shell_complete=_profiles,
    help="Which profile. Default: $ATLASSIAN_PROFILE, or the only one.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


@cache
def console(*, stderr: bool = False) -> Console:
    """The terminal, or what replaces it; rich honours NO_COLOR and its width."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def say(text: str, *, stderr: bool = False, **options: Any) -> None:
    """Print text of any origin: neither markup nor control characters in it have an effect.

    Lines are broken for a terminal only: files and other programs get whole lines.
    """
    out = console(stderr=stderr)
    options.setdefault("soft_wrap", not out.is_terminal)
    out.print(plain(text), markup=False, emoji=False, **options)


def plain(text: str) -> str:
    """The text without control characters."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def show(facts: Mapping[str, Any], as_json: bool, human: Callable[[], object]) -> None:
    """Print facts: as JSON for programs, or as `human` does it for people."""
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        human()


def moment(instant: float) -> str:
    """A POSIX timestamp (seconds) for people: the local time, and how far away it is."""
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(instant))
    return f"{at} ({distance(instant - time.time())})"


def distance(seconds: float) -> str:
    """How far away something is, in the unit that fits: "in 5 minutes", "3 days ago"."""
    size = round(abs(seconds))
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, length = next((each for each in units if size >= each[1]), units[-1])
    count = size // length
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {text}" if seconds >= 0 else f"{text} ago"
