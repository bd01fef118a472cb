"""Answers of the token endpoint that are malformed in any way, for every grant.

A server of bytes (`Endpoint`) keeps the books of an authorization server, and spoils some of its
answers: status line, headers, framing, encoding, JSON and fields, as hypothesis draws them. Of
each:

1.  What leaves the package is an AtlassianAuthError, and no secret is in it.
2.  What is stored stays readable.
3.  When the server answers well again, the login goes on. It may be lost only if the spoiled answer
    has said that it is; or, where the server has no grace, if the server had rotated: then the
    error says that the answer was lost. A person can always sign in afterwards.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import re
import socket
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    LoginRequiredError,
    MemoryTokenStore,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.oauth.token_endpoint import UNKNOWN_TYPE_LIFETIME, _retry_after
from atlassian_auth_adapter.records import Login
from atlassian_auth_adapter.testing import (
    FakeClock,
    save_login,
    separate_process_state,
    stored_login,
)
from atlassian_auth_adapter.testing.emulator.grants import Consent, Grants, RefusedError, Rules
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer

# The libraries below leave a connection whose answer is malformed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

#: Examples: of a whole exchange with a server, and of a single header.
EXCHANGES = {24: 40, 150: 120}.get(settings.default.max_examples, 9_000)
HEADERS = EXCHANGES * 5
many: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "phases": [Phase.generate],  # each example takes its time; they are small as they are
}

CLIENT_SECRET = "s3cret-of-the-client/+%"
CALLBACK = "http://localhost:8080/callback"


# --- answers --------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 3600, 2**63, 10**400, -(10**30)])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "3600", "-5", "1e400", "nan", " ", "a b", "a\nb", "\x00", "\ud800", "é"])
    | st.sampled_from(["Bearer", "bearer", "mac", "x" * 300_000]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
#: Values of the other fields; no token, since a token would be one to use.
names = st.sampled_from(["expires_in", "scope", "token_type", "id_token", "error_description"])
not_tokens = json_values.filter(lambda value: not isinstance(value, str) or not value.isprintable())
changes = st.fixed_dictionaries(
    {},
    optional={
        "expires_in": json_values,
        "scope": json_values,
        "token_type": st.sampled_from(["Bearer", "bearer", "BEARER", "", None, 7]),
        "access_token": not_tokens,
        "refresh_token": not_tokens.filter(bool),
        "error": json_values,
    },
)


@dataclass(frozen=True)
class Spoiled:
    """How one answer is spoiled.

    Attributes:
        rotates: Whether the server has processed the request before.
        fields: Fields of the answer that are replaced.
        rendered: From the text of the JSON to the body.
        framed: From the body to the bytes on the wire.
    """

    rotates: bool
    fields: dict[str, Any] = field(default_factory=dict)
    rendered: Callable[[str], bytes] = str.encode
    framed: Callable[[bytes], bytes] = bytes

    def on_the_wire(self, answer: dict[str, Any]) -> bytes:
        return self.framed(self.rendered(json.dumps({**answer, **self.fields})))


def cut(share: float) -> Callable[[str], bytes]:
    """Only so much of it."""
    return lambda text: text[: int(len(text) * share)].encode()


def doubled(value: Any) -> Callable[[str], bytes]:
    """A field occurs twice; the last one counts, as in every parser of Python."""
    return lambda text: ('{"access_token": ' + json.dumps(value) + ", " + text[1:]).encode()


def nested(depth: int) -> Callable[[str], bytes]:
    """Lists in lists."""
    return lambda text: (text[:-1] + ', "x": ' + "[" * depth + "]" * depth + "}").encode()


def padded(size: int) -> Callable[[str], bytes]:
    """So many characters longer."""
    return lambda text: (text[:-1] + ', "x": "' + "x" * size + '"}').encode()


def encoded(name: str) -> Callable[[str], bytes]:
    """In that encoding."""
    return lambda text: text.encode(name)


def always(body: bytes) -> Callable[[str], bytes]:
    """Another body."""
    return lambda _: body


renderings = st.one_of(
    st.just(str.encode),
    st.floats(0, 1).map(cut),
    json_values.map(doubled),
    st.sampled_from([10, 900, 100_000]).map(nested),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"]).map(encoded),
    st.sampled_from([300_000] + [10] * 20 + [10_000_000]).map(padded),
    st.binary(max_size=60).map(always),
    json_values.map(lambda value: always(json.dumps(value).encode())),
    st.sampled_from(
        [
            b"",
            b"null",
            b"<!doctype html><title>Log in</title>",
            b'{"error": "invalid_grant"}',
            b'{"error": "temporarily_unavailable"}',
            b'{"errors": ["no"], "fieldErrors": {}}',
            b'{"error": {"message": "no"}}',
            b"access_token=s3cret&token_type=bearer",
        ]
    ).map(always),
)

statuses = st.sampled_from(
    ["200 OK"] * 12
    + ["100 Continue", "101 Switching Protocols", "103 Early Hints", "201 Created"]
    + ["204 No Content", "206 Partial Content", "302 Found", "304 Not Modified"]
    + ["307 Temporary Redirect", "400 Bad Request", "401 Unauthorized", "403 Forbidden"]
    + ["404 Not Found", "407 Proxy Authentication Required", "408 Request Timeout"]
    + ["429 Too Many Requests", "500 Oops", "502 Bad Gateway", "503 Unavailable"]
    + ["999 Unknown", "200", "2OO OK", "-1 No", "1000000 No", ""]
)
waits = st.one_of(
    st.integers(-10, 10**6).map(str),
    st.sampled_from(
        [
            "",
            " ",
            "1.5",
            "-0",
            "inf",
            "nan",
            "1e3",
            "soon",
            "²",
            "9" * 5000,
            "0x10",
            "5, 7",
            "Fri, 27 Nov 2026 04:00:00 GMT",
            "Fri, 99 Nov 2026 04:00:00 GMT",
            "2026-11-27",
            ",,,",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "1 2 3 4 5 6",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
)
headers = st.one_of(
    waits.map(lambda wait: f"Retry-After: {wait}"),
    waits.map(lambda wait: f"Date: {wait}"),
    st.sampled_from(
        [
            "Content-Type: application/json",
            "Content-Type: text/html; charset=s3cret",
            "Content-Type:",
            "Content-Encoding: gzip",
            "Content-Encoding: deflate",
            "Content-Encoding: gzip, gzip",
            "Content-Encoding: unknown",
            "Transfer-Encoding: x",
            "Location: /elsewhere",
            "Location: http://[bad",
            "Set-Cookie: a=s3cret; Path=/",
            "no colon",
            " folded",
            ": empty",
            "X: " + "x" * 70000,
            "X: \x00\x01",
            "Connection: x",
            "WWW-Authenticate: Basic realm=x",
            "Content-Length: 7",
            "Content-Length: -7",
            "Content-Length: x",
            "Content-Length: 7, 8",
            "Content-Range: bytes 0-1/5",
        ]
    ),
)
bodies: st.SearchStrategy[Callable[[bytes], bytes]] = st.sampled_from(
    [bytes] * 6
    + [gzip.compress, zlib.compress, lambda body: gzip.compress(body)[:-9]]
    + [lambda body: gzip.compress(body)[:20] + b"\xff" * 20]
)
lengths = st.sampled_from(["right"] * 6 + ["none", "short", "long", "chunked", "bad chunks"])


@st.composite
def framings(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """From a body to the bytes of an HTTP message, more or less."""
    first = draw(
        st.sampled_from(["HTTP/1.1 "] * 12 + ["HTTP/1.0 ", "HTTP/0.9 ", "HTTP/2 ", "ICY "])
    )
    status, length, change = draw(statuses), draw(lengths), draw(bodies)
    fields = draw(st.lists(headers, max_size=3)) * draw(st.sampled_from([1] * 10 + [60]))
    before = draw(
        st.sampled_from(
            [b""] * 12
            + [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"]
            + [b"\r\n", b"\x16\x03\x01\x02", b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"garbage\n"]
        )
    )
    end = draw(st.sampled_from(["\r\n"] * 10 + ["\n", "\r", ""]))
    kept = draw(st.sampled_from([1.0] * 12 + [0.0, 0.1, 0.5, 0.9]))

    def framed(body: bytes) -> bytes:
        body = change(body)
        lines = [first + status, *fields]
        match length:
            case "right":
                lines.append(f"Content-Length: {len(body)}")
            case "short" | "long":
                lines.append(f"Content-Length: {len(body) // 2 if length == 'short' else 999_999}")
            case "chunked" | "bad chunks":
                lines.append("Transfer-Encoding: chunked")
                size = b"%x" % len(body) if length == "chunked" else b"zz"
                body = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
        message = before + "".join(line + end for line in [*lines, ""]).encode("latin-1") + body
        return message[: int(len(message) * kept)]

    return framed


def well_framed(body: bytes) -> bytes:
    """A message without a fault."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


