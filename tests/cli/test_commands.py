"""The commands, in this process: what they print, for people and for programs, and exit codes."""

from __future__ import annotations

import itertools
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import keyring.core
import pytest
import trustme
from keyring.backend import KeyringBackend

from atlassian_auth_adapter import CloudEnvironment, errors, scope_set
from atlassian_auth_adapter.atlassian.products import COMMERCIAL
from atlassian_auth_adapter.cli.doctor import _skew, clock_check
from atlassian_auth_adapter.cli.main import COMMANDS
from atlassian_auth_adapter.cli.start import FAST_PATHS
from atlassian_auth_adapter.cli.terminal import EXIT_CODES, distance, exit_code
from atlassian_auth_adapter.errors import AuthorizationDeniedError
from atlassian_auth_adapter.profiles.client import client_from_profile
from atlassian_auth_adapter.profiles.file import profiles, save_profile
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.profiles.secrets import client_secret_of
from atlassian_auth_adapter.signin import login as signin
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import Body, Status
from atlassian_auth_adapter.transport import Answer


def _secrets_in(text: str, local: AtlassianEmulator) -> set[str]:
    return {secret for secret in local.secrets if secret in text}


# --- all of them ----------------------------------------------------------------------------------


def test_every_command_explains_itself(command: Any) -> None:
    """--help and -h, without a profile, a store or a network."""
    for name in COMMANDS:
        run = command(name, "--help")
        assert (run.code, run.err) == (0, "")
        assert "usage: " in run.out.lower()


def test_every_error_of_ours_has_an_exit_code() -> None:
    """A script can tell "log in" from "try again" by the code alone."""
    leaves = [getattr(errors, name) for name in errors.__all__ if name != "AtlassianAuthError"]
    codes = {leaf.__name__: exit_code(leaf("text")) for leaf in leaves}
    assert codes["LoginRequiredError"] == 4
    assert codes["FreshTokenRejectedError"] == codes["TokenStoreUnavailableError"] == 6
    assert codes["MissingExtraError"] == 3
    assert set(codes.values()) <= {code for code, _, _ in EXIT_CODES}
    assert [name for name, code in codes.items() if code == 1] == [
        "TokenEndpointError",
        "ForeignOriginError",
    ]


def test_without_a_profile_it_says_how_to_make_one(command: Any) -> None:
    """On standard error, without a traceback; doctor reports it as a failed check."""
    for name in ("status", "token", "sites", "refresh", "logout", "doctor"):
        run = command(name)
        assert run.code == (8 if name == "doctor" else 3)
        assert "atlassian-auth login" in run.err + run.out
        assert "Traceback" not in run.err


