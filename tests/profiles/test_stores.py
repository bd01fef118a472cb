"""Where logins and client secrets are kept: choosing a store, trying it out, the secrets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from keyrings.alt.file import PlaintextKeyring

from atlassian_auth_adapter import (
    ConfigurationError,
    TokenStoreError,
    choose_store,
    client_from_profile,
    delete_profile,
    load_profile,
    save_profile,
)
from atlassian_auth_adapter.profiles.client import client_of
from atlassian_auth_adapter.profiles.file import profiles
from atlassian_auth_adapter.profiles.secrets import client_secret_of
from atlassian_auth_adapter.testing.contracts.processes import in_forked_child

from .conftest import SECRET, WORK, Keyring, refused, sealed_files

# --- secrets --------------------------------------------------------------------------------------


class TestSecrets:
    def test_where_they_are_looked_for(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """The environment wins; what is not stored is named, with what to do."""
        save_profile(WORK)
        refused(lambda: client_secret_of(WORK), "for client 'id'", "ATLASSIAN_CLIENT_SECRET")
        refused(lambda: client_secret_of(WORK._replace(store="")), "for client 'id'")
        save_profile(WORK, SECRET)
        assert client_secret_of(WORK) == SECRET
        (tmp_path / "secret").write_text("of a container\n")
        monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
        assert client_secret_of(WORK) == "of a container"
        monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "of a variable")
        assert client_secret_of(WORK) == "of a variable"

    def test_a_file_that_others_can_access_is_refused(self, home: Path) -> None:
        """As with logins; neither is a link followed."""
        save_profile(WORK, SECRET)
        (file,) = (home / "data").rglob("*.client_secret.json")
        for mode in (0o640, 0o604, 0o666):
            file.chmod(mode)
            with pytest.raises(Exception, match="users have access") as raised:
                client_secret_of(WORK)
            assert SECRET not in repr(raised.value)
        file.chmod(0o600)
        target = file.rename(home / "elsewhere")
        file.symlink_to(target)
        with pytest.raises(Exception, match="symbolic link"):
            client_secret_of(WORK)

    def test_a_secret_is_for_one_client_at_one_server(self) -> None:
        """After a change of either in the file, it is sent nowhere."""
        save_profile(WORK, SECRET)
        nowhere = WORK._replace(site_url="")
        for other in (
            WORK._replace(client_id="x"),
            nowhere._replace(cloud="us-gov-moderate"),
            nowhere._replace(server_url="https://evil.example"),
            nowhere._replace(product="bitbucket"),
        ):
            refused(lambda other=other: client_secret_of(other), "no client secret")
        for same in (
            WORK._replace(name="two", account="ada"),
            nowhere._replace(cloud_id="x"),
            nowhere,
        ):
            assert client_secret_of(same) == SECRET

    def test_every_spelling_of_a_server_names_its_secret(self) -> None:
        """As a client does, which finds secret and login under one key."""
        server = WORK._replace(site_url="", server_url="https://JIRA.example/jira")
        save_profile(server, SECRET)
        other = server._replace(server_url="https://jira.example/jira/")
        assert client_secret_of(other) == SECRET
        assert client_of(other).issuer == "https://jira.example/jira"

    def test_an_invalid_place_has_no_secret(self) -> None:
        """It keeps no other profile from being saved, and can be deleted."""
        broken = WORK._replace(name="broken", site_url="ftp://acme.example")
        save_profile(broken)
        refused(lambda: save_profile(broken, SECRET), "site_url")
        save_profile(WORK, SECRET)
        save_profile(WORK, "another-s3cr3t")
        assert client_secret_of(WORK) == "another-s3cr3t"
        delete_profile("work")
        delete_profile("broken")
        assert profiles() == {}

    def test_it_goes_with_the_last_profile_that_needs_it(self, vault: Keyring, home: Path) -> None:
        """With another store, another client, or the profile itself; nothing is left behind."""

        def kept() -> tuple[int, int]:
            """How many secrets are kept in files, and in those that the keyring has the key of."""
            sealed = [*sealed_files(home).glob("*.client_secret.json")]
            return len([*home.rglob("*.client_secret.json")]) - len(sealed), len(sealed)

        save_profile(WORK, SECRET)
        save_profile(WORK._replace(name="two"), SECRET)
        delete_profile("work")
        assert kept() == (1, 0)
        save_profile(WORK._replace(name="two", client_id="x"), "another-s3cr3t")
        assert kept() == (1, 0)
        save_profile(WORK._replace(name="two", client_id="x", store="keyring"), "another-s3cr3t")
        assert kept() == (0, 1)
        assert client_secret_of(load_profile("two")) == "another-s3cr3t"
        delete_profile("two")
        assert kept() == (0, 0)

    def test_a_keyring_that_does_not_work_any_more_is_left(
        self, vault: Keyring, found: Callable[[KeyringBackend], Any], another_process: Any
    ) -> None:
        """A profile can change to files because of it; deleting one that needs it is an error.

        While it is locked, a profile can be deleted all the same: that needs no key.
        """
        for name in ("work", "two", "three"):
            save_profile(WORK._replace(name=name, client_id=name, store="keyring"), SECRET)
        another_process()
        vault.is_locked = True
        with pytest.raises(TokenStoreError, match="It is locked: unlock it") as raised:
            client_secret_of(load_profile("work"))
        assert SECRET not in str(raised.value)
        save_profile(WORK._replace(client_id="work"), SECRET)
        assert client_secret_of(load_profile("work")) == SECRET
        delete_profile("three")
        another_process()
        found(fail.Keyring())
        refused(lambda: delete_profile("two"), "no keyring that works")
        assert [*profiles()] == ["work", "two"]

    def test_the_keyring_is_read_once(self, vault: Keyring, another_process: Any) -> None:
        """By a process, for however many secrets, logins and clients; a forked child asks again."""
        save_profile(WORK._replace(store="keyring"), SECRET)
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
            profile = WORK._replace(store=store)  # type: ignore[arg-type]
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
        refused(lambda: choose_store("redis"), 'store: expected "keyring" or "file"')  # type: ignore[arg-type]

    def test_nothing_weaker_is_chosen_instead(
        self, found: Callable[[KeyringBackend], Any], home: Path
    ) -> None:
        """The error says why the keyring cannot be used, and how to choose files."""
        for backend, reason in (
            (fail.Keyring(), "no keyring that works"),
            (null.Keyring(), "switched off"),
            (PlaintextKeyring(), "plain text"),
        ):
            found(backend)
            for choose in (choose_store, lambda: choose_store("keyring")):
                text = refused(choose, "'keyring'", reason)
                assert text.endswith('choose the store "file": atlassian-auth login --store file')
                assert "TokenStore(" not in text
            assert not home.exists()
            with pytest.raises(ConfigurationError):
                save_profile(WORK._replace(store=""))
            assert profiles() == {}

    def test_a_locked_keyring(self, vault: Keyring) -> None:
        """Found out before a person has logged in for nothing."""
        vault.is_locked = True
        refused(choose_store, "It is locked: unlock it", "--store file")

    def test_a_keyring_that_forgets(self, vault: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some accept everything and keep nothing."""
        monkeypatch.setattr(Keyring, "set_password", lambda *_: None)
        refused(choose_store, "did not keep what was written", "--store file")

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
        """As in a container: an error before the login, and two variables help."""
        subprocess.run(["mount", "-o", "remount,ro", small_home], check=True)
        refused(
            lambda: choose_store("file"),
            "the store 'file' does not work here",
            "mount it writable",
            "ATLASSIAN_TOKEN_DIRECTORY",
        )
        monkeypatch.setenv("ATLASSIAN_TOKEN_DIRECTORY", str(tmp_path / "volume" / "tokens"))
        store = choose_store()
        refused(lambda: save_profile(WORK._replace(store=store)), "ATLASSIAN_CONFIG_DIR")
        monkeypatch.setenv("ATLASSIAN_CONFIG_DIR", str(tmp_path / "volume"))
        save_profile(WORK._replace(store=store), SECRET)
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
