"""The command in a real terminal, and as the processes that scripts start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import requests

from atlassian_auth_adapter.profiles.client import client_from_profile
from atlassian_auth_adapter.profiles.file import profiles
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.contracts.processes import forking
from atlassian_auth_adapter.testing.emulator import Hold
from atlassian_auth_adapter.testing.emulator.__main__ import _text, describe
from atlassian_auth_adapter.testing.emulator.browser import decide

pexpect = pytest.importorskip("pexpect", reason="no pseudo terminals here")
COMMAND = [sys.executable, "-m", "atlassian_auth_adapter.cli.start"]
#: Whole: a pseudo terminal may hand over half a line.
URL = r"(http://127\.0\.0\.1:\d+/authorize\?\S+)\s"
PATIENCE = 30
#: Processes at once.
MANY = 10


@pytest.fixture
def terminal(home: Path, signals: None) -> Iterator[Callable[..., Any]]:
    """Starts the command in a pseudo terminal, of 60 columns unless told otherwise."""
    started = []

    def start(*arguments: str, **options: Any) -> Any:
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"}
        environment |= options.pop("env", {})
        width = options.pop("width", 60)
        with forking():
            child = pexpect.spawn(
                COMMAND[0], [*COMMAND[1:], *arguments], dimensions=(24, width), timeout=PATIENCE,
                encoding="utf-8", env=environment, **options,
            )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


@pytest.fixture
def port(port: int, profile: Any, local: AtlassianEmulator) -> int:
    """A free port for the redirect of the profile "work", which has no login."""
    local.cloud.app.callback_url = f"http://127.0.0.1:{port}/callback"
    profile(login=False, callback_url=local.cloud.app.callback_url)
    return port


@pytest.fixture
def without_receiver(profile: Any, local: AtlassianEmulator) -> Callable[..., None]:
    """Makes a profile "work" whose redirect goes to another host, so that it has to be pasted."""

    def make(**changes: Any) -> None:
        local.cloud.app.callback_url = "https://app.example/callback"
        profile(login=False, callback_url=local.cloud.app.callback_url, **changes)

    return make


def _url(child: Any) -> str:
    """The address to open, whole although the terminal is narrow."""
    child.expect(URL)
    return str(child.match[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _type_hidden(child: Any, question: str, answer: str) -> None:
    """Answer when nothing is shown any more: what was typed before that is thrown away."""
    child.expect(question)
    assert child.waitnoecho(PATIENCE)
    child.sendline(answer)


def _end(child: Any) -> tuple[int, str]:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before


def _paste(child: Any, redirect: str) -> tuple[int, str]:
    child.expect("paste here")
    child.sendline(redirect)
    return _end(child)


def test_pasting_while_the_receiver_waits(
    terminal: Any, port: int, local: AtlassianEmulator
) -> None:
    """The pasted URL ends the login; what is not one is answered with an error."""
    child = terminal("login", "--no-browser")
    redirect = local.cloud.authorize(_url(child))
    child.expect("paste here")
    child.sendline("hello?")
    child.expect("not the answer")
    child.sendline(redirect)
    code, shown = _end(child)
    assert code == 0, shown
    assert "Signed in as Ada Example." in shown
    assert client_from_profile("work").status().state == "fresh"
    assert not any(secret in shown for secret in local.secrets)
    assert _is_free(port)


def test_a_code_that_is_refused_is_told_in_the_words_of_the_command(
    terminal: Any, port: int, local: AtlassianEmulator
) -> None:
    """It was used or is too old: which command signs in again, and nothing of the library."""
    local.cloud.code_lifetime = 0
    child = terminal("login", "--no-browser")
    code, shown = _paste(child, local.cloud.authorize(_url(child)))
    told = " ".join(shown.split())
    assert code == 5, shown
    assert "too old" in told
    assert "Sign in again: atlassian-auth login" in told
    assert "oauth_start" not in told


def test_ctrl_c_leaves_nothing_behind(terminal: Any, port: int, local: AtlassianEmulator) -> None:
    """The port is free, the terminal as it was, there is no login; exit code 130."""
    child = terminal("login", "--no-browser")
    _url(child)
    child.expect("paste here")
    child.sendintr()
    code, shown = _end(child)
    assert (code, "Interrupted." in shown) == (130, True), shown
    assert "Traceback" not in shown
    assert _is_free(port)
    assert client_from_profile("work").status().state == "none"


def test_a_closed_standard_input_waits_for_the_browser(port: int, local: AtlassianEmulator) -> None:
    """A login from a daemon or a desktop entry: nothing to paste into, the receiver is enough."""
    program = f"exec {' '.join(COMMAND)} login --no-browser <&-"
    with subprocess.Popen(program, shell=True, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        shown = ""
        while not (found := re.search(URL, shown)):
            line = process.stderr.readline()
            assert line, shown
            shown += line
        redirect = local.cloud.authorize(found[1])
        assert requests.get(redirect, timeout=PATIENCE).status_code == 200
        assert process.wait(PATIENCE) == 0, process.stderr.read()
    assert client_from_profile("work").status().state == "fresh"


def test_the_end_of_the_input_ends_a_login_that_only_pastes(
    terminal: Any, without_receiver: Any, local: AtlassianEmulator
) -> None:
    """Without a receiver nothing can come any more: an error at once, not after minutes."""
    without_receiver()
    child = terminal("login")
    _url(child)
    child.expect("paste here")
    child.sendeof()
    code, shown = _end(child)
    assert code == 5, shown
    assert "ended before" in " ".join(shown.split())


def test_answers_are_kept_when_something_fails_afterwards(
    terminal: Any, home: Path, local: AtlassianEmulator
) -> None:
    """The person stops at the secret: the next sign-in asks for that alone."""
    server = local.data_center
    options = ("login", "--store", "file", "--callback-url", "https://app.example/callback")
    child = terminal(*options)
    child.expect("Site or server")
    child.sendline(server.url)
    child.expect("Client id, from the page of the link")
    child.sendline(server.app.client_id)
    child.expect("Client secret")
    child.sendintr()
    code, shown = _end(child)
    assert (code, "Interrupted." in shown) == (130, True), shown
    kept = profiles()["default"]
    assert (kept.server_url, kept.client_id) == (server.url, server.app.client_id)
    assert kept.callback_url == "https://app.example/callback"
    server.app.callback_url = kept.callback_url
    child = terminal("login")
    child.expect("Redirect URL: https://app.example/callback")  # as long as something is asked for
    _type_hidden(child, "Client secret", server.app.client_secret)
    child.expect(r"(http://\S+/rest/oauth2/latest/authorize\?\S+)\s")
    code, shown = _paste(child, server.authorize(child.match[1]))
    assert code == 0, shown
    assert "Signed in as" in shown


def test_a_host_that_does_not_answer_is_told_before_anything_is_asked(
    terminal: Any, home: Path
) -> None:
    """The answers would be of no use; neither would a sign-in without a store."""
    code, shown = _end(terminal("login", "--server", "https://no-such-host.invalid/jira"))
    assert code == 6
    assert "no answer from https://no-such-host.invalid/jira" in " ".join(shown.split())
    assert "Client id" not in shown


def test_pasting_alone_needs_no_port(terminal: Any, port: int, local: AtlassianEmulator) -> None:
    """Another program listens there: the address that the browser is sent to can be pasted."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        child = terminal("login", "--paste", "--no-browser")
        code, shown = _paste(child, local.cloud.authorize(_url(child)))
    assert code == 0, shown


