"""SecretText: a str whose repr hides it.

Error reporters print the repr of every local variable: rich with `show_locals`, pytest with
`--showlocals`, `traceback` with `capture_locals`, services that collect errors. So tokens, codes,
secrets, passwords and what is built of them travel as `SecretText`, also through the frames of
other libraries. In every other way it is the text itself: `print` and `str.format` show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self, SupportsIndex, TypeVar, cast, overload

__all__ = ["SecretBytes", "SecretText", "hidden"]

T = TypeVar("T")


class _Hidden:
    """A value that cannot change, and that reprs do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self


class SecretText(_Hidden, str):
    """A str that reprs do not show. What is derived of it is a plain str, but for its parts:

    rich shows the repr of the first characters of a long text. A pickle of it is that of the str.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)

    def __getitem__(self, key: SupportsIndex | slice) -> SecretText:
        return SecretText(super().__getitem__(key))

    def partition(self, sep: str) -> tuple[str, str, str]:
        """As `str.partition`."""
        before, found, after = super().partition(sep)
        return SecretText(before), found, SecretText(after)

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretBytes:
        """As `str.encode`; HTTP libraries do it with the values of headers."""
        return SecretBytes(super().encode(encoding, errors))


class SecretBytes(_Hidden, bytes):
    """Bytes that reprs do not show, as `SecretText`."""

    __slots__ = ()

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(self),)

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> SecretBytes: ...
    def __getitem__(self, key: SupportsIndex | slice) -> int | SecretBytes:
        found = super().__getitem__(key)
        return SecretBytes(found) if isinstance(found, bytes) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> SecretText:
        """As `bytes.decode`."""
        return SecretText(super().decode(encoding, errors))


class _SecretPartial(partial[Any]):
    """A partial that reprs do not show: its arguments may be secrets."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<partial of {self.func!r}>"


def hidden(value: T) -> T:
    """The same value, of which reprs show no text; other values as they are.

    Of lists, mappings and partials it is a copy: a list, a dict whose values are hidden, a partial.
    """
    if isinstance(value, str):
        return cast("T", SecretText(value))
    if isinstance(value, bytes):
        return cast("T", SecretBytes(value))
    if isinstance(value, list):
        return cast("T", [hidden(item) for item in value])
    if isinstance(value, Mapping):
        return cast("T", {key: hidden(item) for key, item in value.items()})
    if isinstance(value, partial):
        return cast("T", _SecretPartial(value.func, *value.args, **value.keywords))
    return value
