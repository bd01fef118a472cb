"""`atlassian-auth status`: the stored login, and when it ends; without secrets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from atlassian_auth_adapter.cli.terminal import (
    console,
    json_option,
    moment,
    plain,
    profile_option,
    say,
    show,
)
from atlassian_auth_adapter.clients.base import AtlassianClient
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import load_profile
from atlassian_auth_adapter.profiles.profile import Profile

__all__ = ["command", "facts_of", "print_status"]

#: What each state means for a person.
STATES = {
    "none": "not signed in: run atlassian-auth login",
    "fresh": "valid",
    "stale": "valid; the next use refreshes it",
    "expired": "expired; the next use refreshes it",
    "login_required": "ended: run atlassian-auth login",
}

#: Labels for people, and the facts that they show.
MOMENTS = {
    "last refresh": "obtained_at",
    "token ends": "expires_at",
    "idle limit": "idle_until",
    "sign in by": "reauthorize_by",
    "server asks to wait": "throttled_until",
    "refresh under way": "pending_since",
}


@click.command()
@profile_option
@json_option
def command(name: str, as_json: bool) -> None:
    """Show the stored login, and when it ends. No request, no secrets."""
    profile = load_profile(name)
    facts = facts_of(profile, client_of(profile))
    show(facts, as_json, lambda: print_status(facts))


def facts_of(profile: Profile, client: AtlassianClient) -> dict[str, Any]:
    """What is known of the login without a request; it holds no secret."""
    if client.product.own_cloud and not client.server_url:
        where = client.base_url  # known without a request: there are no sites
    else:
        where = client.site_url or client.server_url or client.cloud_id or "the only site"
    return {
        "profile": profile.name,
        "product": client.product.name,
        "where": where,
        "client_id": client.client_id,
        "store": profile.store,
        **asdict(client.status()),
    }


def print_status(facts: dict[str, Any]) -> None:
    """Print the facts for people: a line each, without those that are not known."""
    from rich.table import Table
    from rich.text import Text

    state = facts["state"]
    rows: list[tuple[str, str]] = [
        ("profile", facts["profile"]),
        ("place", f"{facts['product']}, {facts['where']}"),
        ("client id", facts["client_id"]),
        ("account", facts["account"]),
        ("store", facts["store"]),
        ("login", STATES[state] + (f" ({facts['reason']})" if facts["reason"] else "")),
    ]
    if state != "none":
        rows.append(("scopes", " ".join(facts["scopes"]) or "unknown"))
    for label, fact in MOMENTS.items():
        if facts[fact] is not None:
            rows.append((label, moment(facts[fact])))
    if facts["pending_owner"]:
        rows.append(("refreshed by", facts["pending_owner"]))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows:
        table.add_row(label, Text(plain(value)))
    console().print(table)
    if state == "login_required":
        say("Nothing was deleted.", style="dim")
