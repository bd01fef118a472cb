"""The package's own requests to the resource server: who we are, which sites the grant reaches."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from atlassian_auth_adapter.atlassian import sites
from atlassian_auth_adapter.atlassian.gateway import Location
from atlassian_auth_adapter.atlassian.sites import Site
from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge
from atlassian_auth_adapter.clients.identity import Identity, identity_in
from atlassian_auth_adapter.clients.places import Place
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    FreshTokenRejectedError,
)
from atlassian_auth_adapter.pacing import Pacing
from atlassian_auth_adapter.refresh.source import RefreshingTokenSource
from atlassian_auth_adapter.tokens import TokenSet
from atlassian_auth_adapter.transport import Answer, Transport

__all__ = ["Resources"]


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
        return identity_in(answer, verdict, base_url(), granted, self._what_to_check)

    def _what_to_check(self) -> str:
        if not self._place.sites_url:
            return "server_url and the rights of the account."
        try:
            return f"cloud_id: the sites of this login are {sites.listed(self.accessible())}."
        except AtlassianAuthError:
            return "cloud_id: accessible_resources() lists the sites of this login."

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
        verdict = judge(
            answer.status,
            answer.headers,
            lambda: answer.body,
            expired=self._source.has_ended(token_set),
            anonymous_fallback=self._place.resource_server.anonymous_fallback,
            path=Location.of(url).path,
        )
        return answer, verdict