def test_an_unexpected_error_shows_its_traceback_with_debug_only(
    command: Any, profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how to see it; frames are only shown with the option."""
    profile()

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("why")

    monkeypatch.setattr("atlassian_auth_adapter.cli.status.facts_of", broken)
    run = command("status", "-p", "work")
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith("Error: ZeroDivisionError: why Run it again with --debug")
    for arguments in (("--debug", "status", "-p", "work"), ("status", "-p", "work", "--debug")):
        run = command(*arguments)
        assert (run.code, run.out) == (1, "")
        assert "Traceback" in run.err
        assert "Error: ZeroDivisionError: why" in run.err


def test_an_error_is_told_once(profile: Any, local: AtlassianEmulator) -> None:
    """By the command; what the library logs of it is shown with --debug only."""
    profile()
    local.cloud.revoke_grants()
    run = _shell("refresh")
    assert (run.returncode, run.stderr.count("refuses")) == (4, 1)
    assert run.stderr.startswith("Error: the login has ended")


def test_a_wrong_command_line_is_an_error(command: Any) -> None:
    """As every command does: usage, on standard error, 2; with --json an object."""
    run = command("statsu")
    assert run.code == 2
    assert "No such command" in run.err
    run = command("status", "--all", "--json")
    assert (run.code, run.err, run.facts["error"]["kind"]) == (2, "", "usage")


def test_every_command_takes_json(command: Any) -> None:
    """Also when it fails: one object on standard output, and nothing else."""
    for name in COMMANDS:
        assert "--json" in command(name, "--help").out, name
    for name in ("status", "token", "sites", "refresh", "logout", "login"):
        run = command(name, "--json")
        assert (run.code, run.err) == (2 if name == "login" else 3, "")
        assert run.facts["error"]["exit_code"] == run.code


def test_a_reader_that_has_seen_enough_is_no_error(profile: Any) -> None:
    """`atlassian-auth status | head -1`."""
    profile()
    program = f"{sys.executable} -m atlassian_auth_adapter.cli.start --help | head -1"
    run = subprocess.run(program, shell=True, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to be had")
@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_output_that_cannot_be_written_is_one_error(profile: Any, unbuffered: str) -> None:
    """A full disk: one line on standard error and 1, however the output is buffered."""
    profile()
    for arguments in ("token", "token --header", "token --json", "status --json"):
        run = _shell(f"{arguments} > /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert (run.returncode, run.stderr.count("\n")) == (1, 1)
        assert "No space left" in run.stderr


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_a_reader_that_has_gone_is_no_error(profile: Any, unbuffered: str) -> None:
    """A reader that has gone, or a closed standard output: nothing is said, and the code is 0."""
    profile()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        for arguments in ("token", "token --show", "status --json", "status", "--help"):
            for redirection in ("", " >&-"):
                run = _shell(arguments + redirection, pipe, PYTHONUNBUFFERED=unbuffered)
                assert (run.returncode, run.stderr) == (0, ""), arguments


def test_a_terminal_that_lacks_characters_is_no_error(profile: Any) -> None:
    """Such as one of ASCII: signs of the command have a word there, others are question marks."""
    profile("J\u00fcrgen")
    run = _shell("doctor", PYTHONIOENCODING="ascii")
    assert (run.returncode, run.stderr) == (0, "")
    assert "ok profile: J?rgen: jira" in run.stdout
    assert "\\" not in run.stdout


def _shell(arguments: str, stdout: Any = subprocess.PIPE, **environment: str) -> Any:
    return subprocess.run(
        f"{sys.executable} -m atlassian_auth_adapter.cli.start {arguments}", shell=True, text=True,
        check=False, stdout=stdout, stderr=subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip


def test_how_far_away_something_is() -> None:
    """In the unit that fits."""
    seconds = (90, -7200, 7776000, 0.2)
    texts = ["in 1 minute", "2 hours ago", "in 90 days", "in 0 seconds"]
    assert [*map(distance, seconds)] == texts


# --- status ---------------------------------------------------------------------------------------


def test_status_says_what_is_kept(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """Scopes, ends and store; nothing secret, for people and for programs."""
    profile()
    before = len(local.requests)
    human, machine = command("status"), command("status", "--json")
    assert human.code == machine.code == 0
    site = local.cloud.sites[0]
    gateway = f"{local.cloud.api_url}/ex/jira/{site.id}"
    for text in ("work", "read:jira-user", "valid", "unused until", site.url, gateway):
        assert text in human.out
    (facts,) = machine.facts["profiles"]
    assert facts == command("status", "-p", "work", "--json").facts
    assert facts["base_url"] == gateway
    assert (facts["state"], facts["store"], facts["profile"]) == ("fresh", "file", "work")
    assert facts["expires_at"] - time.time() == pytest.approx(3600, abs=60)
    assert facts["reauthorize_by"] > facts["expires_at"]
    assert not _secrets_in(human.out + machine.out, local)
    assert len(local.requests) == before


def test_status_without_a_login(command: Any, profile: Any) -> None:
    """A profile without a login says what to do, and has the exit code of the other commands."""
    profile(login=False)
    run = command("status")
    assert run.code == command("token").code == 4
    assert "you are not signed in. Sign in: atlassian-auth login -p work" in run.out


def test_status_of_a_login_that_is_over(command: Any, profile: Any, local: Any) -> None:
    """One verdict and one exit code; no date in the future, and no token of a dead login."""
    profile()
    local.cloud.revoke_grants()
    for name in ("refresh", "status", "token", "sites", "doctor", "refresh"):
        run = command(name)
        assert run.code == 4, name
        shown = run.out + run.err
        assert "the login has ended: the server refuses its refresh token." in shown, name
        assert "Sign in: atlassian-auth login -p work" in shown, name
        assert not re.search(r"\(in \d+ ", shown), name
    facts = command("status", "-p", "work", "--json").facts
    assert (facts["state"], facts["reason"]) == ("login_required", "refused")
    ends = ("expires_at", "idle_until", "reauthorize_by")
    assert [facts[end] for end in ends] == [None, None, None]


def test_status_lists_all_profiles(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """A line each, with the state; one that is wrong hides no other. -p shows one of them."""
    profile("work")
    profile("private", login=False)
    profile("broken", login=False, client_id="")
    run = command("status")
    assert run.code == 4
    for name, text in (
        ("work", f"jira, {local.cloud.sites[0].url}: valid; sign in by 2"),
        ("private", "you are not signed in. Sign in: atlassian-auth login -p private"),
        ("broken", "has no client_id. Add it, or set ATLASSIAN_CLIENT_ID."),
    ):
        _, _, below = run.out.partition(f"{name}\n")
        assert text in below.partition("\n")[0]
    listed = command("status", "--json").facts["profiles"]
    assert [facts["profile"] for facts in listed] == ["work", "private", "broken"]
    assert listed[2]["error"]["kind"] == "configuration"
    assert command("status", "-p", "work").code == 0


def test_a_wrong_profile_is_named_and_hides_no_other(
    command: Any, profile: Any, home: Path
) -> None:
    """One of fifty is misspelt: the others are listed and used; what is wrong is said once."""
    profile()
    file = home / "config" / "profiles.toml"
    more = "".join(f'[p{number}]\nclient_id = "c"\nstore = "file"\n' for number in range(49))
    file.write_text(f"{file.read_text()}\n{more}colour = 1\n")
    shown = command("status", "--json")
    assert shown.code >= 3
    listed = {each["profile"]: each for each in shown.facts["profiles"]}
    assert (len(listed), listed["work"]["state"]) == (50, "fresh")
    wrong = [name for name, each in listed.items() if "colour" in str(each.get("error"))]
    assert wrong == ["p48"]
    assert command("token", "-p", "work").code == 0
    assert command("token", "-p", "p48").code == 3


def test_status_tells_what_wins_over_the_profile(
    command: Any, profile: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the login really is, and which client it is of; doctor tries that store."""
    profile()
    text = (home / "config" / "profiles.toml").read_text()
    (home / "config" / "profiles.toml").write_text(text.replace('"file"', '"keyring"'))
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "another-client")
    facts = command("status", "-p", "work", "--json").facts
    assert facts["client_id"] == "another-client"
    assert (facts["store"], facts["directory"]) == ("file", str(home / "tokens"))
    assert facts["variables"] == ["ATLASSIAN_CLIENT_ID", "ATLASSIAN_TOKEN_DIRECTORY"]
    shown = command("status").out
    assert "ATLASSIAN_CLIENT_ID, ATLASSIAN_TOKEN_DIRECTORY" in shown
    assert f"file: {home / 'tokens'}" in shown
    checks = command("doctor").out
    assert f"file: {home / 'tokens'}: written and read" in checks
    assert "with the client id another-client" in checks


