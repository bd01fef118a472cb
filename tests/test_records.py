"""Records as text: what one release writes, the next one reads; what is damaged is refused.

The stored forms stand here as text, as schema 2 writes them (2026-11-26), and are never edited: if
a test fails, the code has forgotten logins that people have in their stores.
"""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, strategies as st

from atlassian_auth_adapter import records
from atlassian_auth_adapter.errors import StaleRecordError, TokenStoreError
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.records import (
    Journal,
    Login,
    TokenKey,
    read,
    write,
)
from atlassian_auth_adapter.records.authorizations import Authorizations, Claim
from atlassian_auth_adapter.records.client_secret import ClientSecret
from atlassian_auth_adapter.records.sites import Sites
from atlassian_auth_adapter.stores.base import MOST_OVERTAKINGS, checked_name
from atlassian_auth_adapter.stores.memory import MemoryTokenStore
from atlassian_auth_adapter.testing.contracts.stores import LOGIN, assert_no_secret
from atlassian_auth_adapter.tokens import TokenSet

KEY = TokenKey("https://auth.atlassian.com", "client", "default")

_KEY = (
    '{"schema": 2, "key": {"issuer": "https://auth.atlassian.com", "client_id": "client", '
    '"account": "default", "kind": "login"}, '
)

EVERY_FIELD = (
    _KEY + '"generation": 7, "login_id": "5a1f", "token_set": {"access_token": "secret-access", '
    '"refresh_token": "secret-refresh", "expires_at": 1764003600.25, "scope": '
    '"read:jira-work offline_access", "token_type": "bearer", "obtained_at": 1764000000.5}, '
    '"journal": {"token_hash": "salted$hash", "started_at": 1764000001.5, "owner": "host:123"}, '
    '"takeover": {"token_hash": "salted$other", "started_at": 1764000002.5, "owner": "host:124"}, '
    '"throttled_until": 1764000009.5, "dead": "salted$dead", "dead_reason": "answer_lost", '
    '"forced_until": 1764000000.75, "taken_over": ["1f0e"], "authorized_at": 1763999999.25}'
)

#: Name, text and record of each kind; TestForm says that the tables miss none.
FROZEN = (
    ("fb4c16e78550eae9a58551103306e889", EVERY_FIELD, LOGIN),
    (
        "fb4c16e78550eae9a58551103306e889",
        _KEY + '"generation": 1, "token_set": {"access_token": "secret"}, "journal": '
        '{"token_hash": "h", "started_at": 1.5}}',
        Login(
            1,
            "",
            TokenSet("secret", "", math.inf, "", "Bearer", 0.0),
            Journal("h", 1.5, ""),
            None,
            0.0,
            "",
            "refused",
            0.0,
            (),
            0.0,
        ),
    ),
    ("fb4c16e78550eae9a58551103306e889", _KEY[:-2] + "}", Login(0, "", None, None, None)),
    (
        "fb4c16e78550eae9a58551103306e889.authorizations",
        _KEY.replace('"login"', '"authorizations"')
        + '"requests": [{"state": "secret-state", "code_verifier": "secret-verifier", "created": '
        '1764000000.5, "scope": "WRITE"}, {"state": "secret-state-2"}], '
        '"claims": [{"code_hash": "1f0e", "state_hash": "2e1d", "claimed_at": 1764000001.5, '
        '"claimant": "5a1f", "replaces": "0c7e"}]}',
        Authorizations(
            (
                AuthorizationRequest("secret-state", "secret-verifier", 1764000000.5, "WRITE"),
                AuthorizationRequest("secret-state-2", "", 0.0, ""),
            ),
            (Claim("1f0e", "2e1d", 1764000001.5, "5a1f", "0c7e"),),
        ),
    ),
    (
        "fb4c16e78550eae9a58551103306e889.sites",
        _KEY.replace('"login"', '"sites"')
        + '"login_id": "5a1f", "cloud_ids": {"https://acme.atlassian.net": "1324", "jira": "5"}}',
        Sites("5a1f", {"https://acme.atlassian.net": "1324", "jira": "5"}),
    ),
    (
        "fb4c16e78550eae9a58551103306e889.client_secret",
        _KEY.replace('"login"', '"client_secret"') + '"secret": "secret"}',
        ClientSecret("secret"),
    ),
)


