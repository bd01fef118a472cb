"""EncryptedTokenStore: the contract over files, and what needs a key to be read or changed."""

from __future__ import annotations

import base64
import copy
import functools
import json
import os
import pickle
import signal
import threading
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.stores.base import Entry
from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    in_forked_child,
    together,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    NAME,
    TEXT,
    TokenStoreContract,
    text_of,
)

from . import helpers
from .helpers import in_new_process, variables_of

OTHER = f"{NAME}.authorizations"
NEWER = text_of(8)
OLD, NEW = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n"))

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def get_keys():
    """A function that a pickle can name."""
    return [NEW, OLD]


@pytest.fixture
def inner(tmp_path):
    """A store in files."""
    return FileTokenStore(tmp_path / "logins")


@pytest.fixture
def store(inner):
    """A store that encrypts it."""
    return EncryptedTokenStore(inner, NEW)


class TestContract(TokenStoreContract):
    shared_between_processes = True

    @pytest.fixture
    def store(self, inner):
        """With keys that other processes find."""
        return EncryptedTokenStore(inner, get_keys)

    @pytest.fixture
    def reopened(self, inner):
        """The same directory and one of the keys."""
        return EncryptedTokenStore(FileTokenStore(inner.path), NEW)


def refused(work, *words, kind=TokenStoreError):
    """The text of the error of `work()`: of this kind, with these words, without secret or key."""
    error = helpers.refused(work, *words, kind=kind)
    shown = (
        f"{error!r} {vars(error)} {error.__cause__!r} {error.__context__!r} {variables_of(error)}"
    )
    for secret in (OLD, NEW, "secret-"):
        assert secret not in shown
        assert secret.encode() not in pickle.dumps(error)
    return str(error)


def file_of(inner, name=NAME):
    """The file of an entry."""
    return inner.path / f"{name}.json"


def sealed_in(inner, name=NAME):
    """What the inner store keeps in place of the text."""
    return inner.load(name).text


class TestWhatIsKept:
    def test_the_inner_store_learns_name_and_version_and_nothing_else(self, store, inner):
        """The text is the id of the key and a Fernet token, which holds name and version, too."""
        for version, text in enumerate((TEXT, NEWER, "x"), 1):
            store.save(NAME, text, expected=version - 1 or None)
            assert inner.load(NAME).version == version
            key_id, token = sealed_in(inner).split(".")
            sealed = json.loads(Fernet(NEW).decrypt(token))
            assert sealed == {"name": NAME, "version": version, "text": text}
            assert len(key_id) == 16
            assert set(key_id) <= set("0123456789abcdef")

    def test_nothing_secret_is_on_the_disk(self, store, inner):
        """No token, fact or key, in any spelling that one would search for."""
        store.save(NAME, TEXT, expected=None)
        written = b"".join(path.read_bytes() for path in inner.path.iterdir())
        assert b"version" in written
        secrets = ["secret-access", "secret-refresh", NEW]
        facts = ["auth.example.com", "offline_access", "1764003600", "salted$dead", "host:123"]
        for text in map(str.encode, secrets + facts):
            assert text in TEXT.encode() + NEW.encode()
            assert text not in written
            for shift in range(3):  # base64 spells a text in three ways
                encoded = base64.urlsafe_b64encode(b"\0" * shift + text)
                core = encoded[4 : -4 if len(encoded) > 8 else None].rstrip(b"=")
                if len(core) >= 8:
                    assert core not in written

    def test_two_encryptions_of_one_text_differ(self, store, inner):
        """So a reader of the inner store cannot see whether a text has changed."""
        store.save(NAME, TEXT, expected=None)
        before = sealed_in(inner)
        store.save(NAME, TEXT, expected=1)
        assert sealed_in(inner) != before


