"""Every error of this package. A leaf is named by what the caller does next.

    AtlassianAuthError
    |-- ConfigurationError                fix the program                  (also ValueError)
    |   |-- MissingExtraError                 install the extra            (also ImportError)
    |   `-- PortUnavailableError              free the callback URL's port, or paste
    |-- AuthorizationError                the owner or the server said no: start again
    |   |-- AuthorizationDeniedError          ask again, or stop
    |   |-- AuthorizationTimeoutError         no answer came: compare the registration, ask again
    |   |                                         (also TimeoutError)
    |   |-- StateMismatchError                do not trust this redirect
    |   `-- AmbiguousSiteError                name the site: .sites lists the choices
    |-- LoginRequiredError                log in: .reason says why
    |-- AccessDeniedError                 the token is fine, what it may do is not: .granted
    |-- TokenEndpointError                the token request failed; what is stored is untouched
    |   |-- TokenRequestRefusedError          fix the registration: .error .error_description
    |   `-- TokenEndpointUnavailableError     try again soon: .retry_after .outcome
    |       `-- FreshTokenRejectedError           the rejected token is brand new: it is not that
    |-- ResourceUnavailableError          the resource server gave no usable answer: try again
    |-- ForeignOriginError                this URL must not carry the token (foreign="raise")
    `-- TokenStoreError                   the store failed
        |-- TokenStoreUnavailableError        it cannot be reached just now: try again soon
        |-- TokenStoreTimeoutError            the lock is held for too long (also TimeoutError)
        |-- StaleRecordError                  another process saved a newer version first
        `-- TokenNotSavedError                rotated there, not saved here: .token_set

No error holds a secret: not in its text, not in `vars()`, not in its pickle, and not in what it was
raised from. Errors can be pickled and copied; a copy has the same type, text and fields.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Literal, NoReturn, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from atlassian_auth_adapter.tokens import TokenSet

P = ParamSpec("P")
S = TypeVar("S")
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

    Args:
        message: What happened, and what to do next.
        fields: Attributes that the class of the error declares.

    Attributes:
        advice: The end of the text, where a command may have other advice to give; else "".

    Raises:
        TypeError: The class does not declare the field.
    """

    advice: str = ""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        for name, value in fields.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def __str__(self) -> str:
        return " ".join(filter(None, (super().__str__(), self.advice)))

    def copied(self) -> Self:
        """A new error of the same type, text and fields, without traceback or cause.

        One failed flight is reported to many waiters; each raises an error of its own.
        """
        return rebuilt(type(self), self.args, self.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self), self.args, dict(self.__dict__))


def rebuilt(cls: type[E], args: tuple[Any, ...], fields: dict[str, Any]) -> E:
    """An error of that type, without its constructor."""
    # Made by the base that lays out its memory, which need not be the first: a ValueError that is
    # an OSError as well is made by OSError.
    error: E = cls.__base__.__new__(cls, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class ConfigurationError(AtlassianAuthError, ValueError):
    """The program is set up wrongly; raised before any request. Change what the text names."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional library is not installed. The text holds the install command."""


class PortUnavailableError(ConfigurationError):
    """The port of the callback URL, to which the browser will be sent, cannot be listened on.

    The text says why and what to do; raised before the browser opens.
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


class StateMismatchError(AuthorizationError):
    """The redirect belongs to no authorization that this store has started: do not trust it."""


class AmbiguousSiteError(AuthorizationError):
    """The grant reaches several sites and none was named: pass `cloud_id` or `site_url`.

    Attributes:
        sites: The choices, `Site` values.
    """

    sites: tuple[Any, ...] = ()


class LoginRequiredError(AtlassianAuthError):
    """A person has to log in: `oauth_start()`, consent, `oauth_complete()`. Nothing was deleted.

    Attributes:
        reason: "no_token": there was no login. "no_refresh_token": the access token has ended and
            cannot be renewed. "refused": the server refused the refresh token (revoked, 90 days
            idle, password changed, or spent by a program that does not share this store).
            "answer_lost": its answer to a refresh was lost, and the server has no rotation grace,
            or it was not asked again within it.
    """

    reason: Literal["no_token", "no_refresh_token", "refused", "answer_lost"] = "no_token"


class AccessDeniedError(AtlassianAuthError):
    """The token was accepted but does not reach what was asked for; a refresh cannot help.

    Attributes:
        granted: The scopes of the grant, separated by spaces.
    """

    granted: str = ""


class TokenEndpointError(AtlassianAuthError):
    """A token request failed. What is stored is as it was.

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
        retry_after: Seconds to wait, when the server named them.
        outcome: "not_sent": the server never saw the request. "throttled": it declined to look at
            it. "ambiguous": it may or may not have rotated the refresh token.
    """

    retry_after: float | None = None
    outcome: Literal["not_sent", "throttled", "ambiguous"] = "ambiguous"


class FreshTokenRejectedError(TokenEndpointUnavailableError):
    """A resource server rejects a token that has no successor worth asking for.

    It is a static token, or one that was brought by a refresh seconds ago because its predecessor
    had been rejected: another refresh would only burn a rotation. The adapters hand the rejection
    to the caller as it is.
    """


class ResourceUnavailableError(AtlassianAuthError):
    """A request of our own to a resource server (who am I, which sites) got no usable answer.

    Attributes:
        status: HTTP status of the answer, or None without one.
    """

    status: int | None = None


class ForeignOriginError(AtlassianAuthError):
    """The URL lies outside the grant and the adapter was made with `foreign="raise"`."""


class TokenStoreError(AtlassianAuthError):
    """The store failed. The text names the place (file, key) and what to do."""


class TokenStoreUnavailableError(TokenStoreError):
    """The store's server cannot be reached just now, as while it is restarted: try again soon.

    A refresh rides out such an outage for some seconds before it raises this.
    """


class TokenStoreTimeoutError(TokenStoreError, TimeoutError):
    """Another process or thread holds the store's lock for longer than a caller can wait."""


class StaleRecordError(TokenStoreError):
    """Compare-and-swap failed: another process saved a newer version first. Load it again."""


class TokenNotSavedError(TokenStoreError):
    """The refresh token was rotated at the server, but the new one could not be saved.

    The process keeps serving it from memory and keeps trying to save it. If the process ends before
    it succeeds, the login may be lost.

    Attributes:
        token_set: The unsaved token set, so that a program can put it somewhere safe. It does not
            survive a pickle of the error.
    """

    token_set: TokenSet | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: value for name, value in vars(self).items() if name != "token_set"}
        return rebuilt, (type(self), self.args, fields)


def raise_clean(error: BaseException, cause: BaseException | None = None) -> NoReturn:
    """Raise the error, also inside of a handler, without the exception that is being handled.

    Python keeps that one as the context of the error, and its text or its frames may hold a secret.
    """
    try:
        raise error from cause
    finally:
        error.__context__ = None


def without_frames(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Errors of ours leave the method without the frames below it.

    Error reporters print the locals of each frame, and ours hold codes, tokens and secrets.
    """

    @functools.wraps(method)
    def sealed(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except AtlassianAuthError as error:
            failure, cause = error.copied(), error.__cause__
        del args, kwargs
        raise failure from cause

    return sealed
