"""OAuth 2.0 for Jira and Confluence, Cloud and Data Center, that never loses a login.

    session.auth = AtlassianAuth(client)                     # requests
    httpx.Client(auth=AtlassianHTTPXAuth(client))            # httpx, sync and async
    httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(client))     # httpx2

The names are loaded on first use (PEP 562): importing the package loads no HTTP library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from atlassian_auth_adapter.adapters.httpx import AtlassianHTTPXAuth as AtlassianHTTPXAuth
    from atlassian_auth_adapter.adapters.httpx2 import AtlassianHTTPX2Auth as AtlassianHTTPX2Auth
    from atlassian_auth_adapter.adapters.requests import AtlassianAuth as AtlassianAuth
    from atlassian_auth_adapter.atlassian.products import COMMERCIAL as COMMERCIAL
    from atlassian_auth_adapter.atlassian.products import US_GOV_MODERATE as US_GOV_MODERATE
    from atlassian_auth_adapter.atlassian.products import CloudEnvironment as CloudEnvironment
    from atlassian_auth_adapter.atlassian.sites import Site as Site
    from atlassian_auth_adapter.clients.base import AtlassianClient as AtlassianClient
    from atlassian_auth_adapter.clients.base import Identity as Identity
    from atlassian_auth_adapter.clients.base import TokenStatus as TokenStatus
    from atlassian_auth_adapter.clients.environment import (
        atlassian_oauth_client_from_env as atlassian_oauth_client_from_env,
    )
    from atlassian_auth_adapter.clients.environment import (
        atlassian_service_account_client_from_env as atlassian_service_account_client_from_env,
    )
    from atlassian_auth_adapter.clients.factory import (
        create_atlassian_oauth_client as create_atlassian_oauth_client,
    )
    from atlassian_auth_adapter.clients.factory import (
        create_jira_oauth_client as create_jira_oauth_client,
    )
    from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient as AtlassianOAuthClient
    from atlassian_auth_adapter.clients.oauth import (
        BitbucketCloudOAuthClient as BitbucketCloudOAuthClient,
    )
    from atlassian_auth_adapter.clients.oauth import (
        BitbucketOnPremOAuthClient as BitbucketOnPremOAuthClient,
    )
    from atlassian_auth_adapter.clients.oauth import (
        ConfluenceCloudOAuthClient as ConfluenceCloudOAuthClient,
    )
    from atlassian_auth_adapter.clients.oauth import (
        ConfluenceOnPremOAuthClient as ConfluenceOnPremOAuthClient,
    )
    from atlassian_auth_adapter.clients.oauth import JiraCloudOAuthClient as JiraCloudOAuthClient
    from atlassian_auth_adapter.clients.oauth import JiraOnPremOAuthClient as JiraOnPremOAuthClient
    from atlassian_auth_adapter.clients.service_account import (
        AtlassianServiceAccountClient as AtlassianServiceAccountClient,
    )
    from atlassian_auth_adapter.errors import AccessDeniedError as AccessDeniedError
    from atlassian_auth_adapter.errors import AmbiguousSiteError as AmbiguousSiteError
    from atlassian_auth_adapter.errors import AtlassianAuthError as AtlassianAuthError
    from atlassian_auth_adapter.errors import AuthorizationDeniedError as AuthorizationDeniedError
    from atlassian_auth_adapter.errors import AuthorizationError as AuthorizationError
    from atlassian_auth_adapter.errors import (
        AuthorizationTimeoutError as AuthorizationTimeoutError,
    )
    from atlassian_auth_adapter.errors import ConfigurationError as ConfigurationError
    from atlassian_auth_adapter.errors import ForeignOriginError as ForeignOriginError
    from atlassian_auth_adapter.errors import FreshTokenRejectedError as FreshTokenRejectedError
    from atlassian_auth_adapter.errors import LoginRequiredError as LoginRequiredError
    from atlassian_auth_adapter.errors import MissingExtraError as MissingExtraError
    from atlassian_auth_adapter.errors import PortUnavailableError as PortUnavailableError
    from atlassian_auth_adapter.errors import ResourceUnavailableError as ResourceUnavailableError
    from atlassian_auth_adapter.errors import StaleRecordError as StaleRecordError
    from atlassian_auth_adapter.errors import StateMismatchError as StateMismatchError
    from atlassian_auth_adapter.errors import TokenEndpointError as TokenEndpointError
    from atlassian_auth_adapter.errors import (
        TokenEndpointUnavailableError as TokenEndpointUnavailableError,
    )
    from atlassian_auth_adapter.errors import TokenNotSavedError as TokenNotSavedError
    from atlassian_auth_adapter.errors import TokenRequestRefusedError as TokenRequestRefusedError
    from atlassian_auth_adapter.errors import TokenStoreError as TokenStoreError
    from atlassian_auth_adapter.errors import TokenStoreTimeoutError as TokenStoreTimeoutError
    from atlassian_auth_adapter.errors import (
        TokenStoreUnavailableError as TokenStoreUnavailableError,
    )
    from atlassian_auth_adapter.events import Event as Event
    from atlassian_auth_adapter.expiry import ExpiryPolicy as ExpiryPolicy
    from atlassian_auth_adapter.profiles import Profile as Profile
    from atlassian_auth_adapter.profiles import choose_store as choose_store
    from atlassian_auth_adapter.profiles import client_from_profile as client_from_profile
    from atlassian_auth_adapter.profiles import delete_profile as delete_profile
    from atlassian_auth_adapter.profiles import load_profile as load_profile
    from atlassian_auth_adapter.profiles import save_profile as save_profile
    from atlassian_auth_adapter.records import TokenKey as TokenKey
    from atlassian_auth_adapter.signin.browser import login as login
    from atlassian_auth_adapter.sources import StaticTokenSource as StaticTokenSource
    from atlassian_auth_adapter.sources import TokenSource as TokenSource
    from atlassian_auth_adapter.stores.base import Entry as Entry
    from atlassian_auth_adapter.stores.base import TokenStore as TokenStore
    from atlassian_auth_adapter.stores.context import ContextTokenStore as ContextTokenStore
    from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore as EncryptedTokenStore
    from atlassian_auth_adapter.stores.file import FileTokenStore as FileTokenStore
    from atlassian_auth_adapter.stores.keyring import KeyringTokenStore as KeyringTokenStore
    from atlassian_auth_adapter.stores.memory import MemoryTokenStore as MemoryTokenStore
    from atlassian_auth_adapter.stores.redis import RedisTokenStore as RedisTokenStore
    from atlassian_auth_adapter.stores.sql import SQLTokenStore as SQLTokenStore
    from atlassian_auth_adapter.tokens import TokenSet as TokenSet

_HOMES = {
    "adapters.httpx": ["AtlassianHTTPXAuth"],
    "adapters.httpx2": ["AtlassianHTTPX2Auth"],
    "adapters.requests": ["AtlassianAuth"],
    "atlassian.products": ["COMMERCIAL", "US_GOV_MODERATE", "CloudEnvironment"],
    "atlassian.sites": ["Site"],
    "clients.base": ["AtlassianClient", "Identity", "TokenStatus"],
    "clients.environment": [
        "atlassian_oauth_client_from_env",
        "atlassian_service_account_client_from_env",
    ],
    "clients.factory": ["create_atlassian_oauth_client", "create_jira_oauth_client"],
    "clients.oauth": [
        "AtlassianOAuthClient",
        "BitbucketCloudOAuthClient",
        "BitbucketOnPremOAuthClient",
        "ConfluenceCloudOAuthClient",
        "ConfluenceOnPremOAuthClient",
        "JiraCloudOAuthClient",
        "JiraOnPremOAuthClient",
    ],
    "clients.service_account": ["AtlassianServiceAccountClient"],
    "errors": [
        "AccessDeniedError",
        "AmbiguousSiteError",
        "AtlassianAuthError",
        "AuthorizationDeniedError",
        "AuthorizationError",
        "AuthorizationTimeoutError",
        "ConfigurationError",
        "ForeignOriginError",
        "FreshTokenRejectedError",
        "LoginRequiredError",
        "MissingExtraError",
        "PortUnavailableError",
        "ResourceUnavailableError",
        "StaleRecordError",
        "StateMismatchError",
        "TokenEndpointError",
        "TokenEndpointUnavailableError",
        "TokenNotSavedError",
        "TokenRequestRefusedError",
        "TokenStoreError",
        "TokenStoreTimeoutError",
        "TokenStoreUnavailableError",
    ],
    "events": ["Event"],
    "expiry": ["ExpiryPolicy"],
    "profiles": [
        "Profile",
        "choose_store",
        "client_from_profile",
        "delete_profile",
        "load_profile",
        "save_profile",
    ],
    "records": ["TokenKey"],
    "signin.browser": ["login"],
    "sources": ["StaticTokenSource", "TokenSource"],
    "stores.base": ["Entry", "TokenStore"],
    "stores.context": ["ContextTokenStore"],
    "stores.encrypted": ["EncryptedTokenStore"],
    "stores.file": ["FileTokenStore"],
    "stores.keyring": ["KeyringTokenStore"],
    "stores.memory": ["MemoryTokenStore"],
    "stores.redis": ["RedisTokenStore"],
    "stores.sql": ["SQLTokenStore"],
    "tokens": ["TokenSet"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - the names, not the strings' spelling


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