@pytest.mark.parametrize("is_set", [False, True])
def test_the_first_login_asks_for_what_is_missing(
    terminal: Any, home: Path, local: AtlassianEmulator, is_set: bool
) -> None:
    """Client id, server and secret; the secret is not shown, and not in the profile's file.

    A client id of the environment is not asked for, and the secret is found under it.
    """
    server = local.data_center
    known = {"ATLASSIAN_CLIENT_ID": server.app.client_id} if is_set else {}
    child = terminal("login", "--store", "file", "--callback-url", server.app.callback_url,
                     "--no-browser", env=known)  # fmt: skip
    child.expect("Site or server")
    told = " ".join(child.before.split())
    for text in (
        "Authorization \u2192 OAuth 2.0 (3LO) \u2192 Callback URL: " + server.app.callback_url,
        "Permissions: read:audit-log:jira read:jira-user",
        "atlassian-auth login --scopes read",
        "Create link \u2192 External application \u2192 Incoming",
        "Redirect URL: " + server.app.callback_url,
        "Application permissions: WRITE",
    ):
        assert text in told
    child.sendline(server.url)
    if not is_set:
        child.expect("Client id, from the page of the link")
        child.sendline(server.app.client_id)
    _type_hidden(child, "Client secret", server.app.client_secret)
    child.expect(r"(http://\S+/rest/oauth2/latest/authorize\?\S+)\s")
    redirect = server.authorize(child.match[1])
    code, shown = _paste(child, redirect)
    assert code == 0, shown
    assert server.app.client_secret not in shown
    assert profiles()["default"].server_url == server.url
    assert server.app.client_secret not in (home / "config" / "profiles.toml").read_text()


