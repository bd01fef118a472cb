"""Every error of this package. A leaf is named by what the caller does next.

    AtlassianAuthError
    |-- ConfigurationError                fix the program                  (also ValueError)
    |   |-- MissingExtraError                 install the extra            (also ImportError)
    |   `-- PortUnavailableError              free the callback URL's port, or paste
    |-- AuthorizationError                the person or the server refused: start again
    |   |-- AuthorizationDeniedError          ask again, or stop
    |   |-- AuthorizationTimeoutError         no answer came: compare the registration, ask again
    |   |                                         (also TimeoutError)
    |   |-- AuthorizationCompletedError       go on: this redirect was completed before
    |   |-- StateMismatchError                do not trust this redirect
    |   `-- AmbiguousSiteError                name the site: .sites lists the choices
    |-- LoginRequiredError                log in: .reason says why
    |-- AccessDeniedError                 the token is valid but lacks a scope or site: .granted
    |-- TokenEndpointError                the token request failed; what is stored is untouched
    |   |-- TokenRequestRefusedError          fix the registration: .error .error_description
    |   `-- TokenEndpointUnavailableError     try again soon: .retry_after .outcome
    |       `-- FreshTokenRejectedError           a new token is rejected too: check site and rights
    |-- ResourceUnavailableError          the resource server gave no usable answer: try again
    |-- ForeignOriginError                this URL must not carry the token (foreign="raise")
    `-- TokenStoreError                   the store failed
        |-- TokenStoreUnavailableError        it cannot be reached: try again soon
        |-- TokenStoreTimeoutError            the lock is held for too long (also TimeoutError)
        |-- StaleRecordError                  another process saved a newer version first
        `-- TokenNotSavedError                rotated by the server, but not saved: .token_set

No error holds a secret: not in its text, in `vars()`, in its pickle, or in its cause. Errors can be
pickled and copied; a copy has the same type, text and fields.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from atlassian_auth_adapter.tokens import TokenSet

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound="AtlassianAuthError")

__all__ = [
    "AtlassianAuthError",
    "ConfigurationError",
    "MissingExtraError",
    "PortUnavailableError",
    "AuthorizationError",
    "AuthorizationDeniedError",
    "AuthorizationTimeoutError",
    "AuthorizationCompletedError",
    "StateMismatchError",
    "AmbiguousSiteError",
    "LoginRequiredError",
    "AccessDeniedError",
    "TokenEndpointError",
    "TokenRequestRefusedError",
    "TokenEndpointUnavailableError",
    "FreshTokenRejectedError",
    "ResourceUnavailableError",
    "ForeignOriginError",
    "TokenStoreError",
    "TokenStoreUnavailableError",
    "TokenStoreTimeoutError",
    "StaleRecordError",
    "TokenNotSavedError",
]


class AtlassianAuthError(Exception):
    """Base of every error that this package raises on purpose.

    The text says what happened and what to do next; the fields are attributes of the class.

    Attributes:
        advice: The end of the text if a command replaces it by other advice, or "".
    """

    advice: str = ""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        kind: Any = type(self)
        declared = _declared(kind)
        for name, value in fields.items():
            if name not in declared:
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            if declared[name] and value not in declared[name]:
                raise TypeError(f"{type(self).__name__}.{name} is one of {declared[name]}")
            setattr(self, name, value)

    def __str__(self) -> str:
        return " ".join(filter(None, (super().__str__(), self.advice)))

    def copied(self) -> Self:
        """A new error of the same type, text and fields, without traceback or cause."""
        return rebuilt(type(self), self.args, self.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self), self.args, dict(self.__dict__))


@functools.cache
def _declared(cls: Any) -> dict[str, tuple[object, ...]]:
    """The fields of a class of errors, and what each may be: empty if it is not a Literal."""
    hints = get_type_hints(cls, localns={"TokenSet": object})
    return {
        name: get_args(hint) if get_origin(hint) is Literal else () for name, hint in hints.items()
    }


def rebuilt(cls: type[E], args: tuple[Any, ...], fields: dict[str, Any]) -> E:
    """An error of that type, made without its constructor."""
    # `__base__` is the base class that defines the memory layout, and need not be the first one:
    # for a ValueError that also is an OSError it is OSError.
    error: E = cls.__base__.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class ConfigurationError(AtlassianAuthError, ValueError):
    """The program is set up wrongly; raised before any request. Change what the text names.

    Attributes:
        file: Path of the configuration file whose keys the text names, or "".
    """

    file: str = ""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional library is not installed. The text holds the install command."""


