"""App: what all clients of one OAuth app in a process have in common.

A service for many tenants makes a client for each of them, with the same client id, secret, store
and settings. Such clients share one App, so that a login of its own costs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from atlassian_auth_adapter.clients.settings import (
    DEFAULTS,
    Secret,
    Settings,
    checked_clock,
    checked_expiry,
    checked_hook,
    checked_store,
    checked_wait,
    no_secret,
    secret_fetcher,
)
from atlassian_auth_adapter.clients.texts import (
    checked_callback_url,
    checked_client_id,
    checked_scopes,
)
from atlassian_auth_adapter.expiry import ExpiryPolicy
from atlassian_auth_adapter.oauth.server import AuthorizationServer
from atlassian_auth_adapter.oauth.token_endpoint import TokenEndpoint
from atlassian_auth_adapter.refresh.driver import Parties
from atlassian_auth_adapter.refresh.protocol import LONGEST_OUTAGE
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Proxy, Transport

__all__ = ["App"]

#: The apps of this process, by all that decides about them.
_known: WeakValueDictionary[tuple[Any, ...], App] = WeakValueDictionary()


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class App:
    """A registered app, and the settings of its clients. Threads share it.

    Attributes:
        server: The authorization server.
        endpoint: Its token endpoint, with the client's id and secret.
        transport: Sends the requests of the clients.
        scopes: What an authorization asks for; None: the product's default scopes.
        own_scope: Scopes that a client asks for that acts for itself, with blanks between them.
        expiry: When a token counts as stale and as expired.
        parties: What takes part in a refresh.
        arguments: Those that the clients were given, but for account and place; without a secret.
    """

    server: AuthorizationServer
    endpoint: TokenEndpoint
    transport: Transport
    scopes: list[str] | None
    own_scope: str
    expiry: ExpiryPolicy
    parties: Parties
    arguments: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(
        cls,
        server: AuthorizationServer,
        client_id: str,
        client_secret: Secret,
        callback_url: str | None,
        verify: bool | str,
        proxy: Proxy,
        settings: Settings,
        own_scopes: Iterable[str] | None = None,
    ) -> App:
        """The app of these arguments; the same object as long as a client of it lives.

        `own_scopes` are the default scopes of clients that act for themselves, which need no
        person; None: the others.

        Raises:
            ConfigurationError: An argument cannot be used; the text says what to change.
        """
        if unknown := settings.keys() - DEFAULTS.keys():
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}. Is one misspelled?")
        chosen: Settings = {**DEFAULTS, **settings}
        callback_url = checked_callback_url(callback_url)
        on_event, store = checked_hook(chosen["on_event"]), checked_store(chosen["store"])
        scopes, clock = checked_scopes(chosen["scopes"]), checked_clock(chosen["clock"])
        transport = Transport(verify, proxy, chosen["cert"], chosen["timeout"])
        endpoint = TokenEndpoint(
            server,
            checked_client_id(client_id),
            secret_fetcher(client_secret, public=server.public_clients),
            callback_url,
            transport,
            clock,
        )
        own_scope = ""
        if own_scopes is not None and server.scope_on_client_credentials:
            own_scope = " ".join(sorted({*(scopes or own_scopes)}))
        expiry = checked_expiry(chosen["expiry"])
        parties = Parties(
            store,
            clock,
            endpoint.refresh if own_scopes is None else _without_person(endpoint, own_scope),
            transport.total_timeout,
            # The holder of the lock may resend for a while, each time with the whole timeout.
            server.resend_window + 3 * transport.total_timeout + 3 * LONGEST_OUTAGE,
            checked_wait(chosen["max_wait"]),
            on_event,
        )
        is_text = client_secret and not callable(client_secret)
        arguments = {
            **{name: value for name, value in settings.items() if name != "account"},
            "client_id": client_id,
            "client_secret": no_secret if is_text else client_secret,
            "callback_url": callback_url,
            "verify": verify,
            "proxy": proxy,
            "store": store,
            "scopes": scopes,
        }
        made = cls(server, endpoint, transport, scopes, own_scope, expiry, parties, arguments)
        secret = hidden(client_secret) if isinstance(client_secret, str) else client_secret
        decides = server, client_id, secret, callback_url, transport, type(expiry), expiry, on_event
        own = own_scopes is None, own_scope
        rest = tuple(scopes or ()), *own, parties.max_wait, id(store), id(clock)
        try:
            return _known.setdefault((*decides, *rest), made)
        except TypeError:  # something in it has no hash, such as a mapping of proxies
            return made


def _without_person(endpoint: TokenEndpoint, scope: str) -> Callable[[TokenSet], TokenSet]:
    # Some servers issue a refresh token all the same; a client with a secret does not need it.
    return lambda _: endpoint.client_credentials(scope)._replace(refresh_token="")
