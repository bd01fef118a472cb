"""A host: its role, what it serves, and what every request passes: scripted faults and the log."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from .faults import Fault, Faults
from .http import Answer, Request, Response
from .log import Log, LoggedRequest, TokenRequest

T = TypeVar("T")

Note = Callable[[Request], TokenRequest]


@dataclass(frozen=True, slots=True)
class Caller:
    """The account that a request belongs to. `scopes` None: no limit (Basic, a session, a PAT).

    `base` is the absolute URL under which the resource was reached: `self` links begin with it.
    """

    name: str = ""
    base: str = ""
    scopes: frozenset[str] | None = None

    @property
    def anonymous(self) -> bool:
        """Whether the caller is not logged in."""
        return not self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has found its route: what the path said, and whose it is."""

    request: Request
    match: re.Match[str]
    caller: Caller

    def __getitem__(self, group: str) -> str:
        return self.match[group]


Handler = Callable[[Call], Response]
Row = tuple[str, str, Handler]
ANONYMOUS = Caller()


def on_request(answer: Answer) -> Handler:
    """A handler of something that needs the request only."""
    return lambda call: answer(call.request)


def logged_in_or(refusal: Response) -> Callable[[Handler], Handler]:
    """Limits a handler to callers who are logged in; anonymous ones get the refusal."""
    return lambda handler: lambda call: refusal if call.caller.anonymous else handler(call)


def found_or(
    missing: Answer, find: Callable[[Call], T | None]
) -> Callable[[Callable[[Call, T], Response]], Handler]:
    """Gives a handler what `find` finds for the path; where that is None, `missing` answers."""

    def limit(handler: Callable[[Call, T], Response]) -> Handler:
        def answer(call: Call) -> Response:
            found = find(call)
            return missing(call.request) if found is None else handler(call, found)

        return answer

    return limit


class Routes:
    """Paths and what serves them: the first pattern that fits the whole path wins.

    Args:
        missing: What answers when no pattern fits.
        rows: Methods, separated by blanks (`*`: all), a pattern, and the handler.
    """

    def __init__(self, missing: Answer, *rows: Row) -> None:
        self._missing = missing
        self._routes = [
            (frozenset(methods.split()), re.compile(pattern), handler)
            for methods, pattern, handler in rows
        ]

    def answer(self, request: Request, caller: Caller = ANONYMOUS) -> Response:
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
    faults: Faults
    log: Log
    now: Callable[[], float]
    note: Note | None = field(default=None)

    def answer(self, request: Request) -> Response:
        """The answer, or what a scripted fault makes of it; it is in the log when this returns."""
        at = self.now()
        kind = self.kind(request)
        note = self.note(request) if kind == "token" and self.note else None
        fault = self.faults.take(kind, request.path)
        try:
            response, outcome = self._answer(request, fault)
        except Exception:  # noqa: BLE001 - a bug of the emulator must be seen
            sys.stderr.write(traceback.format_exc())
            response = Response(
                500, traceback.format_exc().encode(), {"Content-Type": "text/plain; charset=utf-8"}
            )
            outcome = "fault:bug-in-emulator"
        name = fault.name if fault else ""
        logged = LoggedRequest(
            at=at,
            role=self.role,
            method=request.method,
            target=request.target,
            headers=request.headers,
            body_length=request.body.length,
            body_sha256=request.body.sha256,
            status=response.status,
            fault=name,
            body=request.body.read() if self.role == "foreign" else b"",
        )
        outcome = outcome or "refused"
        self.log.add(
            logged,
            note and replace(note, at=at, outcome=outcome, status=response.status, fault=name),
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
