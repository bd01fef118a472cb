"""Error reporters that print the locals of every frame print no secret of this package."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import sqlalchemy as sa
from aiohttp.http_writer import StreamWriter
from cryptography.fernet import Fernet

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianAuthError,
    AtlassianHTTPXAuth,
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    SQLTokenStore,
    StaticTokenSource,
    TokenSet,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.errors import without_frames
from atlassian_auth_adapter.secret_text import SecretBytes, SecretText, hidden
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.emulator import CutBody, Status

from . import reporters

PASSWORD = "pr0xy-passw0rd-s3cr3t"
SECRET = "s3cr3t-abcdefghijklmnopqrstuvwxyz"
KEY = Fernet.generate_key().decode()

#: Locals that hold plain text for a moment, and why no error leaves with them.
PLAIN = {
    "errors:without_frames.<locals>.sealed": "deletes them before an error leaves",
    "secret_text:": "hides them, and raises nothing",
    "__create_fn__": "a generated constructor, which hides them and raises nothing",
    "tokens:": "the same",
    "_auth:credential_in": "raises nothing",
    "authorization:AuthorizationRequest.url": "raises nothing",
    "token_endpoint:_Sender.post": "below drop_frames",
    "token_endpoint:_token_set": "raises nothing",
    "transport:": "below drop_frames",
    "_bodies:PartlyReadFile.readinto": "an answer, which the program asked for",
    "static:": "its constructors are without frames",
    "encrypted:EncryptedTokenStore.__init__": "is without frames",
    "rows:_HiddenText": "hides it, and raises nothing",
    "context:": "the dictionary is the program's; its methods are without frames",
    "legacy_context:": "the same",
}


def leaks(shown: set[str] | list[str], secrets: set[str], client_id: str = "id") -> list[str]:
    """Where one of the secrets is shown, in any of its spellings."""
    every = {each for secret in secrets - {""} for each in reporters.spellings(secret, client_id)}
    return sorted({text.partition("=")[0] for text in shown if any(each in text for each in every)})


class _Journey:
    """A client of an emulator, and what it goes through."""

    def __init__(self, make_client: Any, emulator: Any, clock: Any, flavour: str, store: Any):
        self.clock, self.emulator = clock, emulator
        self.side = getattr(emulator, flavour)
        self.client: Any = make_client(
            flavour, login=False, store=store, proxy={"ftp": f"http://user:{PASSWORD}@127.0.0.1:9"}
        )
        self.states: set[str] = set()

    def secrets(self) -> set[str]:
        return {*self.emulator.secrets, *self.states, PASSWORD, SECRET, KEY}

    def run(self) -> None:
        client, side = self.client, self.side
        start = str(client.oauth_start())
        self.states.add(start.partition("&state=")[2].partition("&")[0])
        redirect = side.authorize(start)
        client.oauth_complete(redirect)
        url = client.identity_url
        with requests.Session() as session:
            session.auth = AtlassianAuth(client)
            session.proxies = {"ftp": f"http://user:{PASSWORD}@127.0.0.1:9"}
            for fault in (None, CutBody(), Status(401)):
                side.expire_access_tokens()
                if fault:
                    self.emulator.faults.next("resource", fault)
                with suppress(requests.RequestException):
                    session.get(url, timeout=30)
        side.expire_access_tokens()
        with httpx.Client(auth=AtlassianHTTPXAuth(client)) as http:
            http.get(url)
        side.expire_access_tokens()
        asyncio.run(self._async(url))
        for fault in (None, CutBody(), Status(401)):
            side.expire_access_tokens()
            if fault:
                self.emulator.faults.next("resource", fault)
            with suppress(aiohttp.ClientError):
                ask(client, url)
        self.clock.advance(4000)
        for work in (
            client.test_connection,
            client.accessible_resources,
            client.status,
            client.refresh,
            client.check_registration,
            lambda: client.oauth_complete(redirect),
            lambda: client.oauth2_retrieve_access_token(
                refresh_token=side.issue()["refresh_token"]
            ),
            client.revoke,
            client.forget,
            client.token_set,
        ):
            with suppress(AtlassianAuthError):
                work()

    async def _async(self, url: str) -> None:
        async with httpx.AsyncClient(auth=AtlassianHTTPXAuth(self.client)) as http:
            await http.get(url)


def _context(_: Path) -> ContextTokenStore:
    kept: dict[str, Any] = {}

    def replace(new: dict[str, Any]) -> None:
        kept.clear()
        kept.update(new)

    return ContextTokenStore(lambda: dict(kept), replace)


def _sql(directory: Path) -> SQLTokenStore:
    store = SQLTokenStore(
        sa.create_engine(f"sqlite:///{directory}/logins.db", poolclass=sa.NullPool)
    )
    store.create_table()
    return store


STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryTokenStore(),
    "encrypted file": lambda path: EncryptedTokenStore(FileTokenStore(path / "logins"), KEY),
    "context": _context,
    "SQL": _sql,
}


@pytest.mark.parametrize(
    ("flavour", "kind"),
    [
        ("cloud", "memory"),
        *(
            pytest.param("cloud", kind, marks=pytest.mark.slow)
            for kind in STORES
            if kind != "memory"
        ),
        ("data_center", "memory"),
        ("bitbucket", "memory"),
    ],
)
def test_no_local_variable_of_the_library_has_a_plain_secret(
    flavour: str,
    kind: str,
    make_client: Any,
    emulator: Any,
    clock: Any,
    landed: Callable[[], None],
    tmp_path: Path,
) -> None:
    """Where a function ends or fails, the reprs of its locals hide tokens, codes, secrets, states.

    The exceptions are listed with their reasons: no error leaves with those locals.
    """
    shown: set[str] = set()
    with reporters.watched_locals(shown):
        journey = _Journey(make_client, emulator, clock, flavour, STORES[kind](tmp_path))
        journey.run()
        landed()
    found = leaks(shown, journey.secrets(), journey.side.app.client_id)
    assert len(shown) > 1000
    assert not [each for each in found if not any(plain in each for plain in PLAIN)]


class _Interrupted(BaseException):
    """As Ctrl-C, at a moment that the test chooses."""


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[BaseException]], None]:
    """From now on every connection fails with this error; http.client has the request by then."""

    def begin(kind: type[BaseException]) -> None:
        def fail(*_: Any, **__: Any) -> socket.socket:
            raise kind("while it connects")

        monkeypatch.setattr("urllib3.util.connection.create_connection", fail)

    return begin


@pytest.mark.parametrize("kind", [_Interrupted, KeyboardInterrupt, MemoryError, RuntimeError])
@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_an_interrupt_in_the_middle_of_a_request_shows_no_secret(
    flavour: str,
    kind: type[BaseException],
    make_client: Any,
    interrupt: Callable[[type[BaseException]], None],
) -> None:
    """Ctrl-C or a lack of memory hits frames of http.client, which hold the header in plain."""
    client = make_client(flavour)
    url = client.identity_url
    source = StaticTokenSource(SECRET, "http://127.0.0.1:9")
    secrets = {SECRET, client.get_access_token(), client.current().refresh_token}
    interrupt(kind)
    for work in (
        client.test_connection,
        client.refresh,
        client.revoke,
        client.accessible_resources,
    ):
        with suppress(AtlassianAuthError):
            _fails_without(work, lambda: secrets)
    del url, source


def test_a_request_that_is_sent_again_in_vain_shows_no_token(
    make_client: Any, emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames of http.client below the hook that sends again do not leave with the error."""
    client = make_client("data_center")
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        session.get(client.identity_url, timeout=30)
        emulator.data_center.expire_access_tokens()
        send, sent = requests.adapters.HTTPAdapter.send, []

        def fail_later(self: Any, request: Any, **options: Any) -> Any:
            if request.method == "GET":
                sent.append(request)
            if len(sent) > 1:  # no connection is left, and a new one is refused
                self.close()
                monkeypatch.setattr("urllib3.util.connection.create_connection", _refused)
            return send(self, request, **options)

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", fail_later)
        request = partial(session.get, client.identity_url, timeout=30)
        _fails_without(request, lambda: emulator.secrets, OSError)
    assert len(sent) == 2


