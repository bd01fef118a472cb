"""The token endpoint: what is sent, which answers are accepted, and what each refusal means."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, quote, quote_plus

import pytest
from hypothesis import given, strategies as st
from requests.structures import CaseInsensitiveDict

from atlassian_auth_adapter import (
    COMMERCIAL,
    ConfigurationError,
    TokenEndpointError,
    TokenEndpointUnavailableError,
    TokenRequestRefusedError,
    TokenSet,
)
from atlassian_auth_adapter.atlassian.products import (
    BITBUCKET_CLOUD,
    bitbucket_cloud_server,
    cloud_server,
    data_center_server,
)
from atlassian_auth_adapter.oauth.token_endpoint import (
    DEFAULT_LIFETIME,
    LONGEST_LIFETIME,
    UNKNOWN_TYPE_LIFETIME,
    TokenEndpoint,
)
from atlassian_auth_adapter.testing import FakeClock
from atlassian_auth_adapter.transport import Answer, NoAnswerError

NOW = 1_800_000_000.0
SECRET = "cl1ent s3cr3t/+%"
OLD = TokenSet("old-access", "old-refr3sh/+%", NOW, "read:a read:b", obtained_at=NOW - 3600)
CLOUD = cloud_server(COMMERCIAL)
DATA_CENTER = data_center_server("https://jira.company.com/jira")
BITBUCKET = bitbucket_cloud_server(BITBUCKET_CLOUD)
GOOD = {
    "access_token": "new-access",
    "refresh_token": "new-refresh",
    "expires_in": 3600,
    "scope": "read:a",
    "token_type": "Bearer",
}


class _Transport:
    """Gives one answer and records the requests."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer
        self.sent: list[tuple[str, dict[str, str], dict[str, str]]] = []

    def send(self, method: str, url: str, *, headers: Any, body: str) -> Answer:
        assert method == "POST"
        fields = parse_qs(body, strict_parsing=True, keep_blank_values=True)
        assert all(len(values) == 1 for values in fields.values())
        self.sent.append((url, dict(headers), {name: v for name, (v,) in fields.items()}))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _answer(body: object, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, CaseInsensitiveDict({"Content-Type": "application/json"} | named), raw)


def _endpoint(answer: Answer | Exception, server: Any = CLOUD, **changes: Any) -> TokenEndpoint:
    endpoint = TokenEndpoint(
        server,
        "the-client",
        lambda: SECRET,
        "http://localhost/callback",
        _Transport(answer),  # type: ignore[arg-type]
        FakeClock(NOW),
    )
    return replace(endpoint, **changes)


def _sent(endpoint: TokenEndpoint) -> tuple[str, dict[str, str], dict[str, str]]:
    (sent,) = endpoint.transport.sent  # type: ignore[attr-defined]
    return sent  # type: ignore[no-any-return]


def _failure(answer: Answer | Exception, server: Any = CLOUD) -> TokenEndpointUnavailableError:
    """The error of a refresh with this answer."""
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        _endpoint(answer, server).refresh(OLD)
    return caught.value


# --- what is sent ---------------------------------------------------------------------------------


def test_a_refresh_sends_only_what_the_server_requires() -> None:
    """No scope; the redirect URI for Data Center; the secret where each server reads it."""
    body = {"client_id": "the-client", "client_secret": SECRET}
    basic = "Basic " + base64.b64encode(f"the-client:{SECRET}".encode()).decode()
    for server, expected, authorization in (
        (CLOUD, body, None),
        (DATA_CENTER, {**body, "redirect_uri": "http://localhost/callback"}, None),
        (BITBUCKET, {}, basic),
    ):
        endpoint = _endpoint(_answer(GOOD), server)
        endpoint.refresh(OLD)
        url, headers, fields = _sent(endpoint)
        assert url == server.token_endpoint
        token = {"grant_type": "refresh_token", "refresh_token": OLD.refresh_token}
        assert fields == {**expected, **token}
        assert headers.get("Authorization") == authorization
        assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")


