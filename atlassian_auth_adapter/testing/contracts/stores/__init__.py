"""What every token store must do: everything that the files in this folder say about it."""

from __future__ import annotations

from .base import KEY, LOGIN, NAME, TEXT, assert_no_secret, text_of
from .entries import EntryTests
from .locks import LockTests
from .outages import OutageTests
from .sharing import SharingTests

__all__ = ["KEY", "LOGIN", "NAME", "TEXT", "TokenStoreContract", "assert_no_secret", "text_of"]


class TokenStoreContract(EntryTests, LockTests, OutageTests, SharingTests):
    """Inherit, say `shared_between_processes`, and override the fixtures of `StoreTests`."""
