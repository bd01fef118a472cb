"""Scripted faults: what happens to the next request of a kind.

    faults.next("token", Status(503, retry_after=2), times=3)
    hold = Hold(); faults.next("token", hold); ...; hold.wait_arrived(); ...; hold.release()

Kinds of request (`where`): `authorize` (also the consent form), `token`, `revoke`, `metadata`,
`accessible-resources`, `me`, `tenant_info`, `resource` (everything else on the gateway, a site,
Data Center or Bitbucket's API), `media`, `foreign`; or a path such as `/rest/api/3/myself`, which
is for every request whose decoded path ends so, and goes before a kind. First in, first out per
`where`; one fault per request. `after` says whether the request is processed before the fault
replaces or delays the answer: a token request with `after=True` has rotated the refresh token
although the client sees a failure.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .http import Response, html_response

KINDS = frozenset(
    {
        "authorize",
        "token",
        "revoke",
        "metadata",
        "accessible-resources",
        "me",
        "tenant_info",
        "resource",
        "media",
        "foreign",
    }
)
HOLD_LIMIT = 60.0  # seconds after which a Hold that was not released lets its requests go on


class Fault:
    """What happens to one request."""

    after: bool

    @property
    def name(self) -> str:
        """The word in the log: `fault:<name>`."""
        return type(self).__name__.lower()

    @property
    def processes(self) -> bool:
        """Whether the request is processed."""
        return self.after

    def arrive(self) -> None:
        """Called before processing; may block."""

    def answer(self, real: Response | None) -> Response:
        """What is sent; `real` is the true answer, if the request was processed. May block."""
        return self._answer(real)

    def _answer(self, real: Response | None) -> Response:
        raise NotImplementedError


class _Timing(Fault):
    """A fault that changes only the time; `then` may change the answer as well."""

    then: Fault | None

    def _wait(self) -> None:
        raise NotImplementedError

    @property
    def processes(self) -> bool:
        return self.then is None or self.then.processes

    def arrive(self) -> None:
        if not self.after:
            self._wait()
        if self.then is not None:
            self.then.arrive()

    def _answer(self, real: Response | None) -> Response:
        if self.after:
            self._wait()
        if self.then is not None:
            return self.then.answer(real)
        assert real is not None, "a delayed request is processed"
        return real


@dataclass(frozen=True, slots=True)
class Delay(_Timing):
    """The request waits `until` (seconds of real time, or an event), then is processed.

    With `after=True` the processing comes first and the answer waits. `then` is a further fault.
    """

    until: float | threading.Event
    after: bool = field(default=False, kw_only=True)
    then: Fault | None = field(default=None, kw_only=True)

    def _wait(self) -> None:
        if isinstance(self.until, threading.Event):
            self.until.wait(HOLD_LIMIT)
        else:
            time.sleep(self.until)


class Hold(_Timing):
    """The request stops here until `release()`; `wait_arrived()` waits until it has arrived.

    With `after=True` it stops after the processing, before the answer. `then` is a further fault.
    Threads may share it.
    """

    def __init__(self, *, after: bool = False, then: Fault | None = None) -> None:
        self.after = after
        self.then = then
        self._changed = threading.Condition()
        self._arrived = 0
        self._released = False

    @property
    def arrived(self) -> int:
        """How many requests have come here so far."""
        with self._changed:
            return self._arrived

    def wait_arrived(self, count: int = 1, timeout: float = 10.0) -> None:
        """Return when `count` requests have arrived here.

        Raises:
            TimeoutError: They did not come within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= count, timeout):
                message = f"{self._arrived} of {count} requests arrived within {timeout} s"
                raise TimeoutError(message)

    def release(self) -> None:
        """Every request that is held here goes on, now and later."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def _wait(self) -> None:
        with self._changed:
            self._arrived += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._released, HOLD_LIMIT)


@dataclass(frozen=True, slots=True)
class Body(Fault):
    """Any raw answer in place of the real one."""

    body: bytes
    status: int = 200
    content_type: str = field(default="application/json", kw_only=True)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), kw_only=True)
    after: bool = field(default=False, kw_only=True)

    def _answer(self, real: Response | None) -> Response:
        return Response(self.status, self.body, {"Content-Type": self.content_type, **self.headers})


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """An error status; `retry_after` (seconds) becomes the header of that name."""

    code: int
    body: str | bytes = '{"error":"temporarily_unavailable"}'
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    content_type: str = "application/json"
    retry_after: float | str | None = field(default=None, kw_only=True)
    after: bool = field(default=False, kw_only=True)

    @property
    def name(self) -> str:
        """The word in the log."""
        return f"status-{self.code}"

    def _answer(self, real: Response | None) -> Response:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        headers = {"Content-Type": self.content_type, **self.headers}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Response(self.code, body, headers)


@dataclass(frozen=True, slots=True)
class HTML(Fault):
    """An HTML page, as proxies and servers under maintenance send it."""

    status: int = 200
    after: bool = field(default=False, kw_only=True)

    def _answer(self, real: Response | None) -> Response:
        return html_response(
            self.status, "<!doctype html><title>Maintenance</title><h1>We will be back soon.</h1>"
        )


@dataclass(frozen=True, slots=True)
class TruncatedJSON(Fault):
    """The real body cut in the middle, in a well-formed HTTP message."""

    after: bool = field(default=True, kw_only=True)

    def _answer(self, real: Response | None) -> Response:
        if real is None:
            return Response(200, b'{"access_to', {"Content-Type": "application/json"})
        return replace(real, body=real.body[: len(real.body) // 2])


@dataclass(frozen=True, slots=True)
class CutBody(Fault):
    """The real answer with its full Content-Length, but the connection ends after half the body."""

    after: bool = field(default=True, kw_only=True)

    def _answer(self, real: Response | None) -> Response:
        body = b'{"access_token":"never complete"}'
        return replace(real or Response(200, body), cut=True)


@dataclass(frozen=True, slots=True)
class CloseBefore(Fault):
    """The connection ends without an answer; the request is not processed."""

    after: bool = field(default=False, init=False)

    def _answer(self, real: Response | None) -> Response:
        return Response(0)


@dataclass(frozen=True, slots=True)
class CloseAfter(Fault):
    """A lost answer: the request is processed, then the connection ends."""

    after: bool = field(default=True, init=False)

    def _answer(self, real: Response | None) -> Response:
        return Response(0)


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """A redirect in place of the answer."""

    to: str
    status: int = 307
    after: bool = field(default=False, kw_only=True)

    def _answer(self, real: Response | None) -> Response:
        return Response(self.status, b"", {"Location": self.to})


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The real answer, its body byte by byte over that many seconds."""

    seconds: float
    after: bool = field(default=True, init=False)

    def _answer(self, real: Response | None) -> Response:
        assert real is not None, "a dripping answer was processed"
        return replace(real, drip=self.seconds)


