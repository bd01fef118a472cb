"""Grants: authorization codes, token families, rotation. The state machine the flavours share.

A *family* is every token that was issued for one consent. Its refresh tokens have a generation,
counted from 1; a refresh with generation n issues generation n + 1. What happens to a refresh token
that is presented, in this order:

    unknown, of a revoked family, expired (idle or absolute), replaced by a sibling   refused
    never used                                                                        issued
    used, less than `rotation_grace` seconds ago                            replayed_in_grace
    used, longer ago                                                        reuse_after_grace

Atlassian says that retries within ten minutes are allowed (Cloud, "reuse interval") and that a
reuse outside it ends all refresh tokens. It does not say whether several children of one token stay
valid: `siblings_stay_valid` decides (read on 2026-11-22, developer.atlassian.com, OAuth 2.0 (3LO)
apps, and community.developer.atlassian.com 54172, 83103). The grace counts from the first use.

No input or output, no clock: each operation is told the time, a POSIX timestamp in seconds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(kw_only=True)
class Rules:
    """The settings of the state machine; durations in seconds. They may be changed at any time."""

    access_token_lifetime: float = 3600
    refresh_token_lifetime: float = 90 * 86400
    absolute_lifetime: float | None = None
    rotation_grace: float = 0
    companion_grace: float = 0
    code_lifetime: float = 60
    omit_refresh_token: bool = False
    siblings_stay_valid: bool = True
    # Cloud: a reuse after the grace ends the family. Data Center has no reuse detection.
    reuse_revokes_family: bool = True
    # Data Center computes expiry from the creation and today's setting, Cloud fixes it at issue.
    lifetime_read_at_check: bool = False
    token_bytes: int = 600  # Cloud tokens are about a kilobyte long


class RefusedError(Exception):
    """A token request that is refused; `reason` is a key of the flavour's `refusals`."""

    def __init__(self, reason: str, outcome: str = "refused") -> None:
        super().__init__(reason)
        self.reason = reason
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person agreed to; or, of a service account, what it was created with."""

    client_id: str
    subject: str
    scope: str
    sites: tuple[str, ...] = ()
    redirect_uri: str = ""
    code_challenge: str = ""
    code_challenge_method: str = "plain"

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes as a set."""
        return frozenset(self.scope.split())


