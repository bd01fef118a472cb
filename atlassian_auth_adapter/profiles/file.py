"""The file of profiles, `profiles.toml`: a table for each profile. The one door to tomlkit.

    [work]
    client_id = "abc"
    site_url = "https://acme.atlassian.net"
    callback_url = "http://localhost:8080/callback"
    store = "keyring"

It is in the configuration directory of the platform, or in that of `ATLASSIAN_CONFIG_DIR`. It holds
no secret, so a person may write it by hand and keep it with other dotfiles. Client secrets and
logins are kept where the profile's `store` says, in files that only this user can read ("file"), or
in files that are encrypted as well, with a key from the keyring ("keyring"): in the data
directory of the platform, or in that of `ATLASSIAN_TOKEN_DIRECTORY`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from atlassian_auth_adapter.atlassian.products import CloudEnvironment
from atlassian_auth_adapter.clients.environment import text_of
from atlassian_auth_adapter.disk.files import (
    check_trusted,
    make_directory,
    read_file,
    replace_file,
    typed,
)
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    TokenStoreError,
    optional_import,
    raise_clean,
    without_frames,
)
from atlassian_auth_adapter.foreign_text import printable
from atlassian_auth_adapter.profiles.directories import CONFIG_DIR, config_file, data_directory
from atlassian_auth_adapter.profiles.profile import DEFAULTS, Profile, non_default
from atlassian_auth_adapter.profiles.stores import choose_store

__all__ = [
    "chosen_name",
    "delete_profile",
    "load_profile",
    "profile_names",
    "profiles",
    "save_profile",
]

#: Seconds to wait for another process that changes the profiles.
LOCK_TIMEOUT = 10.0
_ELSEWHERE = f"Or set {CONFIG_DIR} to another directory."


# --- reading --------------------------------------------------------------------------------------


def load_profile(name: str = "") -> Profile:
    """The profile of that name, as the file has it.

    Args:
        name: Which one; "": as in `chosen_name`. When there are no profiles, and
            `ATLASSIAN_CLIENT_ID` is set, an empty one.

    Raises:
        ConfigurationError: There is no such profile (the text lists the known ones), or it or the
            file is wrong. What is wrong in another profile does not matter.
    """
    file = config_file()
    known = _tables_in(_text_of(file), file)
    chosen = chosen_name(name, known)
    if chosen in known:
        return _profile_in(file, chosen, known[chosen])
    is_named = name or text_of("ATLASSIAN_PROFILE")
    if not known and not is_named and text_of("ATLASSIAN_CLIENT_ID"):
        return Profile()
    raise _unknown(known)


def chosen_name(name: str, known: Collection[str]) -> str:
    """That name; if it is "", that of `ATLASSIAN_PROFILE`, or the only known one, or "default"."""
    only = next(iter(known)) if len(known) == 1 else "default"
    return name or text_of("ATLASSIAN_PROFILE") or only


def _unknown(known: Iterable[str]) -> ConfigurationError:
    file = config_file()
    text = f"there is no profile yet: {file} has none."
    advice = "Make one: atlassian-auth login. Or set ATLASSIAN_CLIENT_ID."
    if names := ", ".join(known):
        text = f"no profile of that name in {file}. Known: {names}."
        advice = "Choose one with ATLASSIAN_PROFILE, or with the option --profile of the command."
    return ConfigurationError(text, advice=advice, file=str(file))


def profile_names() -> list[str]:
    """The names of all profiles, in the order of the file, whether they are right or not.

    Raises:
        ConfigurationError: The file is wrong as a whole.
    """
    file = config_file()
    return [*_tables_in(_text_of(file), file)]


def profiles() -> dict[str, Profile]:
    """All profiles by their names, in the order of the file.

    Raises:
        ConfigurationError: The file is wrong, or another user could have written it; the text names
            file, profile and key.
    """
    file = config_file()
    return _profiles_in(_text_of(file), file)


def _text_of(file: Path) -> str:
    try:
        with typed("read", file):
            data = read_file(file, check_trusted)
            if data is None:
                return ""
            check_trusted(file.parent, file.parent.stat())
        return data.decode("utf-8-sig")
    except TokenStoreError as error:
        raise_clean(ConfigurationError(f"{error} {_ELSEWHERE}"))
    except UnicodeDecodeError:
        raise_clean(ConfigurationError(f"{file} is not UTF-8: save it in that encoding."))


def _profiles_in(text: str, file: Path) -> dict[str, Profile]:
    tables = _tables_in(text, file)
    return {name: _profile_in(file, name, table) for name, table in tables.items()}


def _tables_in(text: str, file: Path) -> dict[str, dict[str, Any]]:
    """The table of each profile, whose keys were not looked at."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # The parser's error may hold the text. Source: Python 3.14, TOMLDecodeError.doc.
        raise_clean(ConfigurationError(f"{file}: {error}", file=str(file)))
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigurationError(
                f"{file}: {printable(name)}: it is outside of a profile: put it below a [name].",
                file=str(file),
            )
    return tables


def _profile_in(file: Path, name: str, table: dict[str, Any]) -> Profile:
    try:
        return _profile(name, table)
    except ConfigurationError as error:
        where = f"{file}: {printable(name)}"
        raise_clean(ConfigurationError(f"{where}: {error}", file=str(file)))


