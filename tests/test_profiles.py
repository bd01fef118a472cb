"""Profiles: set up once by a person, used by scripts that hold no secret."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import httpx2
import keyring.core
import pytest
import requests
from hypothesis import given, settings, strategies as st
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError
from keyrings.alt.file import PlaintextKeyring

from atlassian_auth_adapter import (
    US_GOV_MODERATE,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    CloudEnvironment,
    ConfigurationError,
    EncryptedTokenStore,
    FileTokenStore,
    JiraCloudOAuthClient,
    JiraOnPremOAuthClient,
    MemoryTokenStore,
    Profile,
    TokenStoreError,
    TokenStoreTimeoutError,
    choose_store,
    client_from_profile,
    delete_profile,
    load_profile,
    save_profile,
)
from atlassian_auth_adapter.clients.environment import VARIABLES
from atlassian_auth_adapter.profiles import _stores, client_secret_of, config_file, profiles
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, in_forked_child

SECRET = "s3cr3t-of-the-client"
NOBODY = 65534
WORK = Profile("work", client_id="id", site_url="https://acme.atlassian.net", store="file")

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become somebody else"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, without profiles and without ATLASSIAN_ variables."""
    for name in (*os.environ, *VARIABLES):
        if name.startswith("ATLASSIAN_"):
            monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))
    return tmp_path / "home"


def sealed_files(home: Path) -> Path:
    """Where the files are that are sealed with the key of the keyring."""
    return home / "data" / "atlassian_auth_adapter" / "keyring"


@pytest.fixture
def written(home: Path) -> Callable[[str], Path]:
    """Writes the file of profiles, as a person does."""

    def write(text: str) -> Path:
        file = config_file()
        file.parent.mkdir(0o755, parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), "utf-8")
        return file

    return write


