"""`atlassian-auth refresh`: keeps a login alive; made for cron."""

from __future__ import annotations

import click

from atlassian_auth_adapter.cli.status import facts_of, print_status
from atlassian_auth_adapter.cli.terminal import json_option, profile_option, show
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import load_profile

__all__ = ["command"]

DAY = 86400.0  # seconds


@click.command()
@profile_option
@json_option
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="Leave a token alone that is no older: once a day with 7 makes one refresh a week.",
)
def command(name: str, as_json: bool, older_than: float) -> int:
    """Refresh now, to keep a login alive that is seldom used (it dies after 90 days).

    For cron: 0 6 * * * atlassian-auth refresh --older-than 7
    """
    profile = load_profile(name)
    client = client_of(profile)
    client.refresh(older_than * DAY)
    facts = facts_of(profile, client)
    show(facts, as_json, lambda: print_status(facts))
    return 4 if facts["state"] == "login_required" else 0  # nothing was refreshed, or ever will be