def test_a_refresh_without_a_callback_url_names_none() -> None:
    """A client that only refreshes needs no callback URL."""
    endpoint = _endpoint(_answer(GOOD), DATA_CENTER, redirect_uri="")
    endpoint.refresh(OLD)
    assert "redirect_uri" not in _sent(endpoint)[2]


def test_an_exchange_sends_code_and_verifier() -> None:
    """The redirect URI is sent as well, and the verifier if there is one."""
    for verifier in ({}, {"code_verifier": "v" * 64}):
        endpoint = _endpoint(_answer(GOOD))
        token_set = endpoint.exchange("the code&=+", **verifier, scope="asked")
        assert _sent(endpoint)[2] == {
            "grant_type": "authorization_code",
            "code": "the code&=+",
            "redirect_uri": "http://localhost/callback",
            "client_id": "the-client",
            "client_secret": SECRET,
            **verifier,
        }
        assert token_set.scope == "read:a"


def test_client_credentials_send_scopes_only_to_data_center() -> None:
    """Cloud answers invalid_scope to any scope; Data Center requires it."""
    for server, scope in ((CLOUD, None), (DATA_CENTER, "READ")):
        endpoint = _endpoint(_answer(GOOD), server)
        endpoint.client_credentials("READ")
        assert _sent(endpoint)[2].get("scope") == scope


def test_a_function_that_returns_no_valid_secret_is_an_error() -> None:
    """A vault without an answer, or a file's line break, is found before anything is sent."""
    secrets: list[Any] = ["", None, 5, "s3cr3t\n", "s3cr3t\u20ac", "  "]
    for secret in secrets:
        endpoint = _endpoint(_answer(GOOD), BITBUCKET, client_secret=lambda secret=secret: secret)
        for call in (lambda e=endpoint: e.refresh(OLD), lambda e=endpoint: e.revoke("token")):
            with pytest.raises(ConfigurationError, match="client_secret") as caught:
                call()
            assert "s3cr3t" not in f"{caught.value!r}{caught.value.__context__!r}"
        assert not endpoint.transport.sent  # type: ignore[attr-defined]


# --- which answers are accepted -------------------------------------------------------------------


def test_a_good_answer_becomes_a_token_set() -> None:
    """Expiry counts from the moment the request was sent."""
    assert _endpoint(_answer(GOOD)).refresh(OLD) == TokenSet(
        "new-access", "new-refresh", NOW + 3600, "read:a", "Bearer", NOW
    )


def test_an_answer_without_a_refresh_token_keeps_the_old_one() -> None:
    """Cloud sometimes leaves it out: an empty one is never stored over a valid one."""
    for left_out in ({}, {"refresh_token": ""}, {"refresh_token": None}):
        token_set = _endpoint(_answer({"access_token": "new-access", **left_out})).refresh(OLD)
        assert token_set.refresh_token == OLD.refresh_token
        assert token_set.scope == OLD.scope
        assert token_set.expires_at == NOW + DEFAULT_LIFETIME
        assert token_set.token_type == "Bearer"


def test_an_odd_expiry_does_not_cost_the_login() -> None:
    """The server has rotated: the new tokens are kept whatever it says about their age."""
    body = b'{"access_token": "new-access", "refresh_token": "new-refresh", "expires_in": %b}'
    lifetimes: dict[float, tuple[bytes, ...]] = {
        3600: (b"3600", b'"3600"', b'" 3600 "'),
        7200.5: (b"7200.5",),
        0: (b"0", b"-5", b"-Infinity"),
        LONGEST_LIFETIME: (b"Infinity", b"1e400", b"99999999999"),
        DEFAULT_LIFETIME: (
            *(b"NaN", b'"nan"', b"9" * 400, b'"soon"', b'""', b"null", b"true", b"[3600]"),
            b'{"seconds": 3600}',
        ),
    }
    for lifetime, spellings_of_it in lifetimes.items():
        for expires_in in spellings_of_it:
            token_set = _endpoint(_answer(body % expires_in)).refresh(OLD)
            assert token_set.refresh_token == "new-refresh"
            assert token_set.expires_at == NOW + lifetime, expires_in


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["expires_in", "scope", "token_type"], json_values)
    )
)
def test_odd_side_fields_do_not_cost_the_login(odd: dict[str, Any]) -> None:
    """The tokens of a refresh are kept, whatever else the answer says."""
    token_set = _endpoint(_answer({**GOOD, **odd})).refresh(OLD)
    assert (token_set.access_token, token_set.refresh_token) == ("new-access", "new-refresh")
    assert NOW <= token_set.expires_at <= NOW + LONGEST_LIFETIME
    assert token_set.scope.isprintable()
    assert token_set.token_type.isprintable()