class Keyring(KeyringBackend):
    """A keyring in a directory, which may be locked."""

    viable = False  # `keyring.get_keyring()` does not choose it
    is_locked = False

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.reads = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self.directory == other.directory

    def __hash__(self) -> int:
        return hash(self.directory)

    def _file(self, service: str, username: str) -> Path:
        if self.is_locked:
            raise KeyringLocked("it is locked")
        self.directory.mkdir(exist_ok=True)
        return self.directory / quote(f"{service} {username}", safe="")

    def get_password(self, service: str, username: str) -> str | None:
        """The text, or None."""
        self.reads += 1
        try:
            return self._file(service, username).read_text()
        except FileNotFoundError:
            return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Write an entry."""
        self._file(service, username).write_text(password)

    def delete_password(self, service: str, username: str) -> None:
        """An error when it is not there."""
        try:
            self._file(service, username).unlink()
        except FileNotFoundError:
            raise PasswordDeleteError("there is none") from None


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[[KeyringBackend], KeyringBackend]:
    """Makes `keyring.get_keyring()` return a backend."""

    def find(backend: KeyringBackend) -> KeyringBackend:
        monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
        return backend

    return find


@pytest.fixture
def another_process() -> Callable[[], None]:
    """Makes this process know as little of stores as one that has just begun."""
    return _stores.clear


@pytest.fixture
def vault(found: Callable[[KeyringBackend], Any], tmp_path: Path) -> Keyring:
    """A keyring that works."""
    made: Keyring = found(Keyring(tmp_path / "vault"))
    return made


def refused(work: Callable[[], object], *words: object) -> str:
    """The text of the ConfigurationError of `work()`, with these words and without a secret."""
    with pytest.raises(ConfigurationError) as raised:
        work()
    for word in words:
        assert str(word) in str(raised.value)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cr3t" not in f"{error} {error!r} {vars(error)} {getattr(error, 'doc', '')}"
        error = error.__cause__ or error.__context__
    return str(raised.value)


# --- the file -------------------------------------------------------------------------------------


class TestFile:
    def test_everything_that_a_person_may_write(
        self, written: Callable[[str], Path], tmp_path: Path
    ) -> None:
        """Each key reaches its field; a Cloud by name or hosts, scopes in a list or a text."""
        written("""\
            [work]
            client_id = "id"
            product = "confluence"
            cloud_id = "some-id"
            site_url = "https://acme.atlassian.net"
            callback_url = "http://127.0.0.1:8765/callback"
            scopes = ["read:jira-user", "offline_access"]
            account = "ada"
            cloud = "us-gov-moderate"
            verify = "/etc/ca.pem"
            proxy = "http://proxy:8080"
            store = "keyring"
            max_wait = 12.5

            ["Büro Süd"]
            server_url = "https://jira.example/jira"
            scopes = "WRITE READ"
            verify = false
            proxy = {https = "http://proxy:8080"}
            flow = "client_credentials"
            max_wait = 20

            [local.cloud]
            auth_url = "http://127.0.0.1:1"
            api_url = "http://127.0.0.1:2"
        """)
        work, office, local = profiles().values()
        assert work == Profile(
            "work",
            "id",
            "confluence",
            "some-id",
            "https://acme.atlassian.net",
            "",
            "http://127.0.0.1:8765/callback",
            ("read:jira-user", "offline_access"),
            "ada",
            "us-gov-moderate",
            "/etc/ca.pem",
            "http://proxy:8080",
            "keyring",
            max_wait=12.5,
        )
        assert (office.max_wait, local.max_wait) == (20.0, 30.0)
        assert (office.name, office.scopes, office.verify) == ("Büro Süd", ("WRITE", "READ"), False)
        assert (office.proxy, office.flow) == ({"https": "http://proxy:8080"}, "client_credentials")
        assert local.cloud == CloudEnvironment("http://127.0.0.1:1", "http://127.0.0.1:2", "")

    @pytest.mark.parametrize(
        ("line", "advice"),
        [
            ('clientid = "x"', "unknown key 'clientid'. Known: client_id, product"),
            ('name = "x"', "unknown key 'name'"),
            ('client_secret = "s3cr3t"', "Secrets are not for this file"),
            ("client_id = 1", "client_id: a text"),
            ('client_id = "a\\nb"', "client_id: a text on one line"),
            ('product = "trello"', "product"),
            ('cloud = "mars"', "unknown Cloud 'mars'"),
            ("cloud = {auth_url = 'http://x'}", "cloud: a name, such as"),
            ("cloud = {auth_url = 'http://x', api_url = 'http://y', z = ''}", "cloud: a name"),
            ("cloud = {auth_url = 1, api_url = 2}", "cloud: a name"),
            ("scopes = 1", "scopes: a list"),
            ("scopes = [1]", "scopes: a list"),
            ("verify = 1", "verify: true, false"),
            ("proxy = 1", "proxy: a URL"),
            ('proxy = "http://me:s3cr3t@proxy"', "proxy: a profile keeps no password"),
            ('proxy = {all = "me:s3cr3t@proxy"}', "proxy: a profile keeps no password"),
            ('store = "secret"', 'store: "keyring" or "file"'),
            ('flow = "password"', 'flow: "authorization_code" or "client_credentials"'),
            *(
                (f"max_wait = {value}", "max_wait: a positive number of seconds")
                for value in ("0", "-1", "true", "inf", "nan", '"30"', "1e30")
            ),
        ],
    )
    def test_what_is_wrong_is_named(
        self, written: Callable[[str], Path], line: str, advice: str
    ) -> None:
        """File, profile and key; a misspelt key is never passed over; no value is quoted."""
        file = written(f"[fine]\n[work]\n{line}\n")
        refused(profiles, f"{file}: work: ", advice)
        refused(lambda: load_profile("fine"), "work")

    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ('client_secret = "s3cr3t"', "client_secret: it stands outside of a profile"),
            ('[work]\nclient_id = "s3cr3t', "Unterminated string"),
            ("[work]\n[work]", "line 2"),
            ("[' ']\n[\"\"]", "name: a profile has one"),
            ("a = " + "[" * 5000, "recursion"),
        ],
    )
    def test_what_is_no_list_of_profiles_is_named(
        self, written: Callable[[str], Path], text: str, advice: str
    ) -> None:
        """With the file, and the line if TOML has one."""
        refused(profiles, written(text), advice)

    def test_other_encodings(self, written: Callable[[str], Path]) -> None:
        """A byte order mark, as Windows' editors write it, is no harm; Latin-1 is named."""
        file = written("")
        file.write_bytes(b"\xef\xbb\xbf[work]\r\naccount = 'ada'\r\n")
        assert load_profile().account == "ada"
        file.write_bytes(b"[b\xfcro]")
        refused(profiles, file, "is not UTF-8")

    def test_where_it_is(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the platform's directory, or where the variable says; without a file, no profiles."""
        assert config_file().name == "profiles.toml"
        assert config_file().is_relative_to(home)
        assert profiles() == {}
        monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", "~/elsewhere")
        assert config_file() == home / "elsewhere" / "profiles.toml"
        home.mkdir()
        (home / "elsewhere").touch()
        refused(profiles, home / "elsewhere", "ATLASSIAN_CONFIG_DIR")


class TestWhoElse:
    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_others_could_have_written_is_refused(
        self, written: Callable[[str], Path], what: str
    ) -> None:
        """They would choose where the secret is sent. The error holds the command that repairs it.
        That others may read it does no harm: a file from a repository is like that.
        """
        file = written("[work]")
        path = file if what == "file" else file.parent
        path.chmod(path.stat().st_mode | 0o020)
        text = refused(profiles, path, "chmod go-w")
        command = text.partition("Run: ")[2].partition(" ATLASSIAN_CONFIG_DIR")[0]
        subprocess.run(command.removesuffix("."), shell=True, check=True)
        assert [*profiles()] == ["work"]

    @needs_root
    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_belongs_to_somebody_else_is_refused(
        self, written: Callable[[str], Path], what: str
    ) -> None:
        """By reading and by writing."""
        file = written("[work]")
        os.chown(file if what == "file" else file.parent, NOBODY, NOBODY)
        refused(profiles, f"belongs to user id {NOBODY}")
        refused(lambda: save_profile(WORK), f"belongs to user id {NOBODY}")

    @needs_root
    def test_two_users_share_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody else's directories are refused with a sentence; what root wrote can be read, as
        in a container, but not the secrets and logins.
        """
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", f"{place}/config")
            monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", f"{place}/tokens")
            save_profile(WORK, SECRET)
            for path in (Path(place, "config"), config_file()):
                path.chmod(path.stat().st_mode | 0o055)

            def child() -> str:
                os.setegid(NOBODY)
                os.seteuid(NOBODY)
                try:
                    assert [*profiles()] == ["work"]
                    texts = []
                    for work in (
                        lambda: client_from_profile().get_access_token(),
                        lambda: client_secret_of(WORK),
                        lambda: save_profile(WORK),
                        lambda: choose_store("file"),
                    ):
                        with pytest.raises(
                            Exception, match=r"belongs to user id 0|denied"
                        ) as raised:
                            work()
                        texts.append(str(raised.value))
                    return "\n".join(texts)
                finally:
                    os.seteuid(0)

            assert SECRET not in in_forked_child(child)


class TestWriting:
    def test_what_a_person_wrote_stays(self, written: Callable[[str], Path]) -> None:
        """Comments, order, other profiles, and the spelling of what does not change."""
        file = written("""\
            # mine

            [work]  # the day job
            client_id = 'id'       # from the console
            product = "jira"       # as by default
            site_url = "https://old.atlassian.net" # moved
            account = "ada"

            # for the evenings
            [private]
            client_id = "other"
            scopes = [
                "a",  # needed
            ]
        """)
        save_profile(replace(load_profile("work"), site_url="https://new.example", account="",
                             store="file", verify=False))  # fmt: skip
        save_profile(replace(load_profile("private"), store="file"))
        assert file.read_text("utf-8") == textwrap.dedent("""\
            # mine

            [work]  # the day job
            client_id = 'id'       # from the console
            product = "jira"       # as by default
            site_url = "https://new.example" # moved
            verify = false
            store = "file"

            # for the evenings
            [private]
            client_id = "other"
            scopes = [
                "a",  # needed
            ]
            store = "file"
        """)
        delete_profile("work")
        assert [*profiles()] == ["private"]
        assert "# for the evenings" in file.read_text("utf-8")

    def test_nobody_else_gets_in(self, home: Path) -> None:
        """Mode 0600 in directories of mode 0700, whatever the umask and the mode before."""
        umask = os.umask(0)
        try:
            save_profile(WORK, SECRET)
            config_file().chmod(0o644)
            save_profile(replace(WORK, account="ada"))
        finally:
            os.umask(umask)
        for path in home.rglob("*"):
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path

    @pytest.mark.parametrize(
        "text",
        [
            "[work.cloud]\nauth_url='http://a'\napi_url='http://b'\n[private]\n[work]\n# end\n",
            "work = {account='y'} # mine\nprivate = {}\n",
            "work.account = 'y' # mine\nwork.cloud = {auth_url='a', api_url='b'}\nprivate = {}",
            "private = {}\n[work] # mine",
        ],
    )
    def test_every_spelling_of_a_table(self, written: Callable[[str], Path], text: str) -> None:
        """TOML has many: what was changed is read again, and no other profile is touched."""
        file = written(text)
        private, work = load_profile("private"), load_profile("work")
        saved = save_profile(replace(work, store="file", verify=False))
        assert profiles() == {"work": saved, "private": private}
        assert ("# mine" in file.read_text()) is ("# mine" in text)
        delete_profile("work")
        assert profiles() == {"private": private}

    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_a_link_to_other_dotfiles_stays_one(
        self, written: Callable[[str], Path], home: Path, what: str
    ) -> None:
        """What it leads to is written; another program keeps it, and may let others read it."""
        file = written("[private]  # mine\n")
        dotfiles = home / "dotfiles"
        if what == "file":
            dotfiles.mkdir(0o755)
            file.rename(dotfiles / "profiles.toml")
            file.symlink_to(dotfiles / "profiles.toml")
        else:
            file.parent.rename(dotfiles)
            file.parent.symlink_to(dotfiles, target_is_directory=True)
        save_profile(WORK)
        assert (file if what == "file" else file.parent).is_symlink()
        assert "# mine" in (dotfiles / "profiles.toml").read_text()
        assert [*profiles()] == ["private", "work"]

    def test_a_wrong_file_is_not_overwritten(self, written: Callable[[str], Path]) -> None:
        """A person repairs it, who knows what was meant."""
        file = written("[work\n")
        refused(lambda: save_profile(WORK), file)
        assert file.read_text() == "[work\n"

    def test_a_full_disk_keeps_the_old_file(self, written: Callable[[str], Path]) -> None:
        """A write that ends in the middle leaves no rest."""
        file = written("[private]\n")

        def child() -> None:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
            save_profile(WORK)

        refused(lambda: in_forked_child(child), "raise the limit", "ATLASSIAN_CONFIG_DIR")
        assert file.read_text() == "[private]\n"
        assert [*file.parent.iterdir()] == [file]

    def test_processes_that_write_lose_nothing(self) -> None:
        """Each saves a profile of its own at the same time."""
        script = (
            "import sys; from atlassian_auth_adapter import Profile, save_profile\n"
            "save_profile(Profile(sys.argv[1], store='file'))"
        )
        names = [f"profile-{number}" for number in range(6)]
        writers = [subprocess.Popen([sys.executable, "-c", script, name]) for name in names]
        assert [writer.wait(PATIENCE) for writer in writers] == [0] * len(names)
        assert sorted(profiles()) == names

    def test_processes_read_while_one_writes(self) -> None:
        """Each of them sees one of the versions, whole."""
        save_profile(replace(WORK, account="0"))
        script = (
            "from atlassian_auth_adapter import load_profile\n"
            "print('ready', flush=True); input()\n"
            "assert all(load_profile('work').account.isdigit() for _ in range(300))"
        )
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        for reader in readers:
            assert reader.stdin
            reader.stdin.write("\n")
            reader.stdin.flush()
        for number in range(30):
            save_profile(replace(WORK, account=str(number)))
        assert [
            reader.communicate(timeout=PATIENCE) and reader.returncode for reader in readers
        ] == ([0] * 6)

    def test_without_its_library_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only who writes needs it."""
        monkeypatch.setitem(sys.modules, "tomlkit", None)
        refused(lambda: save_profile(WORK), "atlassian-auth-adapter[cli]")

    def test_no_secret_gets_into_a_profile(self) -> None:
        """What is no secret is refused, and the profile is not saved."""
        refused(lambda: save_profile(WORK, "s3cr3t\nof two lines"), "client_secret")
        assert profiles() == {}


PRINTABLE: dict[str, Any] = {
    "codec": "utf-8",
    "exclude_categories": ("C", "Z"),
    "include_characters": " ",
}
LINES = st.text(st.characters(**PRINTABLE), max_size=12)
NAMES = st.text(st.characters(**PRINTABLE), min_size=1, max_size=12)
HOSTS = st.builds(CloudEnvironment, *[NAMES] * 2, *[LINES] * 3)
PROXIES = st.text(st.characters(**PRINTABLE, exclude_characters="@"), max_size=12)
PROFILES = st.builds(
    Profile,
    name=NAMES,
    client_id=LINES,
    product=st.sampled_from(["jira", "confluence", "bitbucket"]),
    cloud_id=LINES,
    scopes=st.lists(LINES).map(tuple),
    account=LINES,
    cloud=st.sampled_from(["", "commercial", "us-gov-moderate"]) | HOSTS,
    verify=st.booleans() | LINES,
    proxy=st.none() | st.booleans() | PROXIES | st.dictionaries(PROXIES.filter(bool), PROXIES),
    store=st.sampled_from(["keyring", "file"]),
    flow=st.sampled_from(["authorization_code", "client_credentials"]),
    max_wait=st.integers(1, 10**6) | st.floats(0.001, 1e6),
)


@settings(max_examples=30)
@given(st.lists(PROFILES, min_size=1, max_size=5))
def test_whatever_is_saved_is_read_again(many: list[Profile]) -> None:
    """Any profiles, one after the other, in place of each other; and the file is TOML."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLASSIAN_CONFIG_DIR", place)
        names = [many[0].name, "other"]
        expected: dict[str, Profile] = {}
        for number, profile in enumerate(many):
            saved = save_profile(replace(profile, name=names[number % 2]))
            expected[saved.name] = saved
            assert profiles() == expected
        assert tomllib.loads(config_file().read_text("utf-8")).keys() == expected.keys()
        for name in [*expected]:
            with suppress(ConfigurationError):  # no keyring to look for its secret in
                delete_profile(name)
                del expected[name]
            assert profiles() == expected


# --- which profile --------------------------------------------------------------------------------


class TestWhich:
    def test_named_or_only_or_default(
        self, written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the argument, by the variable, as the only one, or by its name."""
        written("[work]")
        assert load_profile().name == "work"
        file = written("[work]\n[private]\n")
        refused(load_profile, file, "no profile 'default'", "Known: work, private.")
        monkeypatch.setenv("ATLASSIAN_PROFILE", "private")
        assert load_profile().name == "private"
        assert load_profile("work").name == "work"
        refused(lambda: load_profile("wrok"), "no profile 'wrok'", "Known: work, private.")
        refused(lambda: delete_profile("wrok"), "no profile 'wrok'", "Known: work, private.")
        monkeypatch.setenv("ATLASSIAN_PROFILE", "")
        written("[work]\n[default]\n")
        assert load_profile().name == "default"

    def test_without_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What to do first; in a container the environment may do alone."""
        refused(load_profile, "run atlassian-auth login", "ATLASSIAN_CLIENT_ID")
        monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "id")
        monkeypatch.setenv("ATLASSIAN_SITE_URL", "https://acme.atlassian.net")
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", "~/tokens")
        client = client_from_profile()
        assert (client.client_id, client.account) == ("id", "default")
        refused(lambda: load_profile("work"), "no profile 'work'")


class TestClient:
    def test_the_kinds(self, home: Path) -> None:
        """Cloud, Data Center, a service account; each profile has a login of its own."""
        save_profile(WORK)
        save_profile(
            replace(
                WORK, name="two", cloud="us-gov-moderate", site_url="", cloud_id="x", account="ada"
            )
        )
        save_profile(Profile("dc", client_id="id", server_url="https://j.example", store="file"))
        save_profile(
            replace(WORK, name="bot", flow="client_credentials", callback_url="http://x"), SECRET
        )
        one, two, server, bot = (client_from_profile(name) for name in profiles())
        assert isinstance(one, JiraCloudOAuthClient)
        assert isinstance(server, JiraOnPremOAuthClient)
        assert isinstance(bot, AtlassianServiceAccountClient)
        assert two.token_key.issuer == US_GOV_MODERATE.auth_url
        assert [client.account for client in (one, two, server, bot)] == [
            "work",
            "ada",
            "dc",
            "bot",
        ]
        assert len({client.token_key for client in (one, two, server, bot)}) == 4

    def test_arguments_win_over_variables_and_variables_over_the_profile(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Of each value; and a place is named as a whole."""
        save_profile(replace(WORK, cloud_id="one", account="profile", proxy="http://profile"))
        client = client_from_profile("work")
        assert (client.account, client.proxy) == ("profile", "http://profile")
        monkeypatch.setenv("ATLASSIAN_ACCOUNT", "variable")
        monkeypatch.setenv("ATLASSIAN_CLOUD_ID", "two")
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "tokens"))
        client = client_from_profile("work")
        assert (client.account, client.cloud_id, client.site_url) == ("variable", "two", "")
        assert client._store.path == tmp_path / "tokens"
        store = MemoryTokenStore()
        client = client_from_profile(
            "work", account="argument", server_url="https://j.example", store=store
        )
        assert (client.account, client.server_url) == ("argument", "https://j.example")
        assert isinstance(client, JiraOnPremOAuthClient)
        assert client._store is store

    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ('store = "file"', "'work' in .* has no client_id"),
            ('client_id = "id"', "does not say where logins are kept"),
            ('client_id = "id"\nstore = "file"', "say which site"),
        ],
    )
    def test_what_is_missing_is_named(
        self, written: Callable[[str], Path], text: str, advice: str
    ) -> None:
        """Nothing is guessed, and nothing is kept in a place that nobody has chosen."""
        written(f"[work]\n{text}\n")
        with pytest.raises(ConfigurationError, match=advice):
            client_from_profile()

    def test_how_long_a_request_waits(self, emulator: AtlassianEmulator, clock: FakeClock) -> None:
        """The `max_wait` of the profile reaches the client; an argument wins over it."""
        save_profile(replace(WORK, cloud=_hosts(emulator.cloud), max_wait=0.25), SECRET)
        for arguments, seconds in (({}, "0.25"), ({"max_wait": 0.125}, "0.125")):
            client: Any = client_from_profile("work", clock=clock, **arguments)
            with (
                client._store.lock(client.token_key.name, timeout=PATIENCE),
                pytest.raises(TokenStoreTimeoutError, match=f"within {seconds} s"),
            ):
                client.get_access_token()

    def test_a_misspelt_argument_is_no_argument(self) -> None:
        """As with the factory."""
        save_profile(WORK)
        with pytest.raises(TypeError, match="timeuot"):
            client_from_profile(timeuot=1)


