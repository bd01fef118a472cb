"""`atlassian-auth demo`: shows what the package promises, offline."""

from __future__ import annotations

from atlassian_auth_adapter.testing.demo import main

__all__ = ["main"]
