"""The auth object for requests: the contract, and the tests for requests alone."""

from __future__ import annotations

import base64
import io
import pickle
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
import requests
import requests_toolbelt as toolbelt
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    ForeignOriginError,
    StaticTokenSource,
    TokenSet,
)
from atlassian_auth_adapter.adapters import requests as of_requests
from atlassian_auth_adapter.atlassian.gateway import OneServer, ResourceServer
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.testing.contracts import AuthAdapterContract
from atlassian_auth_adapter.testing.contracts.world import (
    BEARER,
    CLOUD,
    CLOUD_ID,
    DATA,
    GATEWAY,
    PATIENCE,
    UNAUTHORIZED,
    Call,
    FixedTokenSource,
    Reply,
    Sent,
    World,
    echo,
    redirect,
    secrets_in,
)
from atlassian_auth_adapter.testing.emulator import Edit, Status

from .sources import Source

OURS = AtlassianAuth.__module__


class Double(BaseAdapter):
    """A network that records what was sent."""

    def __init__(self, answers: Sequence[tuple[int, Mapping[str, str]]] = ()) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.options: list[Any] = []
        self._answers = iter(answers)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Called by requests."""
        self.options.append(options)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.sent.append(Sent(request.method or "", request.url or "", headers))
        status, fields = next(self._answers, (200, {}))
        response = requests.Response()
        response.status_code, response.url = status, request.url or ""
        response.headers.update(fields)
        response.raw = HTTPResponse(io.BytesIO(b""), headers=fields, preload_content=False)
        response.request, response.connection = request, self  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Nothing is open."""


class Stream:
    """A stream for requests-toolbelt that cannot seek; it may know its position."""

    def __init__(self, data: bytes, position: int | OSError | None) -> None:
        self._data = io.BytesIO(data)
        self.read = self._data.read
        self.position = position

    @property
    def len(self) -> int:
        """The number of bytes left."""
        return len(DATA) - self._data.tell()

    def __getattr__(self, name: str) -> Any:
        if name == "tell" and self.position is not None:
            return self._tell
        raise AttributeError(name)

    def _tell(self) -> int:
        if isinstance(self.position, OSError):
            raise self.position
        return self.position or 0


