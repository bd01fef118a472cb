"""What the commands have in common: options, output for people and for programs, exit codes."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atlassian_auth_adapter.clients.texts import one_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.console import Console

#: A function that becomes a command.
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

__all__ = [
    "EXIT_CODES",
    "begin_answer",
    "console",
    "distance",
    "exit_code",
    "json_option",
    "moment",
    "plain",
    "print_rows",
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


#: Signs of the command, and what a terminal of ASCII gets in their place.
SIGNS = {
    "\u2713": "ok",
    "\u2717": "x",
    "\u2192": ">",
    "\u201c": '"',
    "\u201d": '"',
    "\ufffd": "?",
}


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

    from atlassian_auth_adapter.profiles.file import profile_names

    return [CompletionItem(name) for name in profile_names() if name.startswith(begun)]


def text_of_option(_context: Any, option: click.Parameter, value: Any) -> Any:
    """The text or texts of an option, as `one_line` reads them: scripts take them from files."""
    name = option.opts[-1]
    if isinstance(value, tuple):
        return tuple(one_line(text, name) for text in value)
    return value and one_line(value, name)


def begin_answer() -> None:
    """From here on standard output is for an answer only: an error in JSON goes to the other."""
    click.get_current_context().ensure_object(dict)["answer"] = "begun"


def _named(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """The name of a profile; an error of the command says how to sign in with it."""
    name = text_of_option(context, option, value)
    context.ensure_object(dict)["profile"] = name
    return name


profile_option: Callable[[Decorated], Decorated] = click.option(
    "-p",
    "--profile",
    "name",
    default="",
    callback=_named,
    metavar="NAME",
    shell_complete=_profiles,
    help="Which profile. Default: $ATLASSIAN_PROFILE, or the only one.",
)
json_option: Callable[[Decorated], Decorated] = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)


@cache
def console(*, stderr: bool = False) -> Console:
    """The terminal, or what replaces it; rich honours NO_COLOR and its width."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def say(
    text: str,
    *,
    stderr: bool = False,
    style: str = "",
    hang: str = "",
    dimmed: int = 0,
    whole: bool = False,
) -> None:
    """Print text of any origin: neither markup nor control characters in it have an effect.

    Lines are broken for a terminal only, between words: an address stays whole, so that it can be
    copied. Files and other programs get whole lines.

    Args:
        text: What to print.
        stderr: Whether to print it to standard error.
        style: As in rich.
        hang: What further lines of a broken line begin with, after the white space of the first.
        dimmed: So many characters at the begin are less bright.
        whole: The terminal itself breaks the lines, so that a command in them can be copied.
    """
    from rich.text import Text

    out = console(stderr=stderr)
    shown = plain(text, stderr=stderr)
    if out.is_terminal and not whole:
        shown = "\n".join(_broken(line, out.width, hang) for line in shown.split("\n"))
    line = Text(shown, style=style)
    line.stylize("dim", 0, dimmed)
    out.print(line, soft_wrap=True)


def _broken(line: str, width: int, hang: str) -> str:
    begin = line[: len(line) - len(line.lstrip(" "))]
    return textwrap.fill(
        line[len(begin) :],
        max(width, 20),
        initial_indent=begin,
        subsequent_indent=begin + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


def plain(text: str, *, stderr: bool = False) -> str:
    """The text without control characters, and with signs that the terminal has."""
    shown = "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
    encoding = getattr(sys.stderr if stderr else sys.stdout, "encoding", None) or "utf-8"
    for sign, instead in SIGNS.items():
        if sign in shown and not _encodes(encoding, sign):
            shown = shown.replace(sign, instead)
    return shown


def _encodes(encoding: str, sign: str) -> bool:
    try:
        return bool(sign.encode(encoding))
    except (LookupError, UnicodeEncodeError):
        return False


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print labels with values, the values below each other."""
    shown = [*rows]
    width = max(len(label) for label, _ in shown)
    for label, value in shown:
        begin = len(label) - len(label.lstrip())
        say(f"{label:<{width}}  {value}", hang=" " * (width + 2 - begin), dimmed=len(label))


def show(facts: Mapping[str, Any], as_json: bool, human: Callable[[], object]) -> None:
    """Print facts: as JSON for programs, or as `human` does it for people."""
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        human()


def moment(instant: float) -> str:
    """A POSIX timestamp (seconds) for people: local time and zone, and how far away it is."""
    at = time.strftime("%Y-%m-%d %H:%M %z", time.localtime(instant))
    return f"{at} ({distance(instant - time.time())})"


def distance(seconds: float) -> str:
    """How far away something is, in the unit that fits: "in 5 minutes", "3 days ago"."""
    size = round(abs(seconds))
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, length = next((each for each in units if size >= each[1]), units[-1])
    count = size // length
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {text}" if seconds >= 0 else f"{text} ago"
