"""The seed's interface, letter by letter, and configurations that cannot work."""

from __future__ import annotations

import ast
import inspect
import re
import uuid
from typing import Any

import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    COMMERCIAL,
    US_GOV_MODERATE,
    AtlassianOAuthClient,
    AtlassianServiceAccountClient,
    BitbucketCloudOAuthClient,
    BitbucketOnPremOAuthClient,
    CloudEnvironment,
    ConfigurationError,
    ConfluenceCloudOAuthClient,
    ConfluenceOnPremOAuthClient,
    ExpiryPolicy,
    JiraCloudOAuthClient,
    JiraOnPremOAuthClient,
    atlassian_oauth_client_from_env,
    create_atlassian_oauth_client,
    create_jira_oauth_client,
)
from atlassian_auth_adapter.atlassian.products import PRODUCTS, Product
from atlassian_auth_adapter.testing import AtlassianEmulator

ID, CLIENT = "11111111-2222-3333-4444-555555555555", ("the-id", "the-secret")
SITE = "https://acme.atlassian.net"

#: The two examples of the document this package began with.
SEED = """
```python
from AtlassianApiModule import create_jira_oauth_client

# Create OAuth client for Cloud (backward compatible function name)
oauth_client = create_jira_oauth_client(
    client_id="your-client-id",
    client_secret="your-client-secret",
    callback_url="https://localhost/callback",
    cloud_id="your-cloud-id",  # Required for Cloud
    verify=True,
    proxy=False
)

# Start OAuth flow
auth_url = oauth_client.oauth_start()

# Complete OAuth flow (after user authorizes)
oauth_client.oauth_complete(code="authorization-code")

# Get access token for API calls
access_token = oauth_client.get_access_token()
```

```python
from AtlassianApiModule import create_atlassian_oauth_client

# Create OAuth client for On-Prem
oauth_client = create_atlassian_oauth_client(
    client_id="your-client-id",
    client_secret="your-client-secret",
    callback_url="https://localhost/callback",
    cloud_id="",  # Empty for On-Prem
    server_url="https://jira.company.com",  # Your Jira server URL
    verify=True,
    proxy=False
)

# Start OAuth flow (uses PKCE)
auth_url = oauth_client.oauth_start()

# Complete OAuth flow (after user authorizes)
oauth_client.oauth_complete(code="authorization-code")

# Get access token for API calls
access_token = oauth_client.get_access_token()
```
"""
EXAMPLES = re.findall(r"```python\n(.*?)```", SEED, re.DOTALL)


# --- the seed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_the_seeds_example_runs_as_it_stands(
    flavour: str, emulator: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code written for the seed's module runs: only the import, the ids and the hosts differ."""
    side = getattr(emulator, flavour)
    side.app.scopes = (*side.app.scopes, "read:audit-log:jira", "WRITE")
    defaults = inspect.unwrap(create_atlassian_oauth_client).__kwdefaults__
    hosts = CloudEnvironment(emulator.cloud.auth_url, emulator.cloud.api_url, "api.atlassian.com")
    monkeypatch.setitem(defaults, "cloud", hosts)
    code = EXAMPLES[flavour == "data_center"]
    for old, new in {
        "AtlassianApiModule": "atlassian_auth_adapter",
        "your-client-id": side.app.client_id,
        "your-client-secret": side.app.client_secret,
        "https://localhost/callback": side.app.callback_url,
        "your-cloud-id": emulator.cloud.sites[0].id,
        "https://jira.company.com": emulator.data_center.url,
    }.items():
        code = code.replace(old, new)
    before, completes, after = code.partition("oauth_client.oauth_complete(")
    namespace: dict[str, Any] = {}
    exec(before, namespace)
    redirect = side.authorize(namespace["auth_url"])
    bare = re.search(r"code=([^&]+)", redirect)
    assert bare
    exec(completes + after.replace("authorization-code", bare[1]), namespace)
    client = namespace["oauth_client"]
    assert client.test_connection().id
    assert client.get_access_token() == namespace["access_token"]
    expected = JiraCloudOAuthClient if flavour == "cloud" else JiraOnPremOAuthClient
    assert type(client) is expected


