"""EncryptedTokenStore: the contract over other stores, and what neither eyes nor hands reach."""

from __future__ import annotations

import base64
import copy
import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import atlassian_auth_adapter
from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import Record
from atlassian_auth_adapter.stores.context import ContextTokenStore
from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.processes import (
    PATIENCE,
    in_forked_child,
    together,
)
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)
from atlassian_auth_adapter.tokens import TokenSet

OTHER = replace(KEY, account="other")
PACKAGE = str(Path(atlassian_auth_adapter.__file__).parent)
NEWER = replace(LOGIN, generation=8)
STARTED = Record(
    1, authorizations=(AuthorizationRequest("secret-state", "secret-verifier", 5.0, "a b"),)
)
OLD, NEW = (base64.urlsafe_b64encode(byte * 32).decode() for byte in (b"o", b"n"))

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def get_keys():
    """A function that a pickle can name."""
    return [NEW, OLD]


_platform = {"context": "{}"}


def get_context():
    """A function that a pickle can name."""
    return json.loads(_platform["context"])


def set_context(context):
    """A function that a pickle can name."""
    _platform["context"] = json.dumps(context, allow_nan=False)


@pytest.fixture
def inner(tmp_path):
    """A store in files."""
    return FileTokenStore(tmp_path / "logins")


@pytest.fixture
def store(inner):
    """A store that encrypts it."""
    return EncryptedTokenStore(inner, NEW)


class TestContractInFiles(TokenStoreContract):
    shared_between_processes = True

    @pytest.fixture
    def store(self, inner):
        """With keys that other processes find."""
        return EncryptedTokenStore(inner, get_keys)

    @pytest.fixture
    def reopened(self, inner):
        """The same directory and one of the keys."""
        return EncryptedTokenStore(FileTokenStore(inner.path), NEW)


class TestContractInMemory(TokenStoreContract):
    shared_between_processes = False

    @pytest.fixture
    def store(self):
        """With a key given as a value."""
        return EncryptedTokenStore(MemoryTokenStore(), OLD)

    @pytest.fixture
    def reopened(self, store):
        """Another object over the same inner store."""
        return EncryptedTokenStore(store.inner, OLD.encode())


class TestContractInAContext(TokenStoreContract):
    shared_between_processes = False

    @pytest.fixture
    def store(self):
        """On an empty context."""
        set_context({})
        return EncryptedTokenStore(ContextTokenStore(get_context, set_context), [OLD])

    @pytest.fixture
    def reopened(self):
        """With the same two functions."""
        return EncryptedTokenStore(ContextTokenStore(get_context, set_context), [OLD])


