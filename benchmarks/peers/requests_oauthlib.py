"""requests-oauthlib: its session renews, its auth object does not."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.libraries import answers_from_memory, many_connections
from benchmarks.logins import CLIENT_ID, CLIENT_SECRET, Login
from benchmarks.peers.base import Peer, Way

#: As its documentation says for a server of this machine, which is reached by http.
os.environ.setdefault("OAUTHLIB_INSECURE_TRANSPORT", "1")


def auth(login: Login) -> Any:
    """The auth object."""
    from requests_oauthlib import OAuth2

    return OAuth2(CLIENT_ID, token=login.token)


def session(login: Login, memory: bool) -> Any:
    """The session."""
    from requests_oauthlib import OAuth2Session

    made = OAuth2Session(
        CLIENT_ID,
        token=login.token,
        auto_refresh_url=login.token_url,
        auto_refresh_kwargs={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        token_updater=lambda token: None,
    )
    made.trust_env = False
    answers_from_memory(made) if memory else many_connections(made)
    return made


PEER = Peer(
    "requests-oauthlib",
    "requests-oauthlib",
    {"requests": Way(auth, session)},
    "no origin; no 401; threads renew without a lock; the auth object alone: no renewal",
    {"requests": "from requests_oauthlib import OAuth2Session"},
)