#: The objects within the text of a login.
PARTS = ("token_set", "journal", "takeover")


def key_of(name):
    """The key of that name, of the frozen ones."""
    return KEY._replace(kind=name.partition(".")[2] or "login")


def refusal(text, key=KEY, kind=Login):
    """The text of the error with which `read` refuses it: ours, and without a secret."""
    with pytest.raises(TokenStoreError) as raised:
        read(text, key, kind, "the place")
    error = raised.value
    assert type(error) is TokenStoreError
    assert error.__cause__ is error.__context__ is None
    assert_no_secret(error)
    assert str(error).startswith("the place: ")
    return str(error)


def changed(text, path, **fields):
    """The text with these fields in the object at that path."""
    content = part = json.loads(text)
    for name in path:
        part = part[name]
    part.update(fields)
    return json.dumps(content)


class TestForm:
    def test_what_a_former_release_has_written_is_read(self):
        """To the value of each field; fields left out have the values that are written out here."""
        for name, text, record in FROZEN:
            assert key_of(name).name == name
            assert read(text, key_of(name), type(record), "here") == record

    def test_what_is_written_is_the_same_form(self):
        """To the letter, so that former releases of this schema can read it, too."""
        for name, text, record in FROZEN:
            assert write(key_of(name), record) == text

    def test_no_kind_of_record_is_forgotten_here(self):
        """Every kind that can be written is frozen; every kind of key has a record."""
        written = get_args(get_type_hints(write, localns=globals())["record"])
        assert {type(record) for *_, record in FROZEN} == set(written)
        kinds = get_args(get_type_hints(TokenKey)["kind"])
        assert {key_of(name).kind for name, *_ in FROZEN} == set(kinds) - {"service_account"}

    def test_a_field_that_is_not_known_is_passed_over(self):
        """Anywhere in a record: what a later release has added to this schema hides no login."""
        for name, text, record in FROZEN:
            paths = [()]
            paths += [(part,) for part in PARTS if part in json.loads(text)]
            paths += [("requests", 0), ("requests", 1)] if "requests" in text else []
            for path in paths:
                more = changed(text, path, new={"secret": [1, None]})
                assert read(more, key_of(name), type(record), "here") == record

    def test_the_key_may_be_the_name_alone(self):
        """As a store writes it that makes a record of another program's tokens."""
        assert read(changed(EVERY_FIELD, (), key=KEY.name), KEY, Login, "here") == LOGIN

    def test_a_token_without_end_may_be_null(self):
        """JSON knows no infinity."""
        text = changed(EVERY_FIELD, ("token_set",), expires_at=None)
        assert read(text, KEY, Login, "here").token_set.expires_at == math.inf

    def test_a_whole_number_is_a_number(self):
        """Other programs, such as a database's editor, write 1764000000 for 1764000000.0."""
        text = changed(EVERY_FIELD, ("token_set",), expires_at=1764000000)
        expires_at = read(text, KEY, Login, "here").token_set.expires_at
        assert (expires_at, type(expires_at)) == (1764000000.0, float)

    def test_any_mapping_can_be_written(self):
        """Not only a dict: `Sites.cloud_ids` is a Mapping."""
        key, cloud_ids = KEY.for_sites(), {"https://acme.atlassian.net": "1324"}
        text = write(key, Sites("", MappingProxyType(cloud_ids)))
        assert read(text, key, Sites, "here") == Sites("", cloud_ids)


