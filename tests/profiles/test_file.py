"""The file of profiles: read, written beside what people wrote, shared by processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from atlassian_auth_adapter import (
    CloudEnvironment,
    ConfigurationError,
    Profile,
    choose_store,
    client_from_profile,
    delete_profile,
    load_profile,
    save_profile,
)
from atlassian_auth_adapter.profiles.directories import config_file
from atlassian_auth_adapter.profiles.file import profiles
from atlassian_auth_adapter.profiles.secrets import client_secret_of
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE, in_forked_child

from .conftest import OTHER_USER, SECRET, WORK, Write, refused

READERS = 6

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user"
)


class TestFile:
    def test_everything_that_a_person_may_write(self, written: Write, tmp_path: Path) -> None:
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
            gateway_paths = ["/graphql"]

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
            gateway_paths=("/graphql",),
        )
        assert (office.max_wait, local.max_wait) == (20.0, 30.0)
        assert (office.name, office.scopes, office.verify) == ("Büro Süd", ("WRITE", "READ"), False)
        assert (office.proxy, office.flow) == ({"https": "http://proxy:8080"}, "client_credentials")
        assert local.cloud == CloudEnvironment("http://127.0.0.1:1", "http://127.0.0.1:2", "")

    def test_what_is_wrong_is_named(self, written: Write) -> None:
        """File, profile and key; a misspelt key is never ignored; no value is quoted."""
        for line, text in [
            ('clientid = "x"', "unknown key 'clientid'. Known: client_id, product"),
            ('name = "x"', "unknown key 'name'"),
            ('client_secret = "s3cr3t"', "This file is not for secrets"),
            ("client_id = 1", "client_id: expected a text"),
            ("cloud = {auth_url = 'http://x'}", "cloud: expected a name, such as"),
            ("cloud = {auth_url = 'http://x', api_url = 'y', z = ''}", "cloud: expected a name"),
            ("scopes = 1", "scopes: expected a list"),
        ]:
            file = written(f"[fine]\n[work]\n{line}\n")
            refused(profiles, f"{file}: work: ", text)
            refused(lambda: load_profile("work"), f"{file}: work: ", text)
            assert load_profile("fine").name == "fine"  # programs that use it go on

    def test_what_is_not_a_list_of_profiles_is_named(self, written: Write) -> None:
        """With the file, and the line if TOML has one."""
        for content, text in [
            ('client_secret = "s3cr3t"', "client_secret: it is outside of a profile"),
            ('[work]\nclient_id = "s3cr3t', "Unterminated string"),
            ("[work]\n[work]", "line 2"),
            ("[' ']\n[\"\"]", "name: a profile needs one"),
            ("a = " + "[" * 5000, "recursion"),
        ]:
            refused(profiles, written(content), text)

    def test_other_encodings(self, written: Write) -> None:
        """A byte order mark, as editors of Windows write it, is ignored; Latin-1 is an error."""
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


class TestOtherUsers:
    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_others_could_have_written_is_refused(self, written: Write, what: str) -> None:
        """They would choose where the secret is sent. The error holds the command that repairs it.
        Others may read it, as a file from a repository.
        """
        file = written("[work]")
        path = file if what == "file" else file.parent
        path.chmod(path.stat().st_mode | 0o020)
        text = refused(profiles, path, "chmod go-w")
        command = text.partition("Run: ")[2].partition(" Or set ATLASSIAN_CONFIG_DIR")[0]
        subprocess.run(command, shell=True, check=True)
        assert [*profiles()] == ["work"]

    @needs_root
    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_belongs_to_another_user_is_refused(self, written: Write, what: str) -> None:
        """By reading and by writing."""
        file = written("[work]")
        os.chown(file if what == "file" else file.parent, OTHER_USER, OTHER_USER)
        refused(profiles, f"belongs to user id {OTHER_USER}")
        refused(lambda: save_profile(WORK), f"belongs to user id {OTHER_USER}")

    @needs_root
    def test_two_users_share_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another user's directories are refused with a sentence; what root wrote can be read, as
        in a container, but not the secrets and logins.
        """
        with tempfile.TemporaryDirectory() as place:
            Path(place).chmod(0o755)
            monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", f"{place}/config")
            monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", f"{place}/tokens")
            save_profile(WORK, SECRET)
            for path in (Path(place, "config"), config_file()):
                path.chmod(path.stat().st_mode | 0o055)
            profiles()  # loads the codec: the other user cannot, where Python itself is private

            def child() -> str:
                os.setegid(OTHER_USER)
                os.seteuid(OTHER_USER)
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
    def test_what_a_person_wrote_stays(self, written: Write) -> None:
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
        save_profile(load_profile("work")._replace(site_url="https://new.example", account="",
                             store="file", verify=False))  # fmt: skip
        save_profile(load_profile("private")._replace(store="file"))
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

    def test_other_users_have_no_access(self, home: Path) -> None:
        """Mode 0600 in directories of mode 0700, whatever the umask and the mode before."""
        umask = os.umask(0)
        try:
            save_profile(WORK, SECRET)
            config_file().chmod(0o644)
            save_profile(WORK._replace(account="ada"))
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
    def test_every_spelling_of_a_table(self, written: Write, text: str) -> None:
        """TOML has many: what was changed is read again, and no other profile is touched."""
        file = written(text)
        private, work = load_profile("private"), load_profile("work")
        saved = save_profile(work._replace(store="file", verify=False))
        assert profiles() == {"work": saved, "private": private}
        assert ("# mine" in file.read_text()) is ("# mine" in text)
        delete_profile("work")
        assert profiles() == {"private": private}

    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_a_link_to_other_dotfiles_stays_one(
        self, written: Write, home: Path, what: str
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

    def test_a_wrong_file_is_not_overwritten(self, written: Write) -> None:
        """A person repairs it, who knows what was meant."""
        file = written("[work\n")
        refused(lambda: save_profile(WORK), file)
        assert file.read_text() == "[work\n"

    def test_a_full_disk_keeps_the_old_file(self, written: Write) -> None:
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
        save_profile(WORK._replace(account="0"))
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
            for _ in range(READERS)
        ]
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        for reader in readers:
            assert reader.stdin
            reader.stdin.write("\n")
            reader.stdin.flush()
        for number in range(30):
            save_profile(WORK._replace(account=str(number)))
        assert [
            reader.communicate(timeout=PATIENCE) and reader.returncode for reader in readers
        ] == [0] * READERS

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
ACCOUNTS = LINES.map(str.strip)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'`,\\"))
HOSTS = st.builds(CloudEnvironment, *[NAMES] * 2, *[LINES] * 3)
PROXIES = st.text(st.characters(**PRINTABLE, exclude_characters="@"), max_size=12)
PROFILES = st.builds(
    Profile,
    name=NAMES,
    client_id=WORDS,
    product=st.sampled_from(["jira", "confluence", "bitbucket"]),
    cloud_id=LINES,
    scopes=st.lists(st.from_regex("[a-zA-Z0-9:._-]+", fullmatch=True)).map(tuple),
    account=ACCOUNTS,
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
            saved = save_profile(profile._replace(name=names[number % 2]))
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
        self, written: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the argument, by the variable, as the only one, or by its name."""
        written("[work]")
        assert load_profile().name == "work"
        file = written("[work]\n[private]\n")
        refused(load_profile, file, "no profile of that name", "Known: work, private.")
        monkeypatch.setenv("ATLASSIAN_PROFILE", "private")
        assert load_profile().name == "private"
        assert load_profile("work").name == "work"
        refused(lambda: load_profile("wrok"), "no profile of that name", "Known: work, private.")
        refused(lambda: delete_profile("wrok"), "no profile of that name", "Known: work, private.")
        monkeypatch.setenv("ATLASSIAN_PROFILE", "")
        written("[work]\n[default]\n")
        assert load_profile().name == "default"

    def test_without_any(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What to do first; in a container the environment may do alone."""
        refused(load_profile, "no profile yet", "atlassian-auth login", "ATLASSIAN_CLIENT_ID")
        monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "id")
        monkeypatch.setenv("ATLASSIAN_SITE_URL", "https://acme.atlassian.net")
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", "~/tokens")
        client = client_from_profile()
        assert (client.client_id, client.account) == ("id", "default")
        refused(lambda: load_profile("work"), "no profile yet")
