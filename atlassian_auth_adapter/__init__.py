"""OAuth 2.0 for Jira and Confluence, Cloud and Data Center, that never loses a login.

    session.auth = AtlassianAuth(client)                     # requests
    httpx.Client(auth=AtlassianHTTPXAuth(client))            # httpx, sync and async
    httpx2.AsyncClient(auth=AtlassianHTTPX2Auth(client))     # httpx2
    aiohttp.ClientSession(middlewares=(AtlassianAiohttpAuth(client),))   # aiohttp

The names are loaded on first use (PEP 562): importing the package loads no HTTP library. A name
whose extra is not installed cannot be imported; `import *` and what looks at all names, such as
help(), get a stand-in for it that raises MissingExtraError when it is used.
"""

from atlassian_auth_adapter.lazy import loading

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take it for that of `typing`, which takes long to import
if TYPE_CHECKING:
    from atlassian_auth_adapter.adapters.aiohttp import (
        AtlassianAiohttpAuth as AtlassianAiohttpAuth,
    )
    from atlassian_auth_adapter.adapters.httpx import AtlassianHTTPXAuth as AtlassianHTTPXAuth
    from atlassian_auth_adapter.adapters.httpx2 import AtlassianHTTPX2Auth as AtlassianHTTPX2Auth
    from atlassian_auth_adapter.adapters.requests import AtlassianAuth as AtlassianAuth
    from atlassian_auth_adapter.atlassian.products import (
        COMMERCIAL as COMMERCIAL,
        US_GOV_MODERATE as US_GOV_MODERATE,
        CloudEnvironment as CloudEnvironment,
    )
    from atlassian_auth_adapter.atlassian.scopes import scope_set as scope_set
    from atlassian_auth_adapter.atlassian.sites import Site as Site
    from atlassian_auth_adapter.clients.base import AtlassianClient as AtlassianClient
    from atlassian_auth_adapter.clients.environment import (
        atlassian_oauth_client_from_env as atlassian_oauth_client_from_env,
        atlassian_service_account_client_from_env as atlassian_service_account_client_from_env,
    )
    from atlassian_auth_adapter.clients.factory import (
        create_atlassian_oauth_client as create_atlassian_oauth_client,
        create_jira_oauth_client as create_jira_oauth_client,
    )
    from atlassian_auth_adapter.clients.oauth import AtlassianOAuthClient as AtlassianOAuthClient
    from atlassian_auth_adapter.clients.products import (
        BitbucketCloudOAuthClient as BitbucketCloudOAuthClient,
        BitbucketOnPremOAuthClient as BitbucketOnPremOAuthClient,
        ConfluenceCloudOAuthClient as ConfluenceCloudOAuthClient,
        ConfluenceOnPremOAuthClient as ConfluenceOnPremOAuthClient,
        JiraCloudOAuthClient as JiraCloudOAuthClient,
        JiraOnPremOAuthClient as JiraOnPremOAuthClient,
    )
    from atlassian_auth_adapter.clients.resources import Identity as Identity
    from atlassian_auth_adapter.clients.service_account import (
        AtlassianServiceAccountClient as AtlassianServiceAccountClient,
    )
    from atlassian_auth_adapter.clients.static import StaticTokenSource as StaticTokenSource
    from atlassian_auth_adapter.clients.status import TokenStatus as TokenStatus
    from atlassian_auth_adapter.errors import (
        AccessDeniedError as AccessDeniedError,
        AmbiguousSiteError as AmbiguousSiteError,
        AtlassianAuthError as AtlassianAuthError,
        AuthorizationCompletedError as AuthorizationCompletedError,
        AuthorizationDeniedError as AuthorizationDeniedError,
        AuthorizationError as AuthorizationError,
        AuthorizationTimeoutError as AuthorizationTimeoutError,
        ConfigurationError as ConfigurationError,
        ForeignOriginError as ForeignOriginError,
        FreshTokenRejectedError as FreshTokenRejectedError,
        LoginRequiredError as LoginRequiredError,
        MissingExtraError as MissingExtraError,
        PortUnavailableError as PortUnavailableError,
        ResourceUnavailableError as ResourceUnavailableError,
        StaleRecordError as StaleRecordError,
        StateMismatchError as StateMismatchError,
        TokenEndpointError as TokenEndpointError,
        TokenEndpointUnavailableError as TokenEndpointUnavailableError,
        TokenNotSavedError as TokenNotSavedError,
        TokenRequestRefusedError as TokenRequestRefusedError,
        TokenStoreError as TokenStoreError,
        TokenStoreTimeoutError as TokenStoreTimeoutError,
        TokenStoreUnavailableError as TokenStoreUnavailableError,
    )
    from atlassian_auth_adapter.events import Event as Event
    from atlassian_auth_adapter.expiry import ExpiryPolicy as ExpiryPolicy
    from atlassian_auth_adapter.profiles.client import client_from_profile as client_from_profile
    from atlassian_auth_adapter.profiles.file import (
        delete_profile as delete_profile,
        load_profile as load_profile,
        save_profile as save_profile,
    )
    from atlassian_auth_adapter.profiles.profile import Profile as Profile
    from atlassian_auth_adapter.profiles.stores import choose_store as choose_store
    from atlassian_auth_adapter.records import TokenKey as TokenKey
    from atlassian_auth_adapter.signin.login import login as login
    from atlassian_auth_adapter.sources import TokenSource as TokenSource
    from atlassian_auth_adapter.stores.base import Entry as Entry, TokenStore as TokenStore
    from atlassian_auth_adapter.stores.context import ContextTokenStore as ContextTokenStore
    from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore as EncryptedTokenStore
    from atlassian_auth_adapter.stores.file import FileTokenStore as FileTokenStore
    from atlassian_auth_adapter.stores.keyring import KeyringTokenStore as KeyringTokenStore
    from atlassian_auth_adapter.stores.memory import MemoryTokenStore as MemoryTokenStore
    from atlassian_auth_adapter.stores.redis import RedisTokenStore as RedisTokenStore
    from atlassian_auth_adapter.stores.sql import SQLTokenStore as SQLTokenStore
    from atlassian_auth_adapter.tokens import TokenSet as TokenSet

