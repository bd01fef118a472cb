"""Profiles: what a person sets up once, so that scripts need no secret in their source.

    [work]
    client_id = "abc"
    site_url = "https://acme.atlassian.net"
    callback_url = "http://127.0.0.1:8765/callback"
    store = "keyring"

They are the tables of `profiles.toml` in the configuration directory of the platform, or in that of
`ATLASSIAN_CONFIG_DIR`. The file holds no secret, so a person may write it by hand and keep it with
other dotfiles. Client secrets and logins are kept where the profile's `store` says, in files that
only this user can read ("file"), or in files that are sealed with a key from the keyring as well
("keyring"): in the data directory of the platform, or in that of `ATLASSIAN_TOKEN_DIRECTORY`.

A client whose token is valid loads neither keyring nor HTTP library, unless that is its store.
"""

from __future__ import annotations

import os
import threading
import time
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

try:
    import platformdirs
except ImportError as error:
    from atlassian_auth_adapter.errors import MissingExtraError

    raise MissingExtraError(
        "platformdirs is not installed: pip install 'atlassian-auth-adapter[cli]'"
    ) from error

from atlassian_auth_adapter.atlassian.products import (
    BITBUCKET_CLOUD,
    COMMERCIAL,
    CloudEnvironment,
    cloud_named,
    product_named,
)
from atlassian_auth_adapter.clients.environment import (
    PLACE_ARGUMENTS,
    arguments_from_env,
    client_secret_from_env,
    has_client_secret,
)
from atlassian_auth_adapter.disk.files import (
    check_trusted,
    directory_path,
    make_directory,
    read_file,
    replace_file,
    typed,
)
from atlassian_auth_adapter.errors import (
    AtlassianAuthError,
    ConfigurationError,
    TokenStoreError,
    without_frames,
)
from atlassian_auth_adapter.expiry import ExpiryPolicy, Freshness
from atlassian_auth_adapter.pickling import PickledByName
from atlassian_auth_adapter.records import (
    ClientSecret,
    Login,
    TokenKey,
    change,
    load as load_record,
)
from atlassian_auth_adapter.stores.base import Entry, TokenStore
from atlassian_auth_adapter.stores.file import FileTokenStore
from atlassian_auth_adapter.tokens import TokenSet

if TYPE_CHECKING:  # a token that is valid is handed out without them
    from atlassian_auth_adapter.clients.base import AtlassianClient
    from atlassian_auth_adapter.transport import Proxy

__all__ = [
    "Profile",
    "StoreName",
    "choose_store",
    "client_from_profile",
    "client_secret_of",
    "config_file",
    "delete_profile",
    "load_profile",
    "profiles",
    "save_profile",
    "stored_token_set",
]

StoreName = Literal["keyring", "file"]
Flow = Literal["authorization_code", "client_credentials"]

CONFIG_DIR, TOKEN_DIRECTORY = "ATLASSIAN_CONFIG_DIR", "ATLASSIAN_TOKEN_DIRECTORY"
_APP = "atlassian_auth_adapter"

#: Seconds that a person has to unlock the keyring when it is tried before a login.
_UNLOCKING = 30.0
#: Seconds to wait for others who change the profiles or try the store.
_OTHERS = 10.0
#: Characters, as many as a login may have: a disk may have room for less.
_PROBE = 10_000


