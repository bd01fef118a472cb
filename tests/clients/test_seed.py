"""Programs made for the seed's module, AtlassianApiModule of demisto/content, work as they are.

docs/seed.md lists what the module's own tests say, with the test of ours for each.
"""

from __future__ import annotations

import json
import pickle
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianOAuthClient,
    AuthorizationError,
    BitbucketOnPremOAuthClient,
    CloudEnvironment,
    ConfigurationError,
    ConfluenceCloudOAuthClient,
    ConfluenceOnPremOAuthClient,
    ContextTokenStore,
    JiraOnPremOAuthClient,
    LoginRequiredError,
    StateMismatchError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import AtlassianEmulator

ROOT = Path(__file__).parents[2]
CALLBACK = "https://localhost/callback"
USUAL = ("test-id", "test-secret", CALLBACK)


class Context:
    """An integration context, as the platform of the seed keeps one."""

    def __init__(self, **keys: Any) -> None:
        self.keys = keys

    def get(self) -> dict[str, Any]:
        """As `get_integration_context`."""
        kept: dict[str, Any] = json.loads(json.dumps(self.keys))
        return kept

    def set(self, new: dict[str, Any]) -> None:
        """As `set_integration_context`."""
        self.keys = json.loads(json.dumps(new))

    def store(self) -> ContextTokenStore:
        """Our store on it."""
        return ContextTokenStore(self.get, self.set)


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["confluence", "Confluence", "CONFLUENCE"])
def test_a_product_may_be_in_any_case(spelling: str) -> None:
    """By position and by name, on Cloud and on Data Center, also of a class."""
    cloud = create_atlassian_oauth_client(*USUAL, "cloud-123", "", True, False, spelling)
    assert type(cloud) is ConfluenceCloudOAuthClient
    server = create_atlassian_oauth_client(*USUAL, "", "https://wiki.example", product=spelling)
    assert type(server) is ConfluenceOnPremOAuthClient
    assert ConfluenceCloudOAuthClient(*USUAL, "cloud-123", product=spelling).cloud_id
    with pytest.raises(ConfigurationError, match="is for confluence"):
        ConfluenceCloudOAuthClient(*USUAL, "cloud-123", product="Jira")


def test_the_product_is_the_eighth_argument() -> None:
    """In the order of the seed, with its other arguments before it."""
    made = [
        create_atlassian_oauth_client(*USUAL, "", "https://x.example", False, None, product)
        for product in ("Jira", "bitbucket")
    ]
    assert [type(client) for client in made] == [JiraOnPremOAuthClient, BitbucketOnPremOAuthClient]


@pytest.mark.parametrize("product", ["", "servicenow", "jira ", None])
def test_a_product_that_is_unknown_is_refused(product: Any) -> None:
    """The seed takes each for Jira: a misspelled Confluence would ask for Jira's scopes."""
    with pytest.raises(ConfigurationError, match=r"unknown product"):
        create_atlassian_oauth_client(*USUAL, "cloud-123", product=product)


# --- a class of the program -----------------------------------------------------------------------


class Collector(AtlassianOAuthClient):
    """A child with the one method that the seed requires."""

    def get_oauth_scopes(self) -> list[str]:
        """Its own scopes."""
        return ["read:jira-user", "offline_access"]


class Configured(AtlassianOAuthClient):
    """A child with a constructor of its own, which calls the seed's by name."""

    def __init__(self, params: dict[str, str]) -> None:
        super().__init__(
            client_id=params["id"],
            client_secret=params["secret"],
            callback_url=CALLBACK,
            cloud_id=params["cloud_id"],
            verify=True,
            proxy=False,
        )

    def get_oauth_scopes(self) -> list[str]:
        """Its own scopes."""
        return ["read:me"]


def test_a_child_needs_nothing_but_its_scopes(emulator: AtlassianEmulator, session: Any) -> None:
    """It signs in, makes requests and refreshes as our own classes do; a copy in another process
    is the same class.
    """
    side = emulator.cloud
    client = Collector(
        side.app.client_id,
        side.app.client_secret,
        side.app.callback_url,
        side.sites[0].id,
        site_url=side.sites[0].url,
        cloud=CloudEnvironment(side.auth_url, side.api_url, side.audience),
    )
    url = client.oauth_start()
    assert parse_qs(urlsplit(url).query)["scope"] == ["read:jira-user offline_access"]
    client.oauth_complete(side.authorize(url))
    session.auth = AtlassianAuth(client)
    assert session.get(f"{side.sites[0].url}/rest/api/3/myself").status_code == 200
    assert client.refresh().scopes == ("read:jira-user", "offline_access")
    cls, arguments = client._reduce_for_other_process()[0].func, pickle.dumps(client)
    assert cls is Collector
    assert side.app.client_secret.encode() not in arguments


