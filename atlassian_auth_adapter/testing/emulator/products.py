"""The products that there are: one record for each on Cloud, one for each on Data Center.

To add a product: write its REST resources (`Resources`, as `confluence.py` does), put its scopes
into `scopes.py`, and add a record here. One that has no sites but an API host of its own, behind
Cloud's authorization server, is an `OwnHostProduct`, as Trello is. Bitbucket Cloud is no product of
Cloud: it has an authorization server and an API of its own, `bitbucket.py` and `bitbucket_api.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .attachments import Attachments
from .bitbucket_server import BitbucketServer
from .confluence import Confluence
from .hosts import Caller, Routes
from .http import Request, Response
from .jira import Jira
from .scopes import (
    ACCOUNT_WORDS,
    BITBUCKET_SERVER_NEEDS,
    CONFLUENCE_NEEDS,
    CONFLUENCE_WORDS,
    DATA_CENTER_NEEDS,
    JIRA_NEEDS,
    JIRA_SERVER_NEEDS,
    JIRA_WORDS,
    TRELLO_NEEDS,
    TRELLO_WORDS,
    Need,
)
from .trello import trello_routes


class Resources(Protocol):
    """The REST resources of one product at one place. Threads may share them."""

    attachments: Attachments

    def answer(self, request: Request, caller: Caller) -> Response:
        """The answer to a request, whose path is that below the product's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudProduct:
    """A product of a Cloud site.

    Attributes:
        name: In its paths on the gateway (`/ex/<name>/`), and in the names of its scopes.
        make: Its resources, from the URL of the site and a function for that of the media host.
        words: Its scopes, and what they say in plain words.
        needs: Which paths need which scopes.
        site_paths: Its paths on the site that take an API token.
        context: What its paths begin with on the site; on the gateway it may be left out.
    """

    name: str
    make: Callable[[str, Callable[[], str]], Resources]
    words: Mapping[str, str]
    needs: tuple[Need, ...]
    site_paths: re.Pattern[str]
    context: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProduct:
    """A product of the Data Center server.

    Attributes:
        make: Its resources, from the URL of the server.
        needs: Which paths need which scopes.
        paths: Its paths: the first product whose pattern fits answers.
        files: What the paths of its files begin with. They are pages that a bearer opens.
        token_paths: How those of its paths begin that take tokens.
    """

    make: Callable[[str], Resources]
    needs: tuple[Need, ...]
    paths: re.Pattern[str]
    files: str
    token_paths: re.Pattern[str] = re.compile("")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnHostProduct:
    """A product whose apps use Cloud's authorization server, and whose API has a host of its own.

    Attributes:
        name: In the client id of its app and in the log.
        title: As the consent page calls it.
        routes: Its resources.
        words: Its scopes, and what they say in plain words.
        needs: Which paths need which scopes.
    """

    name: str
    title: str
    routes: Routes
    words: Mapping[str, str]
    needs: tuple[Need, ...]


CLOUD_PRODUCTS = (
    CloudProduct(
        name="jira",
        make=lambda _, media_url: Jira(cloud=True, media_url=media_url),
        words=JIRA_WORDS,
        needs=JIRA_NEEDS,
        site_paths=re.compile(r"/rest/.*"),
    ),
    CloudProduct(
        name="confluence",
        make=lambda url, media_url: Confluence(f"{url}/wiki", cloud=True, media_url=media_url),
        words=CONFLUENCE_WORDS,
        needs=CONFLUENCE_NEEDS,
        site_paths=re.compile(r"/wiki/.*"),
        context="/wiki",
    ),
)
CLOUD_WORDS = {
    scope: words
    for each in (*(product.words for product in CLOUD_PRODUCTS), ACCOUNT_WORDS)
    for scope, words in each.items()
}
CLOUD_SCOPES = tuple(scope for scope in CLOUD_WORDS if scope != "offline_access")

TRELLO = OwnHostProduct(
    name="trello",
    title="Trello",
    routes=trello_routes(),
    words=TRELLO_WORDS,
    needs=TRELLO_NEEDS,
)

# On a real Data Center each product is a server of its own; here they share one, and their paths
# tell them apart.
SERVER_PRODUCTS = (
    ServerProduct(
        make=lambda _: BitbucketServer(),
        needs=BITBUCKET_SERVER_NEEDS,
        paths=re.compile(
            r"/rest/api/(1\.0|latest)/(application-properties|users/.+|projects(/.*)?)"
            r"|/(projects|scm)/.*|/plugins/servlet/applinks/whoami"
        ),
        files="/projects/",
        token_paths=re.compile(r"/(rest|scm)/"),
    ),
    ServerProduct(
        make=lambda url: Confluence(url, cloud=False),
        needs=DATA_CENTER_NEEDS,
        paths=re.compile(
            r"/rest/api/(user/current|content|search|space|audit)(/.*)?|/download/attachments/.*"
        ),
        files="/download/attachments/",
    ),
    ServerProduct(
        make=lambda _: Jira(cloud=False),
        needs=JIRA_SERVER_NEEDS,
        paths=re.compile(r".*", re.DOTALL),
        files="/secure/attachment/",
    ),
)
