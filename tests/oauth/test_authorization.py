"""The authorization request and what comes back through the browser."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings, strategies as st

from atlassian_auth_adapter import (
    COMMERCIAL,
    AuthorizationDeniedError,
    AuthorizationError,
    StateMismatchError,
)
from atlassian_auth_adapter.atlassian.products import (
    BITBUCKET_CLOUD,
    bitbucket_cloud_server,
    cloud_server,
    data_center_server,
)
from atlassian_auth_adapter.oauth.authorization import (
    LIFETIME,
    AuthorizationRequest,
    AuthorizationResponse,
)
from atlassian_auth_adapter.oauth.server import AuthorizationServer

CLOUD = cloud_server(COMMERCIAL)
DATA_CENTER = data_center_server("https://jira.company.com/jira")
CALLBACK = "http://localhost:8080/call back?x=1"


def _parameters(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def test_the_cloud_url_has_every_parameter_and_no_plus_sign() -> None:
    """Atlassian documents %20 for spaces, an audience, and prompt=consent."""
    request = AuthorizationRequest.new("read:a write+b offline_access", 5.0)
    url = request.url(CLOUD, "the client", CALLBACK)
    assert url.startswith("https://auth.atlassian.com/authorize?")
    assert "+" not in url
    assert "scope=read%3Aa%20write%2Bb%20offline_access" in url
    parameters = _parameters(url)
    assert parameters.pop("code_challenge")
    assert parameters == {
        "audience": "api.atlassian.com",
        "client_id": "the client",
        "scope": "read:a write+b offline_access",
        "redirect_uri": CALLBACK,
        "state": request.state,
        "response_type": "code",
        "prompt": "consent",
        "code_challenge_method": "S256",
    }


@pytest.mark.parametrize(
    "server", [CLOUD, DATA_CENTER, bitbucket_cloud_server(BITBUCKET_CLOUD)], ids=lambda s: s.issuer
)
def test_every_url_has_an_s256_challenge(server: AuthorizationServer) -> None:
    """PKCE: the challenge is the hash of a verifier that stays here. Source: RFC 7636."""
    request = AuthorizationRequest.new("WRITE", 5.0)
    url = request.url(server, "id", CALLBACK)
    parameters = _parameters(url)
    digest = hashlib.sha256(request.code_verifier.encode()).digest()
    assert parameters["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert parameters["code_challenge_method"] == "S256"
    assert request.code_verifier not in url
    assert 43 <= len(request.code_verifier) <= 128
    assert set(parameters) == {
        "client_id", "scope", "redirect_uri", "state", "response_type",
        "code_challenge", "code_challenge_method", *dict(server.authorization_parameters),
    }  # fmt: skip


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_every_scope_and_callback_survives_the_url(scope: str, callback: str) -> None:
    """They arrive letter by letter."""
    request = AuthorizationRequest("state", scope=scope)
    query = parse_qs(urlsplit(request.url(CLOUD, "id", callback)).query, keep_blank_values=True)
    assert query["redirect_uri"] == [callback]
    assert query.get("scope", [""]) == [scope]


def test_states_and_verifiers_are_never_used_twice() -> None:
    """Each request has its own."""
    requests = [AuthorizationRequest.new("", 0.0) for _ in range(50)]
    assert len({request.state for request in requests}) == 50
    assert len({request.code_verifier for request in requests}) == 50
    assert all(len(request.state) >= 22 for request in requests)  # 128 bits


def test_neither_state_nor_verifier_is_printed() -> None:
    """They are secrets until the redirect has come back, and so is the code."""
    request = AuthorizationRequest("st4te", "v3rifier", 1.0, "read:a")
    response = AuthorizationResponse("c0de", "st4te")
    assert not any(secret in f"{request}{response}" for secret in ("st4te", "v3rifier", "c0de"))


# --- the response ---------------------------------------------------------------------------------


def test_a_code_and_a_redirect_url_are_understood() -> None:
    """People paste codes, URLs, and paths as their web framework has them."""
    for text, code, state in (
        ("abc", "abc", None),
        ("  abc\n", "abc", None),
        ("eyJ.a-b_c~d/e+f=", "eyJ.a-b_c~d/e+f=", None),
        ("http://localhost:8080/callback?code=a%2Bb&state=s", "a+b", "s"),
        ("https://localhost/callback?x=1&state=s&code=c&y=2", "c", "s"),
        ("https://localhost/callback?state=s&code=c#_=_", "c", "s"),
        ("com.company.app://callback?state=s&code=c", "c", "s"),
        ("/callback?code=c&state=s", "c", "s"),
        ("callback?code=c&state=s", "c", "s"),
        ("?code=c&state=s", "c", "s"),
        ("code=c&state=s", "c", "s"),
        ("state=s&code=a%2Bb", "a+b", "s"),
        ("&state=s&code=c", "c", "s"),
        ("state=s&code=c#", "c", "s"),
    ):
        assert AuthorizationResponse.parse(text) == AuthorizationResponse(code, state)


@pytest.mark.parametrize(
    "quotes",
    [
        "''",
        '""',
        "``",
        "<>",
        '"<>"',
        "< >",
        "\u201c\u201d",
        "\u201e\u201c",
        "\u2018\u2019",
        "\u00ab\u00bb",
        "()",
        "[]",
        "(<,>",
        "\ufeff\u200b",
        "\u200e\u00a0",
        "<( )>",
    ],
)
def test_quotes_around_what_is_pasted_do_no_harm(quotes: str) -> None:
    """Shells, chats and mail programs put them there; sometimes only one of the two is copied."""
    half = len(quotes) // 2
    begin, end = quotes[:half], quotes[half:]
    for text in (
        "http://localhost:8080/callback?code=c&state=s",
        "/callback?code=c&state=s",
        "code=c&state=s",
        "state=s&code=c",
    ):
        for pasted in (f"{begin}{text}{end}", f" {begin} {text}{end}\n", f"{begin}{text}"):
            assert AuthorizationResponse.parse(pasted) == AuthorizationResponse("c", "s")
    assert AuthorizationResponse.parse(f"{begin}c0de{end}") == AuthorizationResponse("c0de")


@pytest.mark.parametrize("code", ["c", "a+b/c=="])
def test_what_another_program_has_escaped_is_understood(code: str) -> None:
    """The source of a page has `&amp;`; a URL within another one is escaped as a whole."""
    fields = f"code={quote(code, safe='')}&state=s"
    for text in (f"http://localhost:8080/callback?{fields}", f"/callback?{fields}", fields):
        for escaped in (text.replace("&", "&amp;"), quote(text, safe=""), quote(text, safe="?:/")):
            assert AuthorizationResponse.parse(escaped) == AuthorizationResponse(code, "s")


def test_a_query_is_no_code_whatever_field_comes_first() -> None:
    """Or all of it would be sent as a code, in place of the one within it."""
    response = AuthorizationResponse.parse("session_state=x&code=c&state=s")
    assert response == AuthorizationResponse("c", "s")
    for text in ("c&state=s", "x=1&code=c", "c%26state%3Ds", "x&code=c"):
        with pytest.raises(AuthorizationError, match="Paste it whole"):
            AuthorizationResponse.parse(text)


@pytest.mark.parametrize("given", [None, b"code=c&state=s", 5, ["c"]], ids=repr)
def test_what_is_no_text_is_refused_with_advice(given: Any) -> None:
    """A web application asks its framework for a `code` that a denial does not have."""
    with pytest.raises(AuthorizationError, match="whole redirect URL"):
        AuthorizationResponse.parse(given)


def test_anything_else_is_refused_with_advice() -> None:
    """Nothing is sent for a redirect without one code and one state."""
    callback = "http://localhost/callback"
    texts: tuple[Any, ...] = (
        *(None, 7, b"c0de"),
        *("", "  ", "a b", "a\nb", "\ud800", "a\x00", "?", callback, "http://[::1/callback?code=c"),
        *(f"{callback}?code=c", f"{callback}?state=s", f"{callback}?code=&state=s"),
        *(f"{callback}?code=c&code=d&state=s", f"{callback}?code=c&state=s&state=t"),
        *(f"{callback}#code=c&state=s", "#code=c&state=s", "code=c", "state=s", "\"'<>", "iss=x"),
        f"{callback}?code=c&state=s&iss=a&iss=b",
        f"{callback}?error=e&state=s&iss=a&iss=b",
    )
    for text in texts:
        with pytest.raises(AuthorizationError, match=r"[Pp]aste"):
            AuthorizationResponse.parse(text)


@given(st.text() | st.text("c?&=code:/state%#").map(lambda text: f"http://h/?{text}"))
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    """Whatever is pasted, the outcome is a response or an AuthorizationError."""
    try:
        response = AuthorizationResponse.parse(text)
    except AuthorizationError:
        return
    assert response.code or response.error
    with pytest.raises(StateMismatchError):
        AuthorizationResponse(response.code, response.state or "x").request_among([], 0.0)


def test_denial_is_an_error_of_its_own() -> None:
    """The person pressed Deny: ask again, or stop."""
    response = AuthorizationResponse.parse("?error=access_denied&error_description=no&state=s")
    with pytest.raises(AuthorizationDeniedError) as caught:
        response.raise_for_error()
    assert caught.value.error == "access_denied"


def test_another_error_of_the_server_is_named() -> None:
    """The error text has its code, without characters that could fool a terminal."""
    codes = {"invalid_scope": "invalid_scope", "a%1b[31m%0ab": "a31mb", "x" * 500: "x" * 60}
    for code, shown in codes.items():
        response = AuthorizationResponse.parse(f"http://h/?error={code}&code=c&state=s")
        with pytest.raises(AuthorizationError) as caught:
            response.raise_for_error()
        assert not isinstance(caught.value, AuthorizationDeniedError)
        assert caught.value.error == shown
        assert str(caught.value).isprintable()


def test_an_ambiguous_redirect_answers_no_state() -> None:
    """With two states, or with a code and an error, it is not the response that is waited for."""
    for query in ("error=e&state=s&state=t", "error=e&code=c&state=s", "error=e"):
        assert not AuthorizationResponse.parse(f"?{query}").answers("s")
    for query in ("error=e&state=s", "code=c&state=s"):
        assert AuthorizationResponse.parse(f"?{query}").answers("s")


# --- which request it belongs to ------------------------------------------------------------------

states = st.text(min_size=1)


@given(states, st.lists(states, unique=True), st.randoms())
def test_only_the_very_same_state_matches(state: str, others: list[str], random: Any) -> None:
    """Any other string, however close, is a mismatch."""
    requests = [AuthorizationRequest(other) for other in others]
    response = AuthorizationResponse("code", state)
    if state in others:
        found = response.request_among(requests, 1.0)
        assert found is not None
        assert found.state == state
    else:
        with pytest.raises(StateMismatchError):
            response.request_among(requests, 1.0)


@given(states, st.integers(0, 300))
def test_a_state_that_is_almost_the_same_does_not_match(state: str, position: int) -> None:
    """A prefix, a suffix, another case, one other letter."""
    requests = [AuthorizationRequest(state)]
    at = position % len(state)
    changed = state[:at] + chr(ord(state[at]) ^ 1 or 2) + state[at + 1 :]
    for near in {state[:-1], state + "x", state + "\0", state.swapcase(), changed} - {state}:
        if any(0xD800 <= ord(char) < 0xE000 for char in near):
            continue
        with pytest.raises(StateMismatchError):
            AuthorizationResponse("code", near).request_among(requests, 1.0)


def test_the_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`secrets.compare_digest` decides, for each pending request; nothing else does."""
    compared: list[tuple[object, object]] = []

    def decide(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return bool(one == b"b")

    monkeypatch.setattr(secrets, "compare_digest", decide)
    requests = [AuthorizationRequest(state) for state in "abc"]
    found = AuthorizationResponse("code", "nothing like it").request_among(requests, 1.0)
    assert found is requests[1]
    assert [one for one, _ in compared] == [b"a", b"b", b"c"]


def test_a_request_lives_for_ten_minutes() -> None:
    """Afterwards its redirect belongs to no request."""
    assert LIFETIME == 600
    response, request = AuthorizationResponse("code", "s"), AuthorizationRequest("s", created=100.0)
    for age in (0, 599):
        assert response.request_among([request], 100.0 + age) is request
    for age in (600, 9999):
        with pytest.raises(StateMismatchError, match="10 minutes"):
            response.request_among([request], 100.0 + age)


def test_a_bare_code_belongs_to_the_latest_request() -> None:
    """A code without a state belongs to the last one started; without one it is refused."""
    requests = [AuthorizationRequest(s, created=t) for s, t in (("a", 1.0), ("b", 3.0), ("c", 2.0))]
    bare = AuthorizationResponse("code")
    assert bare.request_among(requests, 10.0) is requests[1]
    for others, now in ((requests, 9999.0), ([], 1.0)):
        with pytest.raises(StateMismatchError, match=r"oauth_start\(\)"):
            bare.request_among(others, now)


def test_an_unknown_state_names_the_usual_causes() -> None:
    """A worker with a memory of its own; another account; too late."""
    with pytest.raises(StateMismatchError, match=r"10 minutes.*same account.*MemoryTokenStore"):
        AuthorizationResponse("code", "s").request_among([], 1.0)


# --- where it comes from --------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["code=c&state=s", "error=access_denied&state=s"])
def test_an_answer_of_another_issuer_is_refused(query: str) -> None:
    """RFC 9207: `iss` names the authorization server; without it nothing can be compared."""
    issuer = DATA_CENTER.issuer
    for same in ("", f"&iss={quote(issuer, safe='')}", f"&iss={issuer}/", "&iss="):
        AuthorizationResponse.parse(f"?{query}{same}").check_origin(issuer, "")
    for other in (
        "https://auth.atlassian.com",
        "https://evil.example",
        "https://jira.company.com",
        f"{issuer}/x",
        f"{issuer}@evil.example",
        issuer.upper(),
        issuer.replace("https", "http"),
        "null",
    ):
        response = AuthorizationResponse.parse(f"?{query}&iss={quote(other, safe='')}")
        with pytest.raises(StateMismatchError, match="another authorization server") as caught:
            response.check_origin(issuer, "")
        assert "evil" not in str(caught.value)


def _goes(url: str, callback_url: str) -> bool:
    try:
        AuthorizationResponse.parse(f"{url}?code=c&state=s").check_origin("", callback_url)
    except StateMismatchError:
        return False
    return True


@pytest.mark.parametrize(
    ("callback_url", "same", "others"),
    [
        (
            "http://localhost:8080/callback",
            ["http://LOCALHOST:8080/callback", "/callback", "/other", "", "callback"],
            [
                "http://localhost/callback", "http://localhost:8081/callback",
                "http://localhost:8080/other", "http://localhost:8080/callback/",
                "http://localhost:8080/Callback", "http://localhost:8080/",
                "https://localhost:8080/callback", "http://127.0.0.1:8080/callback",
                "http://evil.example/callback", "http://localhost:8080@evil.example/callback",
                "http://localhost:8080.evil.example/callback", "http://[::1/callback",
                "http://localhost:port/callback", "evil://localhost:8080/callback",
            ],
        ),
        (
            "https://app.example/sign/in",
            # A proxy ends TLS; some name their own port.
            ["https://app.example:443/sign/in", "http://app.example/sign/in",
             "http://app.example:8000/sign/in", "http://app.example:443/sign/in"],
            ["http://upstream:8000/sign/in", "https://app.example:8443/sign/in",
             "http://app.example/sign/out", "https://evil.example/sign/in"],
        ),
        ("https://app.example", ["https://app.example/"], ["https://app.example/x"]),
        ("https://app.example/a%20b?x=1", ["https://app.example/a%20b"], ["https://app.example/a"]),
        ("https://xn--bcher-kva.example/", ["https://b\u00fccher.example/"], ["https://b.example/"]),
        ("com.company.app://callback", ["com.company.app://callback"], ["com.evil.app://callback"]),
    ],
)  # fmt: skip
def test_a_redirect_to_another_address_is_refused(
    callback_url: str, same: list[str], others: list[str]
) -> None:
    """A URL has scheme, host, port and path of the callback URL; a path or a query alone says
    nothing of them, and TLS may end at a proxy.
    """
    assert [url for url in same if not _goes(url, callback_url)] == []
    assert [url for url in others if _goes(url, callback_url)] == []
    assert _goes("https://anything.example/", "")


@given(st.text(min_size=1), st.text(min_size=1), st.text(), st.sampled_from(["", "http://h:1/a"]))
def test_a_response_is_the_same_after_a_journey_as_text(
    code: str, state: str, issuer: str, place: str
) -> None:
    """Issuer and address travel along, so that they can be compared where it arrives."""
    response = AuthorizationResponse(code, state, "", issuer, place)
    parsed = AuthorizationResponse.parse(response.url())
    assert (parsed, parsed.redirect_uri) == (response, place)


@given(st.text(min_size=1), st.text(min_size=1))
def test_code_and_state_survive_the_redirect(code: str, state: str) -> None:
    """Whatever the server sends comes out as it was."""
    url = "http://h/cb?" + urlencode({"code": code, "state": state}, quote_via=quote)
    response = AuthorizationResponse.parse(url)
    assert (response.code, response.state) == (code, state)