@dataclass(frozen=True, slots=True)
class Profile:
    """A client as a person has set it up. It holds no secret.

    Attributes:
        name: Of the profile.
        client_id, product, cloud_id, site_url, server_url, callback_url, verify, proxy, max_wait:
            As in `create_atlassian_oauth_client`.
        scopes: What to ask for; none: the product's defaults.
        account: Names the login within the store; "": as the profile, so that two profiles of one
            client have a login each.
        cloud: Name of a Cloud, such as "us-gov-moderate", or the hosts of an emulator; "": the
            commercial one.
        store: Where the login and the client secret are kept; "": not chosen yet.
        flow: "authorization_code" when a person logs in, "client_credentials" for a service
            account. Source: RFC 6749 sections 4.1 and 4.4.

    Raises:
        ConfigurationError: A value is not what it should be; the text begins with its name.
    """

    name: str = "default"
    client_id: str = ""
    product: str = "jira"
    cloud_id: str = ""
    site_url: str = ""
    server_url: str = ""
    callback_url: str = ""
    scopes: tuple[str, ...] = ()
    account: str = ""
    cloud: str | CloudEnvironment = ""
    verify: bool | str = True
    proxy: Proxy = field(default=None, repr=False)
    store: Literal["", StoreName] = ""
    flow: Flow = "authorization_code"
    max_wait: float = 30.0

    def __post_init__(self) -> None:
        for key in _DEFAULTS:
            value, kinds = getattr(self, key), _KINDS.get(key, str)
            if not isinstance(value, kinds) or not all(map(_is_line, _texts(value))):
                raise ConfigurationError(f"{key}: {_EXPECTED.get(key, 'a text on one line')}.")
        if not self.name:
            raise ConfigurationError("name: a profile has one.")
        product_named(self.product)
        _hosts(self.cloud)
        if self.store not in ("", *get_args(StoreName)):
            raise ConfigurationError('store: "keyring" or "file".')
        if self.flow not in get_args(Flow):
            raise ConfigurationError('flow: "authorization_code" or "client_credentials".')
        if any("@" in text for text in _texts(self.proxy)):
            raise ConfigurationError("proxy: a profile keeps no password. Set ATLASSIAN_PROXY.")
        if isinstance(self.max_wait, bool) or not 0 < self.max_wait < threading.TIMEOUT_MAX:
            raise ConfigurationError(f"max_wait: {_EXPECTED['max_wait']}.")

    def arguments(self) -> dict[str, Any]:
        """What it says of a client, by the names of `create_atlassian_oauth_client`."""
        said = {key: value for key, value in _said(self) if key not in ("store", "flow")}
        if self.cloud:
            said["cloud"] = _hosts(self.cloud)
        return said | {"account": self.account or self.name}


_DEFAULTS = {item.name: item.default for item in fields(Profile)}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "scopes": tuple,
    "cloud": (str, CloudEnvironment),
    "verify": (bool, str),
    "proxy": (bool, str, Mapping, type(None)),
    "max_wait": (int, float),
}
_EXPECTED = {
    "scopes": "a list of scopes, or scopes with spaces between them",
    "cloud": 'a name, such as "commercial", or a table with auth_url, api_url and perhaps '
    "audience, resources_url",
    "verify": "true, false, or the path of a CA bundle",
    "proxy": "a URL, true (the environment's), false (none), or a table of scheme and URL",
    "max_wait": "a positive number of seconds",
}


def _said(profile: Profile) -> list[tuple[str, Any]]:
    """Keys and values that are not the default, without the name."""
    pairs = ((key, getattr(profile, key)) for key in _DEFAULTS if key != "name")
    return [(key, value) for key, value in pairs if value != _DEFAULTS[key]]


def _texts(value: object) -> Iterable[Any]:
    match value:
        case str():
            return (value,)
        case tuple():
            return value
        case Mapping():
            return (*value, *value.values())
        case CloudEnvironment():
            return asdict(value).values()
    return ()


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text.isprintable()


def _hosts(cloud: str | CloudEnvironment) -> CloudEnvironment | None:
    return (cloud_named(cloud) if cloud else None) if isinstance(cloud, str) else cloud


# --- reading --------------------------------------------------------------------------------------