_HOMES = {
    "adapters.aiohttp": ["AtlassianAiohttpAuth"],
    "adapters.httpx": ["AtlassianHTTPXAuth"],
    "adapters.httpx2": ["AtlassianHTTPX2Auth"],
    "adapters.requests": ["AtlassianAuth"],
    "atlassian.products": ["COMMERCIAL", "US_GOV_MODERATE", "CloudEnvironment"],
    "atlassian.scopes": ["scope_set"],
    "atlassian.sites": ["Site"],
    "clients.base": ["AtlassianClient"],
    "clients.environment": [
        "atlassian_oauth_client_from_env",
        "atlassian_service_account_client_from_env",
    ],
    "clients.factory": ["create_atlassian_oauth_client", "create_jira_oauth_client"],
    "clients.resources": ["Identity"],
    "clients.oauth": ["AtlassianOAuthClient"],
    "clients.products": [
        "BitbucketCloudOAuthClient",
        "BitbucketOnPremOAuthClient",
        "ConfluenceCloudOAuthClient",
        "ConfluenceOnPremOAuthClient",
        "JiraCloudOAuthClient",
        "JiraOnPremOAuthClient",
    ],
    "clients.service_account": ["AtlassianServiceAccountClient"],
    "clients.static": ["StaticTokenSource"],
    "clients.status": ["TokenStatus"],
    "errors": [
        "AccessDeniedError",
        "AmbiguousSiteError",
        "AtlassianAuthError",
        "AuthorizationDeniedError",
        "AuthorizationError",
        "AuthorizationCompletedError",
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
    "profiles.client": ["client_from_profile"],
    "profiles.file": ["delete_profile", "load_profile", "save_profile"],
    "profiles.profile": ["Profile"],
    "profiles.stores": ["choose_store"],
    "records": ["TokenKey"],
    "signin.login": ["login"],
    "sources": ["TokenSource"],
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

if not TYPE_CHECKING:  # a type checker has the imports above, and tells of a wrong name
    __getattr__, __dir__ = loading(__name__, _HOME_OF)
