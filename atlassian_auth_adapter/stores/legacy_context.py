"""The dictionary of ContextTokenStore, which integrations from before this package read as well.

They keep one login in four top-level keys. It stays there, so that people need not sign in again,
and the old integration can still read it:

    {
        "token": "<access token>",
        "refresh_token": "<refresh token>",
        "valid_until": 1764000000.0,                        POSIX timestamp, seconds
        "scopes": "read:jira-work offline_access",          separated by spaces
        "atlassian_auth_adapter": {
            "schema": 2,
            "owner": "<name of the login whose tokens stand above>",
            "seen": "<hash of the two tokens when we wrote them>",
            "entries": {"<name>": {"version": 3, "text": "<what was saved>"}}
        }
    }

An authorization that an old integration has started is in two more keys, which stay until it is
completed, or another one is started here:

    {"oauth_state": "<state>", "code_verifier": "<of PKCE, on Data Center>"}

In the owner's text the two tokens are "". This module knows only one thing about texts: that of a
login is a JSON object that may have a "token_set", as `records.write` writes it.

Source of the four keys: Packs/Jira/Integrations/JiraV3/JiraV3.py of github.com/demisto/content,
`oauth2_retrieve_access_token`, read 2026-11-22; of the other two: AtlassianApiModule.py in
Packs/ApiModules there, `oauth_start`, read 2026-11-27.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atlassian_auth_adapter.errors import TokenStoreError
from atlassian_auth_adapter.stores.base import KEPT, Entry

__all__ = ["OURS", "ContextDictionary"]

#: The key of this package in the dictionary.
OURS = "atlassian_auth_adapter"

#: Version of its value, and of the logins that are made from another program's tokens.
_SCHEMA = 2

#: The keys of the integrations from before this package.
_LEGACY = ("token", "refresh_token", "valid_until", "scopes")
_LEGACY_START = ("oauth_state", "code_verifier")
_STARTS = ".authorizations"  # the end of the names of started authorizations

#: `valid_until` of a token without an end, POSIX seconds: the end of the year 9999.
_FOREVER = 253402300799

_START_OVER = (
    f"Remove the key {OURS!r} to start over; the login in 'token' and 'refresh_token' stays."
)


@dataclass(frozen=True, slots=True)
class ContextDictionary:
    """The dictionary, parsed. It is never changed.

    Attributes:
        everything: The dictionary itself.
        owner: Name of the login whose tokens the four keys hold; "": every login may use them.
        seen: Hash of the two tokens when we wrote them.
        entries: What was saved, by name.
    """

    everything: Mapping[str, Any] = field(repr=False)
    owner: str
    seen: str
    entries: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, everything: Mapping[str, Any]) -> ContextDictionary:
        """Parse a dictionary.

        Raises:
            TokenStoreError: This package's key is damaged, or was written by another release.
        """
        match everything.get(OURS, {"schema": _SCHEMA, "entries": {}}):
            case {"schema": int(schema)} if schema > _SCHEMA:
                raise TokenStoreError(
                    f"the context's key {OURS!r} was written by a later release (schema {schema}, "
                    f"this one reads {_SCHEMA}). Upgrade atlassian-auth-adapter here; nothing was "
                    "changed."
                )
            case {"schema": 2, "entries": Mapping() as entries, **rest}:
                owner, seen = str(rest.get("owner", "")), str(rest.get("seen", ""))
                return cls(everything, owner, seen or _hash("", ""), entries)
            case {"version": 1}:
                raise TokenStoreError(
                    f"the context's key {OURS!r} was written by an earlier release, in a form that "
                    f"this one does not read. {_START_OVER}"
                )
        raise TokenStoreError(
            f"the context's key {OURS!r} is damaged. It was kept as it is. {_START_OVER}"
        )

    def entry(self, name: str) -> Entry | None:
        """What is stored under a name, or None.

        New tokens that another program has written into the four keys are a new version.

        Raises:
            TokenStoreError: It is damaged.
        """
        stored = self._stored(name)
        if start := self._legacy_start(name):
            text = json.dumps({"schema": _SCHEMA, "key": name, "requests": [start]})
            return Entry(text, (stored.version if stored else 0) + 1)
        if not self._may_use_legacy_keys(name):
            return stored
        token, refresh_token = _tokens(self.everything)
        if _hash(token, refresh_token) != self.seen:
            version = (stored.version if stored else 0) + 1
            return Entry(_adopted(name, self.everything, stored), version)
        return stored and Entry(_with_tokens(stored.text, token, refresh_token), stored.version)

    def with_entry(self, name: str, entry: Entry | None) -> dict[str, Any]:
        """The dictionary with this entry, or without one."""
        changed = {key: value for key, value in self.everything.items() if key != OURS}
        owner, seen = self.owner, self.seen
        entries = {key: value for key, value in self.entries.items() if key != name}
        text = entry.text if entry else ""
        if start := self._legacy_start(name):
            text, waits = _without_start(text, start)
            if not waits:  # it was completed
                changed = {key: value for key, value in changed.items() if key not in _LEGACY_START}
        if self._may_use_legacy_keys(name):
            changed = {key: value for key, value in changed.items() if key not in _LEGACY}
            changed |= _legacy(text)
            seen, text = _hash(*_tokens(changed)), _with_tokens(text, "", "")
            owner = name if entry else owner
        if entry:
            entries[name] = {"version": entry.version, "text": str(text)}
        if entries or owner:
            ours = {"schema": _SCHEMA, "owner": owner, "seen": seen, "entries": entries}
            changed[OURS] = ours
        return changed

    def _may_use_legacy_keys(self, name: str) -> bool:
        """Whether this is the name of the login that the four keys belong to, or may belong to."""
        is_login = "." not in name  # all other names end with a kind
        return is_login and self.owner in ("", name)

    def _legacy_start(self, name: str) -> dict[str, Any] | None:
        """The authorization that an old integration has started, unless one was started here.

        Its start is not known: it may be completed as long as it is there.
        """
        login, _, kind = name.partition(".")
        state, verifier = (self.everything.get(key) or "" for key in _LEGACY_START)
        is_text = isinstance(state, str) and isinstance(verifier, str)
        if f".{kind}" != _STARTS or not self._may_use_legacy_keys(login) or not is_text:
            return None
        match self.entries.get(name):
            case {"text": str(text)} if _login(text).get("requests"):
                return None
        if not (state or verifier):
            return None
        start = {"state": state, "code_verifier": verifier, "created": None}
        return {key: value for key, value in start.items() if key != "code_verifier" or value}

    def _stored(self, name: str) -> Entry | None:
        match self.entries.get(name):
            case None if name not in self.entries:
                return None
            case {"version": int(version), "text": str(text)} if version > 0:
                return Entry(text, version)
        raise TokenStoreError(f"the entry {name} in the context is damaged. {KEPT}")


def _tokens(context: Mapping[str, Any]) -> tuple[str, str]:
    return str(context.get("token") or ""), str(context.get("refresh_token") or "")


def _hash(token: str, refresh_token: str) -> str:
    return hashlib.sha256(json.dumps([token, refresh_token]).encode()).hexdigest()[:16]


def _login(text: str) -> dict[str, Any]:
    """The login that a text holds; empty unless `json.dumps` of it gives the same text again."""
    try:
        login: Any = json.loads(text)
        is_exact = json.dumps(login) == text
    except (ValueError, RecursionError):
        return {}
    return login if is_exact and isinstance(login, dict) else {}


def _token_set(login: dict[str, Any]) -> dict[str, Any] | None:
    """A login's token set, or None without one whose tokens are strings."""
    token_set = login.get("token_set")
    if not isinstance(token_set, dict):
        return None
    tokens = (token_set.get("access_token", ""), token_set.get("refresh_token", ""))
    return token_set if all(isinstance(token, str) for token in tokens) else None


