"""The log: records of token requests and of all requests. Token records hold no secret.

`LoggedRequest` keeps headers in clear, because tests prove with them that no token arrived at a
foreign host; its repr does not show them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

#: What an authorization server does with a token request; a fault may come before.
OUTCOMES = ("issued", "replayed_in_grace", "reuse_after_grace", "refused")
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request at a token endpoint.

    `at` is a POSIX timestamp of the emulator's clock. `generation` counts the refresh tokens of a
    family from 1; it is that of the token presented, 0 without one. `outcome` is what the server
    did: `issued`, `replayed_in_grace`, `reuse_after_grace`, `refused`, or `fault:<name>` when a
    fault came before the processing. `fault` names the fault in any case; `status` is what was
    answered, 0 when the connection was closed. The last four are set when it was answered.
    """

    flavour: str
    grant_type: str
    client_id: str
    family: str
    generation: int
    at: float = 0.0
    outcome: str = ""
    status: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class LoggedRequest:
    """One request on any host; `body` is kept for the role `foreign` only."""

    at: float
    role: str
    method: str
    target: str
    headers: Mapping[str, str]
    body_length: int
    body_sha256: str
    status: int
    fault: str = ""
    body: bytes = b""

    @property
    def host(self) -> str:
        """The role of the host that was asked."""
        return self.role

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def __repr__(self) -> str:
        shown = {
            name: "[redacted]" if name in _SECRET_HEADERS else value
            for name, value in self.headers.items()
        }
        query = "?[redacted]" if "?" in self.target else ""
        return (
            f"LoggedRequest(at={self.at}, role={self.role!r}, method={self.method!r},"
            f" target={self.path + query!r}, headers={shown}, body_length={self.body_length},"
            f" status={self.status}, fault={self.fault!r})"
        )


@dataclass(slots=True)
class Log:
    """What was asked and answered so far. Threads may share it."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _tokens: list[TokenRequest] = field(default_factory=list)
    _requests: list[LoggedRequest] = field(default_factory=list)

    def add(self, request: LoggedRequest, token: TokenRequest | None = None) -> None:
        """The request is in the log before its answer leaves."""
        with self._lock:
            self._requests.append(request)
            if token is not None:
                self._tokens.append(token)

    def reset(self) -> None:
        """The log is empty."""
        with self._lock:
            self._tokens.clear()
            self._requests.clear()

    @property
    def token_requests(self) -> tuple[TokenRequest, ...]:
        """The requests to the token endpoints, in order of their answers."""
        with self._lock:
            return tuple(self._tokens)

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The requests to any host, in order of their answers."""
        with self._lock:
            return tuple(self._requests)
