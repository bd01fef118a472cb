"""`atlassian-auth demo`: shows what the package promises, offline."""

from __future__ import annotations

import click

from atlassian_auth_adapter.cli.terminal import json_option

__all__ = ["command"]


@click.command()
@json_option
def command(as_json: bool) -> int:
    """Show what this package promises, offline."""
    from atlassian_auth_adapter.testing.demo import main

    return main(as_json=as_json)
