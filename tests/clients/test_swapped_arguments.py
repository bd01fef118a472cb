"""A secret in the place of another argument is refused, and the error does not quote it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from atlassian_auth_adapter import (
    AtlassianServiceAccountClient,
    ConfigurationError,
    EncryptedTokenStore,
    FileTokenStore,
    KeyringTokenStore,
    MemoryTokenStore,
    RedisTokenStore,
    SQLTokenStore,
    StaticTokenSource,
    atlassian_oauth_client_from_env,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.signin.loopback import LoopbackURI

#: Secrets as they look: of an app, a token of Cloud, one with a line break, a URL with a code.
SECRETS = {
    "of an app": "ATOAs3cr3t_abcDEF-0123456789xyzXYZ=1A2B3C4D",
    "base64 with a slash": "/s3cr3t/abc+DEF/0123456789abcdef==",
    "token of parts": "eyJs3cr3t.abcdefghijkl.mnopqrstuvw",
    "with a line break": "s3cr3t-abcdefghijkl\nmnop",
    "very long": "s3cr3t-abcdefghijkl" * 300,
    "with a user": "https://user:s3cr3t-abcdefghijkl@example.com",
    "redirect": "http://localhost:8080/callback?code=s3cr3t-abcdefghijkl&state=s3cr3t",
    "a port": "https://example.com:s3cr3t-abcdefghijkl",
}


def shown_of(error: BaseException) -> str:
    """Everything that is reachable from an error."""
    every = [repr(error), str(error), repr(vars(error)), repr(pickle.dumps(error))]
    for led in (error.__cause__, error.__context__):
        every.append(repr(led))
        every += [shown_of(led)] if led is not None else []
    return " ".join(every)


def refuse(work: Callable[[str], object], *, may_accept: bool = False) -> None:
    """The work with each secret is refused, without a part of the secret in the error."""
    for form, secret in SECRETS.items():
        shown = ["it was accepted"] * (not may_accept)
        try:
            work(secret)
        except ConfigurationError as error:
            shown = [text for text in [shown_of(error)] if "s3cr3t" in text]
        assert not shown, form


CLIENT: dict[str, Any] = {"client_id": "id", "client_secret": "x"}


@pytest.mark.parametrize("make", [create_atlassian_oauth_client, AtlassianServiceAccountClient])
@pytest.mark.parametrize("name", ["site_url", "server_url", "product", "verify", "cert"])
def test_no_argument_of_a_client_is_quoted_when_it_is_wrong(make: Any, name: str) -> None:
    """URL, product, files: the text names the argument only."""
    place = {} if name.endswith("_url") else {"server_url": "https://jira.example.com"}
    refuse(lambda secret: make(**CLIENT, **place, **{name: secret}))


@pytest.mark.parametrize("name", ["cloud_id", "proxy", "timeout", "max_wait", "store", "scopes"])
def test_nor_is_one_that_may_be_taken_for_what_it_should_be(name: str) -> None:
    """Some secrets have the form of a cloud id, a host or a scope; the others are refused."""
    place = {} if name == "cloud_id" else {"server_url": "https://jira.example.com"}
    refuse(
        lambda secret: create_atlassian_oauth_client(**CLIENT, **place, **{name: secret}),
        may_accept=name in ("cloud_id", "proxy", "scopes"),
    )


@pytest.mark.parametrize("name", ["auth_url", "api_url"])
def test_nor_is_a_host_of_the_cloud(name: str) -> None:
    """CloudEnvironment, for an emulator or another Cloud."""
    hosts = {"auth_url": "https://auth.example.com", "api_url": "https://api.example.com"}

    def make(secret: str) -> None:
        cloud = CloudEnvironment(**{**hosts, name: secret}, audience="")
        create_atlassian_oauth_client(**CLIENT, cloud=cloud)

    refuse(make)


@pytest.mark.parametrize(
    "variable",
    [
        *("SITE_URL", "SERVER_URL", "PRODUCT", "CLOUD", "CA_BUNDLE", "MAX_WAIT"),
        *("CLIENT_SECRET_FILE", "CLOUD_ID", "TOKEN_DIRECTORY"),
    ],
)
def test_no_variable_of_the_environment_is_quoted(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A secret in the wrong variable, such as itself in that of the file: its name is enough."""
    monkeypatch.chdir(tmp_path)
    values = {"CLIENT_ID": "id", "CLIENT_SECRET": "x", "SERVER_URL": "https://jira.example.com"}
    if variable in ("SITE_URL", "SERVER_URL", "CLOUD_ID", "CLOUD"):
        del values["SERVER_URL"]
    if variable == "CLIENT_SECRET_FILE":
        del values["CLIENT_SECRET"]

    def make(secret: str) -> None:
        for name, value in {**values, variable: secret}.items():
            monkeypatch.setenv(f"ATLASSIAN_{name}", value)
        atlassian_oauth_client_from_env()

    refuse(make, may_accept=variable in ("CLOUD_ID", "TOKEN_DIRECTORY"))


@pytest.mark.parametrize(
    "key", ["product", "cloud", "store", "flow", "site_url", "server_url", "proxy", "callback_url"]
)
def test_no_value_of_a_profile_is_quoted(key: str) -> None:
    """Nor one that a person wrote into the file of profiles."""

    def make(secret: str) -> None:
        profile = Profile("work", client_id="id", **{key: secret})
        create_atlassian_oauth_client(client_secret="x", **profile.arguments())

    refuse(make, may_accept=key in ("callback_url", "proxy"))


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: StaticTokenSource("token", secret),
        lambda secret: StaticTokenSource.personal_access_token("token", secret),
        lambda secret: StaticTokenSource.api_token("a@b.example", "token", secret),
        lambda secret: StaticTokenSource.scoped_api_token("a@b.example", "token", secret, secret),
    ],
)
def test_no_place_of_a_static_token_is_quoted(make: Any) -> None:
    """A token in the place of the server's URL."""
    refuse(make)


@pytest.mark.parametrize(
    ("make", "may_accept"),
    [
        (lambda secret: FileTokenStore(f"{secret}\x00"), False),
        (lambda secret: EncryptedTokenStore(MemoryTokenStore(), secret), False),
        (lambda secret: EncryptedTokenStore(secret, secret), False),
        (lambda secret: KeyringTokenStore(timeout=secret), False),
        (lambda secret: KeyringTokenStore(backend=secret), False),
        (RedisTokenStore, False),
        (lambda secret: RedisTokenStore(redis.Redis(socket_timeout=1), lease=secret), False),
        (lambda secret: RedisTokenStore(redis.Redis(socket_timeout=1), prefix=[secret]), False),
        (lambda secret: RedisTokenStore(partial(lambda one, _: one, secret)), False),
        (SQLTokenStore, False),
        (lambda secret: SQLTokenStore(lambda: secret), False),
        (lambda secret: MemoryTokenStore().load(f"{secret}!"), False),
        (LoopbackURI.parse, True),
        (FileTokenStore, True),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid character:FutureWarning")  # base64, Python 3.15
def test_no_argument_of_a_store_is_quoted(make: Any, may_accept: bool) -> None:
    """A secret, or a URL with a password, in the place of a store, a key, a name or a number."""
    refuse(make, may_accept=may_accept)