@pytest.mark.parametrize("failing", [1, 2])
@pytest.mark.parametrize("kind", [OSError, MemoryError, _Interrupted])
def test_the_writer_of_aiohttp_shows_no_token(
    make_client: Any,
    emulator: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
    failing: int,
) -> None:
    """The connection breaks while it writes the headers, which it holds in plain: the first time,
    or after a rejection.
    """
    client = make_client("data_center")
    url = client.identity_url
    ask(client, url)
    emulator.data_center.expire_access_tokens()
    write, written = StreamWriter.write_headers, []

    async def fail(self: Any, line: str, headers: Any) -> None:
        written.append(line)
        if len(written) < failing:
            await write(self, line, headers)
            return
        plain = f"{line} {headers.get('Authorization')!s}"
        raise kind(len(plain))

    monkeypatch.setattr(StreamWriter, "write_headers", fail)
    _fails_without(partial(ask, client, url), lambda: emulator.secrets)
    assert len(written) == failing


def _refused(*_: Any, **__: Any) -> socket.socket:
    raise ConnectionRefusedError(111, "refused")


def _fails_without(
    work: Callable[[], object],
    secrets: Callable[[], Iterable[str]],
    kind: type[BaseException] = BaseException,
) -> None:
    """The work raises such an error, and no reporter shows a secret in our frames or below them."""
    try:
        work()
    except kind as error:
        shown = reporters.shown_of(error)
        assert not leaks(shown, set(secrets()))
    else:
        raise AssertionError("nothing was raised")


