"""A store from the package's previous release is read by the next.

The stored forms stand here as text, as schema 1 writes them (2026-11-22), and are never edited: if
a test fails, the code has forgotten logins that people have on their disks.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet

from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.oauth.authorization import AuthorizationRequest
from atlassian_auth_adapter.stores.base import SCHEMA_VERSION, Pending, Record, TokenKey
from atlassian_auth_adapter.stores.context import ContextTokenStore
from atlassian_auth_adapter.stores.encrypted import EncryptedTokenStore
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.testing.contracts.stores import assert_no_secret
from atlassian_auth_adapter.tokens import TokenSet

LOGIN = TokenKey("https://auth.atlassian.com", "client", "default")
AUTHORIZATIONS = LOGIN.for_authorizations()

# The names under which every store keeps these two keys.
LOGIN_DIGEST = "fb4c16e78550eae9a58551103306e889"
AUTHORIZATIONS_DIGEST = "94591923d7f5b8dc790f6d5481edb16e"

FILE_EVERY_FIELD = """
{"key": {"issuer": "https://auth.atlassian.com", "client_id": "client", "account": "default",
"kind": "login"}, "version": 1, "generation": 7, "token_set": {"access_token": "secret-access-7",
"refresh_token": "secret-refresh-7", "expires_at": 1764003600.25, "scope":
"read:jira-work offline_access", "token_type": "bearer", "obtained_at": 1764000000.5}, "pending":
{"token_hash": "pending-hash", "started_at": 1764000001.5, "owner": "host:123"}, "throttled_until":
1764000009.5, "dead": "dead-hash", "dead_reason": "answer_lost", "forced_at": 1764000000.75,
"taken_over": "taken-hash"}
"""

FILE_REQUIRED_FIELDS = """
{"key": {"issuer": "https://auth.atlassian.com", "client_id": "client", "account": "default",
"kind": "login"}, "version": 1, "generation": 0}
"""

FILE_NO_END = """
{"key": {"issuer": "https://auth.atlassian.com", "client_id": "client", "account": "default",
"kind": "login"}, "version": 1, "generation": 1, "token_set": {"access_token": "secret-access-1",
"refresh_token": "", "expires_at": null, "scope": "", "token_type": "Bearer", "obtained_at": 0.0}}
"""

FILE_AUTHORIZATIONS = """
{"key": {"issuer": "https://auth.atlassian.com", "client_id": "client", "account": "default",
"kind": "authorizations"}, "version": 1, "generation": 3, "authorizations": [{"state":
"secret-state-1", "code_verifier": "secret-verifier-1", "created": 1764000000.5, "scope": "WRITE"},
{"state": "secret-state-2", "code_verifier": "", "created": 0.0, "scope": ""}]}
"""

CONTEXT_EVERY_FIELD = """
{"token": "secret-access-7", "refresh_token": "secret-refresh-7", "valid_until": 1764003600.25,
"scopes": "read:jira-work offline_access", "atlassian_auth_adapter": {"version": 1, "owner":
"fb4c16e78550eae9a58551103306e889", "seen": "47ca023dc9947cab", "records":
{"fb4c16e78550eae9a58551103306e889": {"version": 1, "generation": 7, "token_set": {"access_token":
"", "refresh_token": "", "expires_at": 1764003600.25, "scope": "read:jira-work offline_access",
"token_type": "bearer", "obtained_at": 1764000000.5}, "pending": {"token_hash": "pending-hash",
"started_at": 1764000001.5, "owner": "host:123"}, "throttled_until": 1764000009.5, "dead":
"dead-hash", "dead_reason": "answer_lost", "forced_at": 1764000000.75, "taken_over":
"taken-hash"}}}}
"""

CONTEXT_REQUIRED_FIELDS = """
{"atlassian_auth_adapter": {"version": 1, "owner": "fb4c16e78550eae9a58551103306e889", "seen":
"5e253af543acda87", "records": {"fb4c16e78550eae9a58551103306e889": {"version": 1, "generation":
0}}}}
"""

CONTEXT_AUTHORIZATIONS = """
{"atlassian_auth_adapter": {"version": 1, "owner": "", "seen": "5e253af543acda87", "records":
{"94591923d7f5b8dc790f6d5481edb16e": {"version": 1, "generation": 3, "authorizations": [{"state":
"secret-state-1", "code_verifier": "secret-verifier-1", "created": 1764000000.5, "scope": "WRITE"},
{"state": "secret-state-2", "code_verifier": "", "created": 0.0, "scope": ""}]}}}}
"""

#: What an integration from before this package has left.
CONTEXT_LEGACY = """
{"token": "secret-access-7", "refresh_token": "secret-refresh-7", "valid_until": 1764003600.25,
"scopes": "read:jira-work offline_access"}
"""

ENCRYPTION_KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="

#: FILE_EVERY_FIELD, as the EncryptedTokenStore hands it to the inner store.
SEALED_EVERY_FIELD = (
    "02ba8954c3219f06.gAAAAABpJIEAaWlpaWlpaWlpaWlpaWlpad8HG8PpgW9SMtxDO0T4mmaJLEtARw2O6Rk4cwmeo"
    "gJt-gZmHqumd4NSeC-1qJrOpgEJQoiaW0NELYaI88pKz5aEe7CQ_yDWX5H0EfV4WAJNg-0-"
    "qa3cl3jry0oyFtUZAEjwb0F8S3Vj81QDdht7sVxablSlIATbtsaiFm0HrPFpN_StgHS_tShvruZDAvr51r1njip65j"
    "UrYjWfQY2dvlKh9ux92NoKZd_6l5NldjgyDcwM3oDRJAc9mpSYx2RYx_op-"
    "HKhf9YG8APIq_weS6EOXl4gadpqKnVCi8q6SI_nvYZyeY34xcW-gSi47xcwfRJqN-"
    "6xV2qP_r9EpZycIzURcJfLPrtlv43OcvPdVxxQ1T474FhgGm6F_GWO1Y_ovRstFRmGBlHO9IuwS5RcjHO7FLh_7UJQ"
    "jTJFy_SMI5RVcLHdvPcCTITc35PcaBx1Uusno7gwRjL0tctb4Op5y2YMhGCVkagWOckO57XDM6j0Be6FrQ4tgxVJux"
    "VG_rK5qHm4ADFOnLH8S5dlxKqi8rGgni8oU9Ntk-"
    "DGMSTSst90LU8UgJLXRSblj0iQj-Y9D77k-cN3vtpcDQ6Rb2l9Y_bxQhADZ71B39VOtMarQ-"
    "LsUvxeVL1H2kLYuKdWBYAMSXFMgX_VumkNvEmk5X1z4FnUrievWeALiQ10ZD7_Sm_uppyhqQD7HyPTV--"
    "kEuGpKqgQvUlSmaHmNcr7cOoY4yp-W33jhDa_zeOSpqv-cic2EySi68psyFCTAyKOwMgYufgs_Am3DwPLWCmyawRh2"
    "b2uSu8PeLZRroF9uaHmJzbfpsGTJPubll8IYLQzOrgUMw=="
)

EVERY_FIELD = Record(
    generation=7,
    token_set=TokenSet(
        access_token="secret-access-7",
        refresh_token="secret-refresh-7",
        expires_at=1764003600.25,
        scope="read:jira-work offline_access",
        token_type="bearer",
        obtained_at=1764000000.5,
    ),
    pending=Pending("pending-hash", 1764000001.5, "host:123"),
    throttled_until=1764000009.5,
    dead="dead-hash",
    dead_reason="answer_lost",
    forced_at=1764000000.75,
    taken_over="taken-hash",
)
REQUIRED_FIELDS = Record(
    generation=0,
    token_set=None,
    pending=None,
    throttled_until=0.0,
    dead="",
    dead_reason="refused",
    forced_at=0.0,
    taken_over="",
    authorizations=(),
)
NO_END = Record(1, TokenSet("secret-access-1", "", math.inf, "", "Bearer", 0.0))
STARTED = Record(
    3,
    authorizations=(
        AuthorizationRequest("secret-state-1", "secret-verifier-1", 1764000000.5, "WRITE"),
        AuthorizationRequest("secret-state-2", "", 0.0, ""),
    ),
)
LEGACY = Record(1, replace(EVERY_FIELD.token_set, token_type="Bearer", obtained_at=0.0))


class FilePlace:
    """A FileTokenStore on files with that text."""

    def __init__(self, path, text, key):
        self.store = FileTokenStore(path)
        digest = LOGIN_DIGEST if key == LOGIN else AUTHORIZATIONS_DIGEST
        self.file = path / f"{digest}.json"
        path.mkdir(mode=0o700)
        self.file.touch(0o600)
        self.file.write_text(text)

    @property
    def text(self):
        """What is kept now."""
        return self.file.read_text()


class ContextPlace:
    """A ContextTokenStore on that text."""

    def __init__(self, _path, text, _key):
        self.text = text
        self.store = ContextTokenStore(self.get, self.set)

    def get(self):
        """As `get_integration_context`."""
        return json.loads(self.text)

    def set(self, context):
        """As `set_integration_context`."""
        self.text = json.dumps(context)


class EncryptedPlace(FilePlace):
    """An EncryptedTokenStore over files whose inner record is sealed, as that text was."""

    def __init__(self, path, text, key):
        content = json.loads(text)
        outside = {"version": 1, "generation": content["generation"], "key": content["key"]}
        sealed = SEALED_EVERY_FIELD
        if text != FILE_EVERY_FIELD:
            key_id = SEALED_EVERY_FIELD.partition(".")[0]
            sealed = f"{key_id}.{Fernet(ENCRYPTION_KEY).encrypt(text.encode()).decode()}"
        token_set = json.loads(FILE_NO_END)["token_set"] | {"access_token": sealed}
        super().__init__(path, json.dumps(outside | {"token_set": token_set}), key)
        self.store = EncryptedTokenStore(self.store, ENCRYPTION_KEY)


frozen = pytest.mark.parametrize(
    ("place", "text", "key", "expected"),
    [
        (FilePlace, FILE_EVERY_FIELD, LOGIN, EVERY_FIELD),
        (FilePlace, FILE_REQUIRED_FIELDS, LOGIN, REQUIRED_FIELDS),
        (FilePlace, FILE_NO_END, LOGIN, NO_END),
        (FilePlace, FILE_AUTHORIZATIONS, AUTHORIZATIONS, STARTED),
        (ContextPlace, CONTEXT_EVERY_FIELD, LOGIN, EVERY_FIELD),
        (ContextPlace, CONTEXT_REQUIRED_FIELDS, LOGIN, REQUIRED_FIELDS),
        (ContextPlace, CONTEXT_AUTHORIZATIONS, AUTHORIZATIONS, STARTED),
        (ContextPlace, CONTEXT_LEGACY, LOGIN, LEGACY),
        (EncryptedPlace, FILE_EVERY_FIELD, LOGIN, EVERY_FIELD),
        (EncryptedPlace, FILE_REQUIRED_FIELDS, LOGIN, REQUIRED_FIELDS),
        (EncryptedPlace, FILE_AUTHORIZATIONS, AUTHORIZATIONS, STARTED),
    ],
    ids=[
        "file-every field",
        "file-required fields",
        "file-no end",
        "file-authorizations",
        "context-every field",
        "context-required fields",
        "context-authorizations",
        "context-legacy",
        "encrypted-every field",
        "encrypted-required fields",
        "encrypted-authorizations",
    ],
)


def parts_of(text):
    """Paths of the objects within the text that may have more fields in another release."""

    def walk(value, path=()):
        if isinstance(value, dict):
            if path and path[-1] not in ("key", "records"):
                yield path
            for name, inside in value.items():
                yield from walk(inside, (*path, name))
        elif isinstance(value, list):
            for number, inside in enumerate(value):
                yield from walk(inside, (*path, number))

    return [(), *walk(json.loads(text))]


def changed(text, path, fields):
    """The text with these fields in the object at that path."""
    content = part = json.loads(text)
    for name in path:
        part = part[name]
    part.update(fields)
    return json.dumps(content)


@frozen
class TestPreviousRelease:
    def test_what_it_has_stored_is_read(self, tmp_path, place, text, key, expected):
        """To the value of each field; what later releases have added has its default."""
        assert place(tmp_path / "logins", text, key).store.load(key) == expected

    def test_it_is_saved_upon(self, tmp_path, place, text, key, expected):
        """Compare-and-swap goes by the generation that was stored."""
        store = place(tmp_path / "logins", text, key).store
        with pytest.raises(TokenStoreError):
            store.save(key, expected, expected=None)
        newer = replace(expected, generation=expected.generation + 1)
        store.save(key, newer, expected=expected.generation)
        assert store.load(key) == newer

    def test_its_successors_fields_are_passed_over(self, tmp_path, place, text, key, expected):
        """A field that is not known, anywhere in a record of this version, hides no login."""
        for number, path in enumerate(parts_of(text)):
            more = changed(text, path, {"field of tomorrow": {"secret": [1, None]}})
            assert place(tmp_path / str(number), more, key).store.load(key) == expected


later = pytest.mark.parametrize(
    ("place", "text", "key", "path"),
    [
        (FilePlace, FILE_EVERY_FIELD, LOGIN, ()),
        (FilePlace, FILE_AUTHORIZATIONS, AUTHORIZATIONS, ()),
        (ContextPlace, CONTEXT_EVERY_FIELD, LOGIN, ("atlassian_auth_adapter",)),
        (
            ContextPlace,
            CONTEXT_EVERY_FIELD,
            LOGIN,
            ("atlassian_auth_adapter", "records", LOGIN_DIGEST),
        ),
        (
            ContextPlace,
            CONTEXT_AUTHORIZATIONS,
            AUTHORIZATIONS,
            ("atlassian_auth_adapter", "records", AUTHORIZATIONS_DIGEST),
        ),
        (EncryptedPlace, FILE_EVERY_FIELD, LOGIN, ()),
    ],
    ids=["file", "file-authorizations", "context", "record", "context-authorizations", "sealed"],
)


@later
def test_a_later_release_is_not_guessed_at(tmp_path, place, text, key, path):
    """What a later schema has written is refused, whatever it looks like, and kept to the byte."""
    tomorrow = {"version": SCHEMA_VERSION + 1, "token_set": [], "pending": 5}
    here = place(tmp_path / "logins", changed(text, path, tomorrow), key)
    before, store = here.text, here.store
    for attempt in (
        lambda: store.load(key),
        lambda: store.save(key, EVERY_FIELD, expected=7),
        lambda: store.save(key, EVERY_FIELD, expected=3),
        lambda: store.save(key, EVERY_FIELD, expected=None),
    ):
        with pytest.raises(TokenStoreError, match="Upgrade atlassian-auth-adapter") as raised:
            attempt()
        assert type(raised.value) is TokenStoreError
        assert_no_secret(raised.value)
        assert here.text == before


def test_the_first_field_that_is_read_is_the_version():
    """Even of a record in which nothing else is as today."""
    with pytest.raises(TokenStoreError, match="Upgrade"):
        Record.from_json({"version": SCHEMA_VERSION + 1})
