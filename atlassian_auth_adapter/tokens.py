"""TokenSet: the result of one token request, as a frozen value that never prints its secrets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NoReturn, Self, TypeGuard

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    TokenRequestRefusedError,
    without_frames,
)
from atlassian_auth_adapter.secret_text import SecretText

__all__ = ["TokenSet", "is_token"]


#: Source: IANA, OAuth Access Token Types; RFC 6749 section 7.1; RFC 8693 section 2.2.1.
_OTHER_TYPES = frozenset({"basic", "dpop", "mac", "n_a", "pop"})


def is_token(value: object) -> TypeGuard[str]:
    """Whether a header can hold it: visible ASCII. Source: RFC 6749 appendix A.12."""
    if not isinstance(value, str) or not value:
        return False
    return value.isascii() and value.isprintable() and " " not in value


@dataclass(frozen=True, slots=True)
class TokenSet:
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
        header: As `authorization`; "" if requests cannot carry the token. Not in the repr.

    Raises:
        ConfigurationError: A token has a character that no header can hold, such as a line break;
            or scope or token type has a control character.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: float = math.inf
    scope: str = ""
    token_type: str = "Bearer"
    obtained_at: float = 0.0
    header: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("access_token", "refresh_token"):
            if (token := getattr(self, name)) != "" and not is_token(token):
                raise ConfigurationError(
                    f"the {name} contains a space, a line break or another character that no token "
                    "has: give it exactly as the server has issued it."
                )
            object.__setattr__(self, name, SecretText(token))
        for name in ("scope", "token_type"):
            if not getattr(self, name).isprintable():
                raise ConfigurationError(f"the {name} contains a control character.")
        is_bearer = self.token_type.lower() in ("bearer", "")
        scheme = "Bearer" if is_bearer else "Basic" if self.token_type == "Basic" else ""
        header = SecretText(f"{scheme} {self.access_token}") if scheme else ""
        object.__setattr__(self, "header", header)

    @property
    def is_sendable(self) -> bool:
        """Whether requests can carry the token, as `checked` requires."""
        return self.header != ""

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


TokenSet.__init__ = without_frames(TokenSet.__init__)  # type: ignore[method-assign]