class TestRefusal:
    def test_a_later_schema_is_not_guessed_at(self):
        """Whatever else it looks like: the error says to upgrade."""
        for text in (
            changed(EVERY_FIELD, (), schema=3),
            changed(EVERY_FIELD, (), schema=3, key="secret", token_set=[], journal=5),
            *('{"schema": 99}', '{"version": 3}', '{"schema": 3, "version": 1}'),
        ):
            assert "Upgrade atlassian-auth-adapter" in refusal(text)

    def test_half_a_character_is_refused(self):
        """A text with half of a surrogate pair can neither be sent, nor compared, nor shown."""
        for path, field in (((), "login_id"), (("token_set",), "scope"), (("journal",), "owner")):
            assert "damaged" in refusal(changed(EVERY_FIELD, path, **{field: "secret\ud800"}))
        name, text, record = FROZEN[3]
        for field in ("state", "code_verifier", "scope"):
            half = changed(text, ("requests", 0), **{field: "secret\udfff"})
            assert "damaged" in refusal(half, key_of(name), type(record))

    def test_the_earlier_schema_is_refused_with_what_to_do(self):
        """There is no migration: nothing that wrote it was released."""
        text = json.dumps({"key": {}, "version": 1, "generation": 7, "token_set": "secret"})
        assert "earlier release (schema 1)" in refusal(text)
        assert "forget() the login, or delete the entry, and sign in again" in refusal(text)

    def test_the_record_of_another_key_is_not_believed(self):
        """Mixed up files, rows or names mix up no logins."""
        others = [KEY._replace(account="secret"), KEY._replace(issuer=""), KEY.for_sites()]
        for other in others:
            assert "another key" in refusal(EVERY_FIELD, other)
        for key in (None, "secret", {}, {"issuer": "secret"}, [KEY.name], f"{KEY.name}.sites"):
            assert "another key" in refusal(changed(EVERY_FIELD, (), key=key))

    def test_what_is_not_a_record_is_damaged(self):
        """The error says that it was kept, and how to start again."""
        for text in (
            *("", " ", "{", '"secret', "secret", "\0", "[]", "null", "7", '"secret"', "{}"),
            *("NaN", '{"secret": 1}', '{"schema": null}', '{"schema": "secret"}', '{"schema": 1}'),
            *('{"schema": true}', '{"schema": NaN}', '{"schema": [2]}', "\udcffsecret", "9" * 5000),
            *("[" * 100_000, '{"a":' * 100_000, '{"schema": 2, "key": ' + "[" * 100_000),
            *(EVERY_FIELD[:length] for length in range(len(EVERY_FIELD))),
        ):
            error = refusal(text)
            assert "damaged" in error
            assert "sign in again" in error

    def test_a_damaged_value_is_refused(self):
        """A wrong type, a number that is not one, a token that no header can carry."""
        deep: list = []
        for _ in range(500):
            deep = [deep]
        never = (["secret"], {"secret": 1}, True, deep)
        no_float = (*never, "secret", "1.5", math.nan, 10**400)
        no_object = (*never, "secret", "", 7, {}, [])
        no_token = (*never, None, 7, *(f"secret{end}" for end in "\n\r\t\0 \x7f\xe9"))
        for path, fields, values in (
            ((), "generation", (*never, "secret", None, 7.0, 1e999, math.nan)),
            ((), "throttled_until forced_until authorized_at", no_float),
            ((), "login_id dead", (*never, None, 7, 10**400)),
            ((), "taken_over", (*never[1:], None, 7, "secret", [7], [None])),
            ((), "dead_reason", (*never, "secret", "", None, 7, ["refused"])),
            ((), "token_set journal takeover", no_object),
            (("token_set",), "access_token refresh_token", no_token),
            (("token_set",), "expires_at obtained_at", no_float),
            (("token_set",), "scope token_type", (*never, None, 7)),
            *((("journal",), "started_at", no_float), (("takeover",), "started_at", no_float)),
            *(((part,), "token_hash owner", (*never, None, 7)) for part in PARTS[1:]),
        ):
            for field in fields.split():
                for value in values:
                    assert "damaged" in refusal(changed(EVERY_FIELD, path, **{field: value}))

    def test_what_a_record_cannot_do_without(self):
        """A token set without access token, a journal without its hash or time is damaged."""
        for path, field in (
            ("token_set", "access_token"),
            ("journal", "token_hash"),
            ("journal", "started_at"),
            ("takeover", "token_hash"),
            ("takeover", "started_at"),
        ):
            content = json.loads(EVERY_FIELD)
            del content[path][field]
            assert "damaged" in refusal(json.dumps(content))

    def test_a_damaged_value_of_another_kind_is_refused(self):
        """Authorizations, sites and client secrets are checked as logins are."""
        (_, _, _, authorizations, sites, client_secret) = FROZEN
        for (name, text, record), field, values in (
            (authorizations, "requests", ("secret", {"secret": 1}, None, 7, ["secret"], [None])),
            (authorizations, "requests", ([{}], [{"scope": "secret"}], [{"state": None}])),
            (authorizations, "requests", ([{"state": "secret", "created": math.nan}],)),
            (sites, "cloud_ids", ("secret", ["secret"], None, {"secret": 7}, {"secret": None})),
            (sites, "login_id", (None, 7)),
            (client_secret, "secret", (None, 7, ["secret"])),
        ):
            for value in values:
                damaged = changed(text, (), **{field: value})
                assert "damaged" in refusal(damaged, key_of(name), type(record))

    def test_the_store_and_the_account_are_named(self):
        """The error says where the damaged record is, and whose; nothing is changed."""
        store = MemoryTokenStore()
        store.save(KEY.name, '{"schema": 2, "key": "secret"}', expected=None)
        for work in (
            lambda: records.load(store, KEY, Login),
            lambda: records.change(store, KEY, Login, lambda _: LOGIN),
        ):
            with pytest.raises(TokenStoreError) as raised:
                work()
            assert f"'default' (login, {KEY.name}) in {store!r}" in str(raised.value)
            assert_no_secret(raised.value)
        assert store.load(KEY.name).version == 1


