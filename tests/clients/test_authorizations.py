"""An authorization is completed by one call, whatever happens: no code is sent twice."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AuthorizationCompletedError,
    AuthorizationError,
    ConfigurationError,
    ContextTokenStore,
    EncryptedTokenStore,
    FileTokenStore,
    KeyringTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    StateMismatchError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenStoreError,
    TokenStoreUnavailableError,
    records,
)
from atlassian_auth_adapter.clients.authorizations import MOST_AUTHORIZATIONS, REMEMBERED_CLAIMS
from atlassian_auth_adapter.records.authorizations import Authorizations, Claim
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.testing import stored_login
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child, together
from atlassian_auth_adapter.testing.emulator import HTML, CloseAfter, Hold, Redirect, Status

FLAVOURS = ["cloud", "data_center", "bitbucket"]
every = pytest.mark.parametrize("flavour", FLAVOURS)
#: How a program may give what came back, from the redirect URL.
FORMS: dict[str, Callable[[str], str]] = {
    "URL": lambda redirect: redirect,
    "query": lambda redirect: f"?{redirect.partition('?')[2]}",
    "code": lambda redirect: parse_qs(urlsplit(redirect).query)["code"][0],
}


def _started(client: Any, emulator: Any, flavour: str) -> str:
    """The redirect URL of an authorization that has just been started and agreed to."""
    return str(getattr(emulator, flavour).authorize(client.oauth_start()))


def _kept(client: Any) -> Authorizations:
    kept, _ = records.load(client._store, client.token_key.for_authorizations(), Authorizations)
    return kept or Authorizations()


def _cut_off(client: Any) -> Any:
    """The client, which reaches no token endpoint from now on."""
    server = client._server._replace(token_endpoint="http://127.0.0.1:1/token")
    client._endpoint = replace(client._endpoint, server=server)
    return client


def _outcome(work: Callable[[], object]) -> type[object]:
    try:
        work()
    except AtlassianAuthError as error:
        return type(error)
    return type(None)


# --- one call -------------------------------------------------------------------------------------

MakeStore = Callable[[], Any]


class Keychain(KeyringBackend):
    """A keyring in memory."""

    viable = False  # `keyring.get_keyring()` does not choose it

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self._entries[service, username]


@pytest.fixture
def hosts(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, postgres_url: str
) -> Iterator[MakeStore]:
    """Makes stores on one place, as each host or process makes its own."""
    table = f"t{uuid.uuid4().hex}"
    context: dict[str, Any] = {}
    memory, key, keychain = MemoryTokenStore(), Fernet.generate_key(), Keychain()

    def replace_context(new: dict[str, Any]) -> None:
        context.clear()
        context.update(new)

    def sql(url: str) -> SQLTokenStore:
        return SQLTokenStore(
            sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool), table=table
        )

    makers: dict[str, MakeStore] = {
        "memory": lambda: memory,
        "file": lambda: FileTokenStore(tmp_path / "tokens"),
        "encrypted file": lambda: EncryptedTokenStore(FileTokenStore(tmp_path / "tokens"), [key]),
        "context": lambda: ContextTokenStore(context.copy, replace_context),
        "keyring": lambda: KeyringTokenStore(backend=keychain, directory=tmp_path / "logins"),
        "SQLite": lambda: sql(f"sqlite:///{tmp_path}/logins.db"),
        "PostgreSQL": lambda: sql(postgres_url),
        "Redis": lambda: RedisTokenStore(
            redis.Redis.from_url(redis_url, socket_timeout=5), prefix=table
        ),
    }
    make = makers[request.param]
    if "SQL" in request.param:
        make().create_table()
    yield make
    if request.param == "PostgreSQL":
        engine = sqlalchemy.create_engine(postgres_url, poolclass=sqlalchemy.NullPool)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"DROP TABLE {table}"))


@pytest.mark.parametrize(
    ("hosts", "form"),
    [
        *[("memory", form) for form in FORMS],
        *[("file", form) for form in FORMS],
        ("encrypted file", "URL"),
        *(("context", "code"), ("keyring", "code"), ("SQLite", "code")),
        *(("PostgreSQL", "code"), ("Redis", "code")),
    ],
    indirect=["hosts"],
)
def test_calls_at_one_moment_send_the_code_once(
    hosts: MakeStore, form: str, emulator: Any, make_client: Any
) -> None:
    """Five workers get the same redirect: one signs in, the others learn that it has been done."""
    clients = [make_client("data_center", login=False, store=hosts()) for _ in range(5)]
    redirect = FORMS[form](_started(clients[0], emulator, "data_center"))
    clients[1].oauth_start()  # another visitor, whose authorization a bare code must not use up

    outcomes = together(
        len(clients), lambda number: _outcome(lambda: clients[number].oauth_complete(redirect))
    )
    assert sorted(outcomes, key=str) == sorted(
        [type(None), *[AuthorizationCompletedError] * 4], key=str
    )
    assert emulator.count("authorization_code") == 1
    assert all(client.test_connection().id for client in clients)
    assert clients[0].refresh().state == "fresh"


@pytest.mark.parametrize("hosts", ["file", "SQLite", "PostgreSQL", "Redis"], indirect=True)
def test_processes_at_one_moment_send_the_code_once(
    hosts: MakeStore, emulator: Any, make_client: Any
) -> None:
    """As several workers of a web server do when a visitor presses the button twice."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    redirect = _started(make_client(login=False, store=hosts()), emulator, "cloud")
    ready, go = os.pipe(), os.pipe()

    def work() -> type[object]:
        client = make_client(login=False, store=hosts())
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        return _outcome(lambda: client.oauth_complete(redirect))

    def begin() -> None:
        for _ in range(3):
            os.read(ready[0], 1)
        os.write(go[1], b"xxx")

    starter = threading.Thread(target=begin)
    starter.start()
    outcomes = together(3, lambda _: in_forked_child(work))
    starter.join()
    assert sorted(outcomes, key=str) == sorted(
        [type(None), *[AuthorizationCompletedError] * 2], key=str
    )
    assert emulator.count("authorization_code") == 1
    assert make_client(login=False, store=hosts()).refresh().state == "fresh"


