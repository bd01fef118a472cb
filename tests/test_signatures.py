"""What completion and help() show: what is for users, each argument by its name."""

from __future__ import annotations

import importlib
import inspect
import pydoc
from collections.abc import Callable

import pytest

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AtlassianClient,
    AtlassianOAuthClient,
    AtlassianServiceAccountClient,
    JiraOnPremOAuthClient,
    TokenSource,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.clients.settings import DEFAULTS, Settings
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.local import Clients

#: What an auth object asks of any token source; see TokenSource.
OF_SOURCES = """
    account current fresh has_ended learn_site learn_site_async load_libraries monotonic on_event
    pacing quick_look resource_server token_set token_set_async
""".split()  # noqa: SIM905
#: What every client has for programs.
OF_CLIENTS = """
    accessible_resources base_url callback_url client_id client_secret cloud_id forget
    get_access_token identity_url issuer known_base_url product proxy refresh revoke server_url
    site_url status test_connection token_key transport verify
""".split()  # noqa: SIM905
#: What a client with the login of a person has beside it.
OF_OAUTH_CLIENTS = """
    check_registration default_product explain_error_pages get_oauth_scopes missing_scope
    oauth2_retrieve_access_token oauth_complete oauth_start scopes_not_granted
""".split()  # noqa: SIM905

#: What the emulator has for authors of tests.
OF_EMULATORS = """
    bitbucket close cloud count data_center families faults foreign_url requests reset_log
    revoked_families secrets token_requests trello
""".split()  # noqa: SIM905
#: What a person, an administrator and a test may do at each of its flavours.
OF_FLAVOURS = """
    authorize client deny environ expire_access_tokens issue revoke_access_tokens revoke_grants
    secrets service_account_client
""".split()  # noqa: SIM905

CREATORS = [
    AtlassianOAuthClient,
    AtlassianServiceAccountClient,
    create_atlassian_oauth_client,
    *(
        getattr(atlassian_auth_adapter, name)
        for name in atlassian_auth_adapter.__all__
        if name.endswith(("CloudOAuthClient", "OnPremOAuthClient"))
    ),
]


def shown(thing: object) -> list[str]:
    """What completion shows of it."""
    return [name for name in dir(thing) if not name.startswith("_")]


@pytest.mark.parametrize("module", ["", ".testing", ".testing.contracts"])
def test_completion_shows_what_is_for_users(module: str) -> None:
    """dir() of a package has its public names, and none of what it imports or has loaded."""
    package = importlib.import_module(f"atlassian_auth_adapter{module}")
    for name in package.__all__:
        getattr(package, name)  # loads it, and the modules that it is in
    assert shown(package) == sorted(name for name in package.__all__ if name != "__version__")
    assert {"__all__", "__doc__", "__file__", "__name__", "__path__"} <= {*dir(package)}


@pytest.mark.parametrize("of_a_person", [True, False])
def test_a_client_shows_no_name_that_is_not_documented(*, of_a_person: bool) -> None:
    """A name that is added has to be for somebody, and to be described."""
    cls = JiraOnPremOAuthClient if of_a_person else AtlassianServiceAccountClient
    client = cls("an-id", "a-secret", server_url="https://jira.company.com/jira")
    names = {*OF_SOURCES, *OF_CLIENTS, *(OF_OAUTH_CLIENTS if of_a_person else [])}
    assert {*shown(client)} == names
    assert shown(TokenSource) == sorted(OF_SOURCES)
    attributes = f"{inspect.getdoc(AtlassianClient)} {inspect.getsource(TokenSource)}"
    described = {name for name in names if inspect.getdoc(getattr(cls, name, None) or "")}
    assert [name for name in names - described if name not in attributes] == []


def test_the_emulator_shows_what_is_for_authors_of_tests() -> None:
    """Its methods are named above; everything else of a flavour is a setting that can be set."""
    with AtlassianEmulator() as emulator:
        assert shown(emulator) == OF_EMULATORS
        assert shown(emulator.faults) == ["clear", "next", "pending"]
        for flavour in emulator.flavours:
            methods = {name for name in shown(flavour) if callable(getattr(flavour, name))}
            assert methods | {"secrets"} == {*OF_FLAVOURS}
            for name in {*shown(flavour)} - {*OF_FLAVOURS}:
                setattr(flavour, name, getattr(flavour, name))


@pytest.mark.parametrize("of", [Clients.client, Clients.service_account_client])
def test_a_client_of_the_emulator_shows_its_arguments(of: Callable[..., object]) -> None:
    """As those of the factory."""
    parameters = inspect.signature(of).parameters
    assert [name for name in parameters if name in DEFAULTS] == [*DEFAULTS]


@pytest.mark.parametrize("creator", CREATORS)
def test_a_signature_has_every_argument_by_its_name(creator: Callable[..., object]) -> None:
    """inspect.signature() and help() show `scopes`, `store`, `account` and the others."""
    parameters = inspect.signature(creator).parameters
    assert [name for name in parameters if name in DEFAULTS] == [*DEFAULTS]
    assert {each.kind for each in parameters.values()} == {
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    }
    assert str(parameters["store"]) == "store: 'TokenStore | None' = None"
    assert str(parameters["account"]) == "account: 'str' = 'default'"
    page = pydoc.plain(pydoc.render_doc(creator)).replace("'", "")  # Python 3.14 shows no quotes
    assert "scopes: Iterable[str] | None = None" in page
    assert "**settings" not in page.split("Methods")[0]


def test_what_a_signature_says_is_what_is_done() -> None:
    """An argument that is left out, and the default that is shown, make the same client."""
    where = {"server_url": "https://jira.company.com/jira"}
    silent = JiraOnPremOAuthClient("an-id", "a-secret", **where)
    told = JiraOnPremOAuthClient("an-id", "a-secret", **where, **DEFAULTS)
    for name in ("account", "on_event", "token_key"):
        assert getattr(silent, name) == getattr(told, name)
    assert silent.transport.total_timeout == told.transport.total_timeout == 35
    assert silent.get_oauth_scopes() == told.get_oauth_scopes() == ["WRITE"]


def test_a_class_of_your_own_keeps_its_signature() -> None:
    """Nothing of the base class hides what a derived class says."""

    class Own(JiraOnPremOAuthClient):
        def __init__(self, name: str) -> None:
            super().__init__(name, "a-secret", server_url="https://jira.company.com")

    assert [*inspect.signature(Own).parameters] == ["name"]
    assert Own("an-id").account == "default"


def test_every_setting_has_a_default() -> None:
    """Type checkers know the arguments from Settings, everybody else from DEFAULTS."""
    assert [*DEFAULTS] == [*Settings.__annotations__]