def test_a_long_list_of_scopes_is_kept_whole() -> None:
    """A grant with all 236 granular scopes has all of them afterwards."""
    scope = " ".join(f"read:some-granular-thing-{n}:confluence" for n in range(236))
    assert len(_endpoint(_answer({**GOOD, "scope": scope})).refresh(OLD).scopes) == 236


bad_tokens = (
    json_values.filter(lambda value: not isinstance(value, str))
    | st.just("")
    | st.text(min_size=1).filter(lambda text: not all("!" <= char <= "~" for char in text))
    | st.sampled_from(["a b", "a\nb", "a\r\nX-Evil: 1", "a\0", "t\u00f6ken", "\ud800", " a", "a\t"])
)


@given(bad_tokens, bad_tokens.filter(bool))
def test_an_invalid_token_is_not_accepted(access_token: Any, refresh_token: Any) -> None:
    """Null, numbers, objects and texts that are invalid in a header: nothing is stored."""
    failure = _failure(_answer({**GOOD, "access_token": access_token}))
    assert failure.outcome == "ambiguous"
    _failure(_answer({**GOOD, "refresh_token": refresh_token}))


MALFORMED = {
    "nothing": b"",
    "space": b"  \n",
    "html": b"<!doctype html><title>Login</title>",
    "truncated": json.dumps(GOOD).encode()[:-9],
    "array": json.dumps([GOOD]).encode(),
    "string": b'"new-access"',
    "null": b"null",
    "number": b"3600",
    "true": b"true",
    "object without token": b"{}",
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "two objects": json.dumps(GOOD).encode() * 2,
    "binary": bytes(range(256)),
    "an int of 5000 digits": b'{"access_token": "new-access", "expires_in": ' + b"9" * 5000 + b"}",
    "form": b"access_token=new-access&refresh_token=new-refresh",
    "error beside token": json.dumps({**GOOD, "error": "invalid_grant"}).encode(),
    "only an error": b'{"error": "invalid_grant"}',
}


def test_a_malformed_answer_is_not_accepted() -> None:
    """Whatever a proxy or a broken server sends with 200: the outcome is unknown."""
    for name, body in MALFORMED.items():
        failure = _failure(_answer(body))
        assert (failure.outcome, failure.status) == ("ambiguous", 200), name
        assert "new-" not in str(failure), name


