"""`atlassian-auth demo`: shows what the package promises, offline."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
def command() -> int:
    """Show what this package promises, offline."""
    from atlassian_auth_adapter.testing.demo import main

    return main()
