"""Authlib: its sessions and clients, which know expiry; so does its auth object for requests.

Authlib takes httpx2 where it is installed, and httpx, which it calls deprecated, otherwise. For a
measurement over httpx the process is told that there is no httpx2.
"""

from __future__ import annotations

import sys
import time
import warnings
from importlib import import_module
from typing import Any

from benchmarks.libraries import answers_from_memory, httpx_settings, many_connections
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way


def settings_of(login: Login) -> dict[str, Any]:
    """Arguments of each session and client."""
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "token_endpoint": login.token_url,
        "token_endpoint_auth_method": "client_secret_post",
        "token": {**login.token, "expires_at": int(time.time() + login.lifetime)},
    }


def session(login: Login, memory: bool = True) -> Any:
    """A session of requests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from authlib.integrations.requests_client import OAuth2Session

    made = OAuth2Session(**settings_of(login))
    made.trust_env = False
    answers_from_memory(made) if memory else many_connections(made)
    return made


def with_httpx(module: str, name: str) -> Way:
    """A client of httpx or httpx2."""

    def client(login: Login, memory: bool = True) -> Any:
        if module == "httpx":
            modules: dict[str, Any] = sys.modules
            modules["httpx2"] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cls = getattr(import_module("authlib.integrations.httpx_client"), name)
        return cls(**settings_of(login), **httpx_settings(import_module(module), memory))

    return Way(lambda login: client(login).token_auth, client)


PEER = Peer(
    "Authlib",
    "Authlib",
    {
        "requests": Way(lambda login: session(login).token_auth, session),
        "httpx": with_httpx("httpx", "OAuth2Client"),
        "httpx async": with_httpx("httpx", "AsyncOAuth2Client"),
        "httpx2": with_httpx("httpx2", "OAuth2Client"),
        "httpx2 async": with_httpx("httpx2", "AsyncOAuth2Client"),
    },
    "no origin; no 401; threads renew without a lock; the auth object of httpx alone: no expiry",
    {
        "requests": "from authlib.integrations.requests_client import OAuth2Session",
        "httpx": "import sys; sys.modules['httpx2'] = None; "
        "from authlib.integrations.httpx_client import OAuth2Client",
        "httpx2": "from authlib.integrations.httpx_client import OAuth2Client",
        "httpx2 async": "from authlib.integrations.httpx_client import AsyncOAuth2Client",
    },
    leeway=60.0,
)