def test_other_encodings_of_json_are_read() -> None:
    """A byte order mark, or a description in Latin-1, does not cost the login."""
    body = json.dumps({**GOOD, "site": "B\u00fcro"}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"):
        answer = _answer(body.encode(encoding))
        assert _endpoint(answer).refresh(OLD).refresh_token == "new-refresh"


@pytest.mark.parametrize("nothing", [None, "", False, [], {}], ids=repr)
def test_an_error_that_names_none_beside_tokens_is_no_error(nothing: object) -> None:
    """Some servers always write all fields."""
    fields = dict.fromkeys(["error", "error_description", "error_uri", "errors"], nothing)
    for server in (CLOUD, DATA_CENTER, BITBUCKET):
        token_set = _endpoint(_answer({**fields, **GOOD}), server).refresh(OLD)
        assert (token_set.access_token, token_set.refresh_token) == ("new-access", "new-refresh")
    assert _endpoint(_answer({**fields, **GOOD})).exchange("code").access_token == "new-access"
    assert _failure(_answer({**GOOD, "error": "x"})).outcome == "ambiguous"


def test_a_refusal_in_another_encoding_is_understood() -> None:
    """The code counts, however the description is written."""
    for encoding in ("utf-8", "latin-1", "cp1252", "utf-16"):
        body = json.dumps(_error("invalid_grant", "Ung\u00fcltiger Code"), ensure_ascii=False)
        with pytest.raises(TokenRequestRefusedError) as caught:
            _endpoint(_answer(body.encode(encoding), 400), DATA_CENTER).refresh(OLD)
        assert caught.value.error == "invalid_grant", encoding


# --- a token of another type ----------------------------------------------------------------------

OTHER_TYPES = [
    "mac",
    "DPoP",
    "N_A",
    "Basic",
    "pop",
    "bearer jwt",
    "b\u00e9arer",
    7,
    ["Bearer"],
    True,
]


def test_every_spelling_of_bearer_is_accepted() -> None:
    """The type is compared without regard to case; without a type it is a bearer token."""
    for spelled in ("Bearer", "bearer", "BEARER", "BearEr", "", None):
        token_set = _endpoint(_answer({**GOOD, "token_type": spelled})).refresh(OLD)
        assert token_set.authorization == "Bearer new-access"
        assert token_set.expires_at == NOW + 3600


def test_a_token_of_another_type_is_refused_in_every_grant() -> None:
    """It must not be sent as a bearer token: a clear error, and no second request."""
    grants: list[Any] = [
        lambda endpoint: endpoint.exchange("code"),
        lambda endpoint: endpoint.client_credentials(),
        lambda endpoint: endpoint.refresh(OLD).checked(),
        lambda endpoint: endpoint.refresh(OLD).authorization,
    ]
    for token_type in OTHER_TYPES:
        for grant in grants:
            endpoint = _endpoint(_answer({**GOOD, "token_type": token_type}))
            with pytest.raises(TokenRequestRefusedError, match="RFC 6749") as caught:
                grant(endpoint)
            assert "new-" not in str(caught.value)
            _sent(endpoint)


def test_a_refresh_that_brings_another_type_keeps_the_rotated_refresh_token() -> None:
    """The server has rotated it; the token set ends soon, so that the server is asked again."""
    for token_type in OTHER_TYPES:
        token_set = _endpoint(_answer({**GOOD, "token_type": token_type})).refresh(OLD)
        assert token_set.refresh_token == "new-refresh"
        assert token_set.expires_at == NOW + UNKNOWN_TYPE_LIFETIME


@given(
    st.binary() | json_values.map(lambda value: json.dumps(value).encode()), st.integers(100, 599)
)
def test_no_answer_makes_it_raise_anything_else(body: bytes, status: int) -> None:
    """Every possible answer is a token set or one of our errors, never a foreign exception."""
    for server in (CLOUD, DATA_CENTER, BITBUCKET):
        with suppress(TokenEndpointError):
            assert _endpoint(_answer(body, status), server).refresh(OLD).access_token


def test_only_a_200_is_accepted() -> None:
    """The body of a token answer with another status is not accepted."""
    for status in (100, 101, 201, 202, 204, 206, 301, 302, 303, 307, 308):
        answer = _answer(GOOD, status, Location="https://evil.example/token")
        assert _failure(answer).status == status


# --- what a refusal means -------------------------------------------------------------------------

DEAD, FIX, RETRY = "login", "registration", "retry"


def _error(code: str, description: str) -> dict[str, str]:
    return {"error": code, "error_description": description}


PAYLOADS: list[tuple[Any, int, Any, str]] = [
    # atlassian.md 1.4
    (CLOUD, 403, _error("invalid_grant", "Unknown or invalid refresh token."), DEAD),
    (CLOUD, 403, _error("unauthorized_client", "refresh_token is invalid"), DEAD),
    (CLOUD, 403, _error("invalid_grant", "Token was globally revoked"), DEAD),
    (CLOUD, 403, {"error": "Token was globally revoked"}, DEAD),
    (CLOUD, 403, {"error": "refresh_token is invalid"}, DEAD),
    (CLOUD, 403, {"error": "Unknown or invalid refresh token."}, DEAD),
    (CLOUD, 403, {"error": "Something is invalid"}, FIX),
    (CLOUD, 400, {"error": "invalid_grant"}, DEAD),
    (CLOUD, 401, _error("access_denied", "Unauthorized"), FIX),
    (CLOUD, 400, {"error": "invalid_scope"}, FIX),
    (CLOUD, 400, {"error": "invalid_client"}, FIX),
    (CLOUD, 403, {"error": "unauthorized_client"}, FIX),
    (CLOUD, 403, _error("unauthorized_client", "Grant type not allowed."), FIX),
    (CLOUD, 500, {"error": "invalid_grant"}, RETRY),
    (CLOUD, 400, {"error": "temporarily_unavailable"}, RETRY),
    (CLOUD, 400, {"error": "server_error"}, RETRY),
    (CLOUD, 403, {"message": "Forbidden"}, RETRY),
    (CLOUD, 404, {}, RETRY),
    # 4: Data Center, localised, two shapes
    (DATA_CENTER, 400, _error("invalid_grant", "Ung\u00fcltig"), DEAD),
    (DATA_CENTER, 401, {"error": "invalid_grant"}, DEAD),
    (DATA_CENTER, 401, _error("invalid_client", "Client not found"), FIX),
    (DATA_CENTER, 400, {"error": "invalid_request"}, FIX),
    (DATA_CENTER, 400, {"error": "unsupported_grant_type"}, FIX),
    (DATA_CENTER, 400, _error("invalid scope", "Invalid scope"), FIX),
    (DATA_CENTER, 400, {"errors": ["Client not found"], "fieldErrors": {}}, FIX),
    (DATA_CENTER, 404, {"errors": ["Client not found"], "fieldErrors": {}}, FIX),
    (DATA_CENTER, 500, {"errors": ["Unknown"], "fieldErrors": {}}, RETRY),
    (DATA_CENTER, 400, {"errors": [], "fieldErrors": {"code": ["missing"]}}, RETRY),
    # 5: Bitbucket Cloud
    (BITBUCKET, 403, _error("unauthorized_client", "refresh_token is invalid"), DEAD),
    (BITBUCKET, 400, _error("invalid_request", "Invalid refresh_token"), DEAD),
    (BITBUCKET, 401, _error("access_denied", "user x is inactive"), FIX),
    (BITBUCKET, 400, _error("invalid_request", "redirect_uri"), FIX),
    (BITBUCKET, 401, {"type": "error", "error": {"message": "Access token expired."}}, RETRY),
]  # fmt: skip


def test_what_each_refusal_means() -> None:
    """A dead refresh token, a wrong registration and a temporary failure are told apart."""
    for server, status, payload, meaning in PAYLOADS:
        expected = TokenEndpointUnavailableError if meaning is RETRY else TokenRequestRefusedError
        with pytest.raises(expected) as caught:
            _endpoint(_answer(payload, status), server).refresh(OLD)
        error = caught.value
        assert error.status == status
        if isinstance(error, TokenRequestRefusedError):
            dead = server.refuses_refresh_token(error.error, error.error_description)
            assert dead == (meaning is DEAD), payload
            assert error.error in str(error)


def test_retry_after_is_understood() -> None:
    """Seconds are accepted, up to an hour; anything else is ignored."""
    for value, status, outcome, wait in (
        ("7", 429, "throttled", 7.0),
        (None, 429, "throttled", None),
        ("7", 503, "throttled", 7.0),
        (None, 503, "ambiguous", None),
        ("7", 500, "ambiguous", 7.0),
        ("0", 429, "throttled", 0.0),
        ("-7", 429, "throttled", None),
        ("1.5", 429, "throttled", None),
        ("soon", 429, "throttled", None),
        ("\u0667", 429, "throttled", None),
        ("9" * 400, 429, "throttled", 3600.0),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 429, "throttled", None),  # without a Date
    ):
        headers = {"Retry_After": value} if value else {}
        failure = _failure(_answer({"error": "invalid_grant"}, status, **headers))
        assert (failure.outcome, failure.retry_after) == (outcome, wait), value