class TestRefusal:
    @pytest.fixture
    def file(self, store, inner):
        """The file of a text that was saved encrypted, for the second time."""
        store.save(NAME, NEWER, expected=None)
        store.save(NAME, TEXT, expected=1)
        return file_of(inner)

    def untouched(self, store, file, *words):
        """No method but `delete` changes the file; then a new entry can be saved."""
        before = file.read_bytes()
        text = refused(lambda: store.load(NAME), *words)
        assert refused(lambda: store.rotate(NAME)) == text
        if "not encrypted" not in text:  # `save` encrypts such an entry
            stored = json.loads(before)["version"]
            assert refused(lambda: store.save(NAME, NEWER, expected=stored)) == text
            assert refused(lambda: store.save(NAME, NEWER, expected=None)) == text
        assert file.read_bytes() == before
        store.delete(NAME)
        store.save(NAME, NEWER, expected=None)
        assert store.load(NAME) == Entry(NEWER, 1)

    def test_a_key_that_is_missing_is_named_by_its_id(self, store, inner, file):
        """The text says which key has to be added, and where, without showing one."""
        wrong = EncryptedTokenStore(inner, OLD)
        wanted = sealed_in(inner).split(".")[0]
        self.untouched(wrong, file, f"with the key {wanted}", "Add that key behind", NAME)

    def test_an_entry_that_is_not_encrypted_is_refused(self, store, inner, file):
        """A login in clear is not silently used; the error says how to seal it, or what else."""
        earlier = '{"version": 1, "token_set": {"access_token": "0123456789abcdef.gA"}}'
        for text in (TEXT, "{}", "secret-text", earlier):
            inner.delete(NAME)
            inner.save(NAME, text, expected=None)
            words = "not encrypted", "entry = inner.load(name)", "earlier release"
            self.untouched(store, file, *words)

    def test_two_lines_seal_an_entry(self, store, inner):
        """As the class's docstring and the error have them; the text stays."""
        inner.save(NAME, TEXT, expected=None)
        names = {"inner": inner, "keys": NEW, "name": NAME, "EncryptedTokenStore": type(store)}
        message = refused(lambda: store.load(NAME))
        for line in message.partition("this one: ")[2].partition(". If")[0].split("; "):
            assert line in EncryptedTokenStore.__doc__
            exec(line, names)
        assert store.load(NAME) == Entry(TEXT, 2)
        assert "secret" not in file_of(inner).read_text()

    def test_an_entry_in_clear_is_only_replaced_at_its_version(self, store, inner):
        """Sealing is a save like any other."""
        inner.save(NAME, TEXT, expected=None)
        for expected in (None, 0, 2):
            with pytest.raises(StaleRecordError):
                store.save(NAME, NEWER, expected=expected)
        assert inner.load(NAME) == Entry(TEXT, 1)

    def test_a_changed_version_is_detected(self, store, file):
        """The version in clear is compared with the sealed one."""
        before = json.loads(file.read_text())
        for version in (1, 3):
            file.write_text(json.dumps(before | {"version": version}))
            self.untouched(store, file, f"has version {version}", "saved as version 2")

    def test_an_earlier_text_that_was_restored_is_detected(self, store, inner, file):
        """It does not pass for a later version."""
        earlier = sealed_in(inner)
        store.save(NAME, NEWER, expected=2)
        inner.save(NAME, earlier, expected=3)
        self.untouched(store, file, "an earlier one", "has version 4", "saved as version 2")

    def test_an_entry_that_was_moved_is_detected(self, store, inner, file):
        """Two files that change places do not swap the logins."""
        store.save(OTHER, "secret-b", expected=None)
        store.save(OTHER, "secret-c", expected=1)
        own, other = file.read_text(), file_of(inner, OTHER).read_text()
        file_of(inner, OTHER).write_text(own)
        file.write_text(other)
        refused(lambda: store.load(OTHER), "under another name", OTHER)
        self.untouched(store, file, "another name")

    @pytest.mark.longer
    def test_every_changed_byte_is_detected(self, request):
        """Whichever character of the ciphertext changes to whatever, the entry is refused."""
        step = 1 if request.config.getoption("slow") else 23  # every change, or a sample
        inner = MemoryTokenStore()
        store = EncryptedTokenStore(inner, get_keys)

        def replace(changed):
            inner.delete(NAME)
            inner.save(NAME, changed, expected=None)

        for text in ("s", "se", "sec"):  # the base64 of these ends in three ways
            inner.delete(NAME)
            store.save(NAME, text, expected=None)
            sealed = sealed_in(inner)
            for changed in islice(self.changes(sealed), 0, None, step):
                replace(changed)
                with pytest.raises(TokenStoreError):
                    store.load(NAME)
            replace(sealed)
            assert store.load(NAME) == Entry(text, 1)

    @staticmethod
    def changes(sealed):
        """What is sealed with another character somewhere, one more, or one less."""
        for at, right in enumerate(sealed):
            others = "AQgw0_-=. %" if at < len(sealed) - 5 else map(chr, range(128))
            for wrong in set(others) - {right}:
                yield sealed[:at] + wrong + sealed[at + 1 :]
        yield from (sealed[:-1], sealed + "=", sealed + "A", sealed[1:], sealed + "\n", "")

    def test_what_another_program_has_encrypted_is_not_an_entry(self, store, inner, file):
        """A key that also serves another purpose does not open what that has sealed."""
        key_id = sealed_in(inner).split(".")[0]
        for text in (
            *("secret-text", "[]", '"secret-text"', "{}", "[" * 100_000, TEXT),
            '{"name": "secret", "version": 2}',
            '{"name": "secret", "version": "2", "text": "secret"}',
        ):
            planted = f"{key_id}.{Fernet(NEW).encrypt(text.encode()).decode()}"
            inner.delete(NAME)
            inner.save(NAME, planted, expected=None)
            self.untouched(store, file, "not an entry of this package")

    def test_damage_that_the_inner_store_reports_passes_through(self, store, file):
        """Its text names the place."""
        file.write_text("{")
        refused(lambda: store.load(NAME), file, "damaged")
        refused(lambda: store.save(NAME, NEWER, expected=2), file)
        assert file.read_text() == "{"

    def test_deleting_and_locking_need_no_key(self, inner, file):
        """A login can be forgotten when its key cannot be had."""

        def out_of_reach():
            raise ValueError("secret-key")

        store = EncryptedTokenStore(inner, out_of_reach)
        with store.lock(NAME, timeout=0):
            store.delete(NAME)
        assert store.load(NAME) is None
        assert not file.exists()


