"""The arguments that every client takes, and their checks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypedDict, TypeVar

from atlassian_auth_adapter.clock import SYSTEM_CLOCK, Clock
from atlassian_auth_adapter.errors import AtlassianAuthError, ConfigurationError, raise_clean
from atlassian_auth_adapter.events import OnEvent
from atlassian_auth_adapter.expiry import ExpiryPolicy
from atlassian_auth_adapter.oauth.token_endpoint import checked_secret
from atlassian_auth_adapter.secret_text import hidden
from atlassian_auth_adapter.stores.base import TokenStore, callable_failed
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.threads import is_timeout

__all__ = [
    "DEFAULTS",
    "Secret",
    "Settings",
    "checked_clock",
    "checked_expiry",
    "checked_hook",
    "checked_store",
    "checked_wait",
    "no_secret",
    "secret_fetcher",
    "shows_settings",
]

#: The client secret, or a function that fetches it: pass a module-level function to be able to
#: pickle a client into another process.
Secret = str | Callable[[], str]

P = ParamSpec("P")
T = TypeVar("T")


class Settings(TypedDict, total=False):
    """Keyword arguments that every client takes; see `create_atlassian_oauth_client`."""

    scopes: Iterable[str] | None
    store: TokenStore | None
    account: str
    cert: str | tuple[str, str] | None
    timeout: float | tuple[float, float]
    max_wait: float
    expiry: ExpiryPolicy | None
    on_event: OnEvent | None
    clock: Clock | None


#: What a client does without them.
DEFAULTS: Settings = {
    "scopes": None,
    "store": None,
    "account": "default",
    "cert": None,
    "timeout": (5.0, 30.0),
    "max_wait": 30.0,
    "expiry": None,
    "on_event": None,
    "clock": None,
}


def shows_settings(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function with `**settings`: its signature, as in help(), has each by its name."""
    signature = inspect.signature(function)
    *parameters, _ = signature.parameters.values()
    for name, value in DEFAULTS.items():
        hint = Settings.__annotations__[name].__forward_arg__
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=hint)
        )
    vars(function)["__signature__"] = signature.replace(parameters=parameters)
    return function


def checked_store(store: TokenStore | None) -> TokenStore:
    """The store; None: a new MemoryTokenStore.

    Raises:
        ConfigurationError: It is not a TokenStore.
    """
    if store is None:
        return MemoryTokenStore()
    if isinstance(store, type) or not isinstance(store, TokenStore):  # a class has its methods, too
        raise ConfigurationError(
            f"store: a value of type {type(store).__name__} is not a TokenStore. Give one, such as "
            "FileTokenStore(path)."
        )
    return store


def checked_clock(clock: Clock | None) -> Clock:
    """The argument `clock`; None: that of the machine.

    Raises:
        ConfigurationError: It is not a Clock.
    """
    if clock is None:
        return SYSTEM_CLOCK
    methods = (getattr(clock, name, None) for name in ("time", "monotonic", "sleep"))
    if isinstance(clock, type) or not all(map(callable, methods)):
        raise ConfigurationError(
            f"clock: a value of type {type(clock).__name__} is not a Clock, which has the methods "
            "time(), monotonic() and sleep()."
        )
    return clock


def checked_expiry(expiry: ExpiryPolicy | None) -> ExpiryPolicy:
    """The argument `expiry`; None: the usual one.

    Raises:
        ConfigurationError: It is not an ExpiryPolicy.
    """
    if expiry is None:
        return ExpiryPolicy()
    if not isinstance(expiry, ExpiryPolicy):
        raise ConfigurationError(
            f"expiry: a value of type {type(expiry).__name__} is not an ExpiryPolicy."
        )
    return expiry


def checked_hook(on_event: OnEvent | None) -> OnEvent | None:
    """The argument `on_event`.

    Raises:
        ConfigurationError: It cannot be called.
    """
    if on_event is not None and not callable(on_event):
        raise ConfigurationError(
            f"on_event: a value of type {type(on_event).__name__} cannot be called. Give a "
            "function of an Event."
        )
    return on_event


def checked_wait(seconds: float) -> float:
    """The argument `max_wait`, in seconds.

    Raises:
        ConfigurationError: It is not a positive number that a thread can wait for.
    """
    if not is_timeout(seconds):
        raise ConfigurationError(
            "max_wait must be a positive number of seconds: how long a request waits for a refresh "
            "at most."
        )
    return float(seconds)


def secret_fetcher(client_secret: Secret, *, public: bool = False) -> Callable[[], str]:
    """A function that returns the client secret, and raises AtlassianAuthError only.

    The frames of such an error are removed before a caller sees it: their locals hold tokens.
    `public` is as in `checked_secret`.

    Raises:
        ConfigurationError: The secret is missing or malformed.
    """
    if not callable(client_secret):
        secret = checked_secret(client_secret, public=public)
        return lambda: secret

    def fetch() -> str:
        try:
            return hidden(client_secret())
        except AtlassianAuthError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the caller's function
            failure = callable_failed("client_secret()", error, "secret")
            raise_clean(ConfigurationError(f"{failure} Nothing was sent, nothing is lost."))

    return fetch


def no_secret() -> str:
    """Stands for the client secret of a client that was unpickled without one.

    Raises:
        ConfigurationError: Always.
    """
    raise ConfigurationError(
        "this client was unpickled in another process, and a pickle carries no secret. Give "
        "client_secret as a module-level function that fetches it, or make the client there."
    )