text = st.text()
token = st.text(st.characters(min_codepoint=33, max_codepoint=126))
number = st.floats(allow_nan=False, allow_infinity=False)
journals = st.builds(Journal, text, number, text)
logins = st.builds(
    Login,
    generation=st.integers(),
    login_id=text,
    token_set=st.none()
    | st.builds(TokenSet, token, token, number | st.just(math.inf), token, token, number),
    journal=st.none() | journals,
    takeover=st.none() | journals,
    throttled_until=number,
    dead=text,
    dead_reason=st.sampled_from(["refused", "answer_lost"]),
    forced_until=number,
    taken_over=st.lists(text).map(tuple),
    authorized_at=number,
)
requests = st.builds(AuthorizationRequest, text, text, number, text)
claims = st.builds(Claim, text, text, number, text, text)
authorizations = st.builds(
    Authorizations, st.lists(requests).map(tuple), st.lists(claims).map(tuple)
)
sites = st.builds(Sites, text, st.dictionaries(text, text))


@given(
    st.builds(TokenKey, text, text, text),
    st.one_of(logins, authorizations, sites, st.builds(ClientSecret, text)),
)
def test_every_record_comes_back_as_it_was(key, record):
    """Whatever its fields hold; and its text is printable ASCII, as stores want it."""
    written = write(key, record)
    assert read(written, key, type(record), "here") == record
    assert written.isascii()
    assert written.isprintable()


