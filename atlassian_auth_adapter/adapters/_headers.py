"""Headers of one request: the request that httpx makes of it for a redirect has no Authorization.

httpx copies the headers of a request into the one that follows its redirect, on the same origin
with the token, whatever the path, and asks no auth object. Only the transport could say where that
request goes, and of all transports httpcore's alone calls the `trace` extension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from atlassian_auth_adapter.secret_text import hidden

__all__ = ["UncopiedHeaders"]

_NAME = "Authorization"
_LOWER_NAME = _NAME.lower().encode()


class UncopiedHeaders:
    """A base class for a library's `Headers` that show the token, and do not copy it.

    Readers get all headers. The library copies what its own class holds, and that is everything but
    the token, until `allow_copies` is called.

    Args:
        headers: Those of the request so far; with or without a credential.
        authorization: The value of Authorization.
    """

    def __init__(self, headers: Any, authorization: str) -> None:
        before = headers.all if isinstance(headers, UncopiedHeaders) else headers
        super().__init__(before)  # type: ignore[call-arg]
        self.all: Any = type(before)(before)
        self.all[_NAME] = authorization
        if any(name.lower() == _LOWER_NAME for name, _ in before.raw):
            super().__delitem__(_NAME)  # type: ignore[misc]

    def allow_copies(self) -> None:
        """Let copies have the token as well: the transport shows where they are sent."""
        if _NAME in self.all:  # else the program has taken it off
            super().__setitem__(_NAME, hidden(self.all[_NAME]))  # type: ignore[misc]

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """What is sent."""
        raw: list[tuple[bytes, bytes]] = self.all.raw
        return raw

    def __getitem__(self, key: str) -> str:
        return str(self.all[key])

    def __setitem__(self, key: str, value: str) -> None:
        self.all[key] = value
        if key.lower() != _NAME.lower():
            super().__setitem__(key, value)  # type: ignore[misc]

    def __delitem__(self, key: str) -> None:
        del self.all[key]
        if super().__contains__(key):  # type: ignore[misc]
            super().__delitem__(key)  # type: ignore[misc]

    def update(self, headers: Any = None) -> None:
        """Replace what these headers name."""
        super().update(headers)  # type: ignore[misc]
        self.all.update(headers)
        if super().__contains__(_NAME):  # type: ignore[misc]
            super().__delitem__(_NAME)  # type: ignore[misc]

    def __contains__(self, key: Any) -> bool:
        return key in self.all

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __eq__(self, other: object) -> bool:
        return bool(self.all == other)

    __hash__ = None  # type: ignore[assignment]  # as the library's

    def __repr__(self) -> str:
        return repr(self.all)

    def keys(self) -> Any:
        """As of a dict."""
        return self.all.keys()

    def values(self) -> Any:
        """As of a dict."""
        return self.all.values()

    def items(self) -> Any:
        """As of a dict; several of one name are one, separated by commas."""
        return self.all.items()

    def multi_items(self) -> Any:
        """Each on its own."""
        return self.all.multi_items()

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        """Each of one name."""
        values: list[str] = self.all.get_list(key, split_commas)
        return values

    def copy(self) -> Any:
        """All of them, as plain headers of the library."""
        return self.all.copy()