class Unseekable:
    """A body that can only be read, and cannot be iterated."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.read = self._data.read

    def __len__(self) -> int:
        return len(self._data.getvalue())


class Seekable(Unseekable):
    """A body that can seek."""

    def seek(self, *place: int) -> int:
        return self._data.seek(*place)

    def tell(self) -> int:
        return self._data.tell()


class SeeksNowhere(Seekable):
    """A body whose `seek` does nothing."""

    def seek(self, *place: int) -> int:
        return place[0]


class RefusesToSeek(Seekable):
    """A body that cannot seek, although it has the method."""

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")


class TestContract(AuthAdapterContract):
    request_error = requests.RequestException
    connection_errors = (requests.ConnectionError, ConnectionError)
    url_errors = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    replayable: ClassVar = (*AuthAdapterContract.replayable, "multipart of an unseekable file")
    one_shot: ClassVar = (
        "generator",
        "iterator",
        "unseekable file",
        "file that cannot tell",
        "file that closes itself",
    )
    maps_redirects = True

    def auth(self, source: Any, **options: Any) -> AtlassianAuth:
        """See the contract."""
        return AtlassianAuth(source, **options)

    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """See the contract."""
        with requests.Session() as session:
            session.auth = auth
            session.trust_env = False
            for name, value in options.items():
                if name == "adapter":
                    session.mount("https://", value)
                    session.mount("http://", value)
            if not at_once:
                return [self._one(session, call) for call in calls]
            with ThreadPoolExecutor(len(calls)) as pool:
                return list(pool.map(partial(self._one, session), calls))

    def _one(self, session: requests.Session, call: Call) -> Reply:
        call.before()
        body = call.body
        if "content" in body:
            body["data"] = body.pop("content")
        response = session.request(
            call.method,
            call.url,
            headers=dict(call.headers),
            auth=call.auth,
            stream=call.stream,
            allow_redirects=call.follow_redirects,
            timeout=PATIENCE,
            **body,
        )
        streamed = not response._content_consumed
        return Reply(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            response.content,
            response.url,
            tuple(each.status_code for each in response.history),
            response.elapsed.total_seconds(),
            streamed,
        )

    def send_offline(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """See the contract."""
        double = Double(answers)
        self.exchange(*calls, auth=auth, adapter=double)
        return double.sent

    # --- for requests alone ---------------------------------------------------------------------

    @pytest.fixture
    def netrc(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The empty file from which requests reads logins."""
        netrc = tmp_path / "netrc"
        netrc.touch(mode=0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        return netrc

    @pytest.fixture
    def client(self, world: World, session: requests.Session) -> Any:
        """A client that is logged in to Cloud, whose token the session uses."""
        client = world.login("cloud")
        session.auth = AtlassianAuth(client)
        return client

    def test_hooks_of_the_program_see_the_final_response_only(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """A hook that raises for a 401 does not prevent the second attempt."""
        seen: list[int] = []

        def hook(response: requests.Response, **_: Any) -> None:
            seen.append(response.status_code)
            response.raise_for_status()

        session.hooks["response"].append(hook)
        world.expire()
        session.get(echo(client))
        world.expire()
        session.get(echo(client), hooks={"response": hook})
        world.expire()
        prepared = requests.Request("GET", echo(client), hooks={"response": hook}).prepare()
        prepared.headers["Authorization"] = "Bearer of old"
        prepared.prepare_auth(AtlassianAuth(client))
        session.send(prepared)
        assert seen == [200, 200, 200]

    def test_a_prepared_request_may_be_sent_twice(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """Also one to the site, and also when its token has expired meanwhile."""
        url = f"{world.emulator.cloud.sites[0].url}/rest/echo"
        prepared = session.prepare_request(requests.Request("POST", url, data=DATA))
        statuses = [session.send(prepared).status_code]
        world.expire()
        statuses += [session.send(prepared).status_code, session.send(prepared).status_code]
        assert statuses == [200, 200, 200]
        assert world.refreshes == 1
        assert {request.role for request in world.emulator.requests} == {"api", "auth"}

    def test_a_prepared_request_that_was_redirected_away_may_be_sent_twice(
        self, world: World, session: requests.Session
    ) -> None:
        """The token was taken off it because of the redirect: it gets it back."""
        target = f"{world.emulator.foreign_url}/x"
        for flavour, anonymous in product(["cloud", "data_center"], [True, False]):
            client = world.login(flavour)
            world.emulator.data_center.anonymous_access = anonymous
            session.auth = AtlassianAuth(client)
            prepared = session.prepare_request(requests.Request("GET", redirect(client, target)))
            for _ in range(3):
                assert session.send(prepared).url == target
            assert world.emulator.requests[-2].headers["authorization"].startswith("Bearer ")
        assert world.leaks() == []
        assert world.refreshes == 0

    @pytest.mark.parametrize("flavour", ["cloud", "data_center"])
    def test_netrc_never_replaces_the_token(
        self,
        world: World,
        session: requests.Session,
        flavour: str,
        netrc: Path,
    ) -> None:
        """Neither at first, nor after a redirect, for which requests reads it again."""
        netrc.write_text("machine 127.0.0.1 login ann password pass\n")
        basic = "Basic " + base64.b64encode(b"ann:pass").decode()
        client = world.login(flavour)
        session.auth = AtlassianAuth(client)
        direct = session.get(echo(client))
        redirected = session.get(redirect(client, echo(client)))
        assert direct.json()["caller"] == redirected.json()["caller"] != ""
        first, *hops = world.echoes
        assert first.headers["authorization"].startswith("Bearer ")
        assert [hop.headers["authorization"] == basic for hop in hops] == [True, False]
        assert world.refreshes == 0

    def test_netrc_for_another_host_gets_no_token(
        self, world: World, session: requests.Session, client: Any, netrc: Path
    ) -> None:
        """Requests logs in to the target of a redirect by netrc; after a 401 no token follows."""
        netrc.write_text("machine localhost login ann password pass\n")
        foreign = f"{world.emulator.foreign_url.replace('127.0.0.1', 'localhost')}/status/401"
        assert session.get(redirect(client, foreign)).status_code == 401
        (seen,) = (request for request in world.emulator.requests if request.role == "foreign")
        assert seen.headers["authorization"].startswith("Basic ")
        assert world.leaks() == []
        assert world.refreshes == 0

    def test_an_error_has_the_attributes_that_sdks_look_at(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """`error.response` is None, as it is for every request without a response."""
        world.emulator.cloud.revoke_grants()
        with pytest.raises(requests.RequestException) as raised:
            session.get(echo(client))
        assert raised.value.response is None
        assert raised.value.request is not None

    def test_no_variable_of_our_frames_holds_a_token_when_a_refresh_is_refused(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """Error reporters print the variables of each frame."""
        world.emulator.cloud.revoke_grants()
        with pytest.raises(requests.RequestException) as raised:
            session.get(echo(client))
        frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
        ours = [frame.f_locals for frame in frames if frame.f_globals["__name__"] == OURS]
        assert len(ours) == 2
        assert not secrets_in(repr(ours).encode(), world.emulator)

    def test_an_encoder_of_toolbelt_is_made_again(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """It streams and cannot be rewound, its files can: the whole form is sent again."""
        at_an_offset = io.BytesIO(b"x" * 10 + DATA)
        at_an_offset.seek(10)
        forms: list[Any] = [
            {"file": ("a.bin", io.BytesIO(DATA), "application/octet-stream")},
            {"file": ("a.bin", at_an_offset, "application/octet-stream")},
            [("comment", "Zoë"), ("file", ("a.bin", io.BytesIO(DATA))), ("raw", b"bytes")],
        ]
        for form in forms:
            world.expire()
            response = self._post(session, client, toolbelt.MultipartEncoder(form))
            first, second = world.echoes[-2:]
            assert (response.status_code, first.status, second.status) == (200, 401, 200)
            assert first.body_sha256 == second.body_sha256
            assert first.body_length == second.body_length > len(DATA)

    def _post(self, session: requests.Session, client: Any, encoder: Any) -> requests.Response:
        headers = {"Content-Type": encoder.content_type}
        return session.post(echo(client), data=encoder, headers=headers, timeout=PATIENCE)

    def test_a_monitored_encoder_is_made_again(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """The monitor goes on with the new encoder, and counts from the start again."""

        class Bar(toolbelt.MultipartEncoderMonitor):
            pass

        counted: list[int] = []
        for monitor in (
            toolbelt.MultipartEncoderMonitor(
                toolbelt.MultipartEncoder({"file": ("a.bin", io.BytesIO(DATA))}),
                lambda monitor: counted.append(monitor.bytes_read),
            ),
            Bar.from_fields([("comment", "Zoë"), ("file", ("a.bin", io.BytesIO(DATA)))]),
        ):
            world.expire()
            response = self._post(session, client, monitor)
            first, second = world.echoes[-2:]
            assert (response.status_code, first.status, second.status) == (200, 401, 200)
            assert first.body_sha256 == second.body_sha256
            assert monitor.bytes_read == first.body_length == second.body_length > len(DATA)
        assert counted.count(max(counted)) >= 2

    def test_a_monitor_of_a_stream_is_sent_once(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """What it monitors cannot be read again."""
        world.expire()
        monitor = toolbelt.MultipartEncoderMonitor.from_fields(
            {"file": ("a.bin", Stream(DATA, None))}
        )
        assert self._post(session, client, monitor).status_code == 401
        assert len(world.echoes) == 1

    def test_a_body_that_can_seek_is_sent_again_from_where_it_began(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """Also one that cannot be iterated, as wrappers that show a progress are."""
        for offset in (0, 1000):
            body = Seekable(b"x" * offset + DATA)
            body.seek(offset)
            world.expire()
            response = session.post(echo(client), data=body, timeout=PATIENCE)
            first, second = world.echoes[-2:]
            assert (response.status_code, first.status, second.status) == (200, 401, 200)
            assert first.body_length == second.body_length == len(DATA)
            assert first.body_sha256 == second.body_sha256

    def test_a_body_that_cannot_seek_is_sent_once(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """It has only `read`, does not go back, or says that it cannot."""
        for body in (
            Unseekable(DATA),
            SeeksNowhere(DATA),
            RefusesToSeek(DATA),
            toolbelt.StreamingIterator(len(DATA), iter([DATA])),
        ):
            world.expire()
            seen = len(world.echoes)
            response = session.post(echo(client), data=body, timeout=PATIENCE)
            assert response.status_code == 401
            assert len(world.echoes) == seen + 1
            assert world.echoes[-1].body_length == len(DATA)

    def test_an_encoder_of_a_stream_is_sent_once(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """The 401 is returned, and no form without its file follows."""
        for position in (None, 0, OSError("a pipe")):
            world.expire()
            seen = len(world.echoes)
            encoder = toolbelt.MultipartEncoder({"file": ("a.bin", Stream(DATA, position))})
            assert self._post(session, client, encoder).status_code == 401
            assert len(world.echoes) == seen + 1
            assert session.get(echo(client)).status_code == 200

    def test_an_encoder_that_was_begun_is_sent_once(
        self, world: World, session: requests.Session, client: Any, tmp_path: Path
    ) -> None:
        """A part was read already, so the rest is not sent as if it were the whole form."""
        (tmp_path / "a.bin").write_bytes(DATA)
        with (tmp_path / "a.bin").open("rb") as file:
            encoder = toolbelt.MultipartEncoder({"file": ("a.bin", file)})
            encoder.read(1000)
            prepared = session.prepare_request(requests.Request("POST", echo(client), data=encoder))
            assert prepared._atlassian_encode_again() is None  # type: ignore[attr-defined]

    @pytest.mark.parametrize(
        ("flavour", "rejection"),
        [
            ("cloud", Status(401, DATA[:60_000])),
            ("data_center", Status(200, DATA[:60_000], {"X-AUSERNAME": "anonymous"})),
        ],
    )
    def test_one_connection_serves_all_attempts(
        self,
        world: World,
        session: requests.Session,
        flavour: str,
        rejection: Status,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A short rejection is read to its end, so that its connection is used again."""
        client = world.login(flavour)
        connections = []
        connect = HTTPConnection.connect

        def counted(connection: HTTPConnection) -> None:
            connections.append(connection)
            connect(connection)

        monkeypatch.setattr(HTTPConnection, "connect", counted)
        session.auth = AtlassianAuth(client)
        url = echo(client)
        world.emulator.faults.next("/rest/echo", rejection)
        world.emulator.faults.next("/rest/echo", Status(200, DATA))
        with session.get(url, stream=True) as response:
            assert b"".join(response.iter_content(5000)) == DATA
        assert session.get(url).status_code == 200
        assert len(connections) == 2  # one of them is the refresh's
        assert len(world.echoes) == 3

    def test_the_second_attempt_is_sent_as_the_first_was(self, world: World) -> None:
        """Timeouts, certificates, proxies and streaming are the same both times."""
        client = world.login("cloud")
        double = Double([(401, {}), (200, {})])
        with requests.Session() as session:
            session.auth = AtlassianAuth(client)
            session.mount("http://", double)
            session.get(
                echo(client),
                timeout=(1, 2),
                verify="/bundle.pem",
                cert="/cert.pem",
                stream=True,
                proxies={"http": "http://proxy.example"},
            )
        first, second = double.options
        assert first == second
        assert first["timeout"] == (1, 2)
        assert first["stream"] is True

    def test_a_cookie_that_came_with_the_rejection_is_sent(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """And it is in the session's jar afterwards, as after any response."""
        cookie = {"Set-Cookie": "route=a; Path=/"}
        world.expire()
        world.emulator.faults.next(
            "/rest/echo", Edit(lambda real: replace(real, headers={**real.headers, **cookie}))
        )
        assert session.get(echo(client)).status_code == 200
        assert world.echoes[-1].headers["cookie"] == "route=a"
        assert session.cookies.get_dict() == {"route": "a"}

    def test_cookies_of_the_site_are_not_sent_to_the_gateway(self) -> None:
        """The gateway gets its own cookies, not the session cookie of the site."""
        double = Double()
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
            session.cookies.set("tenant.session.token", "s", domain="acme.atlassian.net")
            session.cookies.set("route", "r", domain="api.atlassian.com")
            session.get("https://acme.atlassian.net/rest/x")
        (sent,) = double.sent
        assert sent.headers["cookie"] == "route=r"

    def test_a_header_of_the_session_is_left_alone_elsewhere(self, world: World) -> None:
        """And it does not replace the token where the token is sent."""
        double = Double()
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
            session.headers["Authorization"] = "Token mine"
            session.get("https://ci.example/x")
            session.get("https://api.atlassian.com/me")
        assert [sent.headers["authorization"] for sent in double.sent] == [
            "Token mine",
            f"Bearer {BEARER}",
        ]

    def test_the_next_request_of_a_redirect_carries_no_token_away(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """A program that follows redirects by itself sends the request that requests prepared."""
        other = f"{world.emulator.cloud.api_url}/ex/jira/{world.emulator.cloud.sites[1].id}/x"
        for target in (world.emulator.foreign_url, other):
            response = session.get(redirect(client, target), allow_redirects=False)
            assert response.next is not None
            assert "Authorization" not in response.next.headers
            session.send(response.next)
        assert world.leaks() == []

    def test_the_next_request_of_a_redirect_is_refused_when_it_is_sent(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """With foreign="raise" a program may look at it, but not send it to a foreign host."""
        session.auth = AtlassianAuth(client, foreign="raise")
        target = f"{world.emulator.foreign_url}/x"
        response = session.get(redirect(client, target), allow_redirects=False)
        assert response.next is not None
        assert response.next.url == target
        with pytest.raises(ForeignOriginError):
            session.send(response.next)
        assert {request.role for request in world.emulator.requests} == {"api"}

    def test_a_response_can_be_pickled(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """As caches and process pools do: its request holds the hook, also for a streamed form."""
        server = world.emulator.data_center
        encoder = toolbelt.MultipartEncoder({"comment": "Zoë", "file": ("a.bin", io.BytesIO(DATA))})
        responses = [session.get(echo(client)), self._post(session, client, encoder)]
        responses.append(session.get(redirect(client, echo(client))))
        session.auth = AtlassianAuth(StaticTokenSource(server.personal_access_token, server.url))
        responses.append(session.get(f"{server.url}/rest/echo"))
        for response in responses:
            assert pickle.loads(pickle.dumps(response)).json() == response.json()

    def test_a_redirected_request_has_the_fragment_and_the_query(self) -> None:
        """What is written into the response for requests to follow is the whole URL."""
        double = Double([(302, {"Location": "../y?a=%2F#part"})])
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
            response = session.get(f"{GATEWAY}/rest/x/z")
        assert response.url == f"{GATEWAY}/rest/y?a=%2F#part"
        assert double.sent[-1].headers["authorization"] == f"Bearer {BEARER}"

    def test_what_is_followed_is_what_was_judged(self) -> None:
        """A scheme without a host, in the forms that parsers read in different ways: the token is
        sent below the grant or not at all.
        """
        server = f"https://api.atlassian.com/ex/jira/{CLOUD_ID}/"
        forms = ("https:{}", "https:/{}", "https:///{}", "HTTPS:{}", "https:\\{}", " https:{}")
        for form in forms:
            for path in ("other-app/x", f"ex/jira/{CLOUD_ID[:-1]}0/rest/x", "../../../x", ";/x"):
                double = Double([(302, {"Location": form.format(path)})])
                with requests.Session() as session, suppress(requests.RequestException):
                    session.mount("https://", double)
                    session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
                    session.get(f"{GATEWAY}/rest/x")
                first, *followed = double.sent
                assert BEARER in first.headers["authorization"]
                for sent in followed:
                    has_token = any(BEARER in text for text in (sent.url, *sent.headers.values()))
                    assert not has_token or sent.url.startswith(server), sent.url

    def test_a_pickled_session_holds_no_secret(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """A pickled session has its auth object, which uses the login of this process."""
        session.get(echo(client))
        pickled = pickle.dumps(session)
        assert secrets_in(pickled, world.emulator) == set()
        with pickle.loads(pickled) as again:
            assert again.get(echo(client)).status_code == 200

    def test_a_malformed_location_gets_no_token(self, world: World) -> None:
        """The token is taken off; the error, if any, is the one of requests."""
        double = Double([(302, {"Location": "https://[::1"})])
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
            with pytest.raises((ValueError, requests.RequestException)):
                session.get("https://api.atlassian.com/me")
            double = Double([(302, {"Location": "https://evil.example:99999/"})])
            session.mount("https://", double)
            response = session.get("https://api.atlassian.com/me", allow_redirects=False)
        assert response.status_code == 302
        assert response.next is not None
        assert BEARER not in str(response.next.headers)

    def test_the_hook_is_added_once(
        self, world: World, session: requests.Session, client: Any
    ) -> None:
        """However often a program prepares the auth of one request."""
        prepared = session.prepare_request(requests.Request("GET", echo(client)))
        prepared.prepare_auth(session.auth)
        assert len(prepared.hooks["response"]) == 1
        world.emulator.faults.next("/rest/echo", UNAUTHORIZED, times=None)
        assert session.send(prepared).status_code == 401
        assert len(world.echoes) == 2


class Moving(FixedTokenSource):
    """A source whose resource server may be another one later."""

    def move_to(self, server: ResourceServer) -> None:
        self._resource_server = server


@pytest.mark.parametrize("keeps_pairs", [True, False], ids=["pairs", "by public names"])
class TestTheFastWay:
    """What a request is told in one look holds only as long as nothing has changed."""

    @pytest.fixture(autouse=True)
    def _headers(self, keeps_pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not keeps_pairs:
            monkeypatch.setattr(of_requests, "_HEADERS", None)

    def test_sessions_and_other_logins_are_taken_off(self) -> None:
        """However the program spells the headers; other cookies and headers stay."""
        double = Double()
        auth = AtlassianAuth(FixedTokenSource(OneServer("https://jira.example.com")))
        for cookie, login in (("Cookie", "Authorization"), ("COOKIE", "AUTHORIZATION")):
            with requests.Session() as session:
                session.mount("https://", double)
                session.auth = auth
                headers = {cookie: "JSESSIONID=1; lb=2", login: "Basic x", "X-Other": "y"}
                session.get("https://jira.example.com/rest/api/2/x", headers=headers)
                session.get("https://jira.example.com/x", headers={cookie: "JSESSIONID=1"})
        sent = [each.headers for each in double.sent]
        assert [each.get("cookie") for each in sent] == ["lb=2", None] * 2
        assert {each["authorization"] for each in sent} == {f"Bearer {BEARER}"}
        assert sent[0]["x-other"] == "y"

    def test_a_request_to_a_site_gets_the_cookies_of_the_gateway(self) -> None:
        """And none of the site; an empty jar and a request without a jar bring none."""
        double = Double()
        auth = AtlassianAuth(FixedTokenSource(CLOUD))
        url = f"{CLOUD.site_url}/rest/api/3/x"
        for number in range(3):
            with requests.Session() as session:
                session.mount("https://", double)
                if number:
                    session.cookies.set("a", "site", domain=urlsplit(CLOUD.site_url).hostname)
                if number == 2:
                    session.cookies.set("b", "gateway", domain=urlsplit(CLOUD.api_url).hostname)
                session.get(url, auth=auth)
        bare = requests.PreparedRequest()
        bare.prepare_method("GET")
        bare.prepare_url(url, None)
        bare.prepare_headers({"Cookie": "a=site", "Host": "site"})
        auth(bare)
        assert [each.headers.get("cookie") for each in double.sent] == [None, None, "b=gateway"]
        assert {*map(str.lower, bare.headers)} == {"authorization"}

    def test_after_the_resource_server_has_changed_its_urls_are_judged_anew(self) -> None:
        """Before and after: the token goes to the URLs of the moment only."""
        one, other = (OneServer(f"https://{name}.example.com") for name in ("one", "other"))
        source, double = Moving(one), Double()
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(source)
            for server in (one, other, one):
                source.move_to(server)
                for each in (one, other):
                    session.get(f"{each.base_url}/x")
        carried = ["authorization" in each.headers for each in double.sent]
        assert carried == [True, False, False, True, True, False]

    def test_a_source_may_make_its_resource_server_anew_each_time(self) -> None:
        """Its requests are sent all the same."""

        class Anew(FixedTokenSource):
            @property
            def resource_server(self) -> ResourceServer:
                return OneServer("https://jira.example.com")

        double = Double()
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(Anew(CLOUD))
            for _ in range(3):
                session.get("https://jira.example.com/x")
        assert [each.headers["authorization"] for each in double.sent] == [f"Bearer {BEARER}"] * 3

    def test_a_token_that_is_replaced_before_the_answer_is_not_asked_for_twice(self) -> None:
        """The request is sent again with the one that is there, also by another session."""
        source = Source("https://jira.example.com")
        double = Double([(401, {}), (200, {})])
        url = "https://jira.example.com/rest/x"
        prepared = requests.Request("GET", url, auth=AtlassianAuth(source)).prepare()
        source.token_set(rejected="old")
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = AtlassianAuth(FixedTokenSource(CLOUD))
            assert session.send(prepared).status_code == 200
            assert session.send(prepared).status_code == 200
        sent = [each.headers["authorization"] for each in double.sent]
        assert sent[:2] == ["Bearer old", "Bearer new"]

    def test_of_two_auth_objects_on_one_request_the_last_one_counts(self) -> None:
        """Its token is sent, and replaced once when it is rejected."""
        first, last = (Source("https://jira.example.com") for _ in range(2))
        prepared = requests.Request("GET", "https://jira.example.com/x").prepare()
        for source in (first, last, first, last):
            prepared.prepare_auth(AtlassianAuth(source))
        double = Double([(401, {}), (200, {})])
        with requests.Session() as session:
            session.mount("https://", double)
            assert session.send(prepared).status_code == 200
        sent = [each.headers["authorization"] for each in double.sent]
        assert sent == ["Bearer old", "Bearer new"]


def test_the_wrong_object_names_the_right_one() -> None:
    """Requests calls any callable: the error names the right class, before anything is sent."""
    double = Double()
    for wrong in (AtlassianHTTPXAuth, AtlassianHTTPX2Auth):
        with requests.Session() as session:
            session.mount("https://", double)
            session.auth = wrong(FixedTokenSource(CLOUD))  # type: ignore[assignment]
            with pytest.raises(TypeError, match=r"use AtlassianAuth\(") as raised:
                session.get("https://api.atlassian.com/me")
        assert wrong.__name__ in str(raised.value)
    assert double.sent == []


def test_niquests_is_refused() -> None:
    """It calls what requests calls, but would leak the token when it multiplexes."""

    class PreparedRequest:
        __module__ = "niquests.models"
        url = "https://api.atlassian.com/me"
        headers: ClassVar[dict[str, str]] = {}

    class OfTheProgram(PreparedRequest):
        __module__ = "program"

    kinds: list[Any] = [AtlassianAuth, AtlassianHTTPXAuth, AtlassianHTTPX2Auth]
    for kind, request in product(kinds, (PreparedRequest(), OfTheProgram())):
        with pytest.raises(TypeError, match=r"niquests: .* AtlassianHTTPXAuth\(...\) for httpx,"):
            kind(FixedTokenSource(CLOUD))(request)
        assert request.headers == {}


@pytest.mark.parametrize(
    ("library", "right"), [(httpx, "AtlassianHTTPXAuth"), (httpx2, "AtlassianHTTPX2Auth")]
)
def test_other_libraries_get_an_error_that_says_what_to_use(library: Any, right: str) -> None:
    """Also when the program has a request class of its own."""

    class OfTheProgram(library.Request):  # type: ignore[misc]
        pass

    auth = AtlassianAuth(FixedTokenSource(CLOUD))
    sent: list[Any] = []
    with (
        library.Client(auth=auth, transport=library.MockTransport(sent.append)) as client,
        pytest.raises(TypeError, match=rf"use {right}\("),
    ):
        client.get("https://api.atlassian.com/me")
    with pytest.raises(TypeError, match=rf"use {right}\("):
        auth(OfTheProgram("GET", "https://api.atlassian.com/me"))
    assert sent == []


def test_a_token_that_came_while_the_answer_was_read_is_tried() -> None:
    """The path may ask for no other token yet, but this one is there already."""
    source = FixedTokenSource(CLOUD)
    auth, location = AtlassianAuth(source), Location.of(f"{GATEWAY}/rest/api/3/myself")

    def body() -> bytes:
        source._token_set = TokenSet("another")
        return b""

    rejected = ("GET", location, BEARER, 401, {})
    source.pacing.brought(f"GET {location.origin_url}{location.path}", BEARER, is_rejected=True)
    assert auth.rejection(*rejected, lambda: b"") is None
    assert auth.rejection(*rejected, body) is not None
