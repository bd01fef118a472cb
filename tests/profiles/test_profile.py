"""A profile as a value: its checks, and the arguments of its client."""

from __future__ import annotations

from typing import Any

from atlassian_auth_adapter import US_GOV_MODERATE, CloudEnvironment, Profile

from .conftest import WORK, refused


def test_what_is_invalid_is_named() -> None:
    """By its key; a secret is not quoted."""
    wrong: list[tuple[str, Any, str]] = [
        ("name", "", "name: a profile needs one"),
        ("client_id", 1, "expected a text"),
        ("client_id", "a\nb", "expected a text on one line"),
        ("product", "statuspage", "unknown product"),
        ("cloud", "mars", "unknown Cloud"),
        ("cloud", {}, "expected a name, such as"),
        ("cloud", CloudEnvironment(1, 2, ""), "expected a name"),  # type: ignore[arg-type]
        ("scopes", (1,), "expected a list"),
        ("verify", 1, "expected true, false"),
        ("proxy", 1, "expected a URL"),
        ("proxy", "http://me:s3cr3t@proxy", "must not hold a password"),
        ("proxy", {"all": "me:s3cr3t@proxy"}, "must not hold a password"),
        ("site_url", "https://me:s3cr3t@acme.example", "remove user name and password"),
        ("server_url", "https://me:s3cr3t@acme.example", "remove user name and password"),
        ("store", "secret", 'expected "keyring" or "file"'),
        ("flow", "password", 'expected "authorization_code" or "client_credentials"'),
    ]
    seconds = (0, -1, True, float("inf"), float("nan"), "30", 1e30)
    wrong += [("max_wait", value, "expected a positive number of seconds") for value in seconds]
    for key, value, text in wrong:
        arguments: dict[str, Any] = {key: value}
        assert key in refused(lambda arguments=arguments: Profile(**arguments), text).lower()


def test_a_site_may_be_the_address_of_a_page_with_an_at_sign() -> None:
    """As copied from a browser: only the part before the path can be a user name and a password."""
    url = "https://acme.atlassian.net/wiki/display/~ada@acme.example"
    assert Profile(site_url=url).site_url == url


def test_its_arguments_are_those_of_a_client() -> None:
    """Without defaults, store and flow; the login has the name of the profile unless it has one."""
    assert WORK.arguments() == {
        "client_id": "id",
        "site_url": "https://acme.atlassian.net",
        "account": "work",
    }
    profile = Profile("two", account="ada", cloud="us-gov-moderate", flow="client_credentials")
    assert profile.arguments() == {"account": "ada", "cloud": US_GOV_MODERATE}