@contextmanager
def optional_import(library: str, extra: str) -> Iterator[None]:
    """An import that fails within it raises the MissingExtraError of this library."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{library} is not installed: pip install 'atlassian-auth-adapter[{extra}]'"
        ) from error


class PortUnavailableError(ConfigurationError):
    """The port of the callback URL is not free, so the redirect could not be received.

    The text says why and what to do. Raised before the browser opens.
    """


class AuthorizationError(AtlassianAuthError):
    """The resource owner or the server did not grant the authorization: call `oauth_start()` again.

    Attributes:
        error: The `error` parameter of the redirect or of the answer, or "".
    """

    error: str = ""


class AuthorizationDeniedError(AuthorizationError):
    """The resource owner pressed Deny. Ask again, or stop."""


class AuthorizationTimeoutError(AuthorizationError, TimeoutError):
    """The browser did not come back in time: the text says what to compare. Ask again."""


class AuthorizationCompletedError(AuthorizationError):
    """The redirect was completed before, as with a page that is loaded again: go on.

    Nothing was sent, and the login is there.
    """


class StateMismatchError(AuthorizationError):
    """The redirect is not the answer to an authorization of this store: do not trust it."""


class AmbiguousSiteError(AuthorizationError):
    """The grant reaches several sites and none was named: pass `cloud_id` or `site_url`.

    Attributes:
        sites: The choices, `Site` values.
    """

    sites: tuple[Any, ...] = ()


class LoginRequiredError(AtlassianAuthError):
    """A person has to log in: `oauth_start()`, consent, `oauth_complete()`. Nothing was deleted.

    Attributes:
        reason: "no_token": there was no login. "no_refresh_token": the access token has expired
            and there is no refresh token. "refused": the server refused the refresh token (revoked,
            90 days idle, password changed, or used by a program that does not share this store).
            "answer_lost": the answer to a refresh was lost, and the server has no rotation grace,
            or the request was not sent again within it.
    """

    reason: Literal["no_token", "no_refresh_token", "refused", "answer_lost"] = "no_token"


class AccessDeniedError(AtlassianAuthError):
    """The token is valid but does not reach the site or resource; a refresh cannot help.

    Attributes:
        granted: The scopes of the grant, separated by spaces.
    """

    granted: str = ""


class TokenEndpointError(AtlassianAuthError):
    """A token request failed. The store was not changed.

    Attributes:
        status: HTTP status of the answer, or None without one.
    """

    status: int | None = None


class TokenRequestRefusedError(TokenEndpointError):
    """The server understood the token request and refused it: fix the registration of the client.

    Logging in again does not help. Typical: a wrong `client_secret` (Cloud: 401 `access_denied`).

    Attributes:
        error: Error code. Source: RFC 6749 section 5.2.
        error_description: The server's text, without secrets; may be localised.
    """

    error: str = ""
    error_description: str = ""


class TokenEndpointUnavailableError(TokenEndpointError):
    """No usable answer from the token endpoint: try again soon.

    Attributes:
        retry_after: Seconds to wait, when the server named them: a quarter longer at most, so that
            not all who are told the same come back at one moment.
        outcome: "not_sent": the token endpoint has not processed the request, because it was not
            sent, or because something else has answered, such as a proxy (`status` is set then).
            "throttled": the token endpoint asks to wait. "ambiguous": it may or may not have
            rotated the refresh token.
    """

    retry_after: float | None = None
    outcome: Literal["not_sent", "throttled", "ambiguous"] = "ambiguous"


class FreshTokenRejectedError(TokenEndpointUnavailableError):
    """A resource server rejects a token, and another token would not help.

    It is a static token, or a new one that replaced a rejected one seconds ago: another refresh
    would only use up a refresh token. From an adapter, the caller gets the answer of the server.
    """


class ResourceUnavailableError(AtlassianAuthError):
    """A request of this package to a resource server (identity, sites) got no usable answer.

    Attributes:
        status: HTTP status of the answer, or None without one.
    """

    status: int | None = None


class ForeignOriginError(AtlassianAuthError):
    """The URL is outside the grant of the login, and the auth object has `foreign="raise"`."""


class TokenStoreError(AtlassianAuthError):
    """The store failed. The text names the place (file, key) and what to do."""


class TokenStoreUnavailableError(TokenStoreError):
    """The store's server cannot be reached, as during a restart: try again soon.

    A refresh retries for some seconds before it raises this.
    """


class TokenStoreTimeoutError(TokenStoreError, TimeoutError):
    """Another process or thread holds the store's lock for too long."""


class StaleRecordError(TokenStoreError):
    """Compare-and-swap failed: another process saved a newer version first. Load it again."""


class TokenNotSavedError(TokenStoreError):
    """The refresh token was rotated at the server, but the new one could not be saved.

    The process uses it from memory and keeps trying to save it. If the process ends before that,
    the login may be lost.

    Attributes:
        token_set: The unsaved token set, so that a program can keep it. A pickle of the error does
            not hold it.
    """

    token_set: TokenSet | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: value for name, value in vars(self).items() if name != "token_set"}
        return rebuilt, (type(self), self.args, fields)


def raise_clean(error: BaseException, cause: BaseException | None = None) -> NoReturn:
    """Raise the error inside an `except` block, without the exception that is being handled.

    Python would keep that exception as the context of the error, and it may hold a secret.
    """
    try:
        raise error from cause
    finally:
        error.__context__ = None


def without_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function: errors of this package leave it without its frames.

    Error reporters print the locals of each frame: what was passed to it may be a secret, also one
    in the place of another argument. Ctrl-C, a cancellation and a MemoryError leave it likewise,
    because they may hit a frame of another library. Other errors are bugs and keep their frames.
    """

    @functools.wraps(function)
    def sealed(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except AtlassianAuthError as error:
            if cause := error.__cause__:
                drop_frames(cause)
            raise_clean(error.copied(), cause)
        except BaseException as error:
            if isinstance(error, MemoryError) or not isinstance(error, Exception):
                drop_frames(error)
            raise
        finally:
            del args, kwargs

    return sealed


def drop_frames(error: BaseException) -> None:
    """The error and all that led to it have no frames any more.

    For frames of other libraries, which hold plain copies of secrets.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]
