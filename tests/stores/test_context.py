"""ContextTokenStore: the contract, and the integrations that kept a login there before us."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace

import pytest

from atlassian_auth_adapter.errors import (
    ConfigurationError,
    StaleRecordError,
    TokenStoreError,
    TokenStoreTimeoutError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import Pending, Record
from atlassian_auth_adapter.stores.context import ContextTokenStore
from atlassian_auth_adapter.testing.contracts.stores import (
    KEY,
    LOGIN,
    TokenStoreContract,
    assert_no_secret,
)
from atlassian_auth_adapter.tokens import TokenSet

OTHER = replace(KEY, account="other")

LEGACY = {
    "token": "secret-old-access",
    "refresh_token": "secret-old-refresh",
    "valid_until": 1764000000.5,
    "scopes": "read:jira-work offline_access",
}
ADOPTED = Record(
    1, TokenSet("secret-old-access", "secret-old-refresh", 1764000000.5, LEGACY["scopes"])
)


class Platform:
    """Keeps a context as text, so that nothing but JSON gets in and nothing is shared."""

    def __init__(self):
        self.text = "{}"

    def get(self):
        """As `get_integration_context`."""
        return json.loads(self.text)

    def set(self, context):
        """As `set_integration_context`."""
        self.text = json.dumps(context, allow_nan=False)


_platform = Platform()


def get_context():
    """A function that a pickle can name."""
    return _platform.get()


def set_context(context):
    """A function that a pickle can name."""
    _platform.set(context)


class TestContract(TokenStoreContract):
    shared_between_processes = False

    @pytest.fixture
    def store(self):
        """On an empty context."""
        set_context({})
        return ContextTokenStore(get_context, set_context)

    @pytest.fixture
    def reopened(self):
        """With the same two functions."""
        return ContextTokenStore(get_context, set_context)


class TestContractBesideALegacyLogin(TestContract):
    """All of it again, for a key that does not own the legacy keys."""

    @pytest.fixture
    def store(self):
        """On a context whose legacy login belongs to somebody."""
        set_context(LEGACY)
        store = ContextTokenStore(get_context, set_context)
        owner = replace(KEY, account="the owner of the legacy login")
        store.save(owner, replace(ADOPTED, generation=2), expected=1)
        return store


@pytest.fixture
def platform():
    """An empty platform of its own."""
    return Platform()


@pytest.fixture
def store(platform):
    """A store on it."""
    return ContextTokenStore(platform.get, platform.set)


def raised_by(work):
    """The error of `work()`: ours, and without a secret."""
    with pytest.raises(TokenStoreError) as raised:
        work()
    assert type(raised.value) is TokenStoreError
    assert_no_secret(raised.value)
    return str(raised.value)


class TestAdoption:
    def test_the_login_of_an_old_integration_is_ours(self, platform, store):
        """Nobody has to log in again: the first generation is what was there."""
        platform.set(LEGACY)
        assert store.load(KEY) == ADOPTED
        assert store.load(KEY) == ADOPTED
        assert platform.get() == LEGACY

    @pytest.mark.parametrize(
        ("stored", "expires_at"),
        [
            (1764000000, 1764000000.0),
            (1764000000.25, 1764000000.25),
            ("1764000000", 1764000000.0),
            (" 1764000000.25\n", 1764000000.25),
            ("", 0.0),
            (None, 0.0),
            ("tomorrow", 0.0),
            ("nan", 0.0),
            ("inf", 0.0),
            ([], 0.0),
            ([1], 0.0),
            (10**400, 0.0),
        ],
    )
    def test_valid_until_is_a_number_or_its_text(self, platform, store, stored, expires_at):
        """An end that is not known is in the past, so the token is refreshed before its use."""
        platform.set(LEGACY | {"valid_until": stored})
        assert store.load(KEY).token_set.expires_at == expires_at

    @pytest.mark.parametrize(
        ("stored", "scope"),
        [("a b", "a b"), (["a", "b"], "a b"), ([], ""), ("", ""), (None, ""), (5, "")],
    )
    def test_scopes_are_a_text_or_a_list(self, platform, store, stored, scope):
        """Both spellings were in use; anything else says nothing."""
        platform.set(LEGACY | {"scopes": stored})
        assert store.load(KEY).token_set.scope == scope

    def test_a_refresh_token_is_a_login(self, platform, store):
        """Without access token it is expired; without any token there is no login."""
        platform.set({"refresh_token": "secret"})
        assert store.load(KEY) == Record(1, TokenSet("", "secret", 0.0))
        platform.set({"token": "", "refresh_token": None, "valid_until": 1764000000})
        assert store.load(KEY) is None

    def test_the_old_integration_can_read_what_we_save(self, platform, store):
        """The four keys hold the new login as the old one would have written it."""
        platform.set(LEGACY | {"mine": {"unrelated": [1]}})
        store.save(KEY, replace(LOGIN, generation=2), expected=1)
        context = platform.get()
        ours = json.dumps(context.pop("atlassian_auth_adapter"))
        assert context == {
            "token": "secret-access",
            "refresh_token": "secret-refresh",
            "valid_until": 1764003600.25,
            "scopes": "read:jira-work offline_access",
            "mine": {"unrelated": [1]},
        }
        assert "secret" not in ours

    def test_a_token_without_end_has_a_number_for_the_old_integration(self, platform, store):
        """JSON knows no infinity; we still read it as one."""
        store.save(KEY, Record(1, TokenSet("secret")), expected=None)
        assert platform.get()["valid_until"] == 253402300799  # 9999-12-31
        assert store.load(KEY).token_set.expires_at == math.inf

    def test_the_first_who_saves_owns_the_old_login(self, platform, store):
        """Every other login is a stranger to it from then on, whoever asked first."""
        platform.set(LEGACY)
        assert store.load(OTHER) == ADOPTED
        store.save(KEY, replace(ADOPTED, pending=Pending("hash", 1.5)), expected=1)
        assert store.load(OTHER) is None
        with pytest.raises(StaleRecordError):
            store.save(OTHER, replace(LOGIN, generation=2), expected=1)
        store.save(OTHER, LOGIN, expected=None)
        assert store.load(OTHER) == LOGIN
        store.delete(OTHER)
        assert store.load(KEY) == replace(ADOPTED, pending=Pending("hash", 1.5))
        assert platform.get()["token"] == "secret-old-access"

    def test_a_forgotten_login_still_owns_its_keys(self, platform, store):
        """Logging out does not hand the four keys to another account."""
        store.save(KEY, LOGIN, expected=None)
        store.save(OTHER, LOGIN, expected=None)
        store.delete(KEY)
        store.save(OTHER, replace(LOGIN, generation=8), expected=7)
        assert "token" not in platform.get()
        platform.set(platform.get() | LEGACY)
        assert store.load(KEY) == ADOPTED
        assert store.load(OTHER) == replace(LOGIN, generation=8)

    def test_an_unclaimed_login_can_be_forgotten(self, platform, store):
        """What `load` shows, `delete` removes; other keys stay."""
        platform.set(LEGACY | {"mine": 1})
        store.delete(KEY)
        assert platform.get() == {"mine": 1}

    def test_authorizations_leave_the_old_login_alone(self, platform, store):
        """They neither read, claim, change nor remove it."""
        platform.set(LEGACY)
        key = KEY.for_authorizations()
        assert store.load(key) is None
        record = Record(1, authorizations=(AuthorizationRequest("secret-state"),))
        store.save(key, record, expected=None)
        assert store.load(key) == record
        assert {name: platform.get()[name] for name in LEGACY} == LEGACY
        assert store.load(OTHER) == ADOPTED
        store.delete(key)
        assert platform.get() | LEGACY == platform.get()


class TestTheOldIntegrationStillRuns:
    @pytest.fixture
    def saved(self, platform, store):
        """A login of ours, with every note; then the old integration refreshed."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(platform.get() | LEGACY)

    def test_its_login_wins(self, saved, store):
        """One generation higher, the same at every look, without notes on the former tokens."""
        expected = replace(ADOPTED, generation=8, throttled_until=LOGIN.throttled_until)
        assert store.load(KEY) == expected
        assert store.load(KEY) == expected

    def test_we_save_on_top_of_it(self, saved, platform, store):
        """Compare-and-swap goes by the generation that `load` showed."""
        with pytest.raises(StaleRecordError):
            store.save(KEY, LOGIN, expected=7)
        store.save(KEY, replace(LOGIN, generation=9), expected=8)
        assert store.load(KEY) == replace(LOGIN, generation=9)
        assert platform.get()["token"] == "secret-access"

    @pytest.mark.parametrize("name", ["token", "refresh_token"])
    def test_either_token_makes_another_login(self, platform, store, name):
        """A rotation that kept the other one is one, too."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(platform.get() | {name: "secret-new"})
        assert store.load(KEY).generation == 8

    def test_what_it_erased_is_gone(self, platform, store):
        """Its logout is ours."""
        store.save(KEY, LOGIN, expected=None)
        context = platform.get()
        del context["token"], context["refresh_token"]
        platform.set(context)
        assert store.load(KEY) == Record(8, throttled_until=LOGIN.throttled_until)

    def test_what_it_overwrote_as_a_whole_begins_anew(self, platform, store):
        """An integration that drops foreign keys leaves its own login, at generation 1."""
        store.save(KEY, LOGIN, expected=None)
        platform.set(LEGACY)
        assert store.load(KEY) == ADOPTED


class TestCallables:
    def test_no_context_is_an_empty_one(self):
        """`get_context` may return None as long as nothing was set."""
        contexts = [None]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        assert store.load(KEY) is None
        store.delete(KEY)
        assert contexts == [None]
        store.save(KEY, LOGIN, expected=None)
        assert store.load(KEY) == LOGIN

    def test_what_get_context_returned_is_not_changed(self):
        """It may be the platform's own object: only `set_context` changes something."""
        contexts = [LEGACY | {"mine": {}}]
        store = ContextTokenStore(lambda: contexts[-1], contexts.append)
        before = copy.deepcopy(contexts[0])
        store.save(KEY, LOGIN, expected=1)
        middle = copy.deepcopy(contexts[1])
        store.save(OTHER, LOGIN, expected=None)
        store.delete(KEY)
        assert contexts[:2] == [before, middle]

    @pytest.mark.parametrize("context", [[], "secret", 5, False])
    def test_what_is_no_dictionary_is_refused(self, context):
        """With its type, not its text."""
        store = ContextTokenStore(lambda: context, lambda _: None)
        assert type(context).__name__ in raised_by(lambda: store.load(KEY))

    def test_what_a_callable_raises_is_not_shown(self, platform):
        """Its text may quote the context; the error names the type and the line."""

        def fail(context=None):
            raise ValueError(f"cannot serialise {context} {LEGACY}")

        broken = ContextTokenStore(fail, fail)
        text = raised_by(lambda: broken.load(KEY))
        assert "get_context raised ValueError" in text
        assert "test_context.py, line" in text
        broken = ContextTokenStore(platform.get, fail)
        text = raised_by(lambda: broken.save(KEY, LOGIN, expected=None))
        assert "set_context raised ValueError" in text
        assert platform.text == "{}"

    def test_an_exit_is_an_exit(self):
        """A callable that ends the program, as `return_error` does, ends the program."""

        def leave():
            raise SystemExit(0)

        with pytest.raises(SystemExit):
            ContextTokenStore(leave, leave).load(KEY)

    def test_equal_callables_make_equal_stores(self, platform, store):
        """Bound methods of one object are equal, and share the lock; of another they are not."""
        same = ContextTokenStore(platform.get, platform.set)
        assert (same, hash(same)) == (store, hash(store))
        assert store != ContextTokenStore(Platform().get, platform.set)
        with (
            same.lock(KEY, timeout=0),
            pytest.raises(TokenStoreTimeoutError),
            store.lock(KEY, timeout=0),
        ):
            pytest.fail("two holders at a time")

    def test_a_deep_copy_is_the_store_itself(self, store):
        """A copy of a bound method's object would be another place with the same refresh token."""
        assert copy.deepcopy(store) is store

    def test_what_cannot_be_pickled_says_so(self, platform):
        """Functions without a name in a module have no pickle."""
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(ContextTokenStore(lambda: None, platform.set))

    def test_two_callables_are_needed(self):
        """A dictionary is none; what has no hash cannot name a place."""

        class Unhashable(Platform):
            __hash__ = None
            __call__ = Platform.get

        with pytest.raises(ConfigurationError, match="two callables"):
            ContextTokenStore({}, {})
        with pytest.raises(ConfigurationError, match="hash"):
            ContextTokenStore(Unhashable(), Unhashable())