def frames_of(error):
    """The locals of every frame of the package that the error leads to."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename.startswith(PACKAGE)]
    return [f"{name}={value!r}" for frame in ours for name, value in frame.f_locals.items()]


def refused(work, *words, kind=TokenStoreError):
    """The text of the error of `work()`: of this kind, with these words, without secret or key."""
    with pytest.raises(kind) as raised:
        work()
    error = raised.value
    assert type(error) is kind
    assert_no_secret(error)
    shown = f"{error!r} {vars(error)} {error.__cause__!r} {error.__context__!r} {frames_of(error)}"
    for secret in (OLD, NEW, "secret-"):
        assert secret not in shown
        assert secret.encode() not in pickle.dumps(error)
    for word in words:
        assert str(word) in str(error)
    return str(error)


def file_of(inner, key=KEY):
    """The file of a record."""
    return inner.path / f"{key.digest}.json"


def sealed_in(inner, key=KEY):
    """What the inner store keeps in place of the access token."""
    return inner.load(key).token_set.access_token


class TestWhatIsKept:
    @pytest.mark.parametrize("record", [LOGIN, STARTED, replace(LOGIN, token_set=None)])
    def test_the_inner_store_learns_a_generation_and_nothing_else(self, store, inner, record):
        """Neither times nor scopes nor hashes; a marker says whether there is a refresh token."""
        store.save(KEY, record, expected=None)
        stored = inner.load(KEY)
        marker = "encrypted" if record.token_set else ""
        assert stored == Record(record.generation, TokenSet(sealed_in(inner), marker))
        key_id, token = sealed_in(inner).split(".")
        sealed = json.loads(Fernet(NEW).decrypt(token))
        assert Record.from_json(sealed) == record
        assert len(key_id) == 16
        assert set(key_id) <= set("0123456789abcdef")

    def test_nothing_secret_is_on_the_disk(self, store, inner):
        """No token, verifier, state or key, in any spelling that one would search for."""
        store.save(KEY, LOGIN, expected=None)
        store.save(KEY.for_authorizations(), STARTED, expected=None)
        written = b"".join(path.read_bytes() for path in inner.path.iterdir())
        assert b"generation" in written
        secrets = ["secret-access", "secret-refresh", "secret-state", "secret-verifier", NEW]
        facts = ["offline_access", "1764003600", LOGIN.dead, LOGIN.taken_over, "host:123"]
        for text in map(str.encode, secrets + facts):
            assert text not in written
            for shift in range(3):  # base64 spells a text in three ways
                encoded = base64.urlsafe_b64encode(b"\0" * shift + text)
                core = encoded[4 : -4 if len(encoded) > 8 else None].rstrip(b"=")
                if len(core) >= 8:
                    assert core not in written

    def test_two_encryptions_of_one_record_differ(self, store, inner):
        """Nobody sees whether a record has changed."""
        store.save(KEY, LOGIN, expected=None)
        before = sealed_in(inner)
        store.save(KEY, LOGIN, expected=7)
        assert sealed_in(inner) != before

    def test_the_legacy_keys_of_a_context_hold_ciphertext(self):
        """Whoever encrypts hides the login also from the integrations before us."""
        set_context({})
        inner = ContextTokenStore(get_context, set_context)
        store = EncryptedTokenStore(inner, NEW)
        store.save(KEY, LOGIN, expected=None)
        context = get_context()
        assert Fernet(NEW).decrypt(context["token"].split(".")[1])
        assert context["refresh_token"] == "encrypted"
        assert context["scopes"] == ""
        set_context(context | {"scopes": "secret-scope", "valid_until": "tomorrow"})
        assert store.load(KEY) == LOGIN

    def test_a_foreign_login_in_the_context_is_not_believed(self):
        """What another program writes into the legacy keys is not encrypted, so it is refused."""
        set_context({})
        store = EncryptedTokenStore(ContextTokenStore(get_context, set_context), NEW)
        store.save(KEY, LOGIN, expected=None)
        set_context(get_context() | {"token": "secret-foreign", "refresh_token": "secret-other"})
        before = get_context()
        refused(lambda: store.load(KEY), "not encrypted", "save")
        assert get_context() == before

    @needs_fork
    def test_memory_goes_on_protecting_refresh_tokens_from_forked_children(self):
        """The marker tells the inner store what is in the ciphertext."""
        store = EncryptedTokenStore(MemoryTokenStore(), NEW)
        store.save(KEY, LOGIN, expected=None)
        store.save(OTHER, Record(1, TokenSet("secret-access")), expected=None)
        refused(lambda: in_forked_child(lambda: store.load(KEY)), "FileTokenStore")
        assert in_forked_child(lambda: store.load(OTHER).generation) == 1


class TestRefusal:
    @pytest.fixture
    def file(self, store, inner):
        """The file of a login that was saved encrypted."""
        store.save(KEY, LOGIN, expected=None)
        return file_of(inner)

    def untouched(self, store, file, *words):
        """No method but `delete` touches the file; that makes room."""
        before = file.read_bytes()
        text = refused(lambda: store.load(KEY), *words)
        assert refused(lambda: store.rotate(KEY)) == text
        if "not encrypted" not in text:  # which `save` is there to mend
            stored = json.loads(before)["generation"]
            assert refused(lambda: store.save(KEY, NEWER, expected=stored)) == text
        assert file.read_bytes() == before
        store.delete(KEY)
        store.save(KEY, NEWER, expected=None)
        assert store.load(KEY) == NEWER

    def test_a_key_that_is_missing_is_named_by_its_id(self, store, inner, file):
        """The text says which key has to be added, and where, without showing one."""
        wrong = EncryptedTokenStore(inner, OLD)
        wanted = sealed_in(inner).split(".")[0]
        self.untouched(wrong, file, f"with the key {wanted}", "Add that key behind", "'default'")

    def test_a_record_that_is_not_encrypted_is_refused(self, store, inner, file):
        """A login in clear is not silently used; the text says how to seal it."""
        inner.save(KEY, LOGIN, expected=7)
        self.untouched(store, file, "not encrypted", "load it from the inner store")

    @pytest.mark.parametrize(
        "record", [Record(7), Record(7, authorizations=STARTED.authorizations)]
    )
    def test_a_record_without_tokens_has_to_be_encrypted_as_well(self, store, inner, file, record):
        """Nobody without the key says that nobody is logged in, or starts an authorization."""
        inner.save(KEY, record, expected=7)
        self.untouched(store, file, "not encrypted")

    def test_two_lines_seal_a_login(self, store, inner):
        """As the class's docstring has them; the login and its generation stay."""
        for key, saved in ((KEY, LOGIN), (KEY.for_authorizations(), STARTED)):
            inner.save(key, saved, expected=None)
            record = inner.load(key)
            store.save(key, record, expected=record.generation)
            assert store.load(key) == saved
        assert "secret" not in file_of(inner).read_text()

    @pytest.mark.parametrize("generation", [0, 6, 8])
    def test_a_changed_generation_is_detected(self, store, file, generation):
        """A generation in clear is compared with the sealed one."""
        file.write_text(json.dumps(json.loads(file.read_text()) | {"generation": generation}))
        self.untouched(store, file, f"says generation {generation}", "saved as 7")

    def test_a_record_that_was_moved_is_detected(self, store, inner, file):
        """Whoever swaps two files swaps nobody's logins, even if the outer names are mended."""
        store.save(OTHER, replace(LOGIN, token_set=TokenSet("secret-b", "secret-c")), expected=None)
        mine, theirs = (json.loads(file_of(inner, key).read_text()) for key in (KEY, OTHER))
        file_of(inner, OTHER).write_text(json.dumps(mine | {"key": theirs["key"]}))
        file.write_text(json.dumps(theirs | {"key": mine["key"]}))
        refused(lambda: store.load(OTHER), "another key", "'other'")
        self.untouched(store, file, "another key")

    def test_a_login_is_not_an_authorization(self, store, inner):
        """The kind of a key is sealed as well."""
        store.save(KEY, LOGIN, expected=None)
        inner.save(KEY.for_authorizations(), inner.load(KEY), expected=None)
        refused(lambda: store.load(KEY.for_authorizations()), "another key")

    @pytest.mark.parametrize("scope", ["", "x", "xx"])
    def test_every_changed_byte_is_detected(self, scope):
        """Whichever character of the ciphertext changes to whatever, the record is refused."""
        inner = MemoryTokenStore()
        store = EncryptedTokenStore(inner, get_keys)
        # Three lengths: base64 ends with 0, 1 or 2 characters of padding.
        store.save(KEY, Record(1, TokenSet("secret-access", scope=scope)), expected=None)
        sealed = sealed_in(inner)
        for at, right in enumerate(sealed):
            others = "AQgw0_-=. %" if at < len(sealed) - 5 else map(chr, range(128))
            for wrong in set(others) - {right}:
                changed = sealed[:at] + wrong + sealed[at + 1 :]
                inner.save(KEY, Record(1, TokenSet(changed)), expected=1)
                with pytest.raises(TokenStoreError):
                    store.load(KEY)
        for changed in (sealed[:-1], sealed + "=", sealed + "A", sealed[1:], sealed + "\n", ""):
            inner.save(KEY, Record(1, TokenSet(changed)), expected=1)
            refused(lambda: store.load(KEY))
        inner.save(KEY, Record(1, TokenSet(sealed)), expected=1)
        assert store.load(KEY).token_set.access_token == "secret-access"

    @pytest.mark.parametrize("text", ["secret-text", "[]", '"secret-text"', "{}", '{"key": {}}'])
    def test_what_the_key_has_encrypted_elsewhere_is_no_record(self, store, inner, file, text):
        """A key that also serves another purpose lets nobody plant anything."""
        key_id = sealed_in(inner).split(".")[0]
        planted = f"{key_id}.{Fernet(NEW).encrypt(text.encode()).decode()}"
        inner.save(KEY, Record(7, TokenSet(planted)), expected=7)
        self.untouched(store, file)

    def test_damage_that_the_inner_store_reports_passes_through(self, store, file):
        """Its text names the place."""
        file.write_text("{")
        refused(lambda: store.load(KEY), file, "damaged")
        refused(lambda: store.save(KEY, NEWER, expected=7), file)
        assert file.read_text() == "{"