def test_a_date_is_compared_with_the_servers_own_clock() -> None:
    """An HTTP date counts from the answer's Date: the clock of this machine may be wrong."""
    for at, wait in (
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 09:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 10:00:00 GMT", 3600.0),
    ):
        answer = _answer({}, 429, Date="Mon, 23 Nov 2026 10:00:00 GMT", Retry_After=at)
        assert _failure(answer).retry_after == wait


def test_without_an_answer_the_outcome_says_whether_it_was_sent() -> None:
    """That is the question that matters for a token that may be used once."""
    for sent, outcome in ((True, "ambiguous"), (False, "not_sent")):
        no_answer = NoAnswerError("reset", sent=sent)
        no_answer.__cause__ = ConnectionError("reset")
        failure = _failure(no_answer)
        assert failure.outcome == outcome
        assert "auth.atlassian.com" in str(failure)
        assert failure.__cause__ is no_answer.__cause__
        assert failure.__context__ is None


# --- an answer of something else ------------------------------------------------------------------


def _page(status: int, content_type: str, body: bytes = b"s3cr3t page", **headers: str) -> Answer:
    return _answer(body, status, Content_Type=content_type, **headers)


def test_what_something_else_answers_is_told_and_not_sent_again() -> None:
    """A proxy's page, a firewall's, an unlabelled refusal: status and kind of body, no secret."""
    pages = [
        *((status, "text/html; charset=utf-8", b"<html>s3cr3t</html>") for status in (403, 407)),
        *((status, "text/plain", b"Unauthorized s3cr3t") for status in (400, 401, 405, 451)),
        (403, "application/json", b'{"message": "Forbidden"}'),
        (403, "application/json", b"s3cr3t"),
        *((status, "", b"") for status in (401, 404, 410, 421)),
    ]
    for server in (CLOUD, DATA_CENTER, BITBUCKET):
        for status, content_type, body in pages:
            failure = _failure(_page(status, content_type, body), server)
            assert (failure.outcome, failure.status) == ("not_sent", status)
            kind = content_type.partition(";")[0] or "no content type"
            assert f"(HTTP {status}, {kind})" in str(failure)
            assert "s3cr3t" not in str(failure)
            assert "try again" not in str(failure)