# --- from a login to a request --------------------------------------------------------------------


def _hosts(cloud: Any) -> CloudEnvironment:
    return CloudEnvironment(cloud.auth_url, cloud.api_url, cloud.audience)


@pytest.fixture
def signed_in(emulator: AtlassianEmulator, clock: FakeClock, home: Path) -> Profile:
    """A profile of the emulator's Cloud with a login, kept in files."""
    cloud = emulator.cloud
    profile = Profile(
        "work",
        client_id=cloud.app.client_id,
        callback_url=cloud.app.callback_url,
        site_url=cloud.sites[0].url,
        cloud=_hosts(cloud),
        store=choose_store("file"),
    )
    save_profile(profile, cloud.app.client_secret)
    client: Any = client_from_profile("work", clock=clock)
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    return profile


class TestLogin:
    def test_a_script_holds_no_secret(
        self, signed_in: Profile, session: requests.Session, clock: FakeClock
    ) -> None:
        """`from_profile` of each auth object, and a refresh with the stored client secret."""
        auth = AtlassianAuth.from_profile("work", foreign="raise", clock=clock)
        assert auth.foreign == "raise"
        url = f"{auth.source.base_url}/rest/api/3/myself"  # type: ignore[attr-defined]
        session.auth = auth
        assert session.get(url).json()["displayName"] == "Ada Example"
        clock.advance(3600)
        with httpx.Client(auth=AtlassianHTTPXAuth.from_profile(clock=clock)) as http:
            assert http.get(url).json()["displayName"] == "Ada Example"
        with httpx2.Client(auth=AtlassianHTTPX2Auth.from_profile("work", clock=clock)) as http2:
            assert http2.get(url).json()["displayName"] == "Ada Example"
        assert client_from_profile("work").status().generation == 2

    def test_a_new_process_and_a_pickle_need_nothing_else(
        self, signed_in: Profile, emulator: AtlassianEmulator
    ) -> None:
        """A client out of a pickle refreshes elsewhere: its secret is looked up, not carried."""
        pickled = pickle.dumps(client_from_profile("work"))
        assert not any(secret.encode() in pickled for secret in emulator.secrets)
        script = (
            "import pickle, sys\n"
            "client = pickle.load(sys.stdin.buffer)\n"
            "print(client.refresh().generation, client.test_connection().name)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], input=pickled, capture_output=True, timeout=PATIENCE
        )
        assert done.stdout == b"2 Ada Example\n", done.stderr

    def test_a_service_account(
        self, emulator: AtlassianEmulator, vault: Keyring, home: Path
    ) -> None:
        """The keyring keeps a key; secret and token are in files that are sealed with it."""
        server = emulator.data_center
        bot = server.service_account
        save_profile(
            Profile(
                "bot", client_id=bot.client_id, server_url=server.url, flow="client_credentials"
            ),
            bot.client_secret,
        )
        assert load_profile("bot").store == "keyring"
        client = client_from_profile("bot")
        assert client.test_connection().id
        token = client.get_access_token()
        (key,) = vault.directory.iterdir()
        sealed = EncryptedTokenStore(FileTokenStore(sealed_files(home)), key.read_text())
        stored = [sealed.load(file.stem) for file in sealed_files(home).glob("*.json")]
        texts = "".join(entry.text for entry in stored if entry)
        in_clear = "".join(path.read_text() for path in home.rglob("*") if path.is_file())
        for secret in (bot.client_secret, token):
            assert secret in texts
            assert secret not in in_clear

    def test_no_secret_is_where_a_person_looks(
        self, signed_in: Profile, emulator: AtlassianEmulator, home: Path
    ) -> None:
        """Not in the TOML, not in a repr, not in a pickle; in the data directory only."""
        client = client_from_profile("work")
        client.get_access_token()
        for thing in (signed_in, client, client.status(), vars(client), client.token_key):
            assert not [secret for secret in emulator.secrets if secret in repr(thing)]
        holders = {
            path.relative_to(home).parts[0]
            for path in home.rglob("*")
            if path.is_file() and any(secret in path.read_text() for secret in emulator.secrets)
        }
        assert holders == {"data"}

    def test_a_valid_token_costs_little(
        self, emulator: AtlassianEmulator, signed_in: Profile, clock: FakeClock
    ) -> None:
        """No HTTP library, no keyring, none of the libraries of the command is loaded for it."""
        code = (
            "import json, sys; from atlassian_auth_adapter import client_from_profile\n"
            "assert client_from_profile('work').get_access_token()\n"
            "print(json.dumps(sorted(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE
        )
        unneeded = {"requests", "httpx", "httpx2", "authlib", "keyring", "tomlkit", "rich", "typer",
                    "cryptography", "asyncio", "ssl"}  # fmt: skip
        assert not unneeded & set(json.loads(done.stdout)), done.stderr
        assert len(emulator.token_requests) == 1