class TestKeys:
    def test_a_bad_key_is_a_mistake_of_the_program(self):
        """The error says how to make a key, and does not show what was given."""
        several = ([], (), ["secret-key", NEW])
        for bad in (None, "", b"", *several, "secret-key", b"secret-key", NEW[:-2], 5):
            for keys in (bad, lambda bad=bad: bad):

                def save(keys=keys):
                    EncryptedTokenStore(MemoryTokenStore(), keys).save(NAME, TEXT, expected=None)

                refused(save, "Fernet.generate_key()", kind=ConfigurationError)

    def test_a_bad_key_behind_good_ones_is_found_and_counted(self):
        """Not only when it is needed."""
        refused(
            lambda: EncryptedTokenStore(MemoryTokenStore(), [NEW, "secret-key", OLD]),
            "key 2 of 3",
            kind=ConfigurationError,
        )

    def test_the_inner_store_is_a_store(self, tmp_path):
        """For a path, the error says what to give."""
        refused(
            lambda: EncryptedTokenStore(tmp_path, NEW),
            "FileTokenStore",
            "is not a TokenStore",
            kind=ConfigurationError,
        )

    def test_every_spelling_of_a_key_is_the_key(self, store, inner):
        """Text, bytes, several, or a function."""
        several = ([NEW], (NEW.encode(), OLD))
        for spelling in (NEW, NEW.encode(), *several, lambda: NEW, lambda: [NEW, OLD]):
            inner.delete(NAME)
            store.save(NAME, TEXT, expected=None)
            other = EncryptedTokenStore(inner, spelling)
            assert other.load(NAME).text == TEXT
            other.save(NAME, NEWER, expected=1)
            assert store.load(NAME).text == NEWER

    def test_a_function_is_asked_once(self):
        """On the first use, though many threads come at once."""
        asked, both = [], threading.Barrier(2)

        def ask():
            asked.append(1)
            with suppress(threading.BrokenBarrierError):
                both.wait(0.1)  # for a second thread in here, which there must not be
            return NEW

        store = EncryptedTokenStore(MemoryTokenStore(), ask)
        assert not asked
        together(8, lambda n: store.save(str(n), TEXT, expected=None))
        assert asked == [1]

    def test_a_function_that_fails_is_asked_again(self, inner):
        """Its error is not shown, since it may quote a key; nothing was changed."""
        answers = [NEW]

        def ask():
            if len(answers) < 2:
                answers.append(NEW)
                raise ValueError(f"the vault says secret-key {NEW}")
            return answers

        store = EncryptedTokenStore(inner, ask)
        refused(lambda: store.load(NAME) or store.save(NAME, TEXT, expected=None), "ValueError in")
        store.save(NAME, TEXT, expected=None)
        assert store.load(NAME).text == TEXT

    @needs_fork
    def test_a_child_forked_while_the_function_is_asked_is_not_hung_by_it(self, inner):
        """The child asks for itself."""
        inside, leave = threading.Event(), threading.Event()
        parent = os.getpid()

        def ask():
            if os.getpid() == parent:
                inside.set()
                leave.wait(PATIENCE)
            return NEW

        def child():
            signal.alarm(10)  # seconds; a child that hangs is killed, and the test fails
            store.save(OTHER, TEXT, expected=None)

        store = EncryptedTokenStore(inner, ask)
        asking = threading.Thread(target=lambda: store.save(NAME, TEXT, expected=None))
        asking.start()
        try:
            assert inside.wait(PATIENCE)
            in_forked_child(child)
        finally:
            leave.set()
            asking.join(PATIENCE)
        assert store.load(OTHER).text == TEXT