@dataclass(frozen=True, slots=True)
class Edit(Fault):
    """The real answer, changed by a function: a field dropped, a header added."""

    change: Callable[[Response], Response]
    after: bool = field(default=True, init=False)

    def _answer(self, real: Response | None) -> Response:
        assert real is not None, "an edited answer was processed"
        return self.change(real)


class Faults:
    """Queues of faults, one for each kind of request. Threads may share it."""

    __slots__ = ("_holds", "_lock", "_queues", "_standing")

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name != "take"]

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[str, deque[Fault]] = {}
        self._standing: dict[str, Fault] = {}
        self._holds: list[Hold] = []

    def next(self, where: str, fault: Fault, times: int | None = 1) -> None:
        """The next `times` requests of the kind have this fault; None: all until `clear`.

        Raises:
            ValueError: `where` is neither a kind (see the module's text) nor a path.
        """
        _check_kind(where)
        with self._lock:
            self._holds += _holds_of(fault)
            if times is None:
                self._standing[where] = fault
            else:
                self._queues.setdefault(where, deque()).extend([fault] * times)

    def clear(self) -> None:
        """No fault is scripted any more, and every held request goes on."""
        with self._lock:
            self._queues.clear()
            self._standing.clear()
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.release()

    def pending(self, where: str) -> int:
        """How many scripted faults of this kind have not happened yet.

        Raises:
            ValueError: `where` is neither a kind nor a path.
        """
        _check_kind(where)
        with self._lock:
            return len(self._queues.get(where, ()))

    def take(self, kind: str, path: str) -> Fault | None:
        """The fault of this request, if any; it is removed from its queue."""
        if not self._queues and not self._standing:
            return None
        with self._lock:
            keys = [key for key in (*self._queues, *self._standing) if _fits(key, path)]
            for key in (*keys, kind):
                if self._queues.get(key):
                    return self._queues[key].popleft()
                if key in self._standing:
                    return self._standing[key]
        return None


def _check_kind(where: str) -> None:
    if where not in KINDS and not where.startswith("/"):
        message = f"{where!r} is not a kind of request; use one of {sorted(KINDS)} or a path"
        raise ValueError(message)


def _holds_of(fault: Fault | None) -> list[Hold]:
    found = []
    while fault is not None:
        if isinstance(fault, Hold):
            found.append(fault)
        fault = getattr(fault, "then", None)
    return found


def _fits(where: str, path: str) -> bool:
    return where.startswith("/") and path.endswith(where)