def test_a_wrong_secret_can_be_replaced(
    terminal: Any, without_receiver: Any, local: AtlassianEmulator
) -> None:
    """The registration got another secret: the error says so, and --new-secret asks for it."""
    without_receiver()
    local.cloud.app.client_secret = "another-secret"
    for option, expected in (("--no-browser", 3), ("--new-secret", 0)):
        child = terminal("login", option)
        if option == "--new-secret":
            _type_hidden(child, "Client secret", "another-secret")
        redirect = local.cloud.authorize(_url(child))
        code, shown = _paste(child, redirect)
        assert code == expected, shown
        assert "another-secret" not in shown


def test_the_profile_of_the_emulator_works(
    terminal: Any, home: Path, local: AtlassianEmulator
) -> None:
    """What `atlassian-auth emulator` prints is a profile that one can sign in with."""
    _, _, table = _text(describe(local)).partition("login --profile emulator\n")
    (home / "config").mkdir(mode=0o700)
    (home / "config" / "profiles.toml").write_text(dedent(table.partition("\n\n")[0]))
    secret = {"ATLASSIAN_CLIENT_SECRET": local.cloud.app.client_secret}
    child = terminal("login", "--profile", "emulator", "--no-browser", env=secret)
    redirect = local.cloud.authorize(_url(child))
    code, shown = _paste(child, redirect)
    assert code == 0, shown
    assert "Signed in as Ada Example." in shown


def test_a_person_chooses_among_several_sites(
    terminal: Any, without_receiver: Any, local: AtlassianEmulator
) -> None:
    """The login is made; then the site is asked for, and kept in the profile."""
    without_receiver(site_url="")
    child = terminal("login")
    redirect = local.cloud.authorize(_url(child))
    child.expect("paste here")
    child.sendline(redirect)
    child.expect("Which site")
    child.sendline("2")
    code, shown = _end(child)
    assert code == 0, shown
    assert profiles()["work"].cloud_id == local.cloud.sites[1].id


@pytest.mark.parametrize(("answer", "printed"), [("n", False), ("y", True)])
def test_token_asks_before_it_prints_to_a_terminal(
    terminal: Any, profile: Any, answer: str, printed: bool
) -> None:
    """Anyone who sees the token can use it."""
    profile()
    token = client_from_profile("work").token_set().access_token
    child = terminal("token")
    child.expect("Print it")
    child.sendline(answer)
    code, shown = _end(child)
    assert (code == 0, token[:20] in shown) == (printed, printed)


def test_who_ends_at_a_question_is_told_so_in_a_line_of_its_own(
    terminal: Any, profile: Any
) -> None:
    """Not behind the question; Ctrl-D does what Ctrl-C does, and the exit code is 130."""
    profile()
    child = terminal("token")
    child.expect("Print it.*: ")
    child.sendeof()
    code, shown = _end(child)
    assert code == 130
    assert "Interrupted." in shown.splitlines()


