"""What httpx's documentation shows for a token that is renewed after a 401, written anew.

Source: python-httpx.org/advanced/authentication, "Custom authentication schemes", read 2026-11-28.
"""

from __future__ import annotations

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
    "recipe of httpx's docs",
    "",
    {
        "httpx": with_module("httpx"),
        "httpx async": with_module("httpx"),
        "httpx2": with_module("httpx2"),
        "httpx2 async": with_module("httpx2"),
    },
    "no origin; no expiry: each token is used until a 401; no lock, no check of the token answer",
    {},
    knows_expiry=False,
    handles_401=True,
)
