"""What cannot be right in a configuration is refused at once, by the name of the argument."""

from __future__ import annotations

import os
import pwd
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianOAuthClient,
    AtlassianServiceAccountClient,
    BitbucketCloudOAuthClient,
    ConfigurationError,
    ConfluenceOnPremOAuthClient,
    ContextTokenStore,
    FileTokenStore,
    JiraCloudOAuthClient,
    KeyringTokenStore,
    Profile,
    StaticTokenSource,
    atlassian_oauth_client_from_env,
    choose_store,
    create_atlassian_oauth_client,
    save_profile,
)
from atlassian_auth_adapter.clients.environment import VARIABLES, client_secret_from_env
from atlassian_auth_adapter.clients.texts import one_line
from atlassian_auth_adapter.clock import SystemClock
from atlassian_auth_adapter.profiles.client import client_from_profile
from atlassian_auth_adapter.profiles.directories import config_file, data_directory
from atlassian_auth_adapter.profiles.file import profiles

ID = "11111111-2222-3333-4444-555555555555"
USUAL: dict[str, Any] = {
    "client_id": "the-id",
    "client_secret": "the-secret",
    "callback_url": "https://app.example/callback",
}


class OwnClient(AtlassianOAuthClient):
    """A class of a program."""

    def get_oauth_scopes(self) -> list[str]:
        """Its own."""
        return ["read:jira-user"]


#: Each kind of client, with the place that it needs.
CLIENTS: list[tuple[Any, dict[str, Any]]] = [
    (create_atlassian_oauth_client, {"cloud_id": ID}),
    (create_atlassian_oauth_client, {"server_url": "https://jira.example"}),
    (JiraCloudOAuthClient, {"cloud_id": ID}),
    (ConfluenceOnPremOAuthClient, {"server_url": "https://wiki.example"}),
    (BitbucketCloudOAuthClient, {}),
    (OwnClient, {"site_url": "https://acme.atlassian.net"}),
    (AtlassianServiceAccountClient, {"cloud_id": ID}),
]
WRONG: dict[str, list[Any]] = {
    "account": [
        None, uuid.UUID(ID), 7, True, b"ada", "", "a" * 256, "a\0b", "ada\n", " ada", "ada\u00a0",
        ["ada"], object(),
    ],
    "client_id": [None, b"id", "", " id", "id\r", "id,", '"id"', "i d", "i\0d", 5, "\u00e9",
                  "i" * 256],
    "client_secret": [None, b"secret", "", "  ", "secret ", "sec\0ret", "\ufeffsecret", 5,
                      ["secret"], '"the-secret"', "'the-secret'", '""'],
    "scopes": [
        b"read:jira-work", [b"read:jira-work"], "", [], [""], [None], [1], 7, "a, write",
        ["read:jira-work,offline_access"], '"read:jira-work"', ["a\u00a0b"], "a\u00a0b",
    ],
    "on_event": ["print", 1],
    "expiry": [300, "60"],
    "clock": [5, time.time, SystemClock],
    "store": ["tokens", FileTokenStore],
    "max_wait": ["30", 0],
    "cloud_id": [b"id", 7, "a" * 65, "a\0b", "id "],
    "site_url": [b"https://a.atlassian.net", 7, Path("/x"), "https://a.atlassian.net\0"],
    "verify": ["/no/such\0file", "x" * 5000, b"ca.pem"],
    "cert": ["/no/such\0file", ("a",)],
    "product": ["statuspage", " jira", b"jira", 7, ["jira"]],
    "cloud": ["commercial", 5],
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "place"), CLIENTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_cannot_be_right_is_refused_in_the_constructor(
    make: Any, place: dict[str, Any]
) -> None:
    """By every client, with the name of the argument, and without its value: never later by
    another error of Python, and never by a server.
    """
    usual = USUAL | place
    if make is AtlassianServiceAccountClient:
        del usual["callback_url"]
    assert make(**usual)
    for name, values in WRONG.items():
        if name in ("cloud_id", "site_url", "cloud") and name not in place:
            continue
        for value in values:
            with pytest.raises(ConfigurationError, match=name) as refused:
                make(**usual | {name: value})
            assert "secret " not in str(refused.value).replace("client_secret ", "")
            assert "the-secret" not in str(refused.value)


