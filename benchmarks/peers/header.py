"""The floor: an auth object that sets one constant header."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from benchmarks.logins import Login
from benchmarks.peers.base import Peer, Way


class Header:
    """What becomes an auth object of each library."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __call__(self, request: Any) -> Any:
        """Called by requests."""
        request.headers["Authorization"] = self.value
        return request

    def auth_flow(self, request: Any) -> Any:
        """Called by httpx and httpx2."""
        request.headers["Authorization"] = self.value
        yield request


@cache
def class_for(module: str, name: str) -> Any:
    """The class of the auth object."""
    return type("HeaderAuth", (Header, getattr(import_module(module), name)), {})


def with_base(module: str, name: str) -> Way:
    """An auth object that inherits from that of a library."""
    return Way(lambda login: class_for(module, name)(f"Bearer {login.access_token}"))


def for_aiohttp(login: Login) -> Any:
    """A middleware of aiohttp."""
    value = f"Bearer {login.access_token}"

    async def header(request: Any, handler: Any) -> Any:
        request.headers["Authorization"] = value
        return await handler(request)

    return header


PEER = Peer(
    "constant header",
    "",
    {
        "requests": with_base("requests.auth", "AuthBase"),
        "httpx": with_base("httpx", "Auth"),
        "httpx async": with_base("httpx", "Auth"),
        "httpx2": with_base("httpx2", "Auth"),
        "httpx2 async": with_base("httpx2", "Auth"),
        "aiohttp": Way(for_aiohttp),
    },
    "the floor: no expiry, no 401, no origin, no renewal",
    {},
    knows_expiry=False,
    renews=False,
)