def client_from_profile(name: str = "", **arguments: Any) -> AtlassianClient:
    """The client that a profile describes. No request; its login is in the store.

    Variables of the environment (`clients.environment.VARIABLES`, `ATLASSIAN_CLIENT_SECRET` and
    `ATLASSIAN_CLIENT_SECRET_FILE`) win over the profile. Who names one of cloud_id, site_url and
    server_url names another place: the others do not come from below. The client secret is fetched
    when it is needed.

    Args:
        name: Which profile; "": as in `load_profile`.
        arguments: Arguments of `create_atlassian_oauth_client`; they win over both.

    Raises:
        ConfigurationError: There is no such profile, or it does not describe a client; the text
            says what to change.
        TokenStoreError: The keyring does not answer.
    """
    profile, found = _described(name, arguments)
    found.setdefault("client_secret", _StoredSecret(profile.store, _key_of_secret(found)))
    if profile.flow == "client_credentials":
        from atlassian_auth_adapter.clients.service_account import AtlassianServiceAccountClient

        found.pop("callback_url", None)
        return AtlassianServiceAccountClient(**found)
    from atlassian_auth_adapter.clients.factory import create_atlassian_oauth_client

    return create_atlassian_oauth_client(**found)


def stored_token_set(name: str = "") -> TokenSet | None:
    """The token set of the profile's login as it is stored, if it is far from its end; else None.

    For programs that run for a moment: it takes no client, and none of its libraries. After None,
    ask a client.

    Raises:
        ConfigurationError, TokenStoreError: As `client_from_profile`.
    """
    profile, found = _described(name, {})
    if profile.flow != "authorization_code":
        return None
    # Where a client would look under another key, nothing is found here.
    key = TokenKey(_issuer_of(found), found["client_id"], found["account"])
    login, _ = load_record(found["store"], key, Login)
    token_set = login.token_set if login and not login.dead else None
    if token_set is None:
        return None
    remaining = token_set.expires_at - time.time()
    is_sane = remaining <= token_set.lifetime  # else some clock was wrong
    is_fresh = ExpiryPolicy().freshness(token_set, remaining) is Freshness.FRESH
    return token_set if is_sane and is_fresh else None


def _described(name: str, arguments: Mapping[str, Any]) -> tuple[Profile, dict[str, Any]]:
    """A profile, and the arguments of its client but for the secret."""
    profile = load_profile(name)
    found = _over(_over(profile.arguments(), arguments_from_env(arguments)), arguments)
    if not found.get("client_id"):
        raise ConfigurationError(
            f"profile {profile.name!r} in {config_file()} has no client_id. Add it, or set "
            "ATLASSIAN_CLIENT_ID."
        )
    if "store" not in found:
        if not profile.store:
            raise ConfigurationError(
                f"profile {profile.name!r} in {config_file()} does not say where logins are kept. "
                f'Run: atlassian-auth login, or write store = "keyring" or "file".'
            )
        found["store"] = _opened(profile.store)
    return profile, found


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    void = PLACE_ARGUMENTS if PLACE_ARGUMENTS & above.keys() else frozenset()
    return {key: value for key, value in below.items() if key not in void} | dict(above)


def load_profile(name: str = "") -> Profile:
    """The profile of that name, as its file has it.

    Args:
        name: Which one; "": that of `ATLASSIAN_PROFILE`, or the only one, or "default". When there
            is none at all, and `ATLASSIAN_CLIENT_ID` is set, an empty one.

    Raises:
        ConfigurationError: There is none, which lists the known ones, or the file is wrong.
    """
    known = profiles()
    named = name or os.environ.get("ATLASSIAN_PROFILE", "")
    wanted = named or (next(iter(known)) if len(known) == 1 else "default")
    if wanted in known:
        return known[wanted]
    if not known and not named and os.environ.get("ATLASSIAN_CLIENT_ID"):
        return Profile()
    raise _unknown(wanted, known)


def _unknown(name: str, known: Iterable[str]) -> ConfigurationError:
    advice = "There is none yet: run atlassian-auth login, or set ATLASSIAN_CLIENT_ID."
    if names := ", ".join(known):
        advice = f"Known: {names}. Choose one with --profile or ATLASSIAN_PROFILE."
    return ConfigurationError(f"no profile {name!r} in {config_file()}. {advice}")