# --- secrets --------------------------------------------------------------------------------------


class TestSecrets:
    def test_where_they_are_looked_for(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The environment wins; what is not stored is named, with what to do."""
        save_profile(WORK)
        refused(lambda: client_secret_of(WORK), "for client 'id'", "ATLASSIAN_CLIENT_SECRET")
        refused(lambda: client_secret_of(replace(WORK, store="")), "for client 'id'")
        save_profile(WORK, SECRET)
        assert client_secret_of(WORK) == SECRET
        (tmp_path / "secret").write_text("of a container\n")
        monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
        assert client_secret_of(WORK) == "of a container"
        monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "of a variable")
        assert client_secret_of(WORK) == "of a variable"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
    def test_a_file_that_others_can_access_is_refused(self, home: Path, mode: int) -> None:
        """As with logins; neither is a link followed."""
        save_profile(WORK, SECRET)
        (file,) = (home / "data").rglob("*.client_secret.json")
        file.chmod(mode)
        with pytest.raises(Exception, match="others have access") as raised:
            client_secret_of(WORK)
        assert SECRET not in repr(raised.value)
        file.chmod(0o600)
        target = file.rename(home / "elsewhere")
        file.symlink_to(target)
        with pytest.raises(Exception, match="symbolic link"):
            client_secret_of(WORK)

    def test_a_secret_is_for_one_client_at_one_server(self) -> None:
        """Who changes either in the file, sends it to nobody."""
        save_profile(WORK, SECRET)
        for other in ({"client_id": "x"}, {"cloud": "us-gov-moderate"},
                      {"server_url": "https://evil.example", "site_url": ""}):  # fmt: skip
            refused(
                lambda other=other: client_secret_of(replace(WORK, **other)), "no client secret"
            )
        assert client_secret_of(replace(WORK, name="two", account="ada")) == SECRET

    def test_it_goes_with_the_last_profile_that_needs_it(self, vault: Keyring, home: Path) -> None:
        """With another store, another client, or the profile itself; nothing is left behind."""

        def kept() -> tuple[int, int]:
            """How many secrets are kept in files, and in those that the keyring has the key of."""
            sealed = [*sealed_files(home).glob("*.client_secret.json")]
            return len([*home.rglob("*.client_secret.json")]) - len(sealed), len(sealed)

        save_profile(WORK, SECRET)
        save_profile(replace(WORK, name="two"), SECRET)
        delete_profile("work")
        assert kept() == (1, 0)
        save_profile(replace(WORK, name="two", client_id="x"), "another-s3cr3t")
        assert kept() == (1, 0)
        save_profile(replace(WORK, name="two", client_id="x", store="keyring"), "another-s3cr3t")
        assert kept() == (0, 1)
        assert client_secret_of(load_profile("two")) == "another-s3cr3t"
        delete_profile("two")
        assert kept() == (0, 0)

    def test_a_keyring_that_does_not_work_any_more_is_left(
        self, vault: Keyring, found: Callable[[KeyringBackend], Any], another_process: Any
    ) -> None:
        """Who changes to files because of it, can; who deletes a profile that needs it, is told.

        While it is locked, a profile can be deleted all the same: that needs no key.
        """
        for name in ("work", "two", "three"):
            save_profile(replace(WORK, name=name, client_id=name, store="keyring"), SECRET)
        another_process()
        vault.is_locked = True
        with pytest.raises(TokenStoreError, match="It is locked: unlock it") as raised:
            client_secret_of(load_profile("work"))
        assert SECRET not in str(raised.value)
        save_profile(replace(WORK, client_id="work"), SECRET)
        assert client_secret_of(load_profile("work")) == SECRET
        delete_profile("three")
        another_process()
        found(fail.Keyring())
        refused(lambda: delete_profile("two"), "no keyring that works")
        assert [*profiles()] == ["work", "two"]

    def test_the_keyring_is_read_once(self, vault: Keyring, another_process: Any) -> None:
        """By a process, for however many secrets, logins and clients; a forked child asks anew."""
        save_profile(replace(WORK, store="keyring"), SECRET)
        another_process()
        vault.reads = 0
        for _ in range(3):
            assert client_secret_of(load_profile("work")) == SECRET
            assert client_from_profile("work").status().state == "none"
        assert vault.reads == 1

        def child() -> int:
            assert client_secret_of(load_profile("work")) == SECRET
            return vault.reads

        assert in_forked_child(child) == 2

    def test_another_directory_is_another_store(
        self, vault: Keyring, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when a running program names it; each has a key of its own."""
        for store in ("file", "keyring"):
            profile = replace(WORK, store=store)  # type: ignore[arg-type]
            save_profile(profile, SECRET)
            monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(home / "tokens"))
            refused(lambda profile=profile: client_secret_of(profile), "no client secret")
            save_profile(profile, "another-s3cr3t")
            monkeypatch.delenv("ATLASSIAN_TOKEN_DIRECTORY")
            assert client_secret_of(profile) == SECRET
        assert len([*vault.directory.iterdir()]) == 2


