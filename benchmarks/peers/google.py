"""google-auth: credentials of a person with a refresh token, and its session of requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.libraries import answers_from_memory, many_connections
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way

#: It has classes for tasks as well, all but those for a constant token with a leading underscore.
NO_TASKS = "google-auth's public classes for tasks take a constant token only"


def credentials(login: Login) -> Any:
    """The credentials."""
    from google.oauth2.credentials import Credentials

    end = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=login.lifetime)
    return Credentials(
        login.access_token,
        refresh_token=login.refresh_token,
        token_uri=login.token_url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        expiry=end,
    )


def non_blocking(login: Login) -> Any:
    """The credentials that renew in the background while the token is still valid."""
    made = credentials(login)
    made.with_non_blocking_refresh()
    return made


def with_credentials(make: Any) -> Way:
    """The session of requests with such credentials."""

    def session(login: Login, memory: bool) -> Any:
        from google.auth.transport.requests import AuthorizedSession

        made = AuthorizedSession(make(login))
        made.trust_env = False
        answers_from_memory(made) if memory else many_connections(made)
        return made

    return Way(
        make,
        session,
        apply=lambda made, request: made.before_request(
            None, request.method, request.url, request.headers
        ),
    )


PEER = Peer(
    "google-auth",
    "google-auth",
    {"requests": with_credentials(credentials)},
    "no origin; threads renew without a lock",
    {"requests": "from google.auth.transport.requests import AuthorizedSession"},
    leeway=225.0,
    handles_401=True,
    lacks={"aiohttp": NO_TASKS},
)

NON_BLOCKING = replace(
    PEER,
    name="google-auth, non-blocking",
    ways={"requests": with_credentials(non_blocking)},
    does_not="no origin",
)