def profiles() -> dict[str, Profile]:
    """All profiles by their names, in the order of the file.

    Raises:
        ConfigurationError: The file is wrong, or others could have written it; the text names file,
            profile and key.
    """
    file = config_file()
    return _profiles_in(_text_of(file), file)


def config_file() -> Path:
    """Where the profiles are: the file itself, behind all links.

    Raises:
        ConfigurationError: `ATLASSIAN_CONFIG_DIR` cannot be a directory.
    """
    directory = os.environ.get(CONFIG_DIR) or platformdirs.user_config_path(_APP, False)
    return (directory_path(directory, f"{CONFIG_DIR} names one.") / "profiles.toml").resolve()


def _text_of(file: Path) -> str:
    try:
        with typed("read", file):
            data = read_file(file, check_trusted)
            if data is None:
                return ""
            check_trusted(file.parent, file.parent.stat())
        return data.decode("utf-8-sig")
    except TokenStoreError as error:
        wrong = str(error)
    except UnicodeDecodeError:
        wrong = f"{file} is not UTF-8: save it as that."
    raise ConfigurationError(f"{wrong} {CONFIG_DIR} may name another directory.")


def _profiles_in(text: str, file: Path) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    where = str(file)
    try:
        for name, table in tomllib.loads(text).items():
            where = f"{file}: {name}"
            found[name] = _profile(name, table)
    except (ConfigurationError, tomllib.TOMLDecodeError, RecursionError) as error:
        wrong = str(error)
    else:
        return found
    # Out here, since the parser's error may hold what it parsed. Source: Python 3.14.
    raise ConfigurationError(f"{where}: {wrong}")


def _profile(name: str, table: Any) -> Profile:
    if not isinstance(table, dict):
        raise ConfigurationError("it stands outside of a profile: put it below a [name].")
    if unknown := table.keys() - _DEFAULTS.keys() | table.keys() & {"name"}:
        key = min(unknown)
        advice = f"Known: {', '.join(list(_DEFAULTS)[1:])}."
        if "secret" in key:
            advice = (
                "Secrets are not for this file: remove it, and run atlassian-auth login, or set "
                "ATLASSIAN_CLIENT_SECRET."
            )
        raise ConfigurationError(f"unknown key {key!r}. {advice}")
    values = dict(table)
    scopes = values.get("scopes", ())
    if isinstance(scopes, list | str):
        values["scopes"] = tuple(scopes.split() if isinstance(scopes, str) else scopes)
    if isinstance(cloud := values.get("cloud"), dict):
        try:
            values["cloud"] = CloudEnvironment(**{"audience": "", **cloud})
        except TypeError:
            raise ConfigurationError(f"cloud: {_EXPECTED['cloud']}.") from None
    return Profile(name, **values)


# --- writing --------------------------------------------------------------------------------------


@without_frames
def save_profile(profile: Profile, secret: str = "") -> Profile:
    """The profile is in its file, and the client secret in its store. May block on the store.

    What else people wrote into the file, comments and order, stays. A new secret takes the place of
    the one before, wherever that was.

    Args:
        profile: What to save; without a store, one is chosen.
        secret: The client secret; "": nothing changes there.

    Returns:
        The profile, with its store.

    Raises:
        ConfigurationError: The file cannot be read or written, it is not a secret, or no
            store works.
        TokenStoreError: The secret cannot be saved.
    """
    profile = replace(profile, store=profile.store or choose_store())
    if secret:
        from atlassian_auth_adapter.oauth.token_endpoint import checked_secret

        _keep_secret(profile, checked_secret(secret))
    before = _change(profile.name, profile).get(profile.name)
    if secret and before:
        with suppress(AtlassianAuthError):  # it may be that store which does not work any more
            _drop_secret(before, profiles().values())
    return profile