def test_token_prints_to_a_terminal_with_show(terminal: Any, profile: Any) -> None:
    """With --show there is no question."""
    profile()
    code, shown = _end(terminal("token", "--show"))
    assert code == 0
    assert client_from_profile("work").token_set().access_token[:20] in shown


@pytest.mark.parametrize(
    ("width", "commands"),
    [
        (60, ("status", "doctor", "sites", "--help")),
        *(pytest.param(width, ("doctor",), marks=pytest.mark.slow) for width in (80, 120)),
    ],
)
def test_no_line_is_longer_than_the_terminal_is_wide(
    terminal: Any, profile: Any, width: int, commands: tuple[str, ...]
) -> None:
    """But for an address, which stays whole; also with another language and without a home."""
    profile()
    for command in commands:
        changes = {"COLUMNS": str(width), "LANG": "C", "LC_ALL": "C", "HOME": ""}
        code, shown = _end(terminal(command, width=width, env=changes))
        assert code == 0, shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        # An address stays whole, alone in its line, so that it can be copied.
        lines = [line for line in plain.splitlines() if " " in line.strip()]
        assert max(map(len, lines)) <= width, plain


@pytest.mark.parametrize("command", ["status", "doctor", "sites", "api /rest/api/3/myself"])
def test_no_color_is_honoured(terminal: Any, profile: Any, command: str) -> None:
    """Colours in a terminal, unless the person does not want any; none in an error either."""
    profile()
    colour = re.compile(r"\x1b\[[0-9;]*3\d|\x1b\[2m")
    if command == "status":
        assert colour.search(_end(terminal("status"))[1])
    shown = _end(terminal(*command.split(), env={"NO_COLOR": "1"}))[1]
    assert not re.search(r"\x1b\[[0-9;]*3\dm", shown)


@pytest.mark.parametrize("user", ["no HOME", "no entry"])
def test_without_a_home_each_command_says_what_to_set(home: Path, user: str) -> None:
    """A container that runs with any user id: no traceback, exit code 3, the variable is named.

    Who has an entry in the list of users, or has set the directories, needs no HOME.
    """
    if user == "no entry" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    program = (
        "import contextlib, io, os\n"
        "from atlassian_auth_adapter.cli.main import main\n"
        "given = [['login', '--store', 'file', '--site', 'https://acme.atlassian.net']]\n"
        "given += [[name] for name in 'status token sites refresh logout'.split()]\n"
        "given += [['api', '/x'], ['doctor'], ['--help']]\n"
        "def run_all():\n"
        "    for arguments in given:\n"
        "        with contextlib.redirect_stderr(io.StringIO()) as shown:\n"
        "            code = main(arguments)\n"
        "        yield f\"= {arguments[0]} {code} {' '.join(shown.getvalue().split())}\"\n"
    )
    left_out = ("ATLASSIAN_", "XDG_")
    if user == "no entry":
        # It may not be able to read Python's own modules, which are loaded before, and cannot write
        # what coverage measures.
        left_out += ("COVERAGE_",)
        program += "list(run_all())\n"
        program += "del os.environ['XDG_CONFIG_HOME'], os.environ['XDG_DATA_HOME']\n"
        program += "os.setuid(54321)\n"
    program += "print('', *run_all(), sep=os.linesep)\n"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "HOME" and not name.startswith(left_out)
    }
    environment["XDG_CONFIG_HOME"] = environment["XDG_DATA_HOME"] = str(home)
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=PATIENCE, env=environment,
    )  # fmt: skip
    lines = re.findall(r"^= (\S+) (\d+) (.*)$", run.stdout, re.MULTILINE)
    assert len(lines) == 9, run.stderr
    for name, code, shown in lines:
        expected = {"--help": "0"}.get(name, "3")
        if user == "no HOME":
            expected = {"login": "2", "doctor": "8"}.get(name, expected)
        elif name != "--help":
            assert "Set HOME" in shown, name
        assert (name, code) == (name, expected), shown
    assert "Traceback" not in run.stderr


