"""What servers say is one printable line once it is in an error, an event or a field."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import given, strategies as st

from atlassian_auth_adapter import AtlassianAuth, AtlassianAuthError
from atlassian_auth_adapter.atlassian.sites import sites_in
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.oauth.authorization import AuthorizationResponse
from atlassian_auth_adapter.testing.emulator import Body, Edit, Status

#: What a terminal or a log would obey: a colour, a title, line breaks of every kind, a reversal of
#: the direction, a joiner, a byte order mark, a null, a deletion, a half of a pair.
HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07 \r\nSet-Cookie: a\x0b\x0c\x85\u2028\u2029"
    "\u202egnp.exe\u2066\u2069\u200f\u200b\ufeff\x00\x7f\x9b31m\ud800 end"
)


def is_harmless(text: str) -> bool:
    """Whether a terminal prints it, and does nothing else."""
    return text.isprintable()


@given(st.text(st.characters()))
def test_every_text_becomes_one_printable_line(text: str) -> None:
    """Whatever the characters; and a printable line without double spaces stays as it is."""
    found = printable(text)
    assert is_harmless(found)
    assert printable(found) == found


@pytest.mark.parametrize("value", [None, 7, b"bytes", ["a"], {"a": 1}])
def test_what_is_no_text_is_nothing(value: object) -> None:
    """A server may send any JSON in the place of a text."""
    assert printable(value) == ""


@pytest.mark.parametrize(
    "text", ["Zoë Müller", "山田 太郎", "מיכל", "emoji 👍", "a'b\"c<d>&", "e\u0301"]
)
def test_names_of_people_stay(text: str) -> None:
    """Letters of every script, signs and accents are printable."""
    assert printable(text) == text


def test_a_long_text_is_cut() -> None:
    """Where it is for a reader; a list of scopes is not."""
    assert printable("abcdef", 3) == "abc"
    assert printable("abc " * 10**5) == ("abc " * 10**5).rstrip()


def test_a_site_is_printable() -> None:
    """Name, URLs and scopes of accessible-resources."""
    entry = {"id": "a1", "url": HOSTILE, "name": HOSTILE, "scopes": [HOSTILE, 7, "ok"]}
    entry["avatarUrl"] = HOSTILE
    answer: Any = SimpleNamespace(status=200, content_type="", json=lambda: [entry])
    (site,) = sites_in(answer)
    assert all(map(is_harmless, (site.url, site.name, site.avatar_url, *site.scopes)))
    assert site.name.endswith("end")
    assert site.scopes[1:] == ("ok",)


def test_an_error_of_the_redirect_is_printable() -> None:
    """The `error` parameter is foreign text: any page can call the callback URL."""
    response = AuthorizationResponse("", "state", HOSTILE)
    with pytest.raises(AtlassianAuthError) as caught:
        response.raise_for_error()
    assert is_harmless(str(caught.value))
    assert is_harmless(caught.value.error)  # type: ignore[attr-defined]


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
@pytest.mark.parametrize(
    "answer",
    [
        {"error": "invalid_client", "error_description": HOSTILE},
        {"error": HOSTILE, "error_description": HOSTILE},
        {"errors": [HOSTILE]},
    ],
)
def test_an_error_of_the_token_endpoint_is_printable(
    flavour: str, answer: dict[str, Any], make_client: Any, emulator: Any, events: Any
) -> None:
    """Code and description, in error, fields and events."""
    client = make_client(flavour, on_event=events)
    emulator.faults.next("token", Body(json.dumps(answer).encode(), status=400))
    with pytest.raises(AtlassianAuthError) as caught:
        client.refresh()
    fields = vars(caught.value).values()
    assert all(map(is_harmless, (str(caught.value), *filter(_is_text, fields))))
    assert all(is_harmless(str(event)) for event in events)


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_scopes_and_type_of_a_token_are_printable(
    flavour: str, make_client: Any, emulator: Any
) -> None:
    """They are kept, shown by the command, and named in errors."""
    client = make_client(flavour)
    hostile = {"scope": HOSTILE, "token_type": f"bearer{HOSTILE}"}

    def edit(answer: Any) -> Any:
        return replace(answer, body=json.dumps(json.loads(answer.body) | hostile).encode())

    emulator.faults.next("token", Edit(edit))
    try:
        client.refresh()
    except AtlassianAuthError as error:  # it may be refused for its type
        shown = [str(error)]
    else:
        assert client.current().scope.startswith("[31mred")
        shown = [client.current().scope, client.current().token_type]
    assert all(map(is_harmless, shown))


@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_who_we_are_is_printable(flavour: str, make_client: Any, emulator: Any) -> None:
    """The display name of an account is anything that a person has typed."""
    client = make_client(flavour)
    names = ("accountId", "key", "name", "displayName", "display_name", "emailAddress")
    body = json.dumps(dict.fromkeys(names, f"Jo {HOSTILE}")).encode()
    emulator.faults.next("resource", Body(body, headers={"Content-Type": "application/json"}))
    identity = client.test_connection()
    assert all(map(is_harmless, (identity.id, identity.name, identity.email)))
    assert identity.name.startswith("Jo ")


def test_headers_in_events_are_printable(make_client: Any, emulator: Any, events: Any) -> None:
    """What the gateway gives as the reason of a rate limit may have any Latin-1 character."""
    client = make_client("cloud", on_event=events)
    fault = Status(
        429, headers={"RateLimit-Reason": "quota\x1b[31m\x85\x9b", "Retry-After": "\x1b"}
    )
    emulator.faults.next("resource", fault)
    with requests.Session() as session:
        session.auth = AtlassianAuth(client)
        session.get(client.identity_url, timeout=30)
    (event,) = [event for event in events if event.name == "rate_limited"]
    assert event.fields["reason"].startswith("quota")
    assert all(is_harmless(value) for value in event.fields.values())


def _is_text(value: object) -> bool:
    return isinstance(value, str)
