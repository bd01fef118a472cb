"""Headers of one request: the request that httpx makes of it for a redirect has no Authorization.

httpx copies the headers of a request into the one that follows its redirect, on the same origin
with the token, whatever the path, and asks no auth object. Only the transport could say where that
request goes, and of all transports httpcore's alone calls the `trace` extension.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from atlassian_auth_adapter.adapters._trace import Traced
from atlassian_auth_adapter.secret_text import hidden

if TYPE_CHECKING:
    import httpx

    from atlassian_auth_adapter.adapters._httpx_family import HTTPXFamilyAuth

__all__ = ["UncopiedHeaders"]

_NAME = "Authorization"
_LOWER_NAME = _NAME.lower()
#: What is of no use without the request.
_OF_THE_REQUEST = frozenset(("auth", "request", "inner"))
_LOOKED_FOR = frozenset((b"authorization", b"cookie"))


class UncopiedHeaders(Traced):
    """A base class for a library's `Headers` that show the token, and do not copy it.

    Readers get all headers. The library copies what its own class holds, and that is everything but
    Authorization, until `allow_copies` is called.

    Args:
        auth: The auth object.
        request: The request, whose headers so far these are. An Authorization is replaced.
        authorization: The value of Authorization.
    """

    #: None: the program has taken it off.
    authorization: str | None
    #: Whether there was a Cookie.
    has_cookies = False
    _is_copied = False
    _is_as_known = False
    _encoding: str | None = None  # the library's own: what its constructor would set

    def __init_subclass__(cls) -> None:
        """Note whether the library keeps its headers as httpx 0.28 and httpx2 2.16 do."""
        library: Any = cls.__mro__[cls.__mro__.index(Traced) + 1]
        kept = vars(library({"A": "b"}))
        cls._is_as_known = kept == {"_list": [(b"A", b"a", b"b")], "_encoding": None}

    def __init__(self, auth: HTTPXFamilyAuth, request: httpx.Request, authorization: str) -> None:
        self.auth = auth
        self.request = request
        self.authorization = authorization
        headers: Any = request.headers
        if self._is_as_known:
            self._list = listed = headers._list.copy()  # noqa: SLF001 - the constructor is slow
            for _, name, _ in listed:
                if name in _LOOKED_FOR:
                    break
            else:
                return
        else:
            super().__init__(headers)  # type: ignore[call-arg]
        present = {name.lower() for name, _ in super().raw}  # type: ignore[misc]
        self.has_cookies = b"cookie" in present
        if b"authorization" in present:
            super().__delitem__(_NAME)  # type: ignore[misc]

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or a pickle in another process, has: headers only."""
        return {key: value for key, value in vars(self).items() if key not in _OF_THE_REQUEST}

    def allow_copies(self) -> None:
        """Let copies have the token as well: the transport shows where they are sent."""
        if self.authorization is not None:
            super().__setitem__(_NAME, hidden(self.authorization))  # type: ignore[misc]
            self._is_copied = True

    def _replace(self, authorization: str | None) -> None:
        self.authorization = authorization
        if self._is_copied:
            super().__delitem__(_NAME)  # type: ignore[misc]
            self._is_copied = False

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """What is sent."""
        raw: list[tuple[bytes, bytes]] = super().raw  # type: ignore[misc]
        if self.authorization is not None and not self._is_copied:
            raw.append((_NAME.encode(), self.authorization.encode()))
        return raw

    def copy(self) -> Any:
        """All of them, as plain headers of the library."""
        plain = super().copy()  # type: ignore[misc]
        if self.authorization is not None:
            plain[_NAME] = hidden(self.authorization)
        return plain

    def __getitem__(self, key: str) -> str:
        if key.lower() == _LOWER_NAME and self.authorization is not None:
            return str(self.authorization)
        return str(super().__getitem__(key))  # type: ignore[misc]

    def __setitem__(self, key: str, value: str) -> None:
        if key.lower() == _LOWER_NAME:
            self._replace(value)
        else:
            super().__setitem__(key, value)  # type: ignore[misc]

    def __delitem__(self, key: str) -> None:
        if key.lower() == _LOWER_NAME and self.authorization is not None:
            self._replace(None)
        else:
            super().__delitem__(key)  # type: ignore[misc]

    def update(self, headers: Any = None) -> None:
        """Replace what these headers name."""
        super().update(headers)  # type: ignore[misc]
        # The library has taken off what was there, and added the new one to its own.
        if self.authorization is None and super().__contains__(_NAME):  # type: ignore[misc]
            self.authorization = super().__getitem__(_NAME)  # type: ignore[misc]
            super().__delitem__(_NAME)  # type: ignore[misc]

    def __contains__(self, key: Any) -> bool:
        if key.lower() == _LOWER_NAME:
            return self.authorization is not None
        return bool(super().__contains__(key))  # type: ignore[misc]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return bool(self.copy() == other)

    __hash__ = None  # type: ignore[assignment]  # as the library's

    def __repr__(self) -> str:
        return repr(self.copy())

    def keys(self) -> Any:
        """As of a dict."""
        return self.copy().keys()

    def values(self) -> Any:
        """As of a dict."""
        return self.copy().values()

    def items(self) -> Any:
        """As of a dict; several of one name are one, separated by commas."""
        return self.copy().items()

    def multi_items(self) -> Any:
        """Each on its own."""
        return self.copy().multi_items()

    def get_list(self, key: str, split_commas: bool = False) -> list[str]:
        """Each of one name."""
        values: list[str] = self.copy().get_list(key, split_commas)
        return values