@pytest.mark.parametrize("value", [b"https://a.example", 7, "app.example/cb", "https://a/b c",
                                   "https://a.example/\r", "https://a.example/#part"])  # fmt: skip
def test_a_callback_url_is_a_url(value: Any) -> None:
    """None and "" mean that there is none: a program that only refreshes needs none."""
    for make, place in CLIENTS[:-1]:
        with pytest.raises(ConfigurationError, match="callback_url"):
            make(**USUAL | place | {"callback_url": value})
        for none in (None, ""):
            client = make(**USUAL | place | {"callback_url": none})
            with pytest.raises(ConfigurationError, match="callback_url is missing"):
                client.oauth_start()


def test_what_is_right_is_taken_as_it_is() -> None:
    """Accounts in any language, with spaces within; a cloud id as a UUID; scopes in any form."""
    for account in (
        "7",
        "Zo\u00eb M\u00fcller",
        "ada@example.com",
        "\u4e2d",
        "a" * 255,
        "[x]{'y'}",
    ):
        assert (
            create_atlassian_oauth_client(**USUAL, cloud_id=ID, account=account).account == account
        )
    client: Any = JiraCloudOAuthClient(**USUAL, cloud_id=uuid.UUID(ID), scopes={"a": 1}.keys())
    assert (client.cloud_id, client.get_oauth_scopes()) == (ID, ["a"])
    source = StaticTokenSource.scoped_api_token("a@b.example", "token", uuid.UUID(ID))
    assert ID in source.resource_server.base_url
    for wrong in (7, None, b"x", ""):
        with pytest.raises(ConfigurationError, match="cloud_id"):
            StaticTokenSource.scoped_api_token("a@b.example", "token", wrong)  # type: ignore[arg-type]