@pytest.mark.parametrize("name", ["client_secret", "site_url", "cloud_id", "server_url", "account"])
def test_a_secret_in_the_place_of_another_argument_is_in_no_frame(name: str) -> None:
    """Swapped arguments are refused without the frames that hold them."""
    arguments: dict[str, Any] = {"client_id": "id", "client_secret": "x", "callback_url": "y"}
    arguments[name] = f"{SECRET}\n"
    if name in ("client_secret", "account"):
        arguments["server_url"] = "no URL"
    _fails_without(
        lambda: create_atlassian_oauth_client(**arguments), lambda: {SECRET}, AtlassianAuthError
    )


def test_a_malformed_token_is_in_no_frame() -> None:
    """Nor is one that cannot be sent."""
    for work in (
        lambda: TokenSet(f"{SECRET}\n"),
        lambda: TokenSet("a", f"{SECRET} "),
        lambda: StaticTokenSource(f"{SECRET}\n", "https://jira.example.com"),
        lambda: StaticTokenSource.personal_access_token(f"{SECRET}\n", "https://jira.example.com"),
        lambda: StaticTokenSource.api_token(
            "a@b.example", f"{SECRET}\n", "https://a.atlassian.net"
        ),
        lambda: StaticTokenSource.api_token(SECRET, "a@b.example", "https://a.atlassian.net"),
        lambda: StaticTokenSource.organization_key(f"{SECRET}\x00"),
    ):
        _fails_without(work, lambda: {SECRET}, AtlassianAuthError)


# --- the values themselves ------------------------------------------------------------------------


def test_a_hidden_text_is_the_text_in_every_way_but_its_repr() -> None:
    """It compares, hashes, encodes, formats and serialises as the plain text does."""
    text = SecretText(SECRET)
    assert text == SECRET
    assert {SECRET: 1}[text] == 1
    assert f"{text}" == str(text) == "%s" % text == SECRET  # noqa: UP031
    assert text.encode() == SECRET.encode()
    assert text.encode().decode() == SECRET
    for shown in (repr(text), f"{text!r}", repr([text]), repr(text.encode()), repr(text[:9])):
        assert SECRET[:4] not in shown
    for plain, same in ((SECRET, text), (SECRET.encode(), text.encode())):
        assert type(pickle.loads(pickle.dumps(same))) is type(plain)
        assert copy.copy(same) is copy.deepcopy([same])[0] is same
    assert json.dumps([text]) == json.dumps([SECRET])
    assert text[2:5] == SECRET[2:5]
    assert text.encode()[0] == ord(SECRET[0])


@pytest.mark.parametrize("depth", range(3))
def test_what_is_hidden_in_lists_and_mappings_is_equal(depth: int) -> None:
    """Lists and mappings are copied with their texts hidden, at any depth."""
    value: Any = {"secret": SECRET, "number": 1, "bytes": SECRET.encode(), "nothing": None}
    for _ in range(depth):
        value = {"inner": [value]}
    assert hidden(value) == value
    assert SECRET[:4] not in repr(hidden(value))
    assert SECRET[:4] in repr(value)


def test_the_token_that_programs_get_is_hidden(make_client: Any) -> None:
    """So the frames of the program do not show it either."""
    token = make_client().get_access_token()
    assert isinstance(token, SecretText)
    assert isinstance(token.encode(), SecretBytes)


@pytest.mark.parametrize("form", [str, str.encode, lambda text: [{"in": text}], SECRET.join])
def test_the_scanner_finds_a_leak_below_our_frames(form: Callable[[str], object]) -> None:
    """A plain local in a frame below one of the library is found, in whatever it stands."""

    def fail() -> None:
        plain = form(SECRET)
        raise RuntimeError(str(bool(plain)))

    with pytest.raises(RuntimeError) as caught:
        without_frames(fail)()
    assert leaks(reporters.shown_of(caught.value), {SECRET})