def test_many_commands_at_an_expiry_refresh_once(
    profile: Any, local: AtlassianEmulator, end_token: Any
) -> None:
    """A script with `xargs -P`: one token request, one token for all of them."""
    profile()
    end_token()
    local.reset_log()
    started = [
        subprocess.Popen([*COMMAND, "token"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(MANY)
    ]
    printed = {process.communicate(timeout=PATIENCE) for process in started}
    assert [process.returncode for process in started] == [0] * MANY, printed
    assert len(printed) == 1
    assert [request.outcome for request in local.token_requests] == ["issued"]


def test_the_emulator_saves_a_profile_for_other_terminals(
    home: Path, signals: None, free_port: Callable[[], int]
) -> None:
    """It is used at once, and after a restart at the same port; Ctrl-C ends it with 0."""
    start = [*COMMAND, "emulator", "--save-profile", "local", "--port", str(free_port())]
    shown = []
    for _ in "ab":
        with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as emulator:
            assert emulator.stdout
            lines: list[str] = []
            while not (lines and "Ctrl-C" in lines[-1]):
                lines.append(emulator.stdout.readline())
                assert lines[-1], lines
            shown.append("".join(lines))
            client: Any = client_from_profile("local")
            redirect = decide(client.oauth_start(), "accept", [])
            client.oauth_complete(redirect)
            assert client.test_connection().name == "Ada Example"
            emulator.send_signal(signal.SIGINT)
            assert "has stopped" in emulator.stdout.read()
            assert emulator.wait(PATIENCE) == 0
    assert "atlassian-auth login --profile local" in shown[0]
    secrets = [re.findall(r"client secret +(\S+)", text) for text in shown]
    assert secrets[0] == secrets[1]


def test_without_the_extra_it_says_what_to_install(home: Path) -> None:
    """One line on standard error, no traceback, and the exit code of a configuration."""
    program = "import sys; sys.modules['rich'] = None\n"
    program += "from atlassian_auth_adapter.cli.start import run; run()"
    run = subprocess.run(
        [sys.executable, "-c", program, "status"], capture_output=True, text=True, check=False
    )
    install = "pip install 'atlassian-auth-adapter[cli]'"
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr == f"Error: the command needs rich. Install it with: {install}\n"


def test_without_a_keyring_it_says_how_to_choose_files(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headless Linux: nothing is sent, nothing weaker is chosen, the option is named."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.delenv("ATLASSIAN_TOKEN_DIRECTORY")
    monkeypatch.setenv("ATLASSIAN_CLIENT_SECRET", "s")
    run = subprocess.run(
        [*COMMAND, "login", "--client-id", "id", "--site", "https://acme.atlassian.net"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=PATIENCE,
    )  # fmt: skip
    assert run.returncode == 3
    assert "--store file" in run.stderr


def test_a_terminated_login_frees_its_port(port: int, local: AtlassianEmulator) -> None:
    """SIGTERM in the middle: the next login finds the port free."""
    with subprocess.Popen(
        [*COMMAND, "login", "--no-browser"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        while "authorize?" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert _is_free(port)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_refresh_that_was_sent_is_saved_although_the_command_is_ended(
    profile: Any, local: AtlassianEmulator, signals: None, name: str
) -> None:
    """The end of a session or a timeout: the answer may hold the only token that is left."""
    number: int = getattr(signal, name)
    profile()
    local.faults.next("token", hold := Hold())
    with subprocess.Popen([*COMMAND, "refresh"], stderr=subprocess.PIPE, text=True) as process:
        hold.wait_arrived()
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        hold.release()
        assert process.wait(PATIENCE) == 128 + number
        assert process.stderr
        assert "Traceback" not in process.stderr.read()
    status = client_from_profile("work").status()
    assert (status.generation, status.pending_since) == (2, None)
