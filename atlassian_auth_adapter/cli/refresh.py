"""`atlassian-auth refresh`: refreshes the token; made for cron."""

from __future__ import annotations

import click

from atlassian_auth_adapter.atlassian.products import DAY
from atlassian_auth_adapter.cli.status import facts_of, print_status, verdict
from atlassian_auth_adapter.cli.terminal import json_option, profile_option, show
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import load_profile

__all__ = ["command"]


@click.command()
@profile_option
@json_option
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="DAYS",
    help="Only if the token is older: once a day with 7 makes one refresh a week.",
)
def command(name: str, as_json: bool, older_than: float) -> int:
    """Refresh the token now: a login ends when it is not used for 90 days.

    For cron: 0 6 * * * atlassian-auth refresh --older-than 7
    """
    profile = load_profile(name)
    client = client_of(profile)
    client.refresh(older_than * DAY)
    facts = facts_of(profile, client)
    show(facts, as_json, lambda: print_status(facts))
    return verdict(facts)  # also when no refresh was due