def test_both_names_of_the_factory_are_one_function() -> None:
    """The seed's older name is an alias, not a copy."""
    assert create_jira_oauth_client is create_atlassian_oauth_client


def test_the_factory_takes_the_seeds_arguments_in_the_seeds_order() -> None:
    """Positional callers of the seed keep working, with the seed's defaults."""
    parameters = inspect.signature(create_atlassian_oauth_client).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [
        "client_id", "client_secret", "callback_url", "cloud_id", "server_url", "verify", "proxy",
        "product",
    ]  # fmt: skip
    client = create_atlassian_oauth_client(*CLIENT, "http://localhost/cb", ID, "", True, False)
    assert isinstance(client, JiraCloudOAuthClient)
    assert (client.client_id, client.callback_url) == ("the-id", "http://localhost/cb")
    assert (client.cloud_id, client.verify, client.proxy) == (ID, True, False)


@pytest.mark.parametrize(
    ("cls", "where"), [(JiraCloudOAuthClient, ID), (JiraOnPremOAuthClient, "https://j.example")]
)
def test_the_classes_take_the_same_order(cls: Any, where: str) -> None:
    """id, secret, callback, where, verify, proxy."""
    client = cls(*CLIENT, "http://localhost/cb", where, False, "http://proxy:8080")
    assert client.callback_url == "http://localhost/cb"
    assert getattr(client, "cloud_id" if cls is JiraCloudOAuthClient else "server_url") == where
    assert (client.verify, client.proxy) == (False, "http://proxy:8080")


@pytest.mark.parametrize("cls", [AtlassianOAuthClient, JiraCloudOAuthClient, JiraOnPremOAuthClient])
@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("get_access_token", {}),
        ("oauth2_retrieve_access_token", {"code": "", "refresh_token": ""}),
        ("oauth_start", {}),
        ("oauth_complete", {"code": inspect.Parameter.empty}),
        ("test_connection", {}),
        ("get_oauth_scopes", {}),
    ],
)
def test_every_method_of_the_seed_is_there(cls: type, method: str, parameters: Any) -> None:
    """Names of methods and parameters, and their defaults, are the seed's."""
    found = list(inspect.signature(getattr(cls, method)).parameters.values())[1:]
    assert {parameter.name: parameter.default for parameter in found} == parameters


def test_the_base_class_is_abstract() -> None:
    """It is there to be subclassed."""
    assert inspect.isabstract(AtlassianOAuthClient)
    assert issubclass(JiraCloudOAuthClient, AtlassianOAuthClient)
    assert issubclass(JiraOnPremOAuthClient, AtlassianOAuthClient)


def test_the_default_scopes_are_the_seeds() -> None:
    """Cloud asks for audit log, user and offline access; on-prem for WRITE."""
    cloud = create_atlassian_oauth_client(*CLIENT, cloud_id=ID)
    on_prem = create_atlassian_oauth_client(*CLIENT, server_url="https://jira.company.com")
    assert cloud.get_oauth_scopes() == ["read:audit-log:jira", "read:jira-user", "offline_access"]
    assert on_prem.get_oauth_scopes() == ["WRITE"]


