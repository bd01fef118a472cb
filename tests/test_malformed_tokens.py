"""A token that no header can hold is refused where it enters, and is never quoted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianAuthError,
    AtlassianServiceAccountClient,
    ConfigurationError,
    ContextTokenStore,
    FileTokenStore,
    MemoryTokenStore,
    StaticTokenSource,
    TokenEndpointUnavailableError,
    TokenSet,
    TokenStoreError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing.emulator import Edit

SECRET = "s3cr3t-abcdefghijkl"
#: As it is read from a file, copied from a page, joined with another header, or by accident.
MALFORMED = {
    "line break": f"{SECRET}\n",
    "line end of Windows": f"{SECRET}\r\n",
    "a second header": f"{SECRET}\r\nX-Other: 1",
    "space in front": f" {SECRET}",
    "space inside": f"{SECRET} {SECRET}",
    "tab": f"{SECRET}\t",
    "null": f"{SECRET}\x00",
    "escape": f"\x1b[31m{SECRET}",
    "delete": f"{SECRET}\x7f",
    "accent": f"{SECRET}é",
    "no-break space": f"{SECRET}\xa0",
    "line separator": f"{SECRET}\u2028",
    "byte order mark": f"\ufeff{SECRET}",
    "typographic dash": f"{SECRET}\u2013",
}
some_malformed = pytest.mark.parametrize("token", [f"{SECRET}\r\n", f"{SECRET} x", f"{SECRET}é"])
each_name = pytest.mark.parametrize("name", ["access_token", "refresh_token"])


def refused(work: Callable[[], object], kind: type[AtlassianAuthError], *words: object) -> None:
    """The work raises such an error with these words, and without the token."""
    with pytest.raises(kind) as caught:
        work()
    error: BaseException | None = caught.value
    assert all(str(word) in str(error) for word in words)
    while error is not None:
        assert "s3cr3t" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


@each_name
def test_a_token_set_holds_no_such_token(name: str) -> None:
    """The error says which of the two it is."""
    for token in MALFORMED.values():
        given = {"access_token": "a", name: token}
        refused(lambda given=given: TokenSet(**given), ConfigurationError, name)


@pytest.mark.parametrize("value", ["a\nb", "a\r\n", "\x1b[31m", "a\u2028b", "a\x00"])
@pytest.mark.parametrize("name", ["scope", "token_type"])
def test_nor_scopes_or_a_type_with_a_line_break(name: str, value: str) -> None:
    """They stand in events and in what the command prints."""
    refused(lambda: TokenSet("a", **{name: value}), ConfigurationError, name)  # type: ignore[arg-type]


def _stored(store: Any, name: str, token: str) -> None:
    """Replace a token in the entry that a store holds, as another program might."""
    entry = store.load(name)
    record = json.loads(entry.text)
    changed = {**record, "token_set": {**record["token_set"], **json.loads(token)}}
    store.save(name, json.dumps(changed), expected=entry.version)


@some_malformed
@each_name
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_stored_one_is_told_with_its_place(
    kind: str, name: str, token: str, make_client: Any, tmp_path: Path
) -> None:
    """By every way to a token, before a request is sent; what is stored stays as it is."""
    store: Any = MemoryTokenStore() if kind == "memory" else FileTokenStore(tmp_path / "logins")
    first = make_client("data_center", store=store)
    _stored(store, first.token_key.name, json.dumps({name: token}))
    before = store.load(first.token_key.name)
    client = make_client("data_center", store=store, login=False)
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        for work in (
            lambda: session.get(client.identity_url, timeout=30),
            client.get_access_token,
            client.status,
            client.refresh,
            client.test_connection,
        ):
            refused(work, TokenStoreError, repr(store), "default", "forget()")
    assert store.load(client.token_key.name) == before


@some_malformed
@pytest.mark.parametrize("key", ["token", "refresh_token"])
def test_one_that_an_old_integration_has_stored_is_told(
    key: str, token: str, make_client: Any
) -> None:
    """The four keys of ContextTokenStore hold what another program has written."""
    context = {"token": "a", "refresh_token": "b", "valid_until": 0, "scopes": "x", key: token}
    store = ContextTokenStore(lambda: dict(context), context.update)
    client = make_client("cloud", store=store, login=False)
    refused(client.get_access_token, TokenStoreError, "ContextTokenStore")


def test_scopes_of_an_old_integration_on_several_lines_are_scopes(make_client: Any) -> None:
    """A login is not refused for the form of its scopes."""
    context = {"token": "a", "refresh_token": "b", "valid_until": 9e9, "scopes": "x\n y\tz"}
    store = ContextTokenStore(lambda: dict(context), context.update)
    assert make_client("cloud", store=store, login=False).status().scopes == ("x", "y", "z")


@some_malformed
@each_name
def test_one_from_the_server_is_an_unusable_answer(
    name: str, token: str, make_client: Any, emulator: Any
) -> None:
    """It is not kept, and the login lives."""

    def edit(answer: Any) -> Any:
        return replace(answer, body=json.dumps(json.loads(answer.body) | {name: token}).encode())

    client = make_client("cloud")
    emulator.faults.next("token", Edit(edit), 99)  # asked again as long as the server allows
    refused(client.refresh, TokenEndpointUnavailableError)
    emulator.faults.clear()
    client.refresh()
    assert client.test_connection().id


@pytest.mark.parametrize(
    "make",
    [
        lambda token: StaticTokenSource(token, "https://jira.example.com"),
        lambda token: StaticTokenSource.personal_access_token(token, "https://jira.example.com"),
        lambda token: StaticTokenSource.api_token("a@b.example", token, "https://a.atlassian.net"),
        lambda token: StaticTokenSource.scoped_api_token("a@b.example", token, "1-2"),
        StaticTokenSource.organization_key,
    ],
)
def test_a_static_one_is_refused(make: Any) -> None:
    """Whatever its kind."""
    for token in MALFORMED.values():
        refused(partial(make, token), ConfigurationError)


@pytest.mark.parametrize("email", ["a@b.example\n", "a@b.example\r\nX: y", "a@b\x00", "", "a:b@c"])
def test_an_address_that_breaks_a_basic_header_is_refused(email: str) -> None:
    """A line break or a colon in the email address of an API token."""
    make = StaticTokenSource.api_token
    refused(lambda: make(email, SECRET, "https://a.atlassian.net"), ConfigurationError, "email")


@some_malformed
def test_one_to_be_taken_over_is_refused_before_it_is_sent(
    token: str, make_client: Any, emulator: Any
) -> None:
    """The refresh token that a program was installed with may end in a line break."""
    client = make_client("cloud", login=False)
    refused(
        lambda: client.oauth2_retrieve_access_token(refresh_token=token),
        ConfigurationError,
        "refresh_token",
    )
    assert not [request for request in emulator.requests if request.role == "token"]


@pytest.mark.parametrize("value", ["id\n", "i\r\nd", "\x1bid", "idé", " ", "", "id\x00", 7])
@pytest.mark.parametrize("make", [create_atlassian_oauth_client, AtlassianServiceAccountClient])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_id_and_secret_of_a_client_fit_into_a_basic_header(
    name: str, value: Any, make: Any
) -> None:
    """Both are printable ASCII on one line."""
    arguments = {"client_id": "id", "client_secret": SECRET, name: value}
    refused(
        lambda: make(**arguments, server_url="https://jira.example.com"), ConfigurationError, name
    )


def test_scopes_may_be_given_on_several_lines(make_client: Any) -> None:
    """As in a file of settings; each is a word of its own."""
    for scopes in ("a b\n c", ["a", "b\n", " c"], ["a b", "c"]):
        assert make_client("cloud", login=False, scopes=scopes).get_oauth_scopes() == [
            "a",
            "b",
            "c",
        ]