spoiled = st.builds(
    Spoiled,
    rotates=st.booleans(),
    fields=changes | st.just({}),
    rendered=renderings | st.just(str.encode),
    framed=framings() | st.just(well_framed),
)


# --- the server -----------------------------------------------------------------------------------


class Endpoint:
    """A token endpoint that keeps books, and spoils the answers that it is told to.

    Attributes:
        spoils: The next answers.
        said: What was really sent in their place.
        rotated: Whether one of them was sent although the request had been processed.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.spoils: deque[Spoiled] = deque()
        self.said: list[bytes] = []
        self.rotated = False
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def begin(self, grace: float) -> None:
        """New books."""
        rules = Rules(rotation_grace=grace, siblings_stay_valid=False, token_bytes=40)
        self.grants, self.said, self.rotated = Grants(rules), [], False
        self.consent = Consent("client", "somebody", "READ", redirect_uri=CALLBACK)
        self.spoils.clear()

    def issue(self) -> TokenSet:
        """A new login."""
        issued, now = self.grants.grant(self.consent, self.clock.time(), refreshable=True), 0.0
        now = self.clock.time()
        return TokenSet(
            issued.access_token, issued.refresh_token or "", now, "READ", "", now - 3600
        )

    def close(self) -> None:
        self.listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if request := self._read(connection):
                    connection.sendall(self._answer(*request))
                    connection.shutdown(socket.SHUT_WR)

    def _read(self, connection: socket.socket) -> tuple[dict[str, str], bytes] | None:
        stream = connection.makefile("rb")
        lines = list(iter(lambda: stream.readline().strip(), b""))
        if not lines:
            return None
        fields = dict(line.decode().lower().split(": ", 1) for line in lines[1:])
        form = parse_qs(stream.read(int(fields.get("content-length", 0))).decode())
        return {name: values[0] for name, values in form.items()}, lines[0]

    def _answer(self, form: dict[str, str], line: bytes) -> bytes:
        if not line.startswith(b"POST"):
            return well_framed(b"[]")
        if not self.spoils:
            status, answer = self._processed(form)
            body = json.dumps(answer).encode()
            return well_framed(body).replace(b"200 OK", status.encode(), 1)
        spoil = self.spoils.popleft()
        # A proxy may answer anything, but no token that can be used.
        answer: dict[str, Any] = {"access_token": "", "hint": "s3cret", "expires_in": 3600}
        # These statuses say that the request was not processed.
        is_processed = not re.search(rb" ([34]\d\d|503) ", spoil.on_the_wire(answer)[:300])
        if spoil.rotates and is_processed:
            _, answer = self._processed(form)
            self.rotated = True
        self.said.append(spoil.on_the_wire(answer))
        return self.said[-1]

    def _processed(self, form: dict[str, str]) -> tuple[str, dict[str, Any]]:
        now, grants = self.clock.time(), self.grants
        try:
            match form.get("grant_type"):
                case None:  # a login that was replaced is revoked
                    return "200 OK", {}
                case "refresh_token":
                    issued = grants.refresh(form["refresh_token"], "client", now)
                case "authorization_code":
                    issued = grants.redeem(form["code"], "client", CALLBACK, None, now)
                case _:
                    issued = grants.grant(self.consent, now, refreshable=False)
        except RefusedError:
            return "400 Bad Request", {"error": "invalid_grant", "error_description": "no"}
        answer = {"access_token": issued.access_token, "expires_in": 3600, "token_type": "Bearer"}
        return "200 OK", answer | (
            {"refresh_token": issued.refresh_token} if issued.refresh_token else {}
        )


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    """One for the module, as the server is."""
    return FakeClock()


@pytest.fixture(scope="module")
def endpoint(clock: FakeClock) -> Iterator[Endpoint]:
    """The server of bytes."""
    running = Endpoint(clock)
    yield running
    running.close()
    gc.collect()


# --- a login --------------------------------------------------------------------------------------

SERVERS = {"cloud": 600.0, "bitbucket": 600.0, "data_center": 0.0}


class World:
    """A client of one kind of server, and what must hold of it."""

    def __init__(self, endpoint: Endpoint, server: str) -> None:
        self.endpoint, self.server = endpoint, server
        self.store = MemoryTokenStore()
        endpoint.begin(SERVERS[server])
        hosts = CloudEnvironment(endpoint.url, endpoint.url, "audience")
        self.where: dict[str, Any] = {
            "cloud": {"cloud": hosts, "cloud_id": "11111111-1111-1111-1111-111111111111"},
            "bitbucket": {"cloud": hosts, "product": "bitbucket"},
            "data_center": {"server_url": endpoint.url},
        }[server]
        self.settings = {"store": self.store, "clock": endpoint.clock, "timeout": 5}
        self.secrets = {CLIENT_SECRET, "s3cret"}
        self.client = self.made()

    def made(self) -> Any:
        """A client as another process has it."""
        client = create_atlassian_oauth_client(
            "client", CLIENT_SECRET, CALLBACK, **self.where, **self.settings
        )
        separate_process_state(client)
        return client

    def sign_in(self) -> str:
        """A redirect URL that completes a new authorization."""
        query = parse_qs(urlsplit(self.client.oauth_start()).query)
        now = self.endpoint.clock.time()
        code = self.endpoint.grants.code(self.endpoint.consent, now, refreshable=True)
        self.secrets |= {code, *query["state"]}
        return f"{CALLBACK}?code={code}&state={query['state'][0]}"

    def logged_in(self) -> None:
        """A login that has expired is in the store."""
        save_login(self.client, Login(1, "a", self.endpoint.issue(), authorized_at=1.0))

    def attempt(self, work: Callable[[], object]) -> AtlassianAuthError | None:
        """Invariants 1 and 2."""
        failure = None
        try:
            work()
        except AtlassianAuthError as error:
            failure = error
            self.secrets |= self.endpoint.grants.secrets
            assert_clean(error, self.secrets)
        for client in (self.client, self.made()):
            stored_login(client)
            client.status()
        self.endpoint.clock.advance(5)  # what failed a moment ago is not asked for
        return failure

    def asked_later(self, ask: Callable[[], object]) -> AtlassianAuthError | None:
        """The server answers well again; the program waits as long as it is told."""
        self.endpoint.spoils.clear()
        failure = self.attempt(ask)
        if isinstance(failure, TokenEndpointUnavailableError) and failure.retry_after:
            self.endpoint.clock.advance(failure.retry_after)
            failure = self.attempt(ask)
        if isinstance(failure, TokenRequestRefusedError) and "section 7.1" in str(failure):
            self.endpoint.clock.advance(UNKNOWN_TYPE_LIFETIME)
            failure = self.attempt(ask)
        return failure

    def goes_on(self, ask: Callable[[], object]) -> None:
        """Invariant 3."""
        failure = self.asked_later(ask)
        if isinstance(failure, LoginRequiredError):
            was_refused = any(b"invalid_grant" in said for said in self.endpoint.said)
            if not was_refused:
                assert self.endpoint.rotated, "lost, although the server had done nothing"
                assert self.server == "data_center", "lost within the grace"
                assert failure.reason == "answer_lost", [each[:400] for each in self.endpoint.said]
            redirect = self.sign_in()
            assert self.attempt(lambda: self.client.oauth_complete(redirect)) is None
        else:
            assert failure is None, f"the server answers well: {failure!r}"
        for client in (self.client, self.made()):
            client.refresh()
        newest = stored_login(self.client).token_set.refresh_token  # type: ignore[union-attr]
        record = self.endpoint.grants.refresh_token(newest)
        assert record
        assert not record.used_at
        assert not record.family.revoked


def assert_clean(error: BaseException | None, secrets: set[str]) -> None:
    """No secret is in what a program, a log or a pickle shows of the error and its causes."""
    while error is not None:
        shown = f"{error} {error!r} {error.args!r} {vars(error)!r}"
        for secret in secrets:
            assert secret not in shown
        error = error.__cause__ or error.__context__


@given(spoils=st.lists(spoiled, min_size=1, max_size=3), server=st.sampled_from(sorted(SERVERS)))
@settings(max_examples=EXCHANGES, **many)
@pytest.mark.longer
def test_a_refresh_survives_every_answer(
    endpoint: Endpoint, spoils: list[Spoiled], server: str
) -> None:
    """The grant of each login: it is the refresh token that must not be lost."""
    world = World(endpoint, server)
    world.logged_in()
    endpoint.spoils.extend(spoils)
    world.attempt(world.client.get_access_token)
    world.goes_on(world.client.get_access_token)


@given(spoils=st.lists(spoiled, min_size=1, max_size=2), server=st.sampled_from(sorted(SERVERS)))
@settings(max_examples=EXCHANGES // 4, **many)
@pytest.mark.longer
def test_a_takeover_survives_every_answer(
    endpoint: Endpoint, spoils: list[Spoiled], server: str
) -> None:
    """The program offers its refresh token again."""
    world = World(endpoint, server)
    given = endpoint.issue().refresh_token
    world.secrets.add(given)
    endpoint.spoils.extend(spoils)

    def ask() -> object:
        return world.client.oauth2_retrieve_access_token(refresh_token=given)

    world.attempt(ask)
    failure = world.asked_later(ask)
    if failure is not None:
        assert isinstance(failure, LoginRequiredError)
        was_refused = any(b"invalid_grant" in said for said in endpoint.said)
        assert was_refused or (endpoint.rotated and server == "data_center")
        redirect = world.sign_in()
        assert world.attempt(lambda: world.client.oauth_complete(redirect)) is None
    world.goes_on(world.client.get_access_token)


@given(spoil=spoiled, server=st.sampled_from(sorted(SERVERS)), is_first=st.booleans())
@settings(max_examples=EXCHANGES // 4, **many)
@pytest.mark.longer
def test_a_sign_in_survives_every_answer(
    endpoint: Endpoint, spoil: Spoiled, server: str, is_first: bool
) -> None:
    """The login before it goes on, and the next sign-in succeeds."""
    world = World(endpoint, server)
    if not is_first:
        world.logged_in()
    redirect = world.sign_in()
    endpoint.spoils.append(replace(spoil, rotates=True))
    failure = world.attempt(lambda: world.client.oauth_complete(redirect))
    endpoint.spoils.clear()
    if failure is None or not is_first:
        endpoint.rotated = False  # what was lost was the code, not the login
        world.goes_on(world.client.get_access_token)
    redirect = world.sign_in()
    assert world.attempt(lambda: world.client.oauth_complete(redirect)) is None
    world.goes_on(world.client.get_access_token)


@given(spoils=st.lists(spoiled, min_size=1, max_size=2), server=st.sampled_from(sorted(SERVERS)))
@settings(max_examples=EXCHANGES // 4, **many)
@pytest.mark.longer
def test_a_service_account_survives_every_answer(
    endpoint: Endpoint, spoils: list[Spoiled], server: str
) -> None:
    """Client credentials: there is nothing to lose, and the next request has a token."""
    world = World(endpoint, server)
    account = AtlassianServiceAccountClient(
        "client", CLIENT_SECRET, **world.where, **world.settings
    )
    endpoint.spoils.extend(spoils)
    world.client = account
    world.made = lambda: account  # type: ignore[method-assign]
    world.attempt(account.get_access_token)
    assert world.asked_later(account.get_access_token) is None
    assert account.refresh().generation >= 1


@given(wait=waits, date=waits | st.none())
@settings(max_examples=HEADERS)
@pytest.mark.longer
def test_retry_after_is_seconds_of_at_most_an_hour_or_nothing(wait: str, date: str | None) -> None:
    """Whatever the server, or a proxy, says."""
    answer = Answer(429, {"Retry-After": wait} | ({"Date": date} if date is not None else {}), b"")
    seconds = _retry_after(answer)
    assert seconds is None or 0 <= seconds <= 3600