# --- token ----------------------------------------------------------------------------------------


def test_token_prints_one_line(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """The token alone, or as a header, or with what a program needs to know."""
    profile()
    token = client_from_profile("work").token_set().access_token
    assert command("token").out == f"{token}\n"
    assert command("token", "--header").out == f"Authorization: Bearer {token}\n"
    facts = command("token", "--json").facts
    assert (facts["access_token"], facts["token_type"]) == (token, "Bearer")


@pytest.mark.parametrize("ways", FAST_PATHS)
def test_the_fast_path_prints_what_the_command_does(
    command: Any, profile: Any, home: Path, ways: tuple[str, ...]
) -> None:
    """As a process, which loads no parser of command lines; also when there is nothing to print."""
    profile()
    program = "import sys, atexit; from atlassian_auth_adapter.cli.start import run;"
    program += "atexit.register(lambda: sys.stderr.write(str('click' in sys.modules))); run()"
    start = [sys.executable, "-c", program, *ways]
    short = subprocess.run(start, capture_output=True, text=True, check=True)
    assert (short.stdout, short.stderr) == (command(*ways).out, "False")
    assert command("logout").code == 0
    long = subprocess.run(start, capture_output=True, text=True, check=False)
    assert (long.returncode, long.stdout) == (4, "")
    assert "Sign in: atlassian-auth login" in long.stderr


def test_token_refreshes_what_has_ended(
    command: Any, profile: Any, local: AtlassianEmulator, end_token: Any
) -> None:
    """It is valid when it is printed."""
    profile()
    first = command("token").out
    end_token()
    start = [sys.executable, "-m", "atlassian_auth_adapter.cli.start", "token"]
    run = subprocess.run(start, capture_output=True, text=True, check=True)
    assert run.stdout.strip() not in ("", first.strip())
    assert local.count("refresh_token", "issued") == 1


# --- sites, refresh, logout -----------------------------------------------------------------------


def test_sites_are_listed(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """With what a profile needs."""
    profile()
    run = command("sites")
    for site in local.cloud.sites:
        assert site.url in run.out
        assert site.id in run.out
    listed = command("sites", "--json").facts["sites"]
    assert [site["cloud_id"] for site in listed] == [site.id for site in local.cloud.sites]


def test_refresh_keeps_alive(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """Now, or only when the token is old enough."""
    profile()
    assert command("refresh", "--older-than", "7").code == 0
    assert local.count("refresh_token") == 0
    assert command("refresh", "--json").facts["state"] == "fresh"
    assert local.count("refresh_token", "issued") == 1


def test_refresh_does_not_hide_a_login_that_is_over(
    command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """A cron job that leaves young tokens alone still says that a person has to log in."""
    profile()
    local.cloud.revoke_grants()
    assert command("refresh").code == 4
    assert command("refresh", "--older-than", "7").code == 4


def test_logout_without_a_login_claims_nothing(command: Any, profile: Any) -> None:
    """There was nothing to revoke."""
    profile(login=False)
    run = command("logout")
    assert (run.code, "has no login" in run.out, "revoked" in run.out) == (0, True, False)
    assert command("logout", "--json").facts["revoked"] is False


def test_logout_revokes_the_login(command: Any, profile: Any, local: Any, home: Path) -> None:
    """At the server and here; the profile stays for the next login, unless it is deleted too."""
    profile()
    run = command("logout", "--json")
    assert run.facts == {"profile": "work", "revoked": True, "forgotten": True, "deleted": False}
    assert local.cloud.grants.families[0].revoked
    assert command("status", "-p", "work", "--json").facts["state"] == "none"
    assert command("logout", "--delete").code == 0
    assert profiles() == {}
    kept = [file.read_bytes() for file in home.rglob("*") if file.is_file()]
    assert not any(secret.encode() in text for secret in local.secrets for text in kept)


def test_logout_forgets_although_the_server_does_not_answer(
    command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """It says that the login was not revoked, and what to do."""
    profile()
    local.faults.next("revoke", Status(503))
    run = command("logout")
    assert run.code == 0
    assert "The server has not revoked it" in run.out
    assert command("status", "-p", "work", "--json").facts["state"] == "none"


# --- login ----------------------------------------------------------------------------------------


def test_a_service_account_signs_in_without_a_person(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its secret from the environment, it is a profile like any other."""
    account = local.cloud.service_account
    profile("bot", login=False, client_id=account.client_id, scopes=(), callback_url="")
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", account.client_secret)
    run = command("login", "--profile", "bot", "--service-account", "--json")
    assert (run.code, run.facts["state"]) == (0, "fresh")
    assert profiles()["bot"].flow == "client_credentials"
    assert command("token", "-p", "bot").code == 0
    assert local.count("client_credentials", "issued") == 1


def test_login_without_a_terminal_names_the_options(command: Any) -> None:
    """There is no terminal to ask on."""
    run = command("login")
    assert run.code == 2
    assert "--site or --server is missing, and there is no terminal to ask for it." in run.err
    assert "--client-id is missing" in command("login", "--site", "https://acme.example").err


def test_options_are_read_as_variables_are(
    command: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a line around a text does not count; quotes around it are refused by name."""
    server = local.data_center
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", server.service_account.client_secret)
    account = server.service_account.client_id
    service_account = ("login", "--store", "file", "--service-account", "--client-id", account)
    run = command(*service_account, "-p", "work\r\n", "--server", f" {server.url}\r")
    assert run.code == 0, run.err
    assert profiles()["work"].server_url == server.url
    for option, value in (("--site", '"https://a.example"'), ("--scope", "'a"), ("-p", "`b`")):
        run = command(*service_account, option, value)
        assert (run.code, "quotes" in run.err) == (3, True), run.err
        assert f"{'--profile' if option == '-p' else option}:" in run.err


def test_login_without_a_terminal_cannot_ask_for_a_new_secret(command: Any, profile: Any) -> None:
    """It is an error at once; nothing is read, and nothing is shown."""
    profile(login=False)
    run = command("login", "--new-secret")
    assert run.code == 2
    assert "--new-secret needs a terminal" in run.err


@pytest.mark.parametrize("product", ["jira", "confluence"])
def test_login_takes_named_sets_of_scopes(
    product: str, command: Any, profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They replace the scopes of the profile, as --scope does, and both may be given."""
    profile(login=False, product=product)
    asked = []
    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", lambda c, **_: asked.append(c))
    told = command("login", "--scopes", "read", "--scopes", "audit", "--scope", "read:me").err
    added = " ".join(scope_set(product, "read", "audit")).replace(" offline_access", "")
    assert f"    Permissions: {added} read:me\n" in told
    expected = [*scope_set(product, "read", "audit"), "read:me"]
    assert asked[0].get_oauth_scopes() == expected
    assert profiles()["work"].scopes == tuple(expected)


@pytest.fixture
def boards(local: AtlassianEmulator, profile: Any) -> Callable[..., Profile]:
    """Saves the profile "work" of an app of Trello, without a login."""
    trello = local.trello

    def save(secret: str = "") -> Profile:
        hosts = CloudEnvironment(trello.auth_url, trello.api_url, trello.audience)
        values: dict[str, Any] = {"product": "trello", "client_id": trello.app.client_id}
        values |= {"cloud": hosts, "callback_url": trello.app.callback_url, "store": "file"}
        return save_profile(Profile("work", **values), secret)

    return save


@pytest.mark.parametrize("kind", ["public", "confidential"])
def test_an_app_of_trello(
    kind: str, command: Any, boards: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 15: what status and doctor say of it, and of its secret, which it may not have."""
    trello = local.trello
    if kind == "public":
        trello.app.client_secret = ""
    boards(trello.app.client_secret)
    assert _found(command("doctor", "--json"))["client secret"] == "ok"
    expected = {"public": "none: right if the app is a public client", "confidential": "kept for"}
    assert f"client secret: {expected[kind]}" in command("doctor").out

    def sign_in(client: Any, **_: Any) -> None:
        client.oauth_complete(trello.authorize(client.oauth_start()))

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", sign_in)
    assert "Signed in as Ada Example." in command("login").out
    shown = command("status").out
    assert f"trello, {trello.api_url}" in shown
    assert "site" not in shown
    run = command("sites")
    assert (run.code, "only Jira Cloud and Confluence Cloud have sites" in run.err) == (3, True)


@pytest.mark.parametrize("typed", ["", "a-s3cret"])
def test_the_secret_of_a_new_app_that_may_be_public_is_asked_for(
    typed: str, command: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 15: once, before the browser opens, and Enter alone means that there is none."""
    asked: list[str] = []

    def prompt(question: str, **options: Any) -> str:
        asked.append(question)
        return typed or options["default"]

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._has_terminal", lambda: True)
    monkeypatch.setattr("atlassian_auth_adapter.cli.login._try_place", lambda _place: None)
    monkeypatch.setattr("click.prompt", prompt)
    secrets = []
    monkeypatch.setattr(
        "atlassian_auth_adapter.cli.login._sign_in",
        lambda *_, **__: secrets.append(client_secret_of(profiles()["default"])),
    )
    for _ in range(2):
        command("login", "--product", "trello", "--client-id", "id", "--store", "file")
    assert asked == ["Client secret (not shown; Enter alone for a public client)"]
    assert secrets == [typed, typed]


def test_a_service_account_that_cannot_be_is_not_saved(command: Any, boards: Any) -> None:
    """Row 15: Trello has no client credentials. The profile stays one of a person."""
    boards("secret")
    run = command("login", "--service-account")
    assert (run.code, "trello has no service accounts" in run.err) == (2, True)
    assert profiles()["work"].flow == "authorization_code"


@pytest.mark.parametrize("ending", ["time-out", "Ctrl-C"])
def test_when_the_wait_ends_the_causes_are_told(
    ending: str, command: Any, profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 6 and 7: scopes, callback URL, client id or sharing, in this order; no log lines."""

    @contextmanager
    def pasted() -> Iterator[Callable[[float], None]]:
        def read(seconds: float) -> None:
            if ending == "Ctrl-C":
                raise KeyboardInterrupt

        yield read

    instants = itertools.count(0.0, 0.4)
    monkeypatch.setattr("atlassian_auth_adapter.cli.login.pasted_lines", pasted)
    monkeypatch.setattr(signin, "time", SimpleNamespace(monotonic=lambda: next(instants)))
    known = profile(login=False, scopes=("read:jira-user",))
    run = command("login", "--timeout", "1", "--no-browser")
    assert run.code == (130 if ending == "Ctrl-C" else 5)
    first, second, third = re.findall(r"^  \d\. (.*\n     .*)$", run.err, re.MULTILINE)
    assert "the app lacks one of these. Add it, under Permissions:" in first
    assert first.endswith(" read:jira-user")
    assert "unauthorized_client" in second
    assert second.endswith(known.callback_url)
    assert "Distribution > Sharing" in third
    assert third.endswith(known.client_id)
    assert "atlassian_auth." not in run.err


def test_a_wrong_secret_is_told_in_words_of_the_command(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the sign-in: how to enter another one, and no method of the library."""
    profile(login=False)
    local.cloud.app.client_secret = "an0ther-s3cret"

    def sign_in(client: Any, **_: Any) -> None:
        client.oauth_complete(local.cloud.authorize(client.oauth_start()))

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", sign_in)
    run = command("login")
    assert run.code == 3
    assert "atlassian-auth login -p work --new-secret" in run.err
    assert "oauth_start" not in run.err


def test_login_lists_the_named_sets(command: Any, home: Path) -> None:
    """In its help, and when another one is asked for; where there are none it says what to do."""
    shown = " ".join(command("login", "--help").out.split())
    assert "read|write|audit" in shown
    for product in ("jira", "confluence"):
        for name in ("read", "write", "audit"):
            assert f"{product} {name} {' '.join(scope_set(product, name))}" in shown
    assert "'read', 'write', 'audit'" in command("login", "--scopes", "admin").err
    for place in (
        ("--server", "https://jira.acme.example"),
        ("--product", "bitbucket"),
        ("--site", "https://acme.atlassian.net", "--service-account"),
    ):
        run = command("login", "--scopes", "read", *place)
        assert (run.code, "Repeat --scope" in run.err) == (2, True)
    assert profiles() == {}


def test_login_saves_no_invalid_url(
    command: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all one with a password in it; neither the file nor the error repeats that."""
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "s")
    wrong = "https://ada:hunter2@acme.example"
    for place in (
        ("--site", wrong),
        ("--server", wrong),
        ("--site", "https://acme.atlassian.net", "--server", wrong),
        ("--server", "ftp://acme.example"),
    ):
        run = command("login", "--client-id", "id", *place)
        assert (run.code, "hunter2" in run.err) == (3, False)
        assert profiles() == {}


def test_login_needs_a_store_before_anything_else(
    command: Any, profile: Any, local: AtlassianEmulator, home: Path
) -> None:
    """A login that cannot be stored is not fetched, and nothing weaker is chosen."""
    profile(login=False)
    (home / "tokens").rename(home / "gone")
    (home / "tokens").write_text("a file in its place")
    run = command("login")
    assert run.code == 3
    assert str(home / "tokens") in run.err
    assert local.requests == ()


def test_a_login_that_may_not_tell_whose_it_is_is_a_login(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works for other requests: 0, and the scope to add."""
    profile(login=False, scopes=("read:jira-work", "offline_access"))

    def sign_in(client: Any, **_: Any) -> None:
        client.oauth_complete(local.cloud.authorize(client.oauth_start()))

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", sign_in)
    run = command("login")
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith("Signed in.\nWhose login it is cannot be told without the scope")
    assert "read:jira-user" in run.out.partition("profile")[0]
    assert command("login", "--json").facts["missing_scopes"] == ["read:jira-user"]


def test_an_option_that_a_variable_would_overrule_is_refused(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later commands would use the variable: another client, another site, another store."""
    for variable, value, option in (
        ("CLIENT_ID", "one", ("--client-id", "another")),
        ("SERVER_URL", "https://a.example", ("--site", "https://acme.atlassian.net")),
        ("SCOPES", "read:me read:jira-user", ("--scope", "read:me")),
        ("SCOPES", "read:me", ("--scopes", "read")),
        ("TOKEN_DIRECTORY", "/x", ("--store", "keyring")),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"ATLASSIAN_{variable}", value)
            run = command("login", *option)
            assert (run.code, f"ATLASSIAN_{variable}" in run.err) == (2, True), run.err
    assert profiles() == {}


def test_the_secret_is_that_of_the_client_that_is_used(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATLASSIAN_CLIENT_ID names another client than the profile: its secret is missing."""
    profile(login=False)
    monkeypatch.setenv("ATLASSIAN_CLIENT_ID", "another-client")
    run = command("login")
    assert run.code == 3
    assert "no client secret is stored for client 'another-client'" in run.err


def test_a_change_of_the_store_leaves_nothing_behind(
    command: Any,
    profile: Any,
    local: AtlassianEmulator,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The login of the old store is forgotten after the sign-in with the new one, not before."""
    monkeypatch.delenv("ATLASSIAN_TOKEN_DIRECTORY")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setattr(keyring.core, "_keyring_backend", Keyring())
    profile()
    signed_in = []

    def sign_in(client: Any, **_: Any) -> None:
        if signed_in:
            client.oauth_complete(local.cloud.authorize(client.oauth_start()))
        else:
            signed_in.append(client)
            raise AuthorizationDeniedError("no")

    monkeypatch.setattr("atlassian_auth_adapter.cli.login._sign_in", sign_in)
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", local.cloud.app.client_secret)
    assert command("login", "--store", "keyring").code == 5
    assert profiles()["work"].store == "file"
    assert command("token").code == 0
    assert command("login", "--store", "keyring").code == 0
    assert profiles()["work"].store == "keyring"
    assert command("token").code == 0
    kept = [path.read_text() for path in (home / "data").rglob("*.json")]
    assert not any(secret in text for secret in local.secrets for text in kept)


class Keyring(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


# --- doctor ---------------------------------------------------------------------------------------


def _found(run: Any) -> dict[str, str]:
    return {check["name"]: check["result"] for check in run.facts["checks"]}


def test_doctor_finds_nothing_wrong(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """Every check passes when nothing is wrong; people see them, programs get them."""
    profile()
    human, machine = command("doctor"), command("doctor", "--json")
    assert (human.code, machine.code) == (0, 0), human.out
    assert "0 of 13 checks failed." in human.out
    assert "Not tried: whether the server accepts the client secret" in human.out
    assert set(_found(machine).values()) == {"ok"}
    names = ["profile", "store", "clock", "authorization page", "login", "scopes"]
    more = {"client secret", "callback port", "end of the login", "account"}
    ports = {url.rpartition(":")[2] for url in (local.cloud.auth_url, local.cloud.api_url)}
    assert all(f"127.0.0.1:{port}: answers" in human.out for port in ports)
    assert {*names, *more} <= _found(machine).keys()
    assert not _secrets_in(human.out + machine.out, local)


@pytest.mark.parametrize(
    ("what", "check", "result"),
    [
        ({"callback_url": "http://localhost:99999/callback"}, "callback port", "fail"),
        ({"scopes": ("read:jira-work", "offline_access")}, "account", "warn"),
        ({"scopes": ("read:jira-user",)}, "refresh token", "fail"),
        ({"cloud_id": "99999999-aaaa", "site_url": ""}, "account", "fail"),
        (
            {"site_url": "https://no-such-host.invalid"},
            "network, site no-such-host.invalid:443",
            "fail",
        ),
        ({"site_url": "https://a..invalid"}, "network, site a..invalid:443", "fail"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_doctor_finds_what_is_wrong(
    command: Any, profile: Any, what: dict[str, Any], check: str, result: str
) -> None:
    """One wrong setting, found where it is, with advice; the other checks are made all the same."""
    profile(login="callback_url" not in what, **what)
    run = command("doctor", "--json")
    found = _found(run)
    assert found[check] == result, run.out
    needs_login = any(each["code"] == 4 for each in run.facts["checks"])
    expected = 4 if needs_login else 8 if "fail" in found.values() else 0
    assert run.code == expected
    wrong = next(each for each in run.facts["checks"] if each["name"] == check)
    assert wrong["advice"]


def test_doctor_compares_the_registration_only_where_it_is_refused(
    command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """Not where the server cannot be reached, or has failed."""
    profile(login=False)
    for status, advised in ((400, True), (503, False), (407, False)):
        local.faults.next("authorize", Status(status))
        checks = {each["name"]: each for each in command("doctor", "--json").facts["checks"]}
        assert checks["authorization page"]["result"] == "fail"
        assert ("letter by letter" in checks["authorization page"]["advice"]) is advised


def test_doctor_finds_a_damaged_login(command: Any, profile: Any, home: Path) -> None:
    """What the store cannot read is a failed check, and not an error of doctor."""
    profile()
    for file in (home / "tokens").glob("*.json"):
        file.write_text("{")
    run = command("doctor", "--json")
    assert (run.code, _found(run)["login"]) == (8, "fail")
    assert "damaged" in run.out


def test_doctor_accepts_any_date() -> None:
    """A Date header that is no date says nothing about the clock."""
    for zone in ("GMT", "+99999999999999"):
        answer = Answer(200, {"Date": f"Tue, 24 Nov 2026 00:00:00 {zone}"}, b"")
        assert (_skew(answer) is None) == (zone != "GMT")


def test_doctor_finds_an_anonymous_server(command: Any, profile: Any, local: Any) -> None:
    """The server ignores the token and answers anonymously."""
    profile()
    local.cloud.anonymous_readable = True
    local.faults.next("/rest/api/3/myself", Status(401), times=None)
    assert _found(command("doctor", "--json"))["account"] == "fail"


def test_doctor_compares_the_clocks() -> None:
    """Lifetimes are an hour: minutes matter, and seconds do not."""
    for skew, result, text in (
        (2.0, "ok", "2 s ahead of"),
        (-40.0, "warn", "40 s behind"),
        (4000.0, "fail", "4000 s ahead"),
    ):
        check = clock_check("auth.atlassian.com", skew)
        assert (check.result, text in check.text) == (result, True)
        assert bool(check.advice) == (result != "ok")


def test_doctor_says_that_a_port_is_taken(
    command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """Signing in would fail on it: a warning now, with advice."""
    port = local.foreign_url.rpartition(":")[2]
    local.cloud.app.callback_url = f"http://127.0.0.1:{port}/callback"
    profile(callback_url=local.cloud.app.callback_url)
    assert _found(command("doctor", "--json"))["callback port"] == "warn"


def test_doctor_finds_a_certificate_that_is_not_trusted(
    command: Any, home: Path, tmp_path: Path
) -> None:
    """A company's own certificates: the option for its CA bundle is named, and helps."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with AtlassianEmulator(cloud=False, ssl_context=context) as server:
        values = {"server_url": server.data_center.url, "client_id": "id", "store": "file"}
        save_profile(Profile("work", **values), "secret")
        port = urlsplit(server.data_center.url).port
        wrong = command("doctor", "--json")
        what = f"network, authorization server and API 127.0.0.1:{port}"
        assert _found(wrong)[what] == "fail"
        assert "CA bundle" in wrong.out
        save_profile(Profile("work", **values, verify=str(bundle)))
        assert _found(command("doctor", "--json"))[what] == "ok"


@pytest.mark.parametrize(
    "what", [{}, {"client_id": "wrong"}, {"callback_url": "http://localhost:8080/other"}]
)
def test_doctor_does_not_say_that_a_registration_is_right(
    what: dict[str, Any], command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """Row 7: Cloud answers the same whatever the client id: the page is there, no more is known.

    Source: 302 to id.atlassian.com/login for every client id, probe of 2026-08-01.
    """
    profile(login=False, **what)
    login_page = "https://id.atlassian.com/login?continue=https%3A%2F%2Fauth.atlassian.com"
    local.faults.next("authorize", Body(b"", 302, headers={"Location": login_page}), times=None)
    run = command("doctor", "--json")
    (page,) = (check for check in run.facts["checks"] if check["name"] == "authorization page")
    assert page["result"] == "ok"
    assert page["text"].startswith("it sends to id.atlassian.com to sign in. Whether client id, ")
    assert "known only after a person has signed in" in page["text"]
    assert not [check for check in run.facts["checks"] if "registration" in check["name"]]


@pytest.mark.parametrize(
    "answer",
    [
        Body(
            b"", 302, headers={"Location": "https://id.atlassian.com/error?error=invalid_request"}
        ),
        Body(b"", 302, headers={"Location": "https://id.atlassian.com/error"}),
        Body(b'{"error": "invalid_request"}', 400),  # as Data Center answers
        Status(400),
        Status(403),
    ],
    ids=str,
)
def test_doctor_tells_that_a_registration_is_refused(
    answer: Any, command: Any, profile: Any, local: AtlassianEmulator
) -> None:
    """Where a server does compare it before a person signs in."""
    profile(login=False)
    local.faults.next("authorize", answer)
    run = command("doctor", "--json")
    (page,) = (check for check in run.facts["checks"] if check["name"] == "authorization page")
    assert page["result"] == "fail"
    assert "refuses client id, callback URL or scopes" in page["text"]
    assert ("invalid_request" in page["text"]) == ("invalid_request" in str(answer))
    assert "letter by letter" in page["advice"]


def test_doctor_names_the_proxy_without_its_password(
    command: Any, profile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer is the first suspect, and its password stays out of tickets."""
    monkeypatch.setenv("ATLASSIAN_PROXY", "http://ada:s3cr3t@127.0.0.1:9")
    profile(login=False, cloud=COMMERCIAL, site_url="https://acme.atlassian.net")
    run = command("doctor", "--json")
    assert _found(run)["network, authorization server auth.atlassian.com:443"] == "fail"
    assert "through the proxy http://127.0.0.1:9" in run.out
    assert "s3cr3t" not in run.out + run.err
    assert _found(run)["authorization page"] == "fail"
    assert "state=" not in run.out + run.err  # of the authorization request that had no answer


def test_doctor_tells_that_certificates_are_not_checked(command: Any, profile: Any) -> None:
    """It works, and anyone in between can take the tokens: a warning with advice."""
    profile(verify=False)
    run = command("doctor", "--json")
    assert _found(run)["TLS"] == "warn"
    assert "CA bundle" in run.out
    profile()
    assert "TLS" not in _found(command("doctor", "--json"))


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999999"), ("--port", ""), ("--sites", "-1"), ("--x", "1")]
)
def test_the_emulator_refuses_options_as_every_command_does(
    command: Any, local: AtlassianEmulator, option: str, value: str
) -> None:
    """Exit code 2 and a sentence, also as JSON; "" stands for a port that is taken."""
    value = value or local.cloud.auth_url.rpartition(":")[2]
    for json_option in ((), ("--json",)):
        run = command("emulator", option, value, *json_option)
        assert run.code == 2
        assert "unexpected" not in run.err
        if json_option:
            assert run.facts["error"]["exit_code"] == 2


def test_a_command_that_cannot_help_yet_is_not_named(
    command: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a profile `doctor` has no host to look at, so no error sends a person there."""
    monkeypatch.setenv("ATLASSIAN_PROXY", "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "s")
    options = ("--store", "file", "--client-id", "c", "--site", "https://acme.atlassian.net")
    run = command("login", *options)
    assert run.code == 6
    assert "doctor" not in run.err
    (home / "config").mkdir(mode=0o700)
    (home / "config" / "profiles.toml").write_text("[default]\n")
    assert "atlassian-auth doctor looks at each host" in command("login", *options).err
    (home / "config" / "profiles.toml").write_text("[default]\ncolour = 1\n")
    advice = command("doctor", "--json").facts["checks"][0]["advice"]
    assert (advice.startswith("Correct it in "), "login" in advice) == (True, False)