def _with_tokens(text: str, token: str, refresh_token: str) -> str:
    """A login's text with these tokens in place of its own; any other text as it is."""
    login = _login(text)
    token_set = _token_set(login)
    if token_set is None:
        return text
    tokens = {"access_token": token, "refresh_token": refresh_token}
    whole = {name: tokens.get(name, value) for name, value in token_set.items()}
    return json.dumps(login | {"token_set": whole})


def _without_start(text: str, start: dict[str, Any]) -> tuple[str, bool]:
    """The text of started authorizations without that one, and whether it was among them."""
    record = _login(text)
    requests = record.get("requests", [])
    if start not in requests:
        return text, False
    others = [request for request in requests if request != start]
    return json.dumps(record | {"requests": others}), True


def _legacy(text: str) -> dict[str, Any]:
    """The four keys as an old integration writes a login; empty for any other text."""
    token_set = _token_set(_login(text))
    if token_set is None:
        return {}
    expires_at, scope = token_set.get("expires_at"), token_set.get("scope")
    return {
        "token": token_set.get("access_token", ""),
        "refresh_token": token_set.get("refresh_token", ""),
        "valid_until": _FOREVER if expires_at is None else min(_seconds(expires_at), _FOREVER),
        "scopes": scope if isinstance(scope, str) else "",
    }


def _adopted(name: str, context: Mapping[str, Any], before: Entry | None) -> str:
    """The text of a login that is made from another program's tokens.

    Of the former login, only the generation, `throttled_until` and where tokens go are used.
    """
    former = _login(before.text) if before else {}
    generation = former.get("generation")
    login: dict[str, Any] = {
        "schema": _SCHEMA,
        "key": name,
        "generation": (generation if isinstance(generation, int) else 0) + 1,
    }
    token, refresh_token = _tokens(context)
    if token or refresh_token:
        scopes = context.get("scopes")
        if isinstance(scopes, list | tuple):
            scopes = " ".join(map(str, scopes))
        login["token_set"] = {
            "access_token": token,
            "refresh_token": refresh_token,
            # Without a known end, the token counts as expired: refresh before the first use.
            "expires_at": _seconds(context.get("valid_until")) if token else 0.0,
            "scope": " ".join(scopes.split()) if isinstance(scopes, str) else "",
        }
    if isinstance(resource_server := former.get("resource_server"), str):
        login["resource_server"] = resource_server
    if throttled_until := _seconds(former.get("throttled_until")):
        login["throttled_until"] = throttled_until
    return json.dumps(login)


def _seconds(value: Any) -> float:
    """A number of seconds; 0.0 for any other value."""
    try:
        seconds = float(value)
    except (ArithmeticError, TypeError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0
