"""The package's own requests to the resource server: who we are, which sites the grant reaches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.locations import Location
from atlassian_auth_adapter.atlassian.scopes import lacking, scopes_for, shortened
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge
from atlassian_auth_adapter.clients.places import Place
from atlassian_auth_adapter.errors import (
    AccessDeniedError,
    AtlassianAuthError,
    ConfigurationError,
    FreshTokenRejectedError,
    ResourceUnavailableError,
)
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.pacing import Pacing
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, Transport

__all__ = ["Identity", "Resources"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the resource server says we are.

    Attributes:
        id: Account id on Cloud, user key or name on Data Center.
        name: For people.
        email: "" when the server does not tell.
        base_url: Of the server.
    """

    id: str
    name: str = ""
    email: str = ""
    base_url: str = ""


class Resources:
    """Asks resources with the token, and once more with another one if it is rejected."""

    def __init__(
        self, place: Place, transport: Transport, source: RefreshingTokenSource, pacing: Pacing
    ) -> None:
        self._place, self._transport = place, transport
        self._source, self._pacing = source, pacing

    def accessible(self) -> tuple[Site, ...]:
        """See `AtlassianClient.accessible_resources`."""
        url = self._place.sites_url
        if not url:
            raise ConfigurationError("only Jira Cloud and Confluence Cloud have sites.")
        answer, _, _ = self._get(lambda: url)
        return sites.sites_in(answer)

    def identity(self, base_url: Callable[[], str]) -> Identity:
        """See `AtlassianClient.test_connection`; the base URL may have to be found first."""
        answer, verdict, granted = self._get(lambda: base_url() + self._place.identity_path)
        server = base_url()
        url = server + self._place.identity_path
        if denial := self._denial(answer, verdict, server, granted):
            raise AccessDeniedError(denial, granted=granted)
        identity = _identity(answer, server) if answer.status == HTTPStatus.OK else None
        if identity is None:
            target = answer.redirect_from(url)
            raise ResourceUnavailableError(
                f"unusable answer from {server} (HTTP {answer.status}, "
                f"{answer.content_type or 'no content type'}"
                f"{f', redirects to {target}' if target else ''}). Check the URL, its context path "
                "included, and whether a proxy or a login page answers instead.",
                status=answer.status,
            )
        return identity

    def _denial(self, answer: Answer, verdict: Verdict, server: str, granted: str) -> str:
        """Why access is denied and what to do about it; "" if it is not denied."""
        if verdict is Verdict.SCOPE_MISSING:
            path = Location.of(server + self._place.identity_path).path
            alternatives = scopes_for("GET", path)
            needed = " or ".join(alternatives) or "see the documents of the product"
            missing = lacking(alternatives, granted.split()) or "unknown"
            return (
                f"the login works, but lacks a scope to ask who it belongs to: {needed} (missing: "
                f"{missing}; granted: {shortened(granted.split())}). Add what is missing to the "
                "app and to `scopes`, then log in again."
            )
        if verdict is Verdict.ANONYMOUS or answer.status == HTTPStatus.UNAUTHORIZED:
            return (
                f"{server} answers as if not logged in. Is the token meant for this server, and "
                "may this account use the product?"
            )
        if answer.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return ""
        if not self._place.sites_url:
            advice = (
                "the rights of the account, and server_url: does it lack a context path, such as "
                "the last part of https://jira.company.com/jira?"
            )
        else:
            try:
                advice = f"cloud_id: the sites of this login are {sites.listed(self.accessible())}."
            except AtlassianAuthError:
                advice = "cloud_id: accessible_resources() lists the sites of this login."
        return f"{server} denies access to this login (HTTP {answer.status}). Check {advice}"

    def _get(self, url: Callable[[], str]) -> tuple[Answer, Verdict, str]:
        """The answer, its verdict and the granted scopes; asks again if the token is rejected."""
        token_set = self._source.token_set()
        asked = url()
        answer, verdict = self._ask(asked, token_set)
        if verdict.is_rejection:
            with suppress(FreshTokenRejectedError):  # then the answer stands
                if self._source.current() == token_set:
                    self._pacing.check(asked, token_set.access_token)
                token_set = self._source.token_set(token_set.access_token)
                answer, verdict = self._ask(url(), token_set)
                self._pacing.brought(
                    asked, token_set.access_token, is_rejected=verdict.is_rejection
                )
        else:
            self._pacing.accepted(asked)
        return answer, verdict, token_set.scope

    def _ask(self, url: str, token_set: TokenSet) -> tuple[Answer, Verdict]:
        answer = self._transport.get(url, token_set.authorization)
        asked = Location.of(url)
        verdict = judge(
            answer.status,
            answer.headers,
            lambda: answer.body,
            expired=self._source.has_ended(token_set),
            anonymous_fallback=self._place.resource_server.anonymous_fallback,
            path=asked.path,
            origin=asked.origin,
        )
        return answer, verdict


def _identity(answer: Answer, base_url: str) -> Identity | None:
    """From the body in any product's spelling, or else from the header that names the caller."""
    parsed = answer.json()
    if not isinstance(parsed, dict):
        return None

    def first(*names: str) -> str:
        return next((printable(str(parsed[name]), 1000) for name in names if parsed.get(name)), "")

    account_id = first("accountId", "account_id", "id", "key", "userKey", "name", "username")
    if not account_id:
        caller = printable(answer.headers.get("X-AUSERNAME", ""))
        return Identity(caller, name=caller, base_url=base_url) if caller else None
    return Identity(
        account_id,
        name=first("displayName", "display_name", "publicName", "fullName", "name", "username"),
        email=first("emailAddress", "email"),
        base_url=base_url,
    )
