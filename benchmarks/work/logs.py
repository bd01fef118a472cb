"""Secrets in logs at level DEBUG, and in the repr of the auth object."""

from __future__ import annotations

import io
import logging

from benchmarks.figures import Column, Figure, Round, Work
from benchmarks.libraries import LIBRARIES
from benchmarks.load import one_after_the_other, user_of
from benchmarks.logins import CLIENT_SECRET, Login
from benchmarks.server import local_server

#: Of a token, as many characters as say whose it is. Tokens of the server begin with "issued".
START = 60


def measure(column: Column, peer: str, tiny: bool) -> Round:
    """See `figures.Work`."""
    user = user_of(column, peer)
    stream = io.StringIO()
    logging.basicConfig(level=logging.DEBUG, stream=stream)
    logging.getLogger("httpcore").setLevel(logging.INFO)  # logs every header, whoever set it
    logging.getLogger("httpcore2").setLevel(logging.INFO)
    with local_server() as server:
        login = Login(base=server.base).expired()
        one_after_the_other(user, login, [login.url] * 2)
        shown = repr(user.way.auth(login))
    secrets = {
        "access token": login.access_token[:START],
        "refresh token": login.refresh_token[:START],
        "client secret": CLIENT_SECRET,
        "new access token": "issued-1".ljust(START, "i"),
    }
    found = [name for name, secret in secrets.items() if secret in stream.getvalue()]
    seen = [name for name, secret in secrets.items() if secret in shown]
    return {
        "secrets": "no secret" if not found + seen else "secrets",
        "in logs": f"in logs: {', '.join(found) or 'none'}",
        "in repr": f"in repr: {', '.join(seen) or 'none'}",
    }


WORK = Work(
    "logs",
    "Secrets in logs",
    "A renewal and a request with all loggers at level DEBUG (those of httpcore, which log every "
    "header of every program, at INFO), and the repr of the auth object: which secrets are there?",
    tuple(Column(library, library) for library in LIBRARIES),
    (Figure("secrets", "", "no secret"), Figure("in logs", "{}"), Figure("in repr", "{}")),
    measure,
    rounds=1,
    beside=2,
    seconds=1.5,
)