class TestKeys:
    @pytest.mark.parametrize(
        "bad",
        [None, "", b"", [], (), "secret-key", b"secret-key", NEW[:-2], 5, ["secret-key", NEW]],
        ids=repr,
    )
    @pytest.mark.parametrize("later", [False, True], ids=["value", "function"])
    def test_a_bad_key_is_a_mistake_of_the_program(self, bad, later):
        """It learns how to make a key; what was given is not shown."""
        keys = (lambda: bad) if later else bad
        refused(
            lambda: EncryptedTokenStore(MemoryTokenStore(), keys).save(KEY, LOGIN, expected=None),
            "Fernet.generate_key()",
            kind=ConfigurationError,
        )

    def test_a_bad_key_behind_good_ones_is_found_and_counted(self):
        """Not only when it is needed."""
        refused(
            lambda: EncryptedTokenStore(MemoryTokenStore(), [NEW, "secret-key", OLD]),
            "key 2 of 3",
            kind=ConfigurationError,
        )

    def test_the_inner_store_is_a_store(self, tmp_path):
        """Who passes a path learns what is wanted."""
        refused(
            lambda: EncryptedTokenStore(tmp_path, NEW), "FileTokenStore", kind=ConfigurationError
        )

    @pytest.mark.parametrize(
        "spelling", [NEW, NEW.encode(), [NEW], (NEW.encode(), OLD), lambda: NEW, lambda: [NEW, OLD]]
    )
    def test_every_spelling_of_a_key_is_the_key(self, store, inner, spelling):
        """Text, bytes, several, or a function."""
        store.save(KEY, LOGIN, expected=None)
        other = EncryptedTokenStore(inner, spelling)
        assert other.load(KEY) == LOGIN
        other.save(KEY, NEWER, expected=7)
        assert store.load(KEY) == NEWER

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
        together(8, lambda n: store.save(replace(KEY, account=str(n)), LOGIN, expected=None))
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
        refused(lambda: store.load(KEY) or store.save(KEY, LOGIN, expected=None), "ValueError in")
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

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
            store.save(OTHER, LOGIN, expected=None)

        store = EncryptedTokenStore(inner, ask)
        asking = threading.Thread(target=lambda: store.save(KEY, LOGIN, expected=None))
        asking.start()
        try:
            assert inside.wait(PATIENCE)
            in_forked_child(child)
        finally:
            leave.set()
            asking.join(PATIENCE)
        assert store.load(OTHER) == LOGIN