def _profile(name: str, table: dict[str, Any]) -> Profile:
    if unknown := table.keys() - DEFAULTS.keys() | table.keys() & {"name"}:
        raise _unknown_key(min(unknown))
    values = dict(table)
    for key in ("scopes", "gateway_paths"):
        if isinstance(several := values.get(key), list | str):
            values[key] = tuple(several.split() if isinstance(several, str) else several)
    if isinstance(cloud := values.get("cloud"), dict):
        with suppress(TypeError):  # a key too many or too few: Profile refuses the table itself
            values["cloud"] = CloudEnvironment(**{"audience": "", **cloud})
    return Profile(name, **values)


def _unknown_key(key: str) -> ConfigurationError:
    advice = f"Known: {', '.join(key for key in DEFAULTS if key != 'name')}."
    if "secret" in key:
        advice = (
            "This file is not for secrets: remove it, and run atlassian-auth login, or set "
            "ATLASSIAN_CLIENT_SECRET."
        )
    shown = f" {key!r}" if re.fullmatch("[a-z_]{1,30}", key) else ""  # what looks like a key
    return ConfigurationError(f"unknown key{shown}. {advice}")


# --- writing --------------------------------------------------------------------------------------


@without_frames
def save_profile(profile: Profile, secret: str = "") -> Profile:
    """The profile is in the file, and the client secret in its store. May block on the store.

    What else people wrote into the file, comments and order, stays. A new secret replaces the one
    before, also where another store holds it.

    Args:
        profile: What to save; without a store, one is chosen.
        secret: The client secret; "": the stored one stays.

    Returns:
        The profile, with its store.

    Raises:
        ConfigurationError: The file cannot be read or written, the secret is malformed, or no store
            works.
        TokenStoreError: The secret cannot be saved.
    """
    from atlassian_auth_adapter.profiles.secrets import drop_secret, keep_secret

    profile = profile._replace(store=profile.store or choose_store())
    if secret:
        keep_secret(profile, secret)
    before, after = _change(profile.name, profile)
    if secret and profile.name in before:
        with suppress(AtlassianAuthError):  # the old store may be the one that does not work
            drop_secret(before[profile.name], after.values())
    return profile


def delete_profile(name: str) -> None:
    """The profile is gone, and its client secret unless another profile needs it.

    The login stays: call `client.revoke()` or `client.forget()` before.

    Raises:
        ConfigurationError: There is no such profile, or the file cannot be written.
        TokenStoreError: The secret cannot be deleted; the profile is still there.
    """
    from atlassian_auth_adapter.profiles.secrets import drop_secret

    known = profiles()
    if name not in known:
        raise _unknown(known)
    drop_secret(known.pop(name), known.values())
    _change(name, None)


def _change(name: str, profile: Profile | None) -> tuple[dict[str, Profile], dict[str, Profile]]:
    """Save or delete (None) a profile, one process after the other; all profiles before and after.

    Raises:
        ConfigurationError: The file cannot be read, changed or written.
    """
    from atlassian_auth_adapter.disk.kernel_locks import kernel_lock  # reading needs none

    with kernel_lock(data_directory(), "profiles", LOCK_TIMEOUT):
        file = config_file()
        text = _text_of(file)
        before = _profiles_in(text, file)
        after = {key: kept for key, kept in {**before, name: profile}.items() if kept}
        rewritten = _rewritten(text, name, profile)
        if _profiles_in(rewritten, file) != after:
            raise ConfigurationError(f"{file} cannot be changed by this program: edit it by hand.")
        _write(file, rewritten)
    return before, after


def _write(file: Path, text: str) -> None:
    try:
        with typed("write", file):
            make_directory(file.parent)
            check_trusted(file.parent, file.parent.stat())
            replace_file(file, text.encode())
    except TokenStoreError as error:
        raise_clean(ConfigurationError(f"{error} {_ELSEWHERE}"))


def _rewritten(text: str, name: str, profile: Profile | None) -> str:
    """The text with that profile, or without it (None); all else stays as people wrote it."""
    with optional_import("tomlkit", "cli"):
        import tomlkit
    document = tomlkit.parse(text)
    table: Any = document.setdefault(name, {})
    body, comments = _split_comments(table)
    if profile is None:
        place = [key and key.key for key, _ in document.body].index(name)
        document.remove(name)
        document.body[place : place + 1] = comments
    else:
        _set_keys(table, profile)
        body.extend(comments)
    return tomlkit.dumps(document)


def _split_comments(table: Any) -> tuple[list[Any], list[Any]]:
    """Take the comments below the last key off a table, since they may be about what follows it.

    Returns:
        The body that they were taken from, and the comments.
    """
    from tomlkit.items import Table

    last = table
    while children := [item for item in last.values() if isinstance(item, Table)]:
        last = children[-1]
    body, comments = getattr(last.value, "body", []), list[Any]()  # a table in pieces has no body
    while body and body[-1][0] is None:
        comments.insert(0, body.pop())
    return body, comments


def _set_keys(table: Any, profile: Profile) -> None:
    """The table says what the profile says; what is equal keeps its spelling."""
    values = {key: _toml_value(value) for key, value in non_default(profile).items()}
    for key in [*table]:
        if key not in values and table[key] != _toml_value(DEFAULTS[key]):
            del table[key]
    for key, value in values.items():
        if table.get(key) != value:
            table[key] = value


def _toml_value(value: Any) -> Any:
    if isinstance(value, CloudEnvironment):
        return {host: url for host, url in value._asdict().items() if url}
    return list(value) if isinstance(value, tuple) else value
