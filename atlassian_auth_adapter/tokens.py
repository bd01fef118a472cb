"""TokenSet: the result of one token request, as a frozen value that never prints its secrets."""

from __future__ import annotations

import math
import sys
from typing import ClassVar, NoReturn, Self, TypeGuard

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenRequestRefusedError,
    without_frames,
)
from atlassian_auth_adapter.secret_text import SecretText, hidden
from atlassian_auth_adapter.values import Value

__all__ = ["TokenSet", "is_token"]


#: Source: IANA, OAuth Access Token Types; RFC 6749 section 7.1; RFC 8693 section 2.2.1.
_OTHER_TYPES = frozenset({"basic", "dpop", "mac", "n_a", "pop"})


def is_token(value: object) -> TypeGuard[str]:
    """Whether a header can hold it: visible ASCII. Source: RFC 6749 appendix A.12."""
    if not isinstance(value, str) or not value:
        return False
    return value.isascii() and value.isprintable() and " " not in value


class TokenSet(Value):
    """An access token, its refresh token, and what the server said about them.

    Attributes:
        access_token: The bearer token, or the credential of a Basic header. Not in the repr.
        refresh_token: The token that a refresh sends, "" when the server gave none. Not in the
            repr.
        expires_at: POSIX timestamp (seconds) at which the access token expires, counted from the
            moment the token request was *sent*; `math.inf` for a token that does not expire.
        scope: Granted scopes, separated by spaces. Source: RFC 6749 section 3.3.
        token_type: As the server spelled it. Requests say `Basic` for exactly that (a static API
            token), else `Bearer`; `checked` refuses any other type.
        obtained_at: POSIX timestamp (seconds) at which the token request was sent.
        header: As `authorization`, once a request has needed it: many logins are idle; "" before.
            Not in the repr.

    Raises:
        ConfigurationError: A token has a character that no header can hold, such as a line break;
            or scope or token type has a control character.
    """

    access_token: str
    refresh_token: str
    expires_at: float
    scope: str
    token_type: str
    obtained_at: float
    header: str
    __slots__ = (
        "access_token",
        "expires_at",
        "header",
        "obtained_at",
        "refresh_token",
        "scope",
        "token_type",
    )
    _hidden: ClassVar[frozenset[str]] = frozenset({"access_token", "refresh_token"})

    @without_frames
    def __init__(
        self,
        access_token: str,
        refresh_token: str = "",
        expires_at: float = math.inf,
        scope: str = "",
        token_type: str = "Bearer",
        obtained_at: float = 0.0,
    ) -> None:
        access_token, refresh_token = hidden(access_token), hidden(refresh_token)
        for name, token in (("access_token", access_token), ("refresh_token", refresh_token)):
            if token != "" and not is_token(token):
                raise ConfigurationError(
                    f"the {name} contains a space, a line break or another character that no token "
                    "has: give it exactly as the server has issued it."
                )
        for name, text in (("scope", scope), ("token_type", token_type)):
            if not text.isprintable():
                raise ConfigurationError(f"the {name} contains a control character.")
        self._set(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=expires_at,
            scope=sys.intern(str(scope)),
            token_type=sys.intern(str(token_type)),
            obtained_at=obtained_at,
            header="",
        )

    @property
    def _scheme(self) -> str:
        if self.token_type.lower() in ("bearer", ""):
            return "Bearer"
        return "Basic" if self.token_type == "Basic" else ""

    @property
    def is_sendable(self) -> bool:
        """Whether requests can carry the token, as `checked` requires."""
        return self._scheme != ""

    def checked(self) -> Self:
        """This token set, if requests can carry its token. Source: RFC 6749 section 7.1.

        Raises:
            TokenRequestRefusedError: The token is of a type that is not sent as it is, such as
                "mac" or "DPoP".
        """
        if not self.is_sendable:
            # Another text is not quoted: it may be a secret in the wrong place.
            is_known = self.token_type.lower() in _OTHER_TYPES
            kind = f"the type {self.token_type}" if is_known else "an unknown type"
            raise TokenRequestRefusedError(
                f"the server has issued a token of {kind}, which must not be sent as a bearer "
                "token (RFC 6749 section 7.1), so no request was made with it. Nothing is lost. "
                "Let the server issue tokens of the type Bearer to this client."
            )
        return self

    @property
    def authorization(self) -> str:
        """The value of the Authorization header. Source: RFC 6750 section 2.1, RFC 7617.

        Raises as `checked`.
        """
        if not self.header:
            self.checked()
            header = SecretText(f"{self._scheme} {self.access_token}")
            self._set(header=header)
        return self.header

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes as a set."""
        return frozenset(self.scope.split())

    @property
    def lifetime(self) -> float:
        """Seconds from `obtained_at` to `expires_at`; never negative."""
        return max(0.0, self.expires_at - self.obtained_at)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a TokenSet is not pickled: share it through a TokenStore")
