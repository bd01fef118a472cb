"""What has to be registered before a sign-in, in the words of the page where it is registered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from atlassian_auth_adapter.atlassian.products import Product
from atlassian_auth_adapter.clients.places import Place

__all__ = ["REGISTERED", "SETS_OF", "Registered", "registration", "where_registered"]

#: Products that have named sets of scopes on Cloud.
SETS_OF = ("jira", "confluence")
NAMED_SETS = "atlassian-auth login --scopes read (or write, audit)."

#: Asked for with each sign-in on Cloud, and in no list of the console.
UNLISTED = "offline_access"


@dataclass(frozen=True, slots=True)
class Registered:
    """Where the client of a place is registered, by the names of menus and fields there.

    Attributes:
        title: Of the place.
        page: How to come to the page.
        callback: The field for the callback URL.
        scopes: The field or the page for the scopes.
        credentials: Where client id and secret are shown.
    """

    title: str
    page: str
    callback: str
    scopes: str
    credentials: str


#: By kind of place; by product if that has a Cloud of its own.
#: Source, all read 2026-11-27: developer.atlassian.com/cloud/oauth/getting-started/
#: enabling-oauth-3lo; confluence.atlassian.com, "Configure an incoming link" of Jira 9.5; ibid.,
#: "Integrate another application through OAuth" of Bitbucket Cloud; developer.atlassian.com/cloud/
#: trello/scopes-for-oauth-2-3LO-and-forge-apps, 2026-09-14.
REGISTERED = {
    "cloud_site": Registered(
        "Atlassian Cloud",
        "https://developer.atlassian.com/console/myapps \u2192 Create \u2192 OAuth 2.0 integration",
        "Authorization \u2192 OAuth 2.0 (3LO) \u2192 Callback URL",
        "Permissions",
        "Settings",
    ),
    "server": Registered(
        "Data Center, where an administrator does this",
        "Administration \u2192 Applications \u2192 Application links \u2192 Create link \u2192 "
        "External application \u2192 Incoming",
        "Redirect URL",
        "Application permissions",
        "the page of the link",
    ),
    "bitbucket": Registered(
        "Bitbucket Cloud",
        "Workspace settings \u2192 OAuth consumers \u2192 Add consumer",
        "Callback URL",
        "Permissions",
        "the list of consumers, as Key and Secret",
    ),
    "trello": Registered(
        "Trello",
        "https://trello.com/power-ups/admin \u2192 your app \u2192 OAuth 2.0",
        "Callback URL",
        "Scopes",
        "the same page",
    ),
}


def registration(
    product: Product, place: Place | None, callback_url: str, scopes: Iterable[str]
) -> str:
    """What to register for a sign-in at the place; None: it may be Cloud or Data Center.

    Args:
        product: Whose.
        place: Where the sign-in is.
        callback_url: The redirect URI.
        scopes: What is asked for; empty: the default scopes of the product.
    """
    wanted = tuple(scopes)
    if place:
        lines = [*_lines(where_registered(place), callback_url, wanted or place.scopes)]
    else:
        cloud, server = REGISTERED["cloud_site"], REGISTERED["server"]
        lines = [
            *_lines(cloud, callback_url, wanted or product.cloud_scopes),
            *_lines(server, callback_url, wanted or product.data_center_scopes),
        ]
    if not wanted and product.name in SETS_OF and (place is None or place.kind == "cloud_site"):
        lines.append(f"\n  These are the default scopes. For more on Cloud: {NAMED_SETS}")
    return "\n".join(
        ["This sign-in needs an app that is registered once, with these values.", *lines]
    )


def where_registered(place: Place) -> Registered:
    """Where the client of that place is registered."""
    return REGISTERED[place.product.name if place.kind == "own_cloud" else place.kind]


def _lines(where: Registered, callback_url: str, scopes: tuple[str, ...]) -> Iterator[str]:
    yield f"\n  {where.title}: {where.page}"
    yield f"    {where.callback}: {callback_url}"
    yield f"    {where.scopes}: {' '.join(scope for scope in scopes if scope != UNLISTED)}"
    if UNLISTED in scopes:
        yield f"    ({UNLISTED} is asked for as well, and is in no list there)"
    yield f"    Client id and client secret are then shown at: {where.credentials}"