def delete_profile(name: str) -> None:
    """There is no such profile afterwards, nor a client secret that no other profile needs.

    The login stays: call `client.revoke()` or `client.forget()` before.

    Raises:
        ConfigurationError: There is none, or the file cannot be written.
        TokenStoreError: The secret cannot be deleted; the profile is still there.
    """
    known = profiles()
    if name not in known:
        raise _unknown(name, known)
    _drop_secret(known.pop(name), known.values())
    _change(name, None)


def _change(name: str, profile: Profile | None) -> dict[str, Profile]:
    """Save or delete a profile, and tell what was there before; one process after the other."""
    from atlassian_auth_adapter.disk.kernel_locks import KernelLocks  # who reads needs none

    with KernelLocks(_data_directory())("profiles", _OTHERS):
        file = config_file()
        text = _text_of(file)
        before = _profiles_in(text, file)
        after = {key: kept for key, kept in {**before, name: profile}.items() if kept}
        rewritten = _rewritten(text, name, profile)
        if _profiles_in(rewritten, file) != after:
            raise ConfigurationError(f"{file} is written in a way that only a person can change.")
        try:
            with typed("write", file):
                make_directory(file.parent)
                check_trusted(file.parent, file.parent.stat())
                replace_file(file, rewritten.encode())
        except TokenStoreError as error:
            wrong = str(error)
        else:
            return before
    raise ConfigurationError(f"{wrong} {CONFIG_DIR} may name another directory.")


def _rewritten(text: str, name: str, profile: Profile | None) -> str:
    """The text with another profile of that name, or none; all else stays as people wrote it."""
    try:
        import tomlkit
    except ImportError as error:
        from atlassian_auth_adapter.errors import MissingExtraError

        raise MissingExtraError(
            "tomlkit is not installed: pip install 'atlassian-auth-adapter[cli]'"
        ) from error
    document = tomlkit.parse(text)
    table: Any = document.setdefault(name, {})
    last: Any = table
    while children := [item for item in last.values() if isinstance(item, tomlkit.items.Table)]:
        last = children[-1]
    # Comments below the last key are perhaps about what follows. A table in pieces has no body.
    body, below = getattr(last.value, "body", []), list[Any]()
    while body and body[-1][0] is None:
        below.insert(0, body.pop())
    if profile is None:
        place = [key and key.key for key, _ in document.body].index(name)
        document.remove(name)
        document.body[place : place + 1] = below
        return tomlkit.dumps(document)
    said = {key: _plain(value) for key, value in _said(profile)}
    for key in [*table]:
        if key not in said and table[key] != _plain(_DEFAULTS[key]):
            del table[key]
    for key, value in said.items():
        if table.get(key) != value:  # else it keeps its spelling
            table[key] = value
    body.extend(below)
    return tomlkit.dumps(document)


def _plain(value: Any) -> Any:
    """As TOML has it."""
    if isinstance(value, CloudEnvironment):
        return {host: url for host, url in asdict(value).items() if url}
    return list(value) if isinstance(value, tuple) else value


# --- secrets and logins ---------------------------------------------------------------------------


def choose_store(preference: Literal["", StoreName] = "") -> StoreName:
    """A store that works: a record was written, read back and deleted. Blocks on the store.

    Call it before a person is asked to log in. Nothing weaker is ever chosen instead: without a
    preference it is the keyring or nothing, unless `ATLASSIAN_TOKEN_DIRECTORY` names the place.

    Args:
        preference: Which one; "": no preference.

    Raises:
        ConfigurationError: It does not work; the text says why, and what to choose.
    """
    Profile(store=preference)  # refuses any other
    name: StoreName = preference or ("file" if os.environ.get(TOKEN_DIRECTORY) else "keyring")
    try:
        _try_out(_opened(name, timeout=_UNLOCKING, anew=True))
    except (ConfigurationError, TokenStoreError) as error:
        reason = str(error).removesuffix(error.advice).rstrip()
    else:
        return name
    instead = {
        "keyring": "To keep logins in files that only you can read, say so: --store file.",
        "file": f"{TOKEN_DIRECTORY} may name another directory.",
    }
    raise ConfigurationError(f"the store {name!r} does not work here: {reason} {instead[name]}")


