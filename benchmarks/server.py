"""Resource server and token endpoint in one small, fast process; its faults are settings.

    with local_server() as server:
        server.change(token_delay=2.0)
        ...
        server.counts()["token_requests"]

A POST to a path that ends in /token brings tokens. Each refresh token counts once, or, as on Cloud,
again for a while. A GET brings 200 with a valid token and 401 with another one; of a path that ends
in /redirect a redirect to the same server under another name, where no token belongs.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

FOREIGN_HOST = "localhost"
#: Seconds for which a new token is accepted longer than it is said to be: lives are so short here
#: that a request on its way at the end of one would count for much.
SLACK = 0.25


@dataclass
class State:
    """Settings and counts.

    Attributes:
        tokens: Seconds for which each of these access tokens is valid.
        expires_in: Seconds for which a new access token is valid, from its answer on.
        token_delay: Seconds until the token endpoint answers.
        resource_delay: Seconds until a resource is answered.
        grace: Whether a used refresh token may be sent again.
        lost_answers: How many of the next token requests are carried out, and not answered.
        unavailable: How many of the next token requests are answered 503 with Retry-After: 1.
        token_requests, requests, rejections: Counts.
        foreign: Credentials that have come to the foreign host.
    """

    tokens: dict[str, float] = field(default_factory=dict)
    expires_in: float = 3600.0
    token_delay: float = 0.0
    resource_delay: float = 0.0
    grace: bool = True
    lost_answers: int = 0
    unavailable: int = 0
    token_requests: int = 0
    requests: int = 0
    rejections: int = 0
    foreign: list[str] = field(default_factory=list)


Answer = tuple[int, dict[str, str], Any]


class Server:
    """The rules of both servers."""

    def __init__(self) -> None:
        self.state = State()
        self._valid_until: dict[str, float] = {}
        self._used: set[str] = set()
        self._issued = 0

    def control(self, settings: dict[str, Any]) -> Answer:
        """Change settings, tell everything."""
        for name, value in settings.items():
            setattr(self.state, name, value)
        if "tokens" in settings:
            now = time.monotonic()
            self._valid_until = {token: now + left for token, left in self.state.tokens.items()}
        return HTTPStatus.OK, {}, {**asdict(self.state), "tokens": {}}

    def resource(self, path: str, headers: dict[str, str]) -> Answer:
        """A resource."""
        state, credentials = self.state, headers.get("authorization", "")
        state.requests += 1
        if headers.get("host", "").startswith(FOREIGN_HOST):
            if credentials:
                state.foreign.append(credentials)
            return HTTPStatus.OK, {}, {}
        if path.startswith("/.well-known"):
            return HTTPStatus.NOT_FOUND, {}, {}
        if path.endswith("/redirect"):
            host = headers["host"].replace("127.0.0.1", FOREIGN_HOST)
            return HTTPStatus.FOUND, {"Location": f"http://{host}/elsewhere"}, {}
        if self._valid_until.get(credentials.removeprefix("Bearer "), 0) > time.monotonic():
            return HTTPStatus.OK, {}, {"key": "ACME-1"}
        state.rejections += 1
        return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"}, {}

    def new_tokens(self, form: dict[str, str]) -> Answer | None:
        """Tokens; None: the answer is lost."""
        state = self.state
        state.token_requests += 1
        if state.unavailable:
            state.unavailable -= 1
            return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "1"}, {}
        spent = form.get("refresh_token", "")
        if spent in self._used and not state.grace:
            return HTTPStatus.BAD_REQUEST, {}, {"error": "invalid_grant"}
        if spent:
            self._used.add(spent)
        self._issued += 1
        token = f"issued-{self._issued}".ljust(2000, "i")
        answered = time.monotonic() + state.token_delay
        self._valid_until[token] = answered + state.expires_in + SLACK
        if state.lost_answers:
            state.lost_answers -= 1
            return None
        answer = {"access_token": token, "expires_in": int(state.expires_in)}
        if spent:
            answer["refresh_token"] = f"refresh-{self._issued}".ljust(1500, "r")
        return HTTPStatus.OK, {}, {**answer, "token_type": "Bearer", "scope": ""}


class Connection(asyncio.Protocol):
    """One connection that is kept open."""

    def __init__(self, server: Server) -> None:
        self.server, self.received = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            body, self.received = rest[:length], rest[length:]
            method, path, _ = first.split(" ")
            self.answer(method, path.partition("?")[0], headers, body)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Answer a request, at once or later."""
        server, delay = self.server, 0.0
        answer: Answer | None
        if path == "/control":
            answer = server.control(json.loads(body or b"{}"))
        elif method == "POST" and path.endswith("/token"):
            answer, delay = server.new_tokens(form_of(body)), server.state.token_delay
        else:
            answer, delay = server.resource(path, headers), server.state.resource_delay
        asyncio.get_running_loop().call_later(delay, self.send, answer)

    def send(self, answer: Answer | None) -> None:
        """Send it, or end the connection."""
        if answer is None:
            self.transport.abort()
            return
        status, headers, content = answer
        body = json.dumps(content).encode()
        lines = [f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self.transport.write("\r\n".join(lines).encode() + body)


def form_of(body: bytes) -> dict[str, str]:
    """The fields of a form or of a JSON object."""
    if body.startswith(b"{"):
        fields: dict[str, str] = json.loads(body)
        return fields
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}


async def serve() -> None:
    """Serve until the standard input ends, as with its owner; the first line is the port."""
    server = Server()
    loop = asyncio.get_running_loop()
    owner_is_gone = loop.run_in_executor(None, sys.stdin.read)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await owner_is_gone
    listening.close()


@dataclass(frozen=True)
class LocalServer:
    """A server of another process."""

    base: str

    def change(self, **settings: Any) -> dict[str, Any]:
        """Change settings; everything that the server knows."""
        from urllib.request import Request, urlopen  # the server itself needs it not

        request = Request(f"{self.base}/control", json.dumps(settings).encode(), method="POST")
        with urlopen(request) as answer:
            known: dict[str, Any] = json.load(answer)
        return known

    def counts(self) -> dict[str, Any]:
        """Everything that the server knows."""
        return self.change()


@contextmanager
def local_server(**settings: Any) -> Iterator[LocalServer]:
    """A new server, in a process of its own."""
    command = [sys.executable, __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            server = LocalServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
            server.change(**settings)
            yield server
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve())
