"""A host of Atlassian's: a role, what it serves, and what every request passes: weather and log."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from .http import Answer, Request, Response
from .log import Log, LoggedRequest, TokenNote, TokenRequest
from .weather import Fault, Weather

Note = Callable[[Request], TokenNote]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks a resource. `scopes` None: not limited by scopes (Basic, a session, a PAT).

    `base` is the absolute URL under which the resource was reached: `self` links begin with it.
    """

    name: str = ""
    base: str = ""
    scopes: frozenset[str] | None = None

    @property
    def anonymous(self) -> bool:
        """Whether nobody is logged in."""
        return not self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has found its route: what the path said, and who asks."""

    request: Request
    match: re.Match[str]
    caller: Caller

    def __getitem__(self, group: str) -> str:
        return self.match[group]


Handler = Callable[[Call], Response]
NOBODY = Caller()


def on_request(answer: Answer) -> Handler:
    """A handler of something that needs the request only."""
    return lambda call: answer(call.request)


class Routes:
    """Paths and who serves them: the first pattern that fits the whole path wins."""

    def __init__(self, missing: Answer) -> None:
        self._routes: list[tuple[frozenset[str], re.Pattern[str], Handler]] = []
        self._missing = missing

    def add(self, methods: str, pattern: str, handler: Handler) -> None:
        """Serve the blank-separated methods (`*`: all) of the paths that fit the pattern."""
        self._routes.append((frozenset(methods.split()), re.compile(pattern), handler))

    def answer(self, request: Request, caller: Caller = NOBODY) -> Response:
        """The answer of the first route that fits; 405 and OPTIONS are answered here."""
        method = "GET" if request.method == "HEAD" else request.method
        allowed: set[str] = set()
        for methods, pattern, handler in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            if method in methods or "*" in methods:
                return handler(Call(request, match, caller))
            allowed |= methods
        if not allowed:
            return self._missing(request)
        listed = ", ".join(sorted({*allowed, "HEAD", "OPTIONS"}))
        return Response(200 if method == "OPTIONS" else 405, b"", {"Allow": listed})


@dataclass(frozen=True, slots=True)
class Host:
    """Answers requests in a role. Threads may share it."""

    role: str
    serve: Answer
    kind: Callable[[Request], str]
    weather: Weather
    log: Log
    now: Callable[[], float]
    note: Note | None = field(default=None)

    def answer(self, request: Request) -> Response:
        """The answer, after what the weather does to it; it is in the log when this returns."""
        at = self.now()
        kind = self.kind(request)
        note = self.note(request) if kind == "token" and self.note else None
        fault = self.weather.take(kind, request.path)
        try:
            response, outcome = self._answer(request, fault)
        except Exception:  # noqa: BLE001 - a bug in here must show as itself
            sys.stderr.write(traceback.format_exc())
            response = Response(
                500, traceback.format_exc().encode(), {"Content-Type": "text/plain; charset=utf-8"}
            )
            outcome = "fault:bug-in-emulator"
        name = fault.name if fault else ""
        record = None
        if note is not None:
            record = TokenRequest(
                at,
                note.flavour,
                note.grant_type,
                note.client_id,
                note.family,
                note.generation,
                outcome or "refused",
                response.status,
                name,
            )
        body = request.body.read() if self.role == "foreign" else b""
        self.log.add(
            LoggedRequest(
                at,
                self.role,
                request.method,
                request.target,
                request.headers,
                request.body.length,
                request.body.sha256,
                response.status,
                name,
                body,
            ),
            record,
        )
        return response

    def _answer(self, request: Request, fault: Fault | None) -> tuple[Response, str]:
        if fault is None:
            response = self.serve(request)
            return response, response.outcome
        fault.arrive()
        real = self.serve(request) if fault.processes else None
        outcome = real.outcome if real else f"fault:{fault.name}"
        return fault.answer(real), outcome
