"""What is kept under a name: saved by compare-and-swap, loaded, deleted; and what a store shows."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest

from atlassian_auth_adapter.errors import ConfigurationError, StaleRecordError
from atlassian_auth_adapter.records import Login, write
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, together
from atlassian_auth_adapter.tokens import TokenSet

from .base import (
    KEY,
    LOGIN,
    NAME,
    SIMILAR_NAMES,
    TEXT,
    StoreTests,
    assert_no_secret,
    held,
    text_of,
    try_lock,
)

__all__ = ["EntryTests"]

_BAD_NAMES = (
    *("", " ", ".", "..", "../../../etc/passwd", "/etc/passwd", ".hidden", "a/b", "a\\b", "A"),
    *("nul\0", "line\n", "\u2603", "\udcff", "%2e", "*", "a" * 64, None, 7, b"a"),
)


class EntryTests(StoreTests):
    """A store keeps one text per name, to the character, and counts its saves."""

    def test_it_is_a_token_store(self, store: TokenStore) -> None:
        """No method is missing."""
        assert isinstance(store, TokenStore)

    def test_a_new_store_is_empty(self, store: TokenStore) -> None:
        """A name without an entry loads as None."""
        for name in SIMILAR_NAMES:
            assert store.load(name) is None

    def test_a_text_is_loaded_as_it_was_saved(self, store: TokenStore) -> None:
        """Whatever it says: a store does not read it."""
        big = LOGIN._replace(token_set=TokenSet("a" * 100_000, "r" * 100_000, scope="s" * 200_000))
        everything = "".join(map(chr, range(32, 127)))
        nested = '{"token_set": {"access_token": 7}, "text": "{\\"text\\": null}"}'
        texts = (TEXT, write(KEY, big), write(KEY, Login()), everything, nested, "[]", "null", "x")
        for version, text in enumerate(texts, 1):
            store.save(NAME, text, expected=version - 1 or None)
            assert store.load(NAME) == Entry(text, version)

    def test_similar_names_are_kept_apart(self, store: TokenStore) -> None:
        """An entry belongs to exactly one name, to the character."""
        entries = {name: Entry(text_of(n), 1) for n, name in enumerate(SIMILAR_NAMES)}
        for name, entry in entries.items():
            assert store.load(name) is None
            store.save(name, entry.text, expected=None)
        assert {name: store.load(name) for name in entries} == entries
        while entries:
            name, _ = entries.popitem()
            store.delete(name)
            assert store.load(name) is None
            assert {other: store.load(other) for other in entries} == entries

    def test_every_method_refuses_a_bad_name(self, store: TokenStore) -> None:
        """With a ConfigurationError: no name becomes a path, a statement or a pattern."""
        for name in _BAD_NAMES:
            wrong: Any = name
            for attempt in (
                partial(store.load, wrong),
                partial(store.save, wrong, TEXT, expected=None),
                partial(store.delete, wrong),
                lambda name=wrong: store.lock(name, timeout=0.0).__enter__(),
            ):
                with pytest.raises(ConfigurationError):
                    attempt()

    def test_another_object_sees_what_was_saved(
        self, store: TokenStore, second: TokenStore
    ) -> None:
        """Two objects on one place see each other's changes."""
        store.save(NAME, TEXT, expected=None)
        assert second.load(NAME) == Entry(TEXT, 1)
        second.save(NAME, text_of(8), expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)
        second.delete(NAME)
        assert store.load(NAME) is None

    # Compare-and-swap

    def test_expected_none_needs_an_empty_place(self, store: TokenStore) -> None:
        """`expected=None` saves when there is no entry, and is stale when there is one."""
        store.save(NAME, TEXT, expected=None)
        with pytest.raises(StaleRecordError) as raised:
            store.save(NAME, text_of(1), expected=None)
        assert_no_secret(raised.value)
        assert store.load(NAME) == Entry(TEXT, 1)

    def test_a_wrong_version_is_stale(self, store: TokenStore) -> None:
        """Nothing is written unless the stored version is the expected one."""
        store.save(NAME, text_of(1), expected=None)
        store.save(NAME, TEXT, expected=1)
        for expected in (-1, 0, 1, 3):
            with pytest.raises(StaleRecordError) as raised:
                store.save(NAME, text_of(9), expected=expected)
            assert_no_secret(raised.value)
        assert store.load(NAME) == Entry(TEXT, 2)

    def test_an_empty_place_has_no_version(self, store: TokenStore) -> None:
        """Version 0 does not mean "no entry", also after an entry was deleted."""
        for _ in range(2):
            for expected in (0, 1):
                with pytest.raises(StaleRecordError):
                    store.save(NAME, TEXT, expected=expected)
            assert store.load(NAME) is None
            store.save(NAME, TEXT, expected=None)
            store.delete(NAME)

    def test_each_save_raises_the_version(self, store: TokenStore) -> None:
        """Also a save of the same text: a caller that expects the version before is stale."""
        store.save(NAME, TEXT, expected=None)
        store.save(NAME, TEXT, expected=1)
        assert store.load(NAME) == Entry(TEXT, 2)
        with pytest.raises(StaleRecordError):
            store.save(NAME, TEXT, expected=1)

    def test_one_of_many_threads_saves_a_version(self, store: TokenStore) -> None:
        """Sixteen threads save the next version at once: one succeeds, fifteen are stale."""
        store.save(NAME, TEXT, expected=None)
        for version in range(1, 4):

            def attempt(number: int, version: int = version) -> str | None:
                try:
                    store.save(NAME, text_of(number), expected=version)
                except StaleRecordError:
                    return None
                return text_of(number)

            (winner,) = filter(None, together(16, attempt))
            assert store.load(NAME) == Entry(winner, version + 1)

    def test_the_holder_of_the_lock_uses_all_methods(self, store: TokenStore) -> None:
        """`load`, `save` and `delete` work under the lock of the same name."""
        with store.lock(NAME, timeout=PATIENCE):
            store.save(NAME, TEXT, expected=None)
            store.save(NAME, text_of(8), expected=1)
            assert store.load(NAME) == Entry(text_of(8), 2)
            store.delete(NAME)
            assert store.load(NAME) is None

    def test_a_save_does_not_need_the_lock(self, store: TokenStore) -> None:
        """A thread may save while another one holds the lock: the version decides."""
        store.save(NAME, TEXT, expected=None)
        with held(store, NAME):
            store.save(NAME, text_of(8), expected=1)
            with pytest.raises(StaleRecordError):
                store.save(NAME, TEXT, expected=1)
        assert store.load(NAME) == Entry(text_of(8), 2)

    # Deleting

    def test_a_deleted_entry_is_gone(self, store: TokenStore) -> None:
        """The name is then as new: the next save needs `expected=None` and has version 1."""
        store.save(NAME, TEXT, expected=None)
        store.delete(NAME)
        assert store.load(NAME) is None
        store.save(NAME, text_of(1), expected=None)
        assert store.load(NAME) == Entry(text_of(1), 1)

    def test_deleting_nothing_is_no_error(self, store: TokenStore) -> None:
        """`delete` may be called without an entry, and again."""
        store.delete(NAME)
        store.delete(NAME)
        assert store.load(NAME) is None

    # Copies, pickles, secrets

    def test_a_copy_is_the_same_place(self, store: TokenStore) -> None:
        """A copy of a store copies no entry: both see the same ones and share the lock."""
        store.save(NAME, TEXT, expected=None)
        for version, copied in enumerate((copy.copy(store), copy.deepcopy(store)), 1):
            store.save(NAME, text_of(version), expected=version)
            assert copied.load(NAME) == Entry(text_of(version), version + 1)
            with held(copied, NAME):
                assert try_lock(store) == "busy"

    def test_a_pickle_is_the_same_place(self, store: TokenStore) -> None:
        """A pickle that is loaded in the same process is the same place, and holds no token."""
        store.save(NAME, TEXT, expected=None)
        pickled = pickle.dumps(store)
        assert b"secret" not in pickled
        assert pickle.loads(pickled).load(NAME) == Entry(TEXT, 1)

    def test_a_store_never_prints_a_secret(self, store: TokenStore) -> None:
        """Neither `repr` nor `str` of a store or of an entry shows what is in it."""
        store.save(NAME, TEXT, expected=None)
        assert "secret" not in f"{store!r} {store} {store.load(NAME)!r}"