class TestRotation:
    @pytest.fixture
    def old(self, inner):
        """A store from before the rotation, with a login."""
        store = EncryptedTokenStore(inner, OLD)
        store.save(KEY, LOGIN, expected=None)
        return store

    @pytest.fixture
    def both(self, inner, old):
        """The store with the new key first and the old one behind it."""
        return EncryptedTokenStore(inner, [NEW, OLD])

    def test_every_save_encrypts_with_the_first_key(self, both, store):
        """A login that is refreshed changes over by itself."""
        assert both.load(KEY) == LOGIN
        refused(lambda: store.load(KEY))
        both.save(KEY, NEWER, expected=7)
        assert store.load(KEY) == NEWER

    def test_rotate_changes_the_key_and_nothing_else(self, old, both, store):
        """The record stays to the field; afterwards the old key is of no use."""
        both.rotate(KEY)
        assert store.load(KEY) == LOGIN
        assert both.load(KEY) == LOGIN
        refused(lambda: old.load(KEY), "Add that key")

    def test_authorizations_are_rotated_as_well(self, old, both, store):
        """Under their own key."""
        old.save(KEY.for_authorizations(), STARTED, expected=None)
        both.rotate(KEY.for_authorizations())
        assert store.load(KEY.for_authorizations()) == STARTED

    def test_what_needs_no_rotation_is_left_alone(self, inner, both):
        """A second rotation writes nothing, nor does one of what is not there."""
        both.rotate(KEY)
        before = sealed_in(inner)
        both.rotate(KEY)
        both.rotate(OTHER)
        assert sealed_in(inner) == before
        assert both.load(OTHER) is None

    def test_whoever_is_faster_is_not_overwritten(self, inner, old):
        """A login that is saved between look and write is rotated as well, not lost."""
        racer = _Racer(
            inner, lambda n: old.save(KEY, replace(LOGIN, generation=7 + n), expected=6 + n)
        )
        EncryptedTokenStore(racer, [NEW, OLD]).rotate(KEY)
        assert EncryptedTokenStore(inner, NEW).load(KEY) == replace(LOGIN, generation=9)

    def test_a_refresh_under_way_is_waited_for(self, old, both):
        """Its notes leave the generation as it is, so the rotation takes the lock."""
        with old.lock(KEY, timeout=PATIENCE):
            refused(lambda: both.rotate(KEY, timeout=0.05), kind=TokenStoreTimeoutError)
        assert old.load(KEY) == LOGIN

    def test_a_store_that_is_always_stale_is_no_endless_loop(self, inner, old):
        """The rotation gives up, and the record is as it was."""
        racer = _Racer(inner, lambda n: None)
        racer.save = _stale
        store = EncryptedTokenStore(racer, [NEW, OLD])
        refused(lambda: store.rotate(KEY), "always faster", kind=StaleRecordError)
        assert old.load(KEY) == LOGIN