class TestDamage:
    @pytest.mark.parametrize(
        "ours",
        [
            "secret",
            ["secret"],
            None,
            {},
            {"version": 1},
            {"version": 1, "records": ["secret"]},
            {"version": 2, "records": {}},
            {"version": "secret", "records": {}},
        ],
    )
    def test_our_key_is_kept_when_we_cannot_read_it(self, platform, store, ours):
        """No method touches it, and the error names it."""
        platform.set(LEGACY | {"atlassian_auth_adapter": ours})
        before = platform.text
        for work in (
            lambda: store.load(KEY),
            lambda: store.save(KEY, LOGIN, expected=None),
            lambda: store.delete(KEY),
        ):
            assert "atlassian" in raised_by(work)
        assert platform.text == before

    @pytest.mark.parametrize(
        "record", ["secret", {}, {"generation": "secret"}, {"generation": 1e999}, {"version": 2}]
    )
    def test_a_damaged_record_is_kept_until_it_is_forgotten(self, platform, store, record):
        """Other records are not affected; `delete` makes room."""
        store.save(KEY, LOGIN, expected=None)
        store.save(OTHER, LOGIN, expected=None)
        context = platform.get()
        context["atlassian_auth_adapter"]["records"][OTHER.digest] = record
        platform.text = before = json.dumps(context)
        assert "'other'" in raised_by(lambda: store.load(OTHER))
        raised_by(lambda: store.save(OTHER, LOGIN, expected=7))
        assert platform.text == before
        assert store.load(KEY) == LOGIN
        store.delete(OTHER)
        assert store.load(OTHER) is None
        assert store.load(KEY) == LOGIN
