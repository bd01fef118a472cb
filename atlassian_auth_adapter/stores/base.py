"""What a store must do (TokenStore): keep a text under a name, and lock that name.

A store knows nothing of what a text says: `records` turns logins into texts and back. Write a
store of your own with these four methods, and let `testing.TokenStoreContract` try it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, runtime_checkable

from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    raise_clean,
)
from atlassian_auth_adapter.pickling import PickledByReference
from atlassian_auth_adapter.secret_text import SecretText
from atlassian_auth_adapter.values import Value

__all__ = [
    "KEPT",
    "Entry",
    "InsecureStoreWarning",
    "StoreOfOtherProcess",
    "TokenStore",
    "ask",
    "callable_failed",
    "check_version",
    "checked_name",
    "update",
]

T = TypeVar("T")

#: The end of the error about an entry that cannot be read.
KEPT = "It was kept as it is: move it away, or forget() the login, and sign in again."

#: The names that `records.TokenKey.name` gives: safe in file names, SQL and Redis.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.ASCII)

#: Times that another process may save first before the store counts as broken.
MOST_OVERTAKINGS = 100


class InsecureStoreWarning(UserWarning):
    """Others may read what the store keeps; the text says why. Given where the store is made."""


class Entry(Value):
    """What is stored under a name.

    Attributes:
        text: What was saved, to the letter. Not in the repr: it holds secrets.
        version: 1 for the first save of the name, +1 with every further one.
    """

    text: str
    version: int
    __slots__ = ("text", "version")
    _hidden: ClassVar[frozenset[str]] = frozenset({"text"})

    def __init__(self, text: str, version: int) -> None:
        text = SecretText(text)
        self._set(text=text, version=version)


@runtime_checkable
class TokenStore(Protocol):
    """Keeps one text per name, and owns the lock that a refresh needs. No method is optional.

    Threads share a store; each method may block on I/O. What goes wrong is raised as
    TokenStoreError with a text that names the place; as TokenStoreUnavailableError when the place
    cannot be reached just now, as during a restart: a refresh waits some seconds for it.

    Names are 1 to 63 characters of a-z, 0-9, "_", "." and "-"; texts are printable ASCII. One text
    may be as long as a megabyte.
    """

    def load(self, name: str) -> Entry | None:
        """The entry, or None without one.

        Raises:
            TokenStoreError: It cannot be read, or is damaged; it was left as it is.
        """

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        """The text is durable when this returns, and was written whole or not at all.

        Its version is `expected + 1`, or 1 for `expected=None`.

        Args:
            name: Under which name.
            text: What to keep.
            expected: Version that must be stored now; None: there must be no entry.

        Raises:
            StaleRecordError: Another version is stored; nothing was written.
            TokenStoreError: It cannot be written; the previous entry still stands.
        """

    def delete(self, name: str) -> None:
        """There is no entry afterwards. No error when there was none.

        Raises:
            TokenStoreError: It cannot be deleted.
        """

    def lock(self, name: str, *, timeout: float) -> AbstractContextManager[None]:
        """Exclusive among all that share the store, until the context ends or its holder dies.

        Not reentrant. A forked child of the holder does not hold it.

        Args:
            name: What to lock; no entry needs to be there.
            timeout: Seconds to wait for another holder.

        Raises:
            TokenStoreTimeoutError: Another thread or process held it all that time.
            TokenStoreError: There is no such lock here.
        """


def checked_name(name: str) -> str:
    """The name itself; raises ConfigurationError if a file name, SQL or Redis could misread it."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ConfigurationError(
        "that is not a name of a store's entry: up to 63 characters of a-z, 0-9, '_', "
        "'.' and '-'. TokenKey.name is one."
    )


def check_version(stored: Entry | None, expected: int | None, where: str) -> int:
    """The version to save next; raises StaleRecordError unless `expected` is stored at `where`."""
    if (stored and stored.version) != expected:
        there = f"version {stored.version}" if stored else "no entry"
        wanted = "no entry" if expected is None else f"version {expected}"
        raise StaleRecordError(f"{where} has {there}, not {wanted}. Load it again.")
    return (expected or 0) + 1


def ask(store: object, question: Callable[[], T]) -> T:
    """The answer of the store.

    Raises:
        TokenStoreError: The store has raised an error of another kind. Its text is not shown: it
            may hold what was to be stored.
    """
    try:
        return question()
    except AtlassianAuthError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a store raises
        failure = TokenStoreError(
            f"{store!r} raised {type(error).__name__}, which is not a TokenStoreError. Check that "
            "store; nothing is lost."
        )
        raise_clean(failure)


def update(store: TokenStore, name: str, change: Callable[[Entry | None], str | None]) -> None:
    """What is stored was changed as a whole, without the lock: compare-and-swap.

    Args:
        store: Where.
        name: Under which name.
        change: Returns the new text, None for no change; called again when another process has
            saved first.

    Raises:
        StaleRecordError: Other processes always saved first.
        TokenStoreError: As the store does.
    """
    for _ in range(MOST_OVERTAKINGS):
        entry = ask(store, partial(store.load, name))
        text = change(entry)
        if text is None:
            return
        with suppress(StaleRecordError):
            expected = entry.version if entry else None
            ask(store, partial(store.save, name, text, expected=expected))
            return
    raise StaleRecordError(
        f"{name!r} was not changed: other processes always saved it first. Try again."
    )


def callable_failed(what: str, error: Exception, secret: str) -> TokenStoreError:
    """What to raise when a callable of the program raised, whose text may contain the secret."""
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    return TokenStoreError(
        f"{what} raised {type(error).__name__} in {place.filename}, line {place.lineno}. Its text "
        f"is not shown: it may contain a {secret}."
    )


class StoreOfOtherProcess(PickledByReference):
    """What the pickle of a store becomes in a process that cannot reach the store's place.

    It has the repr of that store, and every method raises a TokenStoreError with the reason.
    """

    def __init__(self, shown: str, reason: str) -> None:
        self._shown, self._reason = shown, reason

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TokenStoreError(self._reason)

    load: Callable[..., NoReturn] = _refuse
    save: Callable[..., NoReturn] = _refuse
    delete: Callable[..., NoReturn] = _refuse
    lock: Callable[..., NoReturn] = _refuse
    create_table: Callable[..., NoReturn] = _refuse  # of SQLTokenStore

    def __repr__(self) -> str:
        return self._shown

    def _reduce_for_other_process(self) -> tuple[Any, ...]:
        return StoreOfOtherProcess, self._shown, self._reason