@every
@pytest.mark.parametrize("is_pending", [False, True], ids=["nothing pending", "another pending"])
def test_a_page_that_is_loaded_again_does_no_harm(
    flavour: str, is_pending: bool, emulator: Any, make_client: Any
) -> None:
    """In whatever form the code comes again, also while another authorization waits: it is not
    sent, the login lives, and the one that waits can still be completed.
    """
    client = make_client(flavour, login=False)
    for first in FORMS.values():
        redirect = _started(client, emulator, flavour)
        client.oauth_complete(first(redirect))
        other = _started(client, emulator, flavour) if is_pending else ""
        emulator.reset_log()
        for again in FORMS.values():
            for call in (client.oauth_complete, client.oauth2_retrieve_access_token):
                with pytest.raises(AuthorizationCompletedError, match=r"completed.*Nothing was"):
                    call(again(redirect))
        assert not emulator.token_requests
        client.refresh()
        assert client.test_connection().id
        if is_pending:
            client.oauth_complete(other)


def test_a_second_redirect_of_the_same_authorization_is_not_used(
    emulator: Any, make_client: Any
) -> None:
    """The person went back and agreed twice: two codes, one state; the second is not sent."""
    client = make_client(login=False)
    url = client.oauth_start()
    first, second = (emulator.cloud.authorize(url) for _ in range(2))
    client.oauth_complete(second)
    with pytest.raises(AuthorizationCompletedError):
        client.oauth_complete(first)
    assert emulator.count("authorization_code") == 1


