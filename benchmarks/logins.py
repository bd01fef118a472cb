"""The login that a peer is given: tokens, and where they are used and renewed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "CLOUD_ID", "FOREIGN_HOST", "Login"]

CLIENT_ID, CLIENT_SECRET = "benchmark-client", "secret-of-the-benchmark-client"
CLOUD_ID = "11223344-a1b2-4b33-8444-a1b2c3d4e5f6"
#: The local server under another name: another host, for whoever compares hosts.
FOREIGN_HOST = "localhost"
#: Characters. Atlassian Cloud's access tokens have some 2,000, its refresh tokens some 1,500.
LONG_ACCESS, LONG_REFRESH = 2000, 1500


@dataclass(frozen=True, slots=True)
class Login:
    """Tokens of one account.

    Attributes:
        base: URL of the local server; "": Atlassian's hosts, for what sends nothing.
        place: "gateway", "site" (whose URLs are routed to the gateway) or "Data Center".
        access_token: The one in memory.
        refresh_token: Its refresh token.
        lifetime: Seconds for which the access token is valid; negative: it has expired.
        account: Several logins of one process have different ones.
        renewing: Seconds before the end at which it is to be renewed, where a peer asks for that;
            0: as the peer does by default.
        store: Directory of a store that processes share; "": memory.
    """

    base: str = ""
    place: str = "gateway"
    access_token: str = "valid".ljust(LONG_ACCESS, "a")
    refresh_token: str = "refresh".ljust(LONG_REFRESH, "r")
    lifetime: float = 3600.0
    account: str = "0"
    renewing: float = 0.0
    store: str = ""

    @property
    def api(self) -> str:
        """What the place begins with: gateway, site or server."""
        if self.base:
            return self.base
        hosts = {"gateway": "api.atlassian.com", "site": "acme.atlassian.net"}
        return f"https://{hosts.get(self.place, 'jira.example.com')}"

    @property
    def url(self) -> str:
        """URL of a resource, as a program writes it."""
        path = f"/ex/jira/{CLOUD_ID}" if self.place == "gateway" else ""
        return f"{self.api}{path}/rest/api/2/issue/ACME-1"

    @property
    def token_url(self) -> str:
        """URL of the token endpoint."""
        return f"{self.base or 'https://auth.atlassian.com'}/oauth/token"

    @property
    def token(self) -> dict[str, Any]:
        """As the token endpoint has answered."""
        return {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_in": int(self.lifetime),
            "token_type": "Bearer",
        }

    def refresh(self, refresh_token: str) -> dict[str, str]:
        """The form of a refresh."""
        return {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }

    def expired(self) -> Login:
        """The same with a token that nobody accepts any more."""
        return replace(self, access_token="expired".ljust(len(self.access_token), "e"), lifetime=-9)