def test_what_may_have_been_processed_stays_ambiguous() -> None:
    """A failing server, a proxy that has waited for it, and a page in place of an answer."""
    for status in (200, 201, 204, 408, 500, 502, 503, 504, 520):
        assert _failure(_page(status, "text/html")).outcome == "ambiguous", status


def test_a_redirect_of_the_token_endpoint_names_its_target_and_the_cause() -> None:
    """It is not followed; the text shows where it leads, without a query, and what to compare."""
    asked = DATA_CENTER.token_endpoint
    for location, shown in (
        (
            "https://jira.company.com/other/rest/oauth2/latest/token?os=s3cr3t",
            "https://jira.company.com/other/rest/oauth2/latest/token",
        ),
        ("//user:s3cr3t@new.company.com/x#s3cr3t", "https://new.company.com/x"),
        ("/login?next=s3cr3t", "https://jira.company.com/login"),
        ("login.jsp", asked.rpartition("/")[0] + "/login.jsp"),
    ):
        for status in (301, 302, 303, 307, 308):
            answer = _page(status, "text/html", Location=location)
            failure = _failure(answer, DATA_CENTER)
            assert (failure.outcome, failure.status) == ("not_sent", status)
            assert f"from {asked} to {shown}, which is not followed" in str(failure)
            assert "context path" in str(failure)
            assert "s3cr3t" not in str(failure)