def test_the_expiry_buffer_is_at_least_ten_seconds() -> None:
    """The seed's buffer, whatever the lifetime."""
    assert ExpiryPolicy().minimum == 10.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"cloud_id": ID}, JiraCloudOAuthClient),
        ({"cloud_id": ID, "server_url": "https://j.example"}, JiraCloudOAuthClient),
        ({"cloud": COMMERCIAL}, JiraCloudOAuthClient),
        ({"cloud": COMMERCIAL, "server_url": "https://j.example"}, JiraOnPremOAuthClient),
        ({"cloud_id": ID, "server_url": "https://b.example", "product": "bitbucket"},
         BitbucketCloudOAuthClient),
        ({"site_url": "https://acme.atlassian.net"}, JiraCloudOAuthClient),
        ({"site_url": "https://a.example", "server_url": "https://j.x"}, JiraCloudOAuthClient),
        ({"server_url": "https://j.example"}, JiraOnPremOAuthClient),
        ({"cloud_id": "", "server_url": "https://j.example"}, JiraOnPremOAuthClient),
        ({"cloud_id": None, "server_url": "https://j.example"}, JiraOnPremOAuthClient),
        ({"cloud_id": ID, "product": "confluence"}, ConfluenceCloudOAuthClient),
        ({"server_url": "https://c.example", "product": "confluence"}, ConfluenceOnPremOAuthClient),
        ({"server_url": "https://b.example", "product": "bitbucket"}, BitbucketOnPremOAuthClient),
        ({"product": "bitbucket"}, BitbucketCloudOAuthClient),
    ],
    ids=str,
)  # fmt: skip
def test_the_right_client_is_made(arguments: dict[str, Any], expected: type) -> None:
    """Cloud when a cloud id or a site is given, also beside a server; else on-prem."""
    assert type(create_atlassian_oauth_client(*CLIENT, **arguments)) is expected


@pytest.mark.parametrize(
    ("product", "cloud", "on_prem"),
    [
        ("confluence", "read:confluence-user", "WRITE"),
        ("bitbucket", "repository", "REPO_READ"),
    ],
)
def test_other_products_have_their_own_scopes(product: str, cloud: str, on_prem: str) -> None:
    """A Confluence login does not ask for Jira's scopes."""
    one = create_atlassian_oauth_client(*CLIENT, cloud_id=ID, product=product)
    other = create_atlassian_oauth_client(*CLIENT, server_url="https://x.example", product=product)
    assert cloud in one.get_oauth_scopes()
    assert on_prem in other.get_oauth_scopes()


@pytest.mark.parametrize("scopes", [["a", "b"], ("a", "b"), "a b", iter(["a", "b"])])
def test_scopes_may_be_given_in_any_form(scopes: Any) -> None:
    """A list, a tuple, a string as in OAuth, or a generator: the same scopes, each time asked."""
    client = create_atlassian_oauth_client(*CLIENT, cloud_id=ID, scopes=scopes)
    assert client.get_oauth_scopes() == client.get_oauth_scopes() == ["a", "b"]


def test_a_cloud_id_may_be_a_uuid_object() -> None:
    """Programs that parse their configuration need no str()."""
    client: Any = create_atlassian_oauth_client(*CLIENT, cloud_id=uuid.UUID(ID))  # type: ignore[arg-type]
    assert client.base_url == f"https://api.atlassian.com/ex/jira/{ID}"


# --- configurations that cannot work --------------------------------------------------------------