class TestName:
    def test_keys_that_look_alike_have_names_of_their_own(self):
        """A record belongs to exactly one issuer, client, account and kind, to the character."""
        kinds = get_args(get_type_hints(TokenKey)["kind"])
        keys = [
            *(KEY._replace(kind=kind) for kind in kinds),
            KEY._replace(issuer=KEY.issuer + "/"),
            KEY._replace(issuer=KEY.issuer + ":8443"),
            KEY._replace(issuer=""),
            KEY._replace(client_id="client2"),
            KEY._replace(client_id="clientd", account="efault"),
            *(KEY._replace(account=a) for a in ("Default", "default ", "default\0", "", "e\u0301")),
            *(KEY._replace(account=a) for a in ("\xe9", "\u2603", "\U0001f511", "\u202e")),
            *(KEY._replace(account=a) for a in ("not utf-8: \udcff", "a\r\n\x1b", "a" * 5000)),
            *(KEY._replace(account=a) for a in ("../../etc/passwd", "CON", "%2e", "*?[a]{b,c}:")),
        ]
        names = {key.name for key in keys}
        assert len(names) == len(keys)
        for key in keys:
            assert checked_name(key.name) == key.name
            assert ("." in key.name) == (key.kind != "login")
            assert read(write(key, LOGIN), key, Login, "here") == LOGIN

    def test_what_belongs_to_a_login_has_its_digest(self):
        """So that people can see it in a directory or a table."""
        assert KEY.for_sites().name == f"{KEY.name}.sites"
        assert KEY.for_authorizations().name == f"{KEY.name}.authorizations"

    def test_a_hashed_secret_is_the_keys_own(self):
        """The same for all who share the key, another one for every other key."""
        assert KEY.hashed("secret") == KEY._replace().hashed("secret")
        hashes = {key.hashed(s) for key in (KEY, KEY.for_sites()) for s in ("secret", "secret2")}
        assert len(hashes) == 4
        assert "secret" not in str(hashes)

    def test_a_login_precedes_its_later_states_only(self):
        """Of the very login: another sign-in, or one without a login_id, is another login."""
        assert LOGIN.precedes(LOGIN._replace(generation=8))
        assert not LOGIN.precedes(LOGIN)
        assert not LOGIN._replace(generation=8).precedes(LOGIN)
        assert not LOGIN.precedes(LOGIN._replace(generation=8, login_id="other"))
        assert not Login().precedes(Login(1))


class Overtaken(MemoryTokenStore):
    """A store in which another caller saves first, so many times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def save(self, name, text, *, expected):
        """Save, after the other caller has saved."""
        if self.times:
            self.times -= 1
            super().save(name, write(KEY, Login(expected or 0)), expected=expected)
        super().save(name, text, expected=expected)


class TestChange:
    @staticmethod
    def counted(login):
        """The login with the next generation."""
        return (login or Login())._replace(generation=(login.generation if login else 0) + 100)

    def test_a_record_is_saved_and_loaded_with_its_version(self):
        """Nothing, before there was something; stale, when another version is stored."""
        store = MemoryTokenStore()
        assert records.load(store, KEY, Login) == (None, None)
        records.save(store, KEY, Login(), expected=None)
        records.save(store, KEY, LOGIN, expected=1)
        assert records.load(store, KEY, Login) == (LOGIN, 2)
        with pytest.raises(StaleRecordError):
            records.save(store, KEY, LOGIN, expected=1)

    def test_a_lost_compare_and_swap_is_tried_again(self):
        """On what the other caller has saved; no change is lost."""
        store = Overtaken(3)
        records.change(store, KEY, Login, self.counted)
        assert records.load(store, KEY, Login) == (Login(102), 4)

    def test_a_change_to_none_is_no_change(self):
        """Nothing is saved."""
        store = MemoryTokenStore()
        records.change(store, KEY, Login, lambda login: None)
        assert store.load(KEY.name) is None
        records.change(store, KEY, Login, self.counted)
        records.change(store, KEY, Login, lambda login: None)
        assert records.load(store, KEY, Login) == (Login(100), 1)

    def test_it_gives_up_at_last(self):
        """A store in which every save is stale is broken, or others never rest."""
        store = Overtaken(10**6)
        with pytest.raises(StaleRecordError, match="always saved it first") as raised:
            records.change(store, KEY, Login, self.counted)
        assert_no_secret(raised.value)
        assert store.load(KEY.name).version == MOST_OVERTAKINGS