class TestRotation:
    @pytest.fixture
    def old(self, inner):
        """A store from before the rotation, with a login."""
        store = EncryptedTokenStore(inner, OLD)
        store.save(NAME, TEXT, expected=None)
        return store

    @pytest.fixture
    def both(self, inner, old):
        """The store with the new key first and the old one behind it."""
        return EncryptedTokenStore(inner, [NEW, OLD])

    def test_every_save_encrypts_with_the_first_key(self, both, store):
        """A login that is refreshed changes over by itself."""
        assert both.load(NAME).text == TEXT
        refused(lambda: store.load(NAME))
        both.save(NAME, NEWER, expected=1)
        assert store.load(NAME).text == NEWER

    def test_rotate_changes_the_key_and_nothing_else(self, old, both, store):
        """The text stays to the letter; afterwards the old key is of no use."""
        both.rotate(NAME)
        assert store.load(NAME) == Entry(TEXT, 2)
        assert both.load(NAME).text == TEXT
        refused(lambda: old.load(NAME), "Add that key")

    def test_other_names_are_left_alone(self, old, both, store):
        """Each one is rotated by itself."""
        old.save(OTHER, NEWER, expected=None)
        both.rotate(NAME)
        assert old.load(OTHER) == Entry(NEWER, 1)
        both.rotate(OTHER)
        assert store.load(OTHER) == Entry(NEWER, 2)

    def test_what_needs_no_rotation_is_left_alone(self, inner, both):
        """A second rotation writes nothing, nor does one of what is not there."""
        both.rotate(NAME)
        before = sealed_in(inner)
        both.rotate(NAME)
        both.rotate(OTHER)
        assert sealed_in(inner) == before
        assert both.load(OTHER) is None

    def test_a_save_that_came_first_is_not_overwritten(self, inner, old, store):
        """A text that is saved between the load and the save is rotated as well, not lost."""
        overtaken = _Overtaken(inner, lambda n: old.save(NAME, text_of(n), expected=n))
        EncryptedTokenStore(overtaken, [NEW, OLD]).rotate(NAME)
        assert store.load(NAME) == Entry(text_of(2), 4)

    def test_a_refresh_under_way_is_waited_for(self, old, both):
        """The rotation takes the lock."""
        with old.lock(NAME, timeout=PATIENCE):
            refused(lambda: both.rotate(NAME, timeout=0.05), kind=TokenStoreTimeoutError)
        assert old.load(NAME).text == TEXT


