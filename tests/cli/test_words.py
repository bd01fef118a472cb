"""The command speaks of the command: no text that it can print names a part of a Python API."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter import errors
from atlassian_auth_adapter.cli.terminal import EXIT_CODES
from atlassian_auth_adapter.cli.words import NAMES, about, as_options

from .helpers import API

PACKAGE = Path(atlassian_auth_adapter.__file__).parent
#: What no command loads.
NOT_OF_THE_COMMAND = re.compile(
    r"^(adapters/|sdk/|testing/|lazy|stand_ins|pickling|clients/(static|factory)"
    r"|stores/(redis|sql/|context|legacy_context|memory))"
)
#: Texts that a command never prints, by their begin, each with the reason.
NEVER_PRINTED = {
    "replaced by the words of the command": (
        "Open the URL of oauth_start()",
        "End the program that listens there",
        "If you expected it, ",
        "Remove the app in the account's settings",
    ),
    "of a value that options and variables cannot have": (
        "a value of type ",
        "cloud: a value of type ",
        "store: a value of type ",
        "clock: a value of type ",
        "expiry: a value of type ",
        "on_event",
        "scope_set: ",
        "product: X is for X. Use create_atlassian_oauth_client",
        "backend must be a keyring",
        "that is not a name of a store's entry",
        "key X of X of the EncryptedTokenStore",
        "the EncryptedTokenStore has no key",
        "the function that returns the keys",
        "EncryptedTokenStore encrypts another store",
        "Make one with cryptography.fernet",
        "proxy() ",
        "X raised X, which is not a TokenStoreError",
    ),
    "of methods that no command calls": (
        "the server refuses the given refresh token",
        "X: the entry is not encrypted",
    ),
    "of a pickle": (
        "this client was unpickled",
        "this was unpickled",
        "this EncryptedTokenStore was unpickled",
        "X was unpickled",
    ),
}


def texts_in(source: str) -> Iterator[tuple[int, str]]:
    """The texts of a module that are no docstrings and not for programs, each with its line."""

    def visit(node: ast.AST) -> Iterator[tuple[int, str]]:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if is_docstring or name in ("TypeError", "AttributeError"):
            return
        if isinstance(node, ast.JoinedStr | ast.Constant):
            yield node.lineno, _text(node)
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(source))


def _text(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = (str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    return "".join(parts)


def _all_texts() -> Iterator[tuple[str, str]]:
    """Every text that the command can print, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not NOT_OF_THE_COMMAND.search(name):
            for line, text in texts_in(path.read_text("utf-8")):
                if len(text.split()) > 3 and text not in NAMES:
                    yield f"{name}:{line}", text


def test_no_text_that_the_command_can_print_names_the_api() -> None:
    """Options, variables and other commands stand in the place of arguments and functions."""
    never = tuple(begin for begins in NEVER_PRINTED.values() for begin in begins)
    found = [
        f"{where}: {name[0]!r} in {as_options(text)!r}"
        for where, text in _all_texts()
        if not text.startswith(never) and (name := API.search(as_options(text)))
    ]
    assert not found, "\n".join(["", *found])


def test_each_exception_is_still_there() -> None:
    """What is never printed is listed by name, and the list is not longer than it has to be."""
    texts = [text for _, text in _all_texts() if API.search(as_options(text))]
    begins = [begin for each in NEVER_PRINTED.values() for begin in each]
    assert [begin for begin in begins if not any(text.startswith(begin) for text in texts)] == []


def test_each_name_is_still_used() -> None:
    """A name that the library does not write any more needs no words of the command."""
    texts = [text for _, text in _all_texts()] + [
        "ConnectionError: no route",
        "sent: LocationParseError",
        "no answer: ProtocolError.",
    ]
    texts += ["FileTokenStore('/x')", "KeyringTokenStore('x', backend=<y>, directory='/x')"]
    unused = [name for name in NAMES if not any(re.search(name, text) for text in texts)]
    assert unused == []


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_words(name: str) -> None:
    """What happened, what to do, a kind for programs and a documented exit code."""
    kind = getattr(errors, name)
    advice = "Call oauth_start() again, with `verify`."
    said = about(kind("callback_url is not a URL.", advice=advice), "work")
    assert said.text
    assert not API.search(str(said)) or said.code == 1
    assert re.fullmatch("[a-z_]+", said.kind)
    assert said.code in {code for code, _, _ in EXIT_CODES}
    assert said.facts["error"]["exit_code"] == said.code
    assert "{p}" not in str(said)


@pytest.mark.parametrize("reason", ["no_token", "no_refresh_token", "refused", "answer_lost"])
def test_a_dead_login_names_the_command_that_helps(reason: str) -> None:
    """With the profile that it is about, unless that is the usual one."""
    error = errors.LoginRequiredError("x", reason=reason)
    assert about(error, "work").advice == "Sign in: atlassian-auth login -p work"
    assert about(error, "default").advice == "Sign in: atlassian-auth login"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server_url: X is Cloud. Pass site_url.", "--server: X is Cloud. Give --site."),
        ("verify: there is no file.", "ATLASSIAN_CA_BUNDLE: there is no file."),
        ("no answer: ConnectionError: gaierror: [Errno -2] no", "no answer: [Errno -2] no"),
        ("FileTokenStore('/home/ada/x') did not keep it", "/home/ada/x did not keep it"),
        ("forget() the login, and sign in", "run atlassian-auth logout --local, and sign in"),
        ("read:jira-user offline_access", "read:jira-user offline_access"),
    ],
)  # fmt: skip
def test_arguments_become_options(text: str, said: str) -> None:
    """The same text for a program and for a person at a terminal; scopes stay as they are."""
    assert as_options(text) == said