def test_a_child_may_have_a_constructor_of_its_own() -> None:
    """With the seed's six arguments; without a cloud id it is for the only site of the login."""
    client = Configured({"id": "test-id", "secret": "test-secret", "cloud_id": "test-cloud-id"})
    assert (client.cloud_id, client.verify, client.proxy) == ("test-cloud-id", True, False)
    assert parse_qs(urlsplit(client.oauth_start()).query)["scope"] == ["read:me"]
    assert Configured({"id": "i", "secret": "s", "cloud_id": ""}).cloud_id == ""
    assert Collector(*USUAL, server_url="https://jira.example").base_url == "https://jira.example"


@pytest.mark.parametrize(
    "scopes", ["read:me offline_access", ("read:me", "offline_access"), ["read:me offline_access"]]
)
def test_a_child_may_name_its_scopes_in_any_form(scopes: Any) -> None:
    """As the argument `scopes`: a text is not taken for a list of letters."""
    client = type("Own", (Collector,), {"get_oauth_scopes": lambda _: scopes})(*USUAL, "cloud-123")
    assert client.missing_scope == ""
    asked = parse_qs(urlsplit(client.oauth_start()).query)["scope"]
    assert asked == ["read:me offline_access"]


@pytest.mark.parametrize("scopes", [None, [], "", "read:me,offline_access", [None], 7])
def test_a_child_that_names_no_scopes_is_told_before_a_person_signs_in(scopes: Any) -> None:
    """Such as a method that returns nothing, or scopes with commas."""
    client = type("Own", (Collector,), {"get_oauth_scopes": lambda _: scopes})(*USUAL, "cloud-123")
    for use in (client.oauth_start, client.check_registration):
        with pytest.raises(ConfigurationError, match="scopes"):
            use()


def test_the_base_class_alone_cannot_be_made() -> None:
    """Nor a child without scopes."""
    with pytest.raises(TypeError, match="get_oauth_scopes"):
        AtlassianOAuthClient(*USUAL, "cloud-123")  # type: ignore[abstract]


def test_the_client_secret_cannot_be_read_back() -> None:
    """Reports of errors list the attributes of objects; the error says where the secret is."""
    client = create_atlassian_oauth_client(*USUAL, "cloud-123")
    assert not hasattr(client, "client_secret")
    with pytest.raises(AttributeError, match="Take it from where the program has it"):
        _ = client.client_secret
    assert "test-secret" not in str(vars(client))


# --- a login that the old module has begun --------------------------------------------------------


def _started_by_the_old_module(emulator: AtlassianEmulator, flavour: str) -> tuple[Context, str]:
    """Its context, and the code that the browser came back with."""
    context = Context(other_key="of the integration")
    side = getattr(emulator, flavour)
    fields = {
        "client_id": side.app.client_id,
        "redirect_uri": side.app.callback_url,
        "response_type": "code",
    }
    if flavour == "cloud":
        context.keys["oauth_state"] = "c3RhdGUgb2YgdGhlIG9sZCBtb2R1bGU="
        fields |= {"scope": "read:jira-user offline_access", "audience": side.audience}
        fields |= {"state": context.keys["oauth_state"], "prompt": "consent"}
        url = f"{side.auth_url}/authorize"
    else:
        context.keys["code_verifier"] = verifier = "OldModule" * 6
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        fields |= {"scope": "WRITE", "code_challenge": challenge, "code_challenge_method": "S256"}
        url = f"{side.url}/rest/oauth2/latest/authorize"
    return context, side.authorize(f"{url}?{urlencode(fields)}")


def _code(redirect: str) -> str:
    return parse_qs(urlsplit(redirect).query)["code"][0]


both = pytest.mark.parametrize("flavour", ["cloud", "data_center"])


