"""Peer: a record of how a library of others is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import UnmeasuredError, installed
from benchmarks.libraries import Library
from benchmarks.logins import Login

__all__ = ["Peer", "Way"]


@dataclass(frozen=True, slots=True)
class Way:
    """How a peer is used with one HTTP library. None stands for what the library itself does.

    Attributes:
        auth: The auth object for a login.
        client: A client for a login; whether it answers from memory.
        request: A new request to a URL, as the auth object takes it.
        apply: One application of the auth object to a request, until it may be sent.
        answered: The same, and the answer 200; None, where `apply` is given: as that.
        get: GET of a URL with the client: the status.
        close: Close the client.
    """

    auth: Callable[[Login], Any]
    client: Callable[[Login, bool], Any] | None = None
    request: Callable[[str], Any] | None = None
    apply: Callable[[Any, Any], Any] | None = None
    answered: Callable[[Any, Any], Any] | None = None
    get: Callable[[Any, str], Any] | None = None
    close: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is measured.

    Attributes:
        name: In tables.
        distribution: Its name in the registry; "" for what is written by hand.
        ways: By the names of `libraries.LIBRARIES`.
        does_not: What it does not check or do, for the page.
        imports: By library, the statement with which a program gets its auth object.
        leeway: Seconds before the end at which it renews a token by itself.
        counts_from_sending: Whether the life of a token begins for it when it asks for one, not
            when it gets it.
        knows_expiry: Whether it renews before a 401.
        handles_401: Whether it renews after a 401.
        renews: Whether it renews at all.
        rotates: Whether it uses refresh tokens here.
        routes_sites: Whether it sends requests to a site to the gateway.
        lacks: By library, why there is no way.
    """

    name: str
    distribution: str
    ways: Mapping[str, Way]
    does_not: str
    imports: Mapping[str, str]
    leeway: float = 0.0
    counts_from_sending: bool = False
    knows_expiry: bool = True
    handles_401: bool = False
    renews: bool = True
    rotates: bool = True
    routes_sites: bool = False
    lacks: Mapping[str, str] | None = None

    @property
    def version(self) -> str:
        """As it is installed; "" if it is not, or written by hand."""
        return installed(self.distribution)

    def lacking(self, library: str) -> str:
        """Why there is no way for a library; "" if there is one."""
        if library in self.ways:
            return ""
        return (self.lacks or {}).get(library, "there is no auth object for this HTTP library")

    def way(self, library: Library) -> Way:
        """How it is used with the library, with nothing left out.

        Raises:
            UnmeasuredError: It does not work with it.
        """
        if lacking := self.lacking(library.name):
            raise UnmeasuredError(lacking)
        way = self.ways[library.name]
        return Way(
            auth=way.auth,
            client=way.client or (lambda login, memory: library.client(way.auth(login), memory)),
            request=way.request or library.request,
            apply=way.apply or library.apply,
            answered=way.answered or way.apply or library.answered,
            get=way.get or library.get,
            close=way.close or library.close,
        )