def _try_out(store: TokenStore) -> None:
    name, text = "probe", "x" * _PROBE
    with store.lock(name, timeout=_OTHERS):
        store.delete(name)  # what a killed process has left
        try:
            store.save(name, text, expected=None)
            if store.load(name) != Entry(text, 1):
                raise TokenStoreError(f"{store!r} does not keep what is written to it.")
        finally:
            store.delete(name)


def client_secret_of(profile: Profile) -> str:
    """The client secret: that of the environment, or else the stored one. May block on the store.

    Raises:
        ConfigurationError: There is none.
        TokenStoreError: It cannot be read.
    """
    return _StoredSecret(profile.store, _key_of_secret(profile.arguments()))()


@dataclass(frozen=True, slots=True)
class _StoredSecret(PickledByName):
    """Fetches a client secret; read anew for each token request, so that it can be changed."""

    store: Literal["", StoreName]
    key: TokenKey

    def __call__(self) -> str:
        if has_client_secret():
            return client_secret_from_env()
        stored = load_record(_opened(self.store), self.key, ClientSecret)[0] if self.store else None
        if stored is None:
            raise ConfigurationError(
                f"no client secret is stored for client {self.key.client_id!r}. Run atlassian-auth "
                "login, or set ATLASSIAN_CLIENT_SECRET."
            )
        return stored.secret


def _keep_secret(profile: Profile, secret: str) -> None:
    key = _key_of_secret(profile.arguments())
    change(_opened(profile.store), key, ClientSecret, lambda _: ClientSecret(secret))


def _drop_secret(profile: Profile, others: Iterable[Profile]) -> None:
    """Unless others need it."""
    key = _key_of_secret(profile.arguments())
    needed = ((other.store, _key_of_secret(other.arguments())) for other in others)
    if profile.store and (profile.store, key) not in needed:
        _opened(profile.store).delete(key.name)


def _key_of_secret(arguments: Mapping[str, Any]) -> TokenKey:
    """Names the secret of a client: it is for that client at that server only."""
    return TokenKey(_issuer_of(arguments), arguments.get("client_id", ""), "", "client_secret")


def _issuer_of(arguments: Mapping[str, Any]) -> str:
    """The authorization server of a client."""
    cloud = arguments.get("cloud") or (
        BITBUCKET_CLOUD if arguments.get("product") == "bitbucket" else COMMERCIAL
    )
    is_server = not (arguments.get("cloud_id") or arguments.get("site_url"))
    server_url = arguments.get("server_url", "") if is_server else ""
    return str(server_url.rstrip("/") or cloud.auth_url)


#: By process, name and directory: what was opened, so that a process reads the keyring once.
_stores: dict[tuple[int, str, Path], TokenStore] = {}


def _opened(name: str, timeout: float = 5.0, *, anew: bool = False) -> TokenStore:
    """The store of that name. Threads that open it at once have one each, at worst."""
    directory = _data_directory()
    place = os.getpid(), name, directory
    store = None if anew else _stores.get(place)
    if store is None:
        store = _stores[place] = _store_in(directory, name, timeout)
    return store


def _store_in(directory: Path, name: str, timeout: float) -> TokenStore:
    if name == "file":
        return FileTokenStore(directory)
    from atlassian_auth_adapter.stores.keyring import KeyringTokenStore  # loads the keyring

    return KeyringTokenStore(_APP, directory=directory / "keyring", timeout=timeout)


def _data_directory() -> Path:
    directory = os.environ.get(TOKEN_DIRECTORY) or platformdirs.user_data_path(_APP, False)
    return directory_path(directory, f"{TOKEN_DIRECTORY} names one.")