class _Racer:
    """An inner store in which something happens before the first two saves."""

    def __init__(self, inner, race):
        self.inner, self.race, self.saves = inner, race, 0
        self.load, self.delete, self.lock = inner.load, inner.delete, inner.lock

    def save(self, key, record, *, expected):
        """Somebody else is faster twice."""
        self.saves += 1
        if self.saves <= 2:
            self.race(self.saves)
        self.inner.save(key, record, expected=expected)


def _stale(*_, **__):
    raise StaleRecordError("somebody else was faster")


class TestIdentity:
    def test_the_inner_place_is_the_place(self, inner, store):
        """Whatever the keys; the place itself holds something else than the store."""
        same = EncryptedTokenStore(FileTokenStore(inner.path), OLD)
        assert (same, hash(same)) == (store, hash(store))
        assert store != EncryptedTokenStore(MemoryTokenStore(), NEW)
        assert store != inner
        assert inner != store
        assert hash(store) != hash(inner)

    def test_nothing_shows_a_key(self, store):
        """Neither repr nor fields."""
        assert repr(store) == f"EncryptedTokenStore({store.inner!r})"
        assert NEW not in f"{store} {vars(store)}"


def run(script, pickled):
    """What a new interpreter prints that finds this module's functions and is given a pickle."""
    code = (
        "import importlib.util, pickle, sys\n"
        f"spec = importlib.util.spec_from_file_location({__name__!r}, {__file__!r})\n"
        f"sys.modules[{__name__!r}] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "from atlassian_auth_adapter.errors import TokenStoreError\n"
        "store = pickle.load(sys.stdin.buffer)\n" + script
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        input=pickled,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode().strip()


class _Vault:
    """Something that has a key, and functions that return it."""

    key = NEW

    def keys(self):
        return self.key

    __call__ = keys


class TestPickle:
    ways = pytest.mark.parametrize(
        "keys",
        [
            NEW,
            [NEW, OLD],
            lambda: NEW,
            functools.partial(str, NEW),
            functools.partial(lambda key: key, NEW),
            _Vault().keys,
            _Vault(),
        ],
        ids=["value", "values", "lambda", "partial", "lambda in a partial", "method", "object"],
    )

    @ways
    def test_a_copy_is_the_store_itself(self, inner, keys):
        """So is what a pickle leads to in the same process, and it holds no key."""
        store = EncryptedTokenStore(inner, keys)
        store.save(KEY, LOGIN, expected=None)
        assert copy.copy(store) is store
        assert copy.deepcopy({"store": store})["store"] is store
        pickled = pickle.dumps(store)
        assert pickle.loads(pickled) is store
        for key in (NEW, OLD):
            assert key.encode() not in pickled
            assert base64.urlsafe_b64decode(key) not in pickled

    @needs_fork
    @ways
    def test_a_forked_child_follows_the_pickle(self, inner, keys):
        """Also to keys that no pickle can name."""
        store = EncryptedTokenStore(inner, keys)
        pickled = pickle.dumps(store)
        assert in_forked_child(lambda: pickle.loads(pickled) is store)

    @pytest.mark.parametrize("keys", [NEW, lambda: NEW, functools.partial(str, NEW)])
    def test_another_process_without_the_keys_says_so(self, inner, keys):
        """On its first use it names the remedy; a pickle of it there says the same."""
        store = EncryptedTokenStore(inner, keys)
        store.save(KEY, LOGIN, expected=None)
        seen = run(
            "for one in (store, pickle.loads(pickle.dumps(store))):\n"
            "    for work in (lambda: one.load(module.KEY), lambda: one.rotate(module.KEY),\n"
            "                 lambda: one.save(module.KEY, module.NEWER, expected=7)):\n"
            "        try:\n"
            "            work()\n"
            "        except TokenStoreError as error:\n"
            "            print('get_keys' in str(error))\n",
            pickle.dumps(store),
        )
        assert seen.split() == ["True"] * 6
        assert store.load(KEY) == LOGIN

    def test_another_process_finds_a_function_by_its_name(self, inner):
        """And with it the keys."""
        store = EncryptedTokenStore(inner, get_keys)
        store.save(KEY, LOGIN, expected=None)
        pickled = pickle.dumps(store)
        assert NEW.encode() not in pickled
        assert run("print(store.load(module.KEY) == module.LOGIN)", pickled) == "True"


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_a_client_lives_on_an_encrypted_login(
    make_client, emulator, clock, inner, flavour, secrets_of, landed
):
    """It logs in, is refreshed, and another process's client goes on; the disk shows no token."""

    def encrypted():
        return EncryptedTokenStore(FileTokenStore(inner.path), [NEW, OLD])

    client = make_client(flavour, store=encrypted())
    secrets = secrets_of(client.token_set())
    clock.advance(7200)
    secrets |= secrets_of(client.token_set())
    assert len(secrets) == 4
    expected = client.get_access_token()
    landed()
    del client  # the next one then shares nothing with it but the disk
    written = b"".join(path.read_bytes() for path in inner.path.iterdir())
    assert not [secret for secret in secrets if secret.encode() in written]
    second = make_client(flavour, store=encrypted(), login=False)
    assert second.get_access_token() == expected
    clock.advance(7200)
    assert second.get_access_token() not in secrets
    second.forget()
    assert second.status().state != "logged in"
