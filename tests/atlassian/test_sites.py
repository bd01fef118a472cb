"""Sites: how the answers of accessible-resources and tenant_info are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from atlassian_auth_adapter import ConfigurationError, ResourceUnavailableError, Site
from atlassian_auth_adapter.atlassian.gateway import is_cloud_id
from atlassian_auth_adapter.atlassian.sites import cloud_id_of, sites_in
from atlassian_auth_adapter.transport import Answer


class _Transport:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def get(self, url: str, authorization: str = "", accept: str = "") -> Answer:
        self.asked.append((url, authorization))
        return self.answer


def _answer(body: Any, status: int = 200) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"Content-Type": "application/json"}, raw)


def test_the_entries_of_one_site_share_the_id() -> None:
    """Jira and Confluence of one site are two entries; scopes tell them apart."""
    entries = [
        {"id": "x", "url": "https://acme.atlassian.net/", "name": "acme", "scopes": ["read:a"],
         "avatarUrl": "https://a/b.png"},
        {"id": "x", "url": "https://acme.atlassian.net", "name": "acme", "scopes": ["read:b"]},
    ]  # fmt: skip
    assert sites_in(_answer(entries)) == (
        Site("x", "https://acme.atlassian.net", "acme", ("read:a",), "https://a/b.png"),
        Site("x", "https://acme.atlassian.net", "acme", ("read:b",)),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["id", "url", "name", "scopes", "avatarUrl"], json_values)
)


@given(st.lists(entries | json_values, max_size=5))
def test_missing_and_odd_fields_are_left_empty(listed: list[Any]) -> None:
    """Only an id that is valid in a path is required."""
    sites = sites_in(_answer(listed))
    ids = [entry["id"] for entry in listed if isinstance(entry, dict) and "id" in entry]
    assert [site.id for site in sites] == [each for each in ids if is_cloud_id(each)]
    assert all(isinstance(scope, str) for site in sites for scope in site.scopes)


def test_an_unusable_list_is_an_error() -> None:
    """Without a list, nothing is guessed."""
    answers = [({}, 200), (b"<html>", 200), (b"", 200), ([], 401), ([], 500), (b"[" * 100_000, 200)]
    for body, status in answers:
        with pytest.raises(ResourceUnavailableError) as caught:
            sites_in(_answer(body, status))
        assert caught.value.status == status


def test_the_cloud_id_is_asked_without_a_token() -> None:
    """tenant_info is public; no Authorization header is sent."""
    transport = _Transport(_answer({"cloudId": "11111111-2222"}))
    assert cloud_id_of(transport, "https://acme.atlassian.net") == "11111111-2222"  # type: ignore[arg-type]
    ((url, authorization),) = transport.asked
    assert url == "https://acme.atlassian.net/_edge/tenant_info"
    assert authorization == ""


def test_without_a_cloud_id_the_error_says_why() -> None:
    """A URL that is not a Cloud site is a wrong setting; a server that fails is not."""
    no_ids = [b"<html>", {}, [], *({"cloudId": each} for each in (5, "", "../evil", "a/b", "a?b"))]
    not_a_site: list[tuple[Any, int]] = [*((body, 200) for body in no_ids), (b"", 404)]
    failing: list[tuple[Any, int]] = [(b"", 302), (b"", 403), (b"", 503)]
    for answers, error in ((not_a_site, ConfigurationError), (failing, ResourceUnavailableError)):
        for body, status in answers:
            with pytest.raises(error, match="cloud_id"):
                cloud_id_of(_Transport(_answer(body, status)), "https://acme.atlassian.net")  # type: ignore[arg-type]