@dataclass(frozen=True, slots=True)
class Issued:
    """The result of a successful token request."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    consent: Consent
    outcome: str = "issued"


@dataclass(slots=True, eq=False)
class Family:
    """Every token that was issued for one consent."""

    id: str
    consent: Consent
    created_at: float
    generations: int = 0
    revoked: str = ""  # why; empty while it is valid


@dataclass(slots=True, eq=False)
class RefreshToken:
    """One refresh token. `replaced`: a sibling was issued later, and only that one is valid."""

    family: Family
    generation: int
    issued_at: float
    used_at: float | None = None
    replaced: bool = False
    access: list[AccessToken] = field(default_factory=list)
    children: list[RefreshToken] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class AccessToken:
    """One access token; `dies_at` is before its expiry when its refresh token was rotated."""

    family: Family
    issued_at: float
    lifetime: float
    dies_at: float = float("inf")
    ended: str = ""  # "expired" or "revoked", by a test

    @property
    def consent(self) -> Consent:
        """What the bearer may do."""
        return self.family.consent


@dataclass(slots=True, eq=False)
class _Code:
    consent: Consent
    issued_at: float
    refreshable: bool
    family: Family | None = None  # set by its use


def _locked(
    method: Callable[Concatenate[Grants, P], T],
) -> Callable[Concatenate[Grants, P], T]:
    def guarded(self: Grants, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **kwargs)

    guarded.__name__ = method.__name__
    guarded.__doc__ = method.__doc__
    return guarded


class Grants:
    """Codes and tokens of one authorization server. Threads may share them; nothing blocks."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lock = threading.RLock()
        self._codes: dict[str, _Code] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._access: dict[str, AccessToken] = {}
        self._families: list[Family] = []

    # -- reading -----------------------------------------------------------------------------------

    @property
    @_locked
    def families(self) -> tuple[Family, ...]:
        """Every family so far, in order of creation."""
        return tuple(self._families)

    @property
    @_locked
    def secrets(self) -> frozenset[str]:
        """Every code and token ever issued."""
        return frozenset({*self._codes, *self._refresh, *self._access})

    @_locked
    def refresh_token(self, token: str) -> RefreshToken | None:
        """The record of a refresh token, valid or not."""
        return self._refresh.get(token)

    @_locked
    def access_token(self, token: str, now: float) -> tuple[AccessToken | None, str]:
        """The record of an access token and its state: live, expired, revoked or unknown."""
        record = self._access.get(token)
        if record is None:
            return None, "unknown"
        if record.family.revoked or record.ended == "revoked":
            return record, "revoked"
        rules = self._rules
        lifetime = rules.access_token_lifetime if rules.lifetime_read_at_check else record.lifetime
        if record.ended or now >= min(record.issued_at + lifetime, record.dies_at):
            return record, "expired"
        return record, "live"

    # -- granting ----------------------------------------------------------------------------------

    @_locked
    def code(self, consent: Consent, now: float, *, refreshable: bool) -> str:
        """A new authorization code."""
        code = self._mint()
        self._codes[code] = _Code(consent, now, refreshable)
        return code

    @_locked
    def redeem(
        self, code: str, client_id: str, redirect_uri: str, verifier: str | None, now: float
    ) -> Issued:
        """Tokens for a code; `verifier` None: PKCE is not looked at.

        Raises:
            RefusedError: The code is unknown, expired, used, or of another client. A used code
                revokes everything that was issued from it (RFC 6749 section 4.1.2).
        """
        entry = self._codes.get(code)
        if entry is None:
            raise RefusedError("code")
        if entry.family is not None:
            entry.family.revoked = "authorization code replayed"
            raise RefusedError("code", "reuse_after_grace")
        if entry.consent.client_id != client_id:
            raise RefusedError("code")
        if entry.consent.redirect_uri != redirect_uri:
            raise RefusedError("redirect_uri")
        if now >= entry.issued_at + self._rules.code_lifetime:
            raise RefusedError("code")
        if verifier is not None and not verifies(entry.consent, verifier):
            raise RefusedError("verifier")
        issued = self.grant(entry.consent, now, refreshable=entry.refreshable)
        entry.family = self._families[-1]
        return issued

    @_locked
    def grant(self, consent: Consent, now: float, *, refreshable: bool) -> Issued:
        """The first tokens of a new family."""
        family = Family(f"family-{len(self._families) + 1}", consent, now)
        self._families.append(family)
        return self._issue(family, None, now, refreshable=refreshable, outcome="issued")

    @_locked
    def refresh(self, token: str, client_id: str, now: float) -> Issued:
        """The next generation of a family; see the table at the top of this module.

        Raises:
            RefusedError: The token is invalid. After the grace, the whole family is then invalid.
        """
        record = self._refresh.get(token)
        if record is None or record.family.consent.client_id != client_id:
            raise RefusedError("refresh_token")
        rules, family = self._rules, record.family
        absolute = rules.absolute_lifetime
        if (
            family.revoked
            or record.replaced
            or now >= record.issued_at + rules.refresh_token_lifetime
            or (absolute is not None and now >= family.created_at + absolute)
        ):
            reused = record.used_at is not None and not self._in_grace(record, now)
            raise RefusedError("refresh_token", "reuse_after_grace" if reused else "refused")
        outcome = "issued"
        if record.used_at is not None:
            if not self._in_grace(record, now):
                if rules.reuse_revokes_family:
                    family.revoked = "refresh token reused after the grace"
                raise RefusedError("refresh_token", "reuse_after_grace")
            outcome = "replayed_in_grace"
        for access in record.access:
            access.dies_at = min(access.dies_at, now + rules.companion_grace)
        if rules.omit_refresh_token:
            return self._issue(family, record, now, refreshable=False, outcome=outcome)
        if record.used_at is None:
            record.used_at = now
        if not rules.siblings_stay_valid:
            self._retire_children(record, now)
        return self._issue(family, record, now, refreshable=True, outcome=outcome)

    def _in_grace(self, record: RefreshToken, now: float) -> bool:
        return record.used_at is not None and now < record.used_at + self._rules.rotation_grace

    def _retire_children(self, record: RefreshToken, now: float) -> None:
        for child in record.children:
            child.replaced = True
            for access in child.access:
                access.dies_at = min(access.dies_at, now)

    def _issue(
        self,
        family: Family,
        parent: RefreshToken | None,
        now: float,
        *,
        refreshable: bool,
        outcome: str,
    ) -> Issued:
        lifetime = self._rules.access_token_lifetime
        access = AccessToken(family, now, lifetime)
        access_token = self._mint()
        self._access[access_token] = access
        refresh_token = None
        if refreshable:
            generation = parent.generation + 1 if parent else 1
            family.generations = max(family.generations, generation)
            child = RefreshToken(family, generation, now, access=[access])
            refresh_token = self._mint()
            self._refresh[refresh_token] = child
            if parent:
                parent.children.append(child)
        elif parent:
            parent.access.append(access)
        return Issued(access_token, refresh_token, int(lifetime), family.consent, outcome)

    def _mint(self) -> str:
        return secrets.token_urlsafe(self._rules.token_bytes)

    # -- ending ------------------------------------------------------------------------------------

    @_locked
    def revoke(self, token: str) -> None:
        """The token is invalid; with a refresh token its whole family. Unknown tokens are no error.

        Source: RFC 7009 section 2.2.
        """
        if token in self._refresh:
            self._refresh[token].family.revoked = "revoked by the client"
        elif token in self._access:
            self._access[token].ended = "revoked"

    @_locked
    def end_access_tokens(self, state: str) -> None:
        """Every access token issued so far is in this state: `expired` or `revoked`."""
        for access in self._access.values():
            access.ended = access.ended or state

    @_locked
    def revoke_families(self, why: str) -> None:
        """Every refresh and access token issued so far is invalid."""
        for family in self._families:
            family.revoked = family.revoked or why


def verifies(consent: Consent, verifier: str) -> bool:
    """Whether the code verifier belongs to the challenge. Source: RFC 7636 section 4.6."""
    if not consent.code_challenge:
        return True
    if consent.code_challenge_method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(verifier.encode(), consent.code_challenge.encode())
