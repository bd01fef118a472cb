"""From a profile to its client, and from a login to a request that needs no secret."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import requests

from atlassian_auth_adapter import (
    US_GOV_MODERATE,
    AtlassianAiohttpAuth,
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    AtlassianServiceAccountClient,
    ConfigurationError,
    EncryptedTokenStore,
    FileTokenStore,
    JiraCloudOAuthClient,
    JiraOnPremOAuthClient,
    MemoryTokenStore,
    Profile,
    TokenStoreTimeoutError,
    choose_store,
    client_from_profile,
    load_profile,
    save_profile,
)
from atlassian_auth_adapter.profiles.file import profiles
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.contracts.aiohttp_base import ask
from atlassian_auth_adapter.testing.contracts.processes import PATIENCE

from .conftest import SECRET, WORK, Keyring, Write, hosts_of, sealed_files


class TestClient:
    def test_the_kinds(self, home: Path) -> None:
        """Cloud, Data Center, a service account; each profile has a login of its own."""
        save_profile(WORK)
        save_profile(
            WORK._replace(
                name="two", cloud="us-gov-moderate", site_url="", cloud_id="x", account="ada"
            )
        )
        save_profile(Profile("dc", client_id="id", server_url="https://j.example", store="file"))
        save_profile(
            WORK._replace(name="bot", flow="client_credentials", callback_url="http://x"), SECRET
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
        save_profile(WORK._replace(cloud_id="one", account="profile", proxy="http://profile"))
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

    def test_what_is_missing_is_named(self, written: Write) -> None:
        """Nothing is guessed, and nothing is kept in a place that was not chosen."""
        for text, advice in [
            ('store = "file"', "'work' in .* has no client_id"),
            ('client_id = "id"', "does not say where logins are kept"),
            ('client_id = "id"\nstore = "file"', "say which site"),
        ]:
            written(f"[work]\n{text}\n")
            with pytest.raises(ConfigurationError, match=advice):
                client_from_profile()

    def test_how_long_a_request_waits(self, emulator: AtlassianEmulator, clock: FakeClock) -> None:
        """The `max_wait` of the profile reaches the client; an argument wins over it."""
        save_profile(WORK._replace(cloud=hosts_of(emulator.cloud), max_wait=0.25), SECRET)
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


@pytest.fixture
def signed_in(emulator: AtlassianEmulator, clock: FakeClock, home: Path) -> Profile:
    """A profile of the emulator's Cloud with a login, kept in files."""
    cloud = emulator.cloud
    profile = Profile(
        "work",
        client_id=cloud.app.client_id,
        callback_url=cloud.app.callback_url,
        site_url=cloud.sites[0].url,
        cloud=hosts_of(cloud),
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
        source = AtlassianAiohttpAuth.from_profile("work", clock=clock).source
        assert ask(source, url)[0].json()["displayName"] == "Ada Example"
        assert client_from_profile("work").status().generation == 2

    def test_a_new_process_and_a_pickle_need_nothing_else(
        self, signed_in: Profile, emulator: AtlassianEmulator
    ) -> None:
        """An unpickled client can refresh in another process: it reads the secret there."""
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
        """No HTTP library, no keyring, none of the libraries of the command is loaded for it; to
        print it not even `dataclasses`, which takes a fifth of that time.
        """
        unneeded = {"requests", "httpx", "httpx2", "aiohttp", "authlib", "keyring", "tomlkit",
                    "rich", "typer", "cryptography", "asyncio", "ssl"}  # fmt: skip
        client = (
            "from atlassian_auth_adapter import client_from_profile\n"
            "assert client_from_profile('work').get_access_token()"
        )
        token = (
            "from atlassian_auth_adapter.profiles.client import stored_token_set\n"
            "from atlassian_auth_adapter.profiles.file import load_profile\n"
            "assert stored_token_set(load_profile('work'))"
        )
        variables = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
        for work, more in ((client, set[str]()), (token, {"dataclasses", "inspect"})):
            code = f"{work}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
            done = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                env=variables,  # coverage loads modules of its own
            )
            assert not (unneeded | more) & set(json.loads(done.stdout)), done.stderr
        assert len(emulator.token_requests) == 1