BAD_AUTH = CloudEnvironment("http://auth.x", "https://api.x", "a")
BAD_API = CloudEnvironment("https://auth.x", "http://api.x", "a")
BAD_RESOURCES = CloudEnvironment("https://a.x", "https://api.x", "a", resources_url="http://r.x")
CLOUD, ON_PREM = {"cloud_id": ID}, {"server_url": "https://jira.company.com"}


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ({"client_id": "", **CLOUD}, "client_id is missing"),
        ({"client_id": None, **CLOUD}, "client_id is missing"),
        ({"client_id": 5, **CLOUD}, "client_id"),
        ({"client_secret": "", **CLOUD}, "client_secret is missing"),
        ({"client_secret": None, **CLOUD}, "client_secret is missing"),
        ({"client_secret": 5, **CLOUD}, "client_secret"),
        ({"client_secret": "s3cr3t\n", **ON_PREM}, r"client_secret.*\.strip\(\)"),
        ({}, "say which site: pass cloud_id, or site_url"),
        ({"cloud_id": None}, "say which site"),
        ({"site_url": "https://a.atlassian-us-gov-mod.net"}, "Pass cloud=US_GOV_MODERATE"),
        ({"site_url": SITE, "cloud": US_GOV_MODERATE}, "Pass cloud=COMMERCIAL"),
        ({"cloud_id": "", "server_url": ""}, "server_url"),
        ({"product": "jria", **CLOUD}, "product: unknown product. Choose one of"),
        ({"product": "", **CLOUD}, "product: unknown product"),
        ({"server_url": "http://jira.company.com"}, "server_url.*https"),
        ({"server_url": "https://acme.atlassian.net/wiki"}, "server_url.*is Atlassian Cloud"),
        ({"server_url": f"https://api.atlassian.com/ex/jira/{ID}"}, "server_url.*cloud_id"),
        ({"cloud": COMMERCIAL, "product": "bitbucket"}, "cloud: bitbucket.*own"),
        ({"server_url": "jira.company.com"}, "server_url.*https://host"),
        ({"server_url": "https://bob:s3cr3t@jira.company.com"}, "server_url.*without user"),
        ({"server_url": "https://jira.company.com/?x"}, "server_url.*query"),
        ({"server_url": "https://[::1"}, "server_url"),
        ({"server_url": "https://jira.company.com:http"}, "server_url"),
        ({"site_url": "http://acme.atlassian.net"}, "site_url.*https"),
        ({"site_url": "acme.atlassian.net"}, "site_url.*https://host"),
        ({"site_url": "https://bob:s3cr3t@acme.atlassian.net"}, "site_url"),
        ({"site_url": "https://api.atlassian.com"}, "site_url.*gateway of all sites.*cloud_id"),
        ({"site_url": "https://api.atlassian.com/ex/jira/cloud-1"}, "site_url.*gateway"),
        (
            {"site_url": "https://api.atlassian-us-gov-mod.com/", "cloud": US_GOV_MODERATE},
            "site_url.*gateway",
        ),
        ({"cloud_id": "https://acme.atlassian.net"}, "cloud_id.*tenant_info"),
        ({"cloud_id": "../evil"}, "cloud_id"),
        ({"cloud_id": "your cloud id"}, "cloud_id"),
        ({"cloud_id": "\u00e9"}, "cloud_id"),
        ({"verify": "/no/such.pem", **CLOUD}, "verify: there is no file"),
        ({"cert": "/no/such.pem", **ON_PREM}, "cert: there is no file"),
        ({"timeout": 0, **CLOUD}, "timeout: give seconds"),
        ({"proxy": "http://user:s3cr3t@:80", **CLOUD}, "proxy: give a URL"),
        (
            {"store": "/var/lib/tokens.json", **CLOUD},
            r"store: a value of type str is not a TokenStore.*FileTokenStore\(path\)",
        ),
        ({"cloud": BAD_AUTH, **CLOUD}, "auth_url"),
        ({"cloud": BAD_API, **CLOUD}, "api_url"),
        ({"cloud": BAD_RESOURCES, **CLOUD}, "resources_url.*clear text"),
        ({"product": "bitbucket", "cloud": BAD_AUTH}, "auth_url"),
        ({"product": "bitbucket", "cloud": BAD_API}, "api_url"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_a_configuration_that_cannot_work_is_told_at_once(
    arguments: dict[str, Any], advice: str
) -> None:
    """A ConfigurationError of the factory, before any request; its text says what to change."""
    with pytest.raises(ConfigurationError, match=advice) as caught:
        create_atlassian_oauth_client(
            **{"client_id": "the-id", "client_secret": "the-secret", **arguments}
        )
    assert "s3cr3t" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_misspelled_argument_is_not_ignored() -> None:
    """`stor=` must not end in a login that is gone with the process."""
    with pytest.raises(TypeError, match="stor, tiemout"):
        create_atlassian_oauth_client(*CLIENT, cloud_id=ID, stor=None, tiemout=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("where", [CLOUD, ON_PREM])
def test_a_login_needs_a_callback_url(where: dict[str, str]) -> None:
    """A client that only refreshes needs none; starting a login says that it is missing."""
    client = create_atlassian_oauth_client(*CLIENT, **where)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"callback_url is missing.*registered"):
        client.oauth_start()


@pytest.mark.parametrize(
    "pasted",
    ["https://acme.atlassian.net", "https://acme.atlassian.net/", "https://ACME.atlassian.net/wiki",
     "https://acme.atlassian.net/jira/your-work"],
)  # fmt: skip
def test_a_site_url_may_be_pasted_from_the_browser(pasted: str) -> None:
    """A site is an origin: what follows it does not matter."""
    client: Any = create_atlassian_oauth_client(*CLIENT, site_url=pasted)
    assert client.site_url == "https://acme.atlassian.net"


@pytest.mark.parametrize(
    "pasted", ["https://jira.company.com/jira/", "https://JIRA.company.com/jira"]
)
def test_a_server_url_keeps_its_context_path(pasted: str) -> None:
    """The context path is part of where Data Center lives; a slash at its end is not."""
    client: Any = create_atlassian_oauth_client(*CLIENT, server_url=pasted)
    assert client.server_url == client.base_url == "https://jira.company.com/jira"


def test_what_the_examples_import_is_public() -> None:
    """The seed's examples parse, and import nothing but the module itself."""
    for example in EXAMPLES:
        imports = [n for n in ast.walk(ast.parse(example)) if isinstance(n, ast.ImportFrom)]
        assert [node.module for node in imports] == ["AtlassianApiModule"]
        for name in imports[0].names:
            assert hasattr(atlassian_auth_adapter, name.name)


# --- a new product --------------------------------------------------------------------------------

_NOTES = Product(
    name="notes",
    cloud_scopes=("read:note",),
    cloud_identity="/members/me",
    own_cloud=CloudEnvironment("https://auth.notes.example", "https://api.notes.example", ""),
    own_api_path="/1",
)
_WIKI = Product(
    name="wiki",
    cloud_scopes=("read:page",),
    cloud_identity="/myself",
    gateway_path="/ex/wiki",
    data_center_scopes=("READ",),
    data_center_identity="/rest/myself",
)


@pytest.fixture
def two_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product with a Cloud of its own, and one on Atlassian's sites and on Data Center."""
    for product in (_NOTES, _WIKI):
        monkeypatch.setitem(PRODUCTS, product.name, product)


@pytest.mark.usefixtures("two_products")
@pytest.mark.parametrize(
    ("arguments", "base_url", "scopes"),
    [
        ({"product": "notes"}, "https://api.notes.example/1", ["read:note"]),
        (
            {"product": "wiki", "cloud_id": "some-id"},
            "https://api.atlassian.com/ex/wiki/some-id",
            ["read:page"],
        ),
        (
            {"product": "wiki", "server_url": "https://wiki.example/wiki"},
            "https://wiki.example/wiki",
            ["READ"],
        ),
    ],
)
def test_a_new_product_is_one_record(
    arguments: dict[str, str], base_url: str, scopes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no class and no change elsewhere: every way to a client knows it."""
    client = create_atlassian_oauth_client("id", "secret", "https://app.example/back", **arguments)
    assert (client.base_url, client.get_oauth_scopes()) == (base_url, scopes)
    assert client.product.name == arguments["product"]
    assert client.oauth_start().startswith(client.issuer)
    account = AtlassianServiceAccountClient("id", "secret", **arguments)
    assert account.base_url == base_url
    for name, value in {"client_id": "id", "client_secret": "s", **arguments}.items():
        monkeypatch.setenv(f"ATLASSIAN_{name.upper()}", value)
    of_environment = atlassian_oauth_client_from_env()
    assert (type(of_environment), of_environment.base_url) == (type(client), base_url)
    remade = type(client)(**client._arguments | {"client_secret": "secret"})
    assert remade.base_url == base_url


@pytest.mark.usefixtures("two_products")
def test_a_product_without_a_data_center_says_so() -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match="there is no Data Center of notes"):
        create_atlassian_oauth_client("id", "s", product="notes", server_url="https://n.example")


def test_a_class_of_one_product_is_for_no_other() -> None:
    """The error names the function that makes the right client."""
    with pytest.raises(ConfigurationError, match="JiraCloudOAuthClient is for jira"):
        JiraCloudOAuthClient("id", "secret", cloud_id="some-id", product="confluence")