# --- which store ----------------------------------------------------------------------------------


class TestWhichStore:
    def test_a_keyring_that_works_comes_first(self, vault: Keyring, home: Path) -> None:
        """A text of the size of a login is written, read and deleted again; the key stays."""
        assert choose_store() == "keyring"
        assert len([*vault.directory.iterdir()]) == 1
        assert not [*home.rglob("*.json")]
        assert choose_store() == "keyring"

    def test_what_is_asked_for_is_taken(
        self, vault: Keyring, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the argument, or by the variable that names a directory."""
        assert choose_store("file") == "file"
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(home / "tokens"))
        assert choose_store() == "file"
        assert (home / "tokens").is_dir()
        assert choose_store("keyring") == "keyring"
        assert not list(home.rglob("*.json"))
        refused(lambda: choose_store("redis"), 'store: "keyring" or "file"')  # type: ignore[arg-type]

    @pytest.mark.parametrize("preference", ["", "keyring"])
    @pytest.mark.parametrize(
        ("backend", "reason"),
        [
            (fail.Keyring, "no keyring that works"),
            (null.Keyring, "switched off"),
            (PlaintextKeyring, "plain text"),
        ],
    )
    def test_nothing_weaker_is_chosen_instead(
        self,
        found: Callable[[KeyringBackend], Any],
        home: Path,
        backend: type[KeyringBackend],
        reason: str,
        preference: Any,
    ) -> None:
        """One sentence says why the keyring does not do, one names the explicit way."""
        found(backend())
        text = refused(lambda: choose_store(preference), "'keyring'", reason)
        assert text.endswith(
            "To keep logins in files that only you can read, say so: --store file."
        )
        assert "TokenStore(" not in text
        assert not home.exists()
        with pytest.raises(ConfigurationError):
            save_profile(replace(WORK, store=""))
        assert profiles() == {}

    def test_a_locked_keyring(self, vault: Keyring) -> None:
        """Found out before a person has logged in for nothing."""
        vault.is_locked = True
        refused(choose_store, "It is locked: unlock it", "--store file")

    def test_a_keyring_that_forgets(self, vault: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some accept everything and keep nothing."""
        monkeypatch.setattr(Keyring, "set_password", lambda *_: None)
        refused(choose_store, "did not keep what was written", "--store file")

    def test_a_system_without_keyring(self, home: Path) -> None:
        """A real look on a headless system, in a new process."""
        code = (
            "import atlassian_auth_adapter as a\n"
            "try: a.choose_store()\n"
            "except a.ConfigurationError as error: print(error)"
        )
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND"}
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | {"XDG_RUNTIME_DIR": str(home)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert "does not work here" in done.stdout, done.stderr
        assert done.stdout.endswith("--store file.\n")
        assert not done.stderr

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What to install is said."""
        monkeypatch.delitem(sys.modules, "atlassian_auth_adapter.stores.keyring", raising=False)
        monkeypatch.setitem(sys.modules, "keyring", None)
        refused(choose_store, "keyring is not installed", "--store file")


def capable_of_mounting() -> bool:
    """Whether this process has CAP_SYS_ADMIN, without which nothing can be mounted."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    return bool(int(status.partition("CapEff:")[2].split()[0], 16) & 1 << 21)


@pytest.fixture
def small_home(home: Path) -> Iterator[Path]:
    """The home on a disk of 64 KiB."""
    if not capable_of_mounting():
        pytest.skip("needs CAP_SYS_ADMIN, to mount a small disk")
    home.mkdir(0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", home], check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", home], check=True)


class TestDisk:
    def test_a_read_only_home(
        self, small_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As in a container: told before the login, and two variables help."""
        subprocess.run(["mount", "-o", "remount,ro", small_home], check=True)
        refused(
            lambda: choose_store("file"),
            "the store 'file' does not work here",
            "mount it writable",
            "ATLASSIAN_TOKEN_DIRECTORY",
        )
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "volume" / "tokens"))
        store = choose_store()
        refused(lambda: save_profile(replace(WORK, store=store)), "ATLASSIAN_CONFIG_DIR")
        monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "volume"))
        save_profile(replace(WORK, store=store), SECRET)
        assert client_secret_of(load_profile()) == SECRET

    def test_a_full_disk(self, small_home: Path) -> None:
        """Room for a few bytes is not enough for a login."""
        save_profile(WORK)
        with suppress(OSError), (small_home / "ballast").open("wb", buffering=0) as stream:
            while stream.write(b"x" * 4096):
                pass
        refused(lambda: choose_store("file"), "'file' does not work here", "Free some space")
        with pytest.raises(Exception, match="Free some space") as raised:
            save_profile(WORK, SECRET)
        assert SECRET not in str(raised.value)
        assert [*profiles()] == ["work"]
        (small_home / "ballast").unlink()
        assert choose_store("file") == "file"
