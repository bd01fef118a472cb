"""The floor: an auth object that sets one constant header."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from benchmarks.logins import Login
from benchmarks.peers.base import Peer, Way


def for_requests(login: Login) -> Any:
    """An auth object of requests."""
    from requests.auth import AuthBase

    value = f"Bearer {login.access_token}"

    class HeaderAuth(AuthBase):
        def __call__(self, request: Any) -> Any:
            request.headers["Authorization"] = value
            return request

    return HeaderAuth()


class Header:
    """What becomes an auth object of httpx or httpx2."""

    def __init__(self, value: str) -> None:
        self.value = value

    def auth_flow(self, request: Any) -> Any:
        """Called by the library."""
        request.headers["Authorization"] = self.value
        yield request


def for_httpx(module: str) -> Way:
    """An auth object of httpx or httpx2."""

    def auth(login: Login) -> Any:
        cls = type("HeaderAuth", (Header, import_module(module).Auth), {})
        return cls(f"Bearer {login.access_token}")

    return Way(auth)


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
        "requests": Way(for_requests),
        "httpx": for_httpx("httpx"),
        "httpx async": for_httpx("httpx"),
        "httpx2": for_httpx("httpx2"),
        "httpx2 async": for_httpx("httpx2"),
        "aiohttp": Way(for_aiohttp),
    },
    "the floor: no expiry, no 401, no origin, no renewal",
    {},
    knows_expiry=False,
    renews=False,
)