def test_what_is_remembered_of_a_code_is_a_hash(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """Neither code, state nor verifier is left in the store; when many others have come, and ten
    minutes are over, not even the hash.
    """
    store = MemoryTokenStore()
    client = make_client(login=False, store=store)
    redirect = _started(client, emulator, "cloud")
    (request,) = _kept(client).requests
    client.oauth_complete(redirect)
    entry = store.load(client.token_key.for_authorizations().name)
    assert entry
    secrets = (request.state, request.code_verifier, FORMS["code"](redirect))
    assert not [secret for secret in secrets if secret in entry.text]
    for _ in range(REMEMBERED_CLAIMS):
        client.oauth_complete(_started(client, emulator, "cloud"))
    clock.advance(599)
    with pytest.raises(AuthorizationCompletedError):
        client.oauth_complete(redirect)
    clock.advance(1)
    client.oauth_start()
    assert len(_kept(client).claims) == REMEMBERED_CLAIMS
    with pytest.raises(StateMismatchError):
        client.oauth_complete(redirect)


@every
@pytest.mark.parametrize("later", [601, 86400 * 7, -86400])
def test_a_page_that_is_loaded_again_much_later_does_no_harm(
    later: float, flavour: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """A browser restores its tabs after days, or the clock was set: while another authorization
    waits, a code alone is not sent for it.
    """
    client = make_client(flavour, login=False)
    redirect = _started(client, emulator, flavour)
    client.oauth_complete(redirect)
    clock.jump(later)
    other = _started(client, emulator, flavour)
    for form in FORMS.values():
        with pytest.raises(AuthorizationCompletedError):
            client.oauth_complete(form(redirect))
    assert emulator.count("authorization_code") == 1
    client.refresh()
    client.oauth_complete(other)


@every
def test_a_redirect_of_a_login_that_was_forgotten_is_not_used_again(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """It says what is true: there is no login, and a code counts once."""
    client = make_client(flavour, login=False)
    redirect = _started(client, emulator, flavour)
    client.oauth_complete(redirect)
    client.forget()
    with pytest.raises(
        AuthorizationError, match=r"no login of it is stored.*oauth_start"
    ) as caught:
        client.oauth_complete(redirect)
    assert not isinstance(caught.value, AuthorizationCompletedError)
    assert emulator.count("authorization_code") == 1


def test_a_call_that_was_left_goes_on_and_its_redirect_counts(
    emulator: Any, make_client: Any
) -> None:
    """The visitor loads the page again while the first exchange is under way: the second call waits
    for it, and learns that it went well.
    """
    client = make_client(login=False)
    redirect = _started(client, emulator, "cloud")
    hold = Hold()
    emulator.faults.next("token", hold)
    outcomes: list[type[object]] = []
    calls = [
        threading.Thread(
            target=lambda: outcomes.append(_outcome(lambda: client.oauth_complete(redirect)))
        )
        for _ in range(2)
    ]
    calls[0].start()
    hold.wait_arrived()
    calls[1].start()
    hold.release()
    for call in calls:
        call.join(30)
    assert set(outcomes) == {type(None), AuthorizationCompletedError}
    assert emulator.count("authorization_code") == 1


# --- a code alone ---------------------------------------------------------------------------------


@every
def test_a_code_alone_is_refused_when_nothing_was_started(
    flavour: str, emulator: Any, make_client: Any, events: Any
) -> None:
    """It may be the code of a stranger, who would share his account with the program."""
    other = make_client(flavour, login=False)
    code = FORMS["code"](_started(other, emulator, flavour))
    client = make_client(flavour, login=False, on_event=events)
    for call in (client.oauth_complete, client.oauth2_retrieve_access_token):
        with pytest.raises(StateMismatchError, match=r"oauth_start\(\).*same store"):
            call(code)
    assert not emulator.token_requests
    assert client.status().state == "none"
    assert "state_not_checked" not in events.names


@every
def test_a_code_alone_is_refused_when_what_was_started_is_over(
    flavour: str, emulator: Any, make_client: Any, clock: Any
) -> None:
    """After ten minutes, and when the authorization was completed with another code."""
    client = make_client(flavour, login=False)
    url = client.oauth_start()
    codes = [FORMS["code"](getattr(emulator, flavour).authorize(url)) for _ in range(2)]
    clock.advance(600)
    with pytest.raises(StateMismatchError):
        client.oauth_complete(codes[0])
    url = client.oauth_start()
    codes = [FORMS["code"](getattr(emulator, flavour).authorize(url)) for _ in range(2)]
    client.oauth_complete(codes[0])
    with pytest.raises(StateMismatchError):
        client.oauth_complete(codes[1])
    assert emulator.count() == 1
    assert client.test_connection().id


@every
def test_a_code_alone_that_is_refused_uses_no_authorization_up(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """It was made up, or belongs to another authorization that waits: it is not sent again, and the
    person whose authorization it was taken for can still come back.
    """
    client = make_client(flavour, login=False)
    redirect = _started(client, emulator, flavour)
    for made_up in ("made-up-by-a-stranger", "made-up-once-more"):
        with pytest.raises(AuthorizationError, match="was refused"):
            client.oauth_complete(made_up)
        with pytest.raises(AuthorizationError, match="used before"):
            client.oauth_complete(made_up)
    assert emulator.count() == 2
    client.oauth_complete(redirect)
    assert client.test_connection().id


@every
def test_a_state_that_was_not_compared_is_reported(
    flavour: str, emulator: Any, make_client: Any, events: Any
) -> None:
    """A code alone is accepted while an authorization waits, and the event says what it lacks."""
    client = make_client(flavour, login=False, on_event=events)
    for form in ("URL", "query"):
        client.oauth_complete(FORMS[form](_started(client, emulator, flavour)))
    assert "state_not_checked" not in events.names
    client.oauth_complete(FORMS["code"](_started(client, emulator, flavour)))
    (reported,) = (event for event in events if event.name == "state_not_checked")
    assert "whole redirect URL" in reported.fields["hint"]


# --- an exchange that fails -----------------------------------------------------------------------


@every
def test_a_redirect_whose_code_was_not_sent_can_be_completed_later(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The token endpoint cannot be reached: nothing is lost, and the error says so."""
    store = MemoryTokenStore()
    cut_off = _cut_off(make_client(flavour, login=False, store=store))
    client = make_client(flavour, login=False, store=store)
    for form in FORMS.values():
        redirect = form(_started(client, emulator, flavour))
        for _ in range(2):
            with pytest.raises(TokenEndpointUnavailableError, match="Nothing is lost") as caught:
                cut_off.oauth_complete(redirect)
            assert caught.value.outcome == "not_sent"
            assert len(_kept(client).requests) == 1
        client.oauth_complete(redirect)
        assert client.test_connection().id


@every
def test_a_client_secret_that_is_missing_costs_no_redirect(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """The function for the secret fails before anything is sent; later the redirect counts."""
    known: list[str] = []
    failures = [ZeroDivisionError(), TokenStoreError("locked"), ConfigurationError("no such")]

    def secret() -> str:
        if not known:
            raise failures.pop(0)
        return known[0]

    client = make_client(flavour, login=False, client_secret=secret)
    redirect = _started(client, emulator, flavour)
    for expected in (ConfigurationError, TokenStoreError, ConfigurationError):
        with pytest.raises(expected):
            client.oauth_complete(redirect)
    known.append(getattr(emulator, flavour).app.client_secret)
    client.oauth_complete(redirect)
    assert emulator.count() == 1


@every
def test_a_code_that_was_sent_is_not_sent_again(
    flavour: str, emulator: Any, make_client: Any
) -> None:
    """Whatever came back, the text says to start again; the same redirect says so as well."""
    client = make_client(flavour)
    faults = [Status(500), Status(429, retry_after=1), HTML(403), CloseAfter()]
    for fault in (*faults, Redirect("https://elsewhere.example/")):
        redirect = _started(client, emulator, flavour)
        emulator.reset_log()
        emulator.faults.next("token", fault)
        with pytest.raises(TokenEndpointUnavailableError, match=r"oauth_start\(\)") as caught:
            client.oauth_complete(redirect)
        assert "Nothing is lost" not in str(caught.value)
        for form in FORMS.values():
            with pytest.raises(AuthorizationError, match=r"used before.*oauth_start"):
                client.oauth_complete(form(redirect))
        assert emulator.count() == 1
    client.refresh()  # the login from before lives
    client.oauth_complete(_started(client, emulator, flavour))


def test_a_wrong_secret_says_to_start_again_when_it_is_corrected(
    emulator: Any, make_client: Any
) -> None:
    """The code was sent along with it."""
    client = make_client(login=False, client_secret="wr0ng-s3cr3t")
    redirect = _started(client, emulator, "cloud")
    with pytest.raises(TokenRequestRefusedError, match=r"client_secret.*oauth_start\(\)"):
        client.oauth_complete(redirect)
    with pytest.raises(AuthorizationError, match="used before"):
        client.oauth_complete(redirect)
    assert emulator.count() == 1


class ClaimStore:
    """A store that fails when authorizations are saved: `fails` says before or after, each time."""

    def __init__(self) -> None:
        self.place = MemoryTokenStore()
        self.load, self.delete, self.lock = self.place.load, self.place.delete, self.place.lock
        self.fails: list[str] = []

    def save(self, name: str, text: str, *, expected: int | None) -> None:
        fault = self.fails.pop(0) if self.fails and name.endswith("authorizations") else ""
        if fault != "before":
            self.place.save(name, text, expected=expected)
        if fault:
            raise TokenStoreUnavailableError("broken by the test")

    def entry(self, client: Any) -> Entry | None:
        return self.place.load(client.token_key.for_authorizations().name)


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("form", FORMS)
def test_a_claim_that_may_not_be_saved_sends_nothing_and_loses_nothing(
    fault: str, form: str, emulator: Any, make_client: Any
) -> None:
    """The store fails, or only its answer is lost: the same redirect can be completed again."""
    store = ClaimStore()
    client = make_client(login=False, store=store)
    redirect = FORMS[form](_started(client, emulator, "cloud"))
    store.fails = [fault]
    with pytest.raises(TokenStoreError):
        client.oauth_complete(redirect)
    assert not emulator.token_requests
    assert (len(_kept(client).requests), len(_kept(client).claims)) == (1, 0)
    client.oauth_complete(redirect)
    assert client.test_connection().id


def test_a_claim_that_cannot_be_given_back_says_to_start_again(
    emulator: Any, make_client: Any
) -> None:
    """Nothing was sent, but the store still has the claim: what the text says is what happens."""
    store = ClaimStore()
    client = _cut_off(make_client(login=False, store=store))
    redirect = _started(client, emulator, "cloud")
    store.fails = ["", "before"]
    with pytest.raises(TokenEndpointUnavailableError, match=r"start again with oauth_start\(\)"):
        client.oauth_complete(redirect)
    with pytest.raises(AuthorizationError, match=r"used before.*oauth_start"):
        make_client(login=False, store=store).oauth_complete(redirect)
    assert not emulator.token_requests


def test_a_process_that_died_in_an_exchange_leaves_a_code_that_is_not_sent_again(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """Its claim is on record, and whether it has sent the code is not known: start again. The login
    from before lives.
    """
    client = make_client()
    redirect = _started(client, emulator, "cloud")
    (request,) = _kept(client).requests
    hashed, before = client.token_key.hashed, stored_login(client)
    assert before
    hashes = hashed(FORMS["code"](redirect)), hashed(request.state)
    claim = Claim(*hashes, clock.time(), "another", before.login_id)
    records.change(
        client._store,
        client.token_key.for_authorizations(),
        Authorizations,
        lambda _: Authorizations((), (claim,)),
    )
    emulator.reset_log()
    with pytest.raises(AuthorizationError, match=r"used before.*oauth_start"):
        client.oauth_complete(redirect)
    assert not emulator.token_requests
    assert client.refresh().state == "fresh"


# --- many -----------------------------------------------------------------------------------------


def test_an_authorization_that_waits_is_not_dropped_for_a_later_one(
    emulator: Any, make_client: Any, clock: Any
) -> None:
    """Beyond a hundred, a start is refused with what to do, and the first one can be completed."""
    client = make_client(login=False)
    redirect = _started(client, emulator, "cloud")
    clock.advance(50)
    for _ in range(MOST_AUTHORIZATIONS - 1):
        client.oauth_start()
    with pytest.raises(AuthorizationError, match=r"100 authorizations.*'default'.*550 s"):
        client.oauth_start()
    client.oauth_complete(redirect)
    client.oauth_start()
    clock.advance(600)
    client.oauth_start()


def test_started_by_a_clock_that_was_ahead_they_do_not_block_sign_ins(
    make_client: Any, clock: Any
) -> None:
    """A clock that was a day ahead is set right: what was started then has ended."""
    client = make_client(login=False)
    clock.jump(86400)
    for _ in range(MOST_AUTHORIZATIONS):
        client.oauth_start()
    clock.jump(-86400)
    client.oauth_start()
    assert len(_kept(client).requests) == 1