def test_an_invalid_redirect_is_an_unusable_answer() -> None:
    """Neither a broken URL nor control characters reach the text."""
    for location in ("", "http://[", "https://x/\x1b[31m", "https://x/\u00e9"):
        failure = _failure(_page(302, "text/html", Location=location), DATA_CENTER)
        assert "redirects" not in str(failure)
        assert str(failure).isprintable()


def test_a_token_endpoint_that_is_not_there_names_the_context_path() -> None:
    """A server below a path was given without it: its root answers 404."""
    failure = _failure(_page(404, "text/html"), DATA_CENTER)
    assert DATA_CENTER.token_endpoint in str(failure)
    assert "context path" in str(failure)


# --- what a refusal must not repeat ---------------------------------------------------------------

spellings = st.sampled_from([str, quote, quote_plus, lambda text: quote(text, safe="")])
noise = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "x\u00e9", max_size=250
)


@given(noise, noise, spellings, st.sampled_from([SECRET, OLD.refresh_token]), st.booleans())
def test_a_description_that_echoes_a_secret_does_not_show_it(
    before: str, after: str, spelled: Any, secret: str, in_code: bool
) -> None:
    """Servers and firewalls repeat what they were sent; the errors do not, not even a part."""
    text = before + spelled(secret) + after
    payload = {
        "error": text if in_code else "invalid_request",
        "error_description": text,
        "errors": [text],
    }
    with pytest.raises(TokenEndpointError) as caught:
        _endpoint(_answer(payload, 400)).refresh(OLD)
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert "s3cr3t" not in shown
    assert "refr3sh" not in shown
    assert spelled(secret)[:12] not in shown


def test_a_short_secret_leaves_the_rest_of_a_description_readable() -> None:
    """What stands in its place is not searched for secrets once more."""
    answer = _answer({"error": "unauthorized", "error_description": "bad token"}, 403)
    with pytest.raises(TokenEndpointError) as caught:
        _endpoint(answer).refresh(OLD._replace(refresh_token="e"))
    assert "unauthoriz[secret]d (bad tok[secret]n)" in str(caught.value)


def test_a_description_is_cleaned_and_cut() -> None:
    """Line breaks and escape sequences do not reach a terminal or a log; a page of text neither."""
    for error, description in (
        ("in\nvalid", "a\r\nb\x1b[31mc\u202ed"),
        ("e" * 9000, "d" * 9000),
    ):
        payload = {"error": error, "error_description": description}
        with pytest.raises(TokenRequestRefusedError) as caught:
            _endpoint(_answer(payload, 400)).refresh(OLD)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 900


def test_the_endpoint_does_not_print_its_secret() -> None:
    """The repr of the endpoint holds neither the secret nor the function that fetches it."""
    assert "s3cr3t" not in repr(_endpoint(_answer(GOOD)))
    assert "lambda" not in repr(_endpoint(_answer(GOOD)))


# --- revocation -----------------------------------------------------------------------------------


def test_a_revocation_sends_the_token_and_the_client() -> None:
    """The client's credentials are in the body."""
    for server in (CLOUD, DATA_CENTER):
        endpoint = _endpoint(_answer(b""), server)
        endpoint.revoke(OLD.refresh_token)
        url, _, fields = _sent(endpoint)
        assert url == server.revocation_endpoint
        assert fields == {
            "token": OLD.refresh_token,
            "token_type_hint": "refresh_token",
            "client_id": "the-client",
            "client_secret": SECRET,
        }


def test_a_revocation_that_was_not_confirmed_is_an_error() -> None:
    """Only a 200 confirms that the token was revoked."""
    answer = _answer(
        {"error": "unsupported_token_type", "error_description": OLD.refresh_token}, 400
    )
    with pytest.raises(TokenRequestRefusedError) as caught:
        _endpoint(answer).revoke(OLD.refresh_token)
    assert "refr3sh" not in f"{caught.value}{vars(caught.value)}"
