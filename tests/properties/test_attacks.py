"""What an attacker may try, by real runs against the emulator. See docs/security.md."""

from __future__ import annotations

import base64
import http.client
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import httpx
import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPXAuth,
    AuthorizationError,
    records,
)
from atlassian_auth_adapter.records.authorizations import Authorizations
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock

FLAVOURS = ["cloud", "data_center", "bitbucket"]
#: Where the servers take codes, refresh tokens and client secrets.
ENDPOINTS = ("/token", "/access_token", "/revoke")


def _code_in(redirect: str) -> str:
    return parse_qs(urlsplit(redirect).query)["code"][0]


class Wire(list[tuple[str, str]]):
    """Head and body of each request that is sent by http.client, which requests is built on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        send = http.client.HTTPConnection.send

        def watched(connection: http.client.HTTPConnection, data: Any) -> None:
            text = data.decode("latin-1")
            if text.endswith("\r\n\r\n"):
                self.append((text, ""))
            else:
                head, body = self.pop()
                self.append((head, body + text))
            send(connection, data)

        monkeypatch.setattr(http.client.HTTPConnection, "send", watched)


def _use(client: Any, side: Any, clock: FakeClock) -> None:
    """Requests of several kinds: with a fresh token, an ended one and a rejected one."""
    url = client.identity_url
    with requests.Session() as session, httpx.Client(auth=AtlassianHTTPXAuth(client)) as other:
        session.auth = AtlassianAuth(client)
        for _ in range(2):
            assert session.get(url, params={"a": "b"}).status_code == 200
            session.post(url, data={"a": "b"})
            assert other.get(url).status_code == 200
            clock.advance(3600)
        session.get(url)
        side.expire_access_tokens()
        assert session.get(url).status_code == 200
    client.test_connection()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_secret_is_sent_to_its_place_only(
    flavour: str,
    emulator: AtlassianEmulator,
    make_client: Any,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An access token in the Authorization header; a code, a verifier, a refresh token and a client
    secret in a request to the token endpoint or the revocation endpoint. None in a URL or a cookie.
    """
    side, wire = getattr(emulator, flavour), Wire(monkeypatch)
    client = make_client(flavour, login=False)
    url = client.oauth_start()
    key = client.token_key.for_authorizations()
    pending, _ = records.load(client._store, key, Authorizations)
    secrets = {request.code_verifier for request in pending.requests} - {""}
    client.oauth_complete(side.authorize(url))
    _use(client, side, clock)
    if flavour != "bitbucket":
        client.revoke()
    secrets |= emulator.secrets
    assert any(_held(secrets, body) for _, body in wire)  # it is seen where it belongs
    for head, body in wire:
        line, *fields = head.split("\r\n")
        assert not _held(secrets, line)
        headers = dict(field.split(": ", 1) for field in fields if field)
        authorization = headers.pop("Authorization", "")
        assert not _held(secrets, str(headers))
        is_endpoint = line.split()[1].endswith(ENDPOINTS)
        assert is_endpoint or not _held(secrets, body)
        assert authorization.startswith("Bearer ") or is_endpoint or not authorization
    for request in emulator.requests:  # those of httpx as well
        others = {k: v for k, v in request.headers.items() if k.lower() != "authorization"}
        assert not _held(secrets, f"{request.target}{others}"), request
    kinds = {request.grant_type for request in emulator.token_requests}
    assert kinds == {"authorization_code", "refresh_token"}


def _held(secrets: set[str], text: str) -> list[str]:
    """The secrets that a text holds, however they are spelled."""
    spelled = ((secret, quote_plus(secret), _encoded(secret)) for secret in secrets)
    return [secret for secret, *more in spelled if any(each in text for each in (secret, *more))]


def _encoded(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


def test_a_stolen_code_is_worth_nothing_in_another_sign_in(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """A code that leaked, put into the redirect of a sign-in that the attacker has begun himself.

    The state is right, the verifier is that of another request: Data Center refuses.
    """
    side = emulator.data_center
    victim, thief = (make_client("data_center", login=False, account=name) for name in ("v", "t"))
    stolen = _code_in(side.authorize(victim.oauth_start()))
    own = side.authorize(thief.oauth_start())
    with pytest.raises(AuthorizationError, match="another callback URL"):
        thief.oauth_complete(own.replace(_code_in(own), stolen))
    assert thief.status().state == "none"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_token_in_a_redirect_is_not_taken(
    flavour: str, emulator: AtlassianEmulator, make_client: Any
) -> None:
    """The answer of the implicit grant, in a fragment or in a query: no login and no request."""
    client = make_client(flavour, login=False)
    (state,) = parse_qs(urlsplit(client.oauth_start()).query)["state"]
    answer = f"access_token=inj3cted&token_type=bearer&state={state}"
    for redirect in (
        f"{client.callback_url}#{answer}",
        f"{client.callback_url}?{answer}",
        f"{client.callback_url}?state={state}#access_token=inj3cted",
        f"{client.callback_url}?{answer}#code=c0de",
    ):
        with pytest.raises(AuthorizationError, match="one `code` and one `state`"):
            client.oauth_complete(redirect)
    assert client.status().state == "none"
    assert not emulator.token_requests
