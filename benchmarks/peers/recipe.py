"""What the documentation of httpx and of aiohttp shows for a token that is renewed after a 401,
written anew.

Sources: python-httpx.org/advanced/authentication, "Custom authentication schemes";
docs.aiohttp.org, "Client Middleware Cookbook", "Token Refresh Middleware"; read 2026-11-27.
"""

from __future__ import annotations

import asyncio
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import Any

from benchmarks.logins import Login
from benchmarks.peers.base import Peer, Way


class Renewing:
    """What becomes an auth object of httpx or httpx2."""

    requires_response_body = True

    def __init__(self, login: Login, library: Any) -> None:
        self.login, self.library, self.token = login, library, login.token

    def auth_flow(self, request: Any) -> Any:
        """Called by the library."""
        request.headers["Authorization"] = f"Bearer {self.token['access_token']}"
        response = yield request
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            form = self.login.refresh(self.token["refresh_token"])
            answer = yield self.library.Request("POST", self.login.token_url, data=form)
            self.token = {**self.token, **answer.json()}
            request.headers["Authorization"] = f"Bearer {self.token['access_token']}"
            yield request


class RenewingMiddleware:
    """The middleware of aiohttp. Its token request goes through itself, as there."""

    def __init__(self, login: Login) -> None:
        self.login, self.token = login, login.token
        self.lock = asyncio.Lock()

    async def __call__(self, request: Any, handler: Any) -> Any:
        """Called by aiohttp."""
        answer = None
        for _ in range(2):
            sent = self.token["access_token"]
            request.headers["Authorization"] = f"Bearer {sent}"
            answer = await handler(request)
            if answer.status != HTTPStatus.UNAUTHORIZED:
                break
            async with self.lock:
                if sent == self.token["access_token"]:
                    form = self.login.refresh(self.token["refresh_token"])
                    async with request.session.post(self.login.token_url, data=form) as renewed:
                        self.token = {**self.token, **await renewed.json()}
        return answer


@cache
def class_for(library: Any) -> Any:
    """The class of the auth object."""
    return type("RenewingAuth", (Renewing, library.Auth), {})


def with_module(module: str) -> Way:
    """The auth object for httpx or httpx2."""

    def auth(login: Login) -> Any:
        library = import_module(module)
        return class_for(library)(login, library)

    return Way(auth)


PEER = Peer(
    "recipe of the docs",
    "",
    {
        "httpx": with_module("httpx"),
        "httpx async": with_module("httpx"),
        "httpx2": with_module("httpx2"),
        "httpx2 async": with_module("httpx2"),
        "aiohttp": Way(RenewingMiddleware),
    },
    "no origin; no expiry: each token is used until a 401; no check of the token answer; a lock "
    "with aiohttp only",
    {},
    knows_expiry=False,
    handles_401=True,
)