@both
def test_a_login_that_the_old_module_has_begun_is_completed(
    flavour: str, emulator: AtlassianEmulator, make_client: Any
) -> None:
    """The program was upgraded while a person was in the browser: the code alone is passed, as the
    seed's command does. What the old module kept for it is gone then, as with itself.
    """
    context, redirect = _started_by_the_old_module(emulator, flavour)
    client = make_client(flavour, login=False, store=context.store())
    assert client.oauth_complete(_code(redirect)) is None
    assert client.test_connection().id
    assert context.keys.keys() & {"code_verifier", "oauth_state"} == set()
    assert context.keys["token"] == client.get_access_token()
    assert context.keys["other_key"] == "of the integration"


def test_the_state_of_the_old_module_is_compared(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """When the whole redirect URL is given; another one is refused, and the first still counts."""
    context, redirect = _started_by_the_old_module(emulator, "cloud")
    client = make_client(login=False, store=context.store())
    with pytest.raises(StateMismatchError):
        client.oauth_complete(re.sub("state=[^&]+", "state=of-another-program", redirect))
    assert not emulator.token_requests
    client.oauth_complete(redirect)
    assert client.status().state == "fresh"


@both
def test_the_latest_start_counts(
    flavour: str, emulator: AtlassianEmulator, make_client: Any
) -> None:
    """A person who starts again here gives up what the old module has started, but a start here
    does not take it from the old module, which may still complete it.
    """
    context, _ = _started_by_the_old_module(emulator, flavour)
    before = context.keys.copy()
    client = make_client(flavour, login=False, store=context.store())
    redirect = getattr(emulator, flavour).authorize(client.oauth_start())
    assert before.items() <= context.keys.items()
    client.oauth_complete(_code(redirect))
    assert client.test_connection().id


def test_it_is_for_the_account_whose_tokens_the_context_holds(
    emulator: AtlassianEmulator, make_client: Any
) -> None:
    """A second account in the same context does not complete what the old module has started."""
    context, redirect = _started_by_the_old_module(emulator, "data_center")
    make_client("data_center", store=Context().store())  # another context changes nothing
    owner = make_client("data_center", login=False, store=context.store())
    owner.oauth_complete(_code(redirect))
    context.keys["code_verifier"] = "OldModule" * 6
    other = make_client("data_center", login=False, store=context.store(), account="other")
    with pytest.raises(AuthorizationError):
        other.oauth_complete(_code(redirect))
    assert context.keys["code_verifier"]
    assert owner.status().state == "fresh"


@pytest.mark.parametrize(
    "keys", [{"code_verifier": None}, {"code_verifier": ["x"]}, {"oauth_state": 7}, {}]
)
def test_what_is_no_start_is_left_alone(
    keys: dict[str, Any], emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Values of other types, of other programs."""
    context = Context(**keys)
    client = make_client("data_center", login=False, store=context.store())
    client.oauth_complete(emulator.data_center.authorize(client.oauth_start()))
    assert {**context.keys, **keys} == context.keys


@both
def test_what_the_old_module_has_stored_is_the_login(
    flavour: str, emulator: AtlassianEmulator, make_client: Any
) -> None:
    """Its tokens are used and renewed, and are kept where it looks for them."""
    context = Context()
    make_client(flavour, store=context.store())
    old = {key: context.keys[key] for key in ("token", "refresh_token", "valid_until", "scopes")}
    context = Context(**old | {"valid_until": old["valid_until"] - 3600})
    client = make_client(flavour, login=False, store=context.store())
    token = client.get_access_token()
    assert token not in ("", old["token"])
    assert (context.keys["token"], context.keys["refresh_token"] != old["refresh_token"]) == (
        token,
        True,
    )


def test_without_a_refresh_token_a_login_ends_with_its_token(make_client: Any) -> None:
    """As the seed's "No refresh token configured", with what to do."""
    context = Context(token="old", valid_until=1.0, refresh_token="")
    with pytest.raises(LoginRequiredError, match="no refresh token") as ended:
        make_client(login=False, store=context.store()).get_access_token()
    assert ended.value.reason == "no_refresh_token"


# --- the page -------------------------------------------------------------------------------------


def test_every_test_that_the_page_names_exists() -> None:
    """docs/seed.md: a row for each test of the seed, with a test of ours that shows it."""
    rows = [line.split("|") for line in (ROOT / "docs/seed.md").read_text("utf-8").splitlines()]
    named = [row[4] for row in rows if len(row) == 6 and "::" in row[4]]
    assert len(named) > 40
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", "".join(named)):
        assert f"def {test}(" in (ROOT / file).read_text("utf-8"), f"{file}::{test}"
    assert all(re.search(r"`tests/[\w/]+\.py::\w+`", cell) for cell in named)