class _Overtaken:
    """An inner store in which another save comes before the first two."""

    def __init__(self, inner, race):
        self.inner, self.race, self.saves = inner, race, 0
        self.load, self.delete, self.lock = inner.load, inner.delete, inner.lock

    def save(self, name, text, *, expected):
        """The third save and all later ones succeed."""
        self.saves += 1
        if self.saves <= 2:
            self.race(self.saves)
        self.inner.save(name, text, expected=expected)


class TestIdentity:
    def test_nothing_shows_a_key(self, store):
        """Neither repr nor fields."""
        assert repr(store) == f"EncryptedTokenStore({store.inner!r})"
        assert NEW not in f"{store} {vars(store)}"


class _Vault:
    """Something that has a key, and functions that return it."""

    key = NEW

    def keys(self):
        return self.key

    __call__ = keys


class TestPickle:
    def test_a_pickle_holds_no_key(self, inner):
        """It leads to the store itself, also in a forked child, which has keys of any kind."""
        for keys in (
            *(NEW, [NEW, OLD], lambda: NEW, functools.partial(str, NEW), _Vault().keys, _Vault()),
            functools.partial(lambda key: key, NEW),
        ):
            store = EncryptedTokenStore(inner, keys)
            store.load(NAME) or store.save(NAME, TEXT, expected=None)
            assert copy.deepcopy({"store": store})["store"] is copy.copy(store) is store
            pickled = pickle.dumps(store)
            assert pickle.loads(pickled) is store
            for key in (NEW, OLD):
                assert key.encode() not in pickled
                assert base64.urlsafe_b64decode(key) not in pickled
            if hasattr(os, "fork"):
                assert in_forked_child(lambda p=pickled, s=store: pickle.loads(p) is s)

    def test_another_process_without_the_keys_says_so(self, inner):
        """On its first use it names the remedy; a pickle of it there says the same."""
        stores = [
            EncryptedTokenStore(inner, keys)
            for keys in (NEW, lambda: NEW, functools.partial(str, NEW))
        ]
        stores[0].save(NAME, TEXT, expected=None)
        seen = in_new_process(
            "from atlassian_auth_adapter.errors import TokenStoreError\n"
            f"NAME = {NAME!r}\n"
            "for store in (a, b, c, pickle.loads(pickle.dumps(a))):\n"
            "    for work in (lambda: store.load(NAME), lambda: store.rotate(NAME),\n"
            "                 lambda: store.save(NAME, '', expected=1)):\n"
            "        try:\n"
            "            work()\n"
            "        except TokenStoreError as error:\n"
            "            print('get_keys' in str(error))\n",
            *stores,
        )
        assert seen == ["True"] * 12
        assert stores[0].load(NAME).text == TEXT

    def test_another_process_finds_a_function_by_its_name(self, inner, monkeypatch):
        """And with it the keys."""
        monkeypatch.syspath_prepend(Path(__file__).parents[2])
        store = EncryptedTokenStore(inner, get_keys)
        store.save(NAME, TEXT, expected=None)
        assert NEW.encode() not in pickle.dumps(store)
        assert in_new_process(f"print(a.load({NAME!r}).text)", store) == [TEXT]


def test_a_client_lives_on_an_encrypted_login(make_client, clock, inner, secrets_of, landed):
    """It logs in, is refreshed, and another process's client goes on; the disk shows no token."""

    def encrypted():
        return EncryptedTokenStore(FileTokenStore(inner.path), [NEW, OLD])

    client = make_client("cloud", store=encrypted())
    secrets = secrets_of(client.token_set())
    clock.advance(7200)
    secrets |= secrets_of(client.token_set())
    assert len(secrets) == 4
    expected = client.get_access_token()
    landed()
    del client  # the next one then shares nothing with it but the disk
    written = b"".join(path.read_bytes() for path in inner.path.iterdir())
    assert not [secret for secret in secrets if secret.encode() in written]
    second = make_client("cloud", store=encrypted(), login=False)
    assert second.get_access_token() == expected
    clock.advance(7200)
    assert second.get_access_token() not in secrets
    second.forget()
    assert second.status().state != "logged in"