# --- variables and files --------------------------------------------------------------------------


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets variables; no other ATLASSIAN_ variable is there."""
    for name in (*VARIABLES, "ATLASSIAN_CLIENT_SECRET", "ATLASSIAN_CLIENT_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"ATLASSIAN_{name}", value)

    return set_all


@pytest.mark.parametrize(
    "form", ["{}", "\ufeff{}", "{}\r\n", "\ufeff{}\r", "  {}\t", "\u00a0{}\u00a0", "{}\n\n"]
)
def test_what_editors_and_shells_add_does_not_count(env: Any, form: str, tmp_path: Path) -> None:
    """A byte order mark, the end of a line of either system, white space: in every variable, and in
    the file of the secret.
    """
    file = tmp_path / "secret"
    file.write_bytes(form.format("the-secret").encode())
    tokens, config = tmp_path / "tokens", tmp_path / "config"
    values = {
        "CLIENT_ID": "the-id",
        "CALLBACK_URL": "https://app.example/callback",
        "CLOUD_ID": ID,
        "PRODUCT": "confluence",
        "CLOUD": "commercial",
        "SCOPES": "a b",
        "ACCOUNT": "ada",
        "MAX_WAIT": "7",
        "TOKEN_DIRECTORY": str(tokens),
        "CONFIG_DIR": str(config),
        "CLIENT_SECRET_FILE": str(file),
    }
    env(**{name: form.format(value) for name, value in values.items()})
    client: Any = atlassian_oauth_client_from_env()
    assert (client.client_id, client.account, client.cloud_id) == ("the-id", "ada", ID)
    assert client.get_oauth_scopes() == ["a", "b"]
    assert client.callback_url == values["CALLBACK_URL"]
    assert client_secret_from_env() == "the-secret"
    assert data_directory() == tokens.resolve()
    assert config_file().parent == config.resolve()
    client.oauth_start()
    assert [path.name for path in tmp_path.iterdir() if path != file] == ["tokens"]
    env(CLIENT_SECRET=form.format("another"))
    assert client_secret_from_env() == "another"


@pytest.mark.parametrize(
    "value",
    [
        '"{}"',
        "'{}'",
        "\u201c{}\u201d",
        "`{}`",
        "{}\u00a0{}",
        "{}\n{}",
        "{}\0{}",
        "{}\u200b",
        "{}\x1b[0m",
    ],
)
@pytest.mark.parametrize(
    ("variable", "usual"),
    [("CLIENT_ID", "id"), ("CLIENT_SECRET", "s3cr3t"), ("SCOPES", "a"), ("CLOUD_ID", ID),
     ("TOKEN_DIRECTORY", "/tmp/x"), ("ACCOUNT", "ada"), ("PROXY", "http://p:1"),
     ("SITE_URL", "https://a.atlassian.net"), ("CALLBACK_URL", "https://a.example/b")],
)  # fmt: skip
def test_quotes_and_what_cannot_be_seen_are_refused_by_name(
    env: Any, variable: str, usual: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `docker --env-file` and word processors leave them; the value is not quoted."""
    env(CLIENT_ID="id", CLIENT_SECRET="s", CLOUD_ID=ID)
    given = value.format(usual, usual)
    if "\0" in given:  # no variable can hold it, but a file can
        with pytest.raises(ConfigurationError, match="the file"):
            one_line(given, "the file")
        return
    env(**{variable: given})
    with pytest.raises(ConfigurationError, match=f"ATLASSIAN_{variable}: ") as refused:
        atlassian_oauth_client_from_env()
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    ["a,b", "a, b", "read:jira-work,", "[a b]\\", "a;b", "a+b", "read%3Ajira-work%20a", "a|b",
     "<a b>", "a 'b' c", "(a)"],
)  # fmt: skip
def test_commas_between_scopes_are_refused_by_name(env: Any, value: str) -> None:
    """Atlassian would refuse them only after a person has signed in."""
    env(CLIENT_ID="id", CLIENT_SECRET="s", CLOUD_ID=ID, SCOPES=value)
    with pytest.raises(ConfigurationError, match=r"ATLASSIAN_SCOPES: .*no commas"):
        atlassian_oauth_client_from_env()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("s3cr3t".encode("utf-16"), "not UTF-8"),
        (b"s3cr3t\nsecond line\n", "cannot be seen"),
        (b'"s3cr3t"\n', "quotes"),
        ("s3cr3t\u00e9".encode(), "printable ASCII"),
        (b"\xef\xbb\xbf\r\n", "it is empty"),
        (b"CLIENT_SECRET='s3cr3t'", "quotes"),
    ],
)
def test_a_secret_file_with_something_else_in_it_is_refused(
    env: Any, tmp_path: Path, content: bytes, reason: str
) -> None:
    """At once, by the name of the variable, not in the first token request."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    env(CLIENT_ID="id", CLOUD_ID=ID, CLIENT_SECRET_FILE=str(file))
    with pytest.raises(ConfigurationError, match=reason) as refused:
        atlassian_oauth_client_from_env()
    assert "ATLASSIAN_CLIENT_SECRET_FILE" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        'client_id = "\\"id\\""',
        'client_id = " id"',
        'scopes = "read:jira-work, offline_access"',
        'scopes = ["read:jira-work,"]',
        'scopes = "read:jira-work;offline_access"',
        'account = "ada "',
        "account = 7",
        'callback_url = "localhost:8080/callback"',
        'client_id = "i\\u00a0d"',
    ],
)
def test_a_profile_written_by_hand_is_checked_when_it_is_read(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, profile and key are named; the file may have a byte order mark and lines of Windows."""
    monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path))
    good = 'site_url = "https://acme.atlassian.net"\r\nscopes = "a b"\r\n'
    file = tmp_path / "profiles.toml"
    file.write_bytes(f"\ufeff[work]\r\n{good}".encode())
    file.chmod(0o600)
    assert profiles()["work"].scopes == ("a", "b")
    file.write_bytes(f"\ufeff[work]\r\n{line}\r\n".encode())
    key = line.partition(" ")[0]
    with pytest.raises(ConfigurationError, match=f"profiles.toml: work: {key}"):
        profiles()


def test_a_profile_and_its_arguments_are_checked_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program gives over a profile is an argument like any other."""
    monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
    save_profile(Profile("work", "id", cloud_id=ID, store="file"), "the-secret")
    for name in ("account", "client_id", "scopes"):
        for value in WRONG[name]:
            with pytest.raises(ConfigurationError):
                client_from_profile("work", **{name: value})


# --- no home --------------------------------------------------------------------------------------


@pytest.fixture
def no_home(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a user id without an entry in the list of users."""

    def no_entry(_: object) -> None:
        raise KeyError("no entry for this user")

    for name in [*os.environ]:
        if name in ("HOME", "USERPROFILE") or name.startswith(("XDG_", "ATLASSIAN_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    monkeypatch.setattr(pwd, "getpwnam", no_entry)
    env(CLIENT_ID="id", CLIENT_SECRET="s", CLOUD_ID=ID)


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize(
    ("use", "variable"),
    [
        (lambda: FileTokenStore("~/tokens"), ""),
        (lambda: FileTokenStore(Path("~")), ""),
        (lambda: FileTokenStore("~another/tokens"), ""),
        (lambda: ContextTokenStore(dict, print, "~/locks"), ""),
        (KeyringTokenStore, ""),
        (lambda: KeyringTokenStore(directory="~/tokens"), ""),
        (config_file, "ATLASSIAN_CONFIG_DIR"),
        (data_directory, "ATLASSIAN_TOKEN_DIRECTORY"),
        (choose_store, "ATLASSIAN_TOKEN_DIRECTORY"),
        (lambda: choose_store("file"), "ATLASSIAN_TOKEN_DIRECTORY"),
        (profiles, "ATLASSIAN_CONFIG_DIR"),
        (lambda: save_profile(Profile("work", "id", store="file")), "ATLASSIAN_TOKEN_DIRECTORY"),
        (AtlassianAuth.from_profile, "ATLASSIAN_CONFIG_DIR"),
    ],
)
def test_without_a_home_directory_the_variable_is_named(use: Any, variable: str) -> None:
    """HOME, and the variable of this package that makes it needless."""
    with pytest.raises(ConfigurationError, match="Set HOME") as refused:
        use()
    assert variable in str(refused.value)


@pytest.mark.usefixtures("no_home")
@pytest.mark.parametrize("variable", ["TOKEN_DIRECTORY", "CLIENT_SECRET_FILE", "CA_BUNDLE"])
def test_without_a_home_directory_no_variable_may_begin_with_it(env: Any, variable: str) -> None:
    """The variable is named as well."""
    env(**{variable: "~/there", "CLIENT_SECRET": ""})
    with pytest.raises(ConfigurationError, match=f"ATLASSIAN_{variable}.*Set HOME"):
        atlassian_oauth_client_from_env(**({} if "SECRET" in variable else {"client_secret": "s"}))


@pytest.mark.usefixtures("no_home")
def test_with_paths_of_its_own_a_program_needs_no_home(env: Any, tmp_path: Path) -> None:
    """Variables with absolute paths do: clients, profiles and stores work."""
    env(TOKEN_DIRECTORY=str(tmp_path / "tokens"), CONFIG_DIR=str(tmp_path / "config"))
    assert atlassian_oauth_client_from_env().status().state == "none"
    assert choose_store("file") == "file"
    save_profile(Profile("work", "id", cloud_id=ID, store="file"), "the-secret")
    assert client_from_profile("work").status().state == "none"


@pytest.mark.parametrize("path", [b"/tmp/x", None, 7, "", "/tmp/x\r", "/tmp/x\0", "/tmp/\x1b[0m"])
def test_a_directory_is_named_by_text_that_can_be_seen(path: Any) -> None:
    """Else a program would make a second directory beside the one that a person sees."""
    for make in (FileTokenStore, lambda path: ContextTokenStore(dict, print, path)):
        if path is None and make is not FileTokenStore:
            continue  # no lock
        with pytest.raises(ConfigurationError, match=r"directory|cannot be seen"):
            make(path)
