"""`login`: the redirect or a pasted line, whichever comes first; nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

import atlassian_auth_adapter
from atlassian_auth_adapter import (
    AuthorizationDeniedError,
    AuthorizationError,
    AuthorizationTimeoutError,
    ConfigurationError,
    PortUnavailableError,
    StateMismatchError,
    TokenEndpointUnavailableError,
    login,
)
from atlassian_auth_adapter.signin import login as login_module, loopback
from atlassian_auth_adapter.testing.emulator import CloseBefore

ROOT = Path(__file__).parents[2]


class Pasted:
    """A `paste` that returns the lines that were put, and raises EOFError for None."""

    def __init__(self, *lines: str | None) -> None:
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        for line in lines:
            self.put(line)

    def put(self, line: str | None) -> None:
        """Paste a line."""
        self._lines.put(line)

    def __call__(self, seconds: float) -> str | None:
        """Called by `login`."""
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            return None
        if line is None:
            raise EOFError
        return line


def _code(redirect: str) -> str:
    return parse_qs(urlsplit(redirect).query)["code"][0]


def _is_free(port: int) -> bool:
    try:
        loopback._listening("127.0.0.1", port).close()
    except OSError:
        return False
    return True


def test_the_name_at_the_top_is_the_function() -> None:
    """No submodule hides it, whatever was imported before."""
    code = (
        "import atlassian_auth_adapter.signin.login, atlassian_auth_adapter.signin.terminal\n"
        "from atlassian_auth_adapter import login\n"
        "import atlassian_auth_adapter as a\n"
        "print(callable(login), a.login is login)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
    assert atlassian_auth_adapter.login is login_module.login


# --- the two ways ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", ["cloud", "data_center"])
def test_a_person_signs_in(
    flavour: str, emulator: Any, make_client: Any, port: int, person: Any, visit: Any
) -> None:
    """Browser, consent, redirect: afterwards there is a login, by one exchange."""
    side = getattr(emulator, flavour)
    side.app.callback_url = f"http://127.0.0.1:{port}/sign/in"
    client = make_client(flavour, login=False)
    person.does = lambda url: visit(side.authorize(url))
    assert login(client, tell=person, timeout=20) is None
    assert "You are signed in" in person.done().text
    assert client.test_connection().name == "Ada Example"
    assert emulator.count("authorization_code") == 1


def test_what_a_subclass_does_at_a_sign_in_is_done(
    client: Any, emulator: Any, person: Any, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `oauth_start` and `oauth_complete` are called: it may count, log or forbid sign-ins."""
    calls = []

    class Counting(type(client)):
        def oauth_start(self) -> str:
            calls.append("start")
            return super().oauth_start()

        def oauth_complete(self, code: str) -> None:
            calls.append(code)
            super().oauth_complete(code)

    monkeypatch.setattr(client, "__class__", Counting)
    person.does = lambda url: visit(emulator.cloud.authorize(url))
    login(client, tell=person, timeout=20)
    assert "You are signed in" in person.done().text
    started, redirect = calls
    assert started == "start"
    assert "code=" in redirect
    assert "state=" in redirect


def test_localhost_may_be_ipv6(client: Any, emulator: Any, person: Any, visit: Any) -> None:
    """A browser that resolves "localhost" to ::1 reaches the receiver."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no ::1")
    person.does = lambda url: visit(emulator.cloud.authorize(url).replace("localhost", "[::1]"))
    login(client, tell=person, timeout=20)
    assert "You are signed in" in person.done().text


def test_a_redirect_is_pasted(emulator: Any, client: Any, person: Any) -> None:
    """Whole or in part, with the state of the same login, while the receiver waits."""
    pasted = Pasted()
    for form in (
        lambda redirect: f"  {redirect}\r\n",
        lambda redirect: f"{redirect}#",
        lambda redirect: redirect.partition("?")[2],
        _code,
    ):
        person.told.clear()
        person.does = lambda url, form=form: pasted.put(form(emulator.cloud.authorize(url)))
        login(client, paste=pasted, tell=person, timeout=20)
        person.done()
        assert "paste here" in person.told[0]
    assert client.status().state == "fresh"
    assert emulator.count("authorization_code", "issued") == 4


def test_a_bare_code_belongs_to_this_login(
    emulator: Any, make_client: Any, port: int, person: Any
) -> None:
    """Although another one was started later with the same store, its verifier is not used."""
    emulator.data_center.app.callback_url = f"http://localhost:{port}/callback"
    client, pasted = make_client("data_center", login=False), Pasted()

    def paste(url: str) -> None:
        redirect = emulator.data_center.authorize(url)
        client.oauth_start()
        pasted.put(_code(redirect))

    person.does = paste
    login(client, paste=pasted, tell=person, timeout=20)
    assert client.status().state == "fresh"


OTHER_LINES = [
    *("yes", "I have agreed, what now?", "   ", "{url}", "http://localhost:8080/callback"),
    "http://localhost:8080/callback?code=abcdefghijkl&state=other",
    "http://localhost:8080/callback?state={state}",
    "http://localhost/?error=access_denied&state=other",
    "\udcff\x00abcdefghijklmnop",
    "http://localhost/?code=abcdefghijkl&state=\udcff",
]


def test_a_line_that_is_not_the_answer_is_ignored(
    emulator: Any, client: Any, person: Any, visit: Any
) -> None:
    """No request is sent for it, and both ways stay open."""
    pasted = Pasted()

    def paste(url: str) -> Any:
        state = parse_qs(urlsplit(url).query)["state"][0]
        for line in OTHER_LINES:
            pasted.put(line.format(url=url, state=state))
        return visit(emulator.cloud.authorize(url))

    person.does = paste
    login(client, paste=pasted, tell=person, timeout=20)
    assert "You are signed in" in person.done().text
    assert emulator.count("authorization_code") == 1


def test_the_person_reads_what_to_paste_instead(client: Any, emulator: Any, person: Any) -> None:
    """Once for each line with text; the line is not repeated."""
    pasted = Pasted(*OTHER_LINES, "yes-s3cr3t", None)
    with pytest.raises(AuthorizationError, match="the input ended"):
        login(client, receive=False, paste=pasted, tell=person)
    advice = [text.partition(".")[0] for text in person.told[1:]]
    assert advice == ["That is not the answer to this login"] * len(OTHER_LINES)
    assert "s3cr3t" not in "".join(person.told)
    assert not emulator.token_requests


def test_when_the_input_ends_the_browser_still_counts(
    client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """A closed standard input only ends the pasting."""
    person.does = lambda url: visit(emulator.cloud.authorize(url))
    login(client, paste=Pasted(None), tell=person, timeout=20)
    assert "You are signed in" in person.done().text


@pytest.mark.parametrize("first", ["redirect", "paste", "both"])
def test_whichever_comes_first_wins(
    first: str, client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """A race of both ways: there is one exchange, and the browser shows success."""
    pasted, barrier = Pasted(), threading.Barrier(2, timeout=20)
    known = threading.Event()

    def hold(seconds: float) -> str | None:
        # The calling thread is in here while the other way is used.
        known.wait(20)
        return pasted(seconds)

    def both(url: str) -> Any:
        redirect = emulator.cloud.authorize(url)
        pages: list[Any] = []

        def browse() -> None:
            if first == "both":
                barrier.wait()
            pages.append(visit(redirect))

        browsing = threading.Thread(target=browse)
        if first != "redirect":
            pasted.put(redirect)
        if first != "paste":
            browsing.start()
        if first == "both":
            barrier.wait()
        known.set()
        if first == "paste":
            browsing.start()
        if first == "redirect":
            pasted.put(redirect)
        browsing.join(20)
        return pages

    person.does = both
    login(client, paste=hold, tell=person, timeout=20)
    (page,) = person.done()
    assert "signed in" in page.text
    assert emulator.count("authorization_code") == 1
    assert emulator.count("authorization_code", "issued") == 1


def test_two_tabs_with_one_redirect_cost_one_exchange(
    client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """Each tab shows success, whichever was first."""
    barrier = threading.Barrier(4, timeout=20)

    def tabs(url: str) -> list[str]:
        redirect, seen = emulator.cloud.authorize(url), []

        def tab() -> None:
            barrier.wait()
            seen.append(visit(redirect).text)

        threads = [threading.Thread(target=tab) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return seen

    person.does = tabs
    login(client, tell=person, timeout=20)
    seen = person.done()
    assert len(seen) == 4
    assert all("signed in" in text for text in seen)
    assert emulator.count("authorization_code") == 1


# --- when it does not work ------------------------------------------------------------------------


def test_a_person_declines(client: Any, emulator: Any, person: Any, visit: Any) -> None:
    """The error says so, and so does the page."""
    pasted = Pasted()
    for answer in (pasted.put, visit):
        person.told.clear()
        person.does = lambda url, answer=answer: answer(emulator.cloud.deny(url))
        with pytest.raises(AuthorizationDeniedError):
            login(client, paste=pasted, tell=person, timeout=20)
        page = person.done()
    assert "You did not give access" in page.text
    assert not emulator.token_requests


def test_success_is_shown_only_when_there_is_a_login(
    client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """The exchange fails: the page says so, and the error has neither the code nor frames."""
    emulator.faults.next("token", CloseBefore())
    person.does = lambda url: visit(emulator.cloud.authorize(url))
    with pytest.raises(TokenEndpointUnavailableError) as caught:
        login(client, tell=person, timeout=20)
    page = person.done().text
    assert "Atlassian could not be reached" in page
    assert not [secret for secret in emulator.secrets if secret in page]
    assert client.status().state == "none"
    frame = caught.value.__traceback__
    while frame is not None:
        assert frame.tb_frame.f_code.co_name not in ("_first_response", "_complete", "_exchange")
        frame = frame.tb_next


def refusal(url: str, error: str) -> str:
    """A redirect that refuses the authorization request at this URL."""
    sent = requests.get(url, allow_redirects=False, timeout=20)
    query = parse_qs(urlsplit(sent.headers.get("Location", url)).query)
    if "continue" in query:
        query = parse_qs(urlsplit(query["continue"][0]).query)
    return f"{query['redirect_uri'][0]}?{urlencode({'error': error, 'state': query['state'][0]})}"


def test_a_wrong_registration_has_its_own_error(client: Any, person: Any, visit: Any) -> None:
    """The server refused the authorization request: error and page name its error code."""
    person.does = lambda url: visit(refusal(url, "invalid_scope"))
    with pytest.raises(AuthorizationError, match="invalid_scope"):
        login(client, tell=person, timeout=20)
    assert "show the details" in person.done().text
    assert "invalid_scope" in person.done().text


def test_the_browser_does_not_come_back(client: Any, person: Any, visit: Any, port: int) -> None:
    """The error has the causes, scopes first; a browser that comes back later is told so.

    Row 6: a scope that was not added to the app never redirects back, OpenHands#12397 and
    atlassian-mcp-server#177. Row 7: nor does a wrong callback or client id, community 41372 and
    100834.
    """
    person.does = lambda url: None
    with pytest.raises(AuthorizationTimeoutError) as caught:
        login(client, tell=person, timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    added = " ".join(client.get_oauth_scopes()).removesuffix(" offline_access")
    causes = ("the app lacks one of these", added, "another callback URL", client.callback_url,
              "not shared", "Distribution > Sharing", client.client_id)  # fmt: skip
    places = [str(caught.value).find(cause) for cause in causes]
    assert -1 not in places
    assert places == sorted(places)
    state = parse_qs(urlsplit(person.url).query)["state"][0]
    late = visit(f"http://localhost:{port}/callback?code=late&state={state}")
    assert "That took too long" in late.text


def test_scopes_that_were_left_out_are_told(
    client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """Row 6: the sign-in has worked; what it lacks is told at once, not at the first request.

    Source: names that do not exist are dropped silently, simstudioai/sim#4388, community 56311.
    """
    dropped = "read%3Aaudit-log%3Ajira%20"
    person.does = lambda url: visit(emulator.cloud.authorize(url.replace(dropped, "")))
    login(client, tell=person, timeout=20)
    assert "You are signed in" in person.done().text
    assert client.scopes_not_granted() == ("read:audit-log:jira",)
    assert "without read:audit-log:jira: Atlassian leaves out scopes" in person.told[-1]


@pytest.mark.parametrize(("count", "warned"), [(50, False), (51, True)])
def test_more_than_50_scopes_are_told_before_the_browser_fails(
    count: int, warned: bool, make_client: Any, emulator: Any, port: int, person: Any
) -> None:
    """Row 6: their URL may be too long. Source: n8n-io/n8n#22479 and #35732."""
    emulator.cloud.app.callback_url = f"http://localhost:{port}/callback"
    scopes = [*(f"read:thing-{number}:jira" for number in range(count - 1)), "offline_access"]
    client = make_client(login=False, scopes=scopes)
    with pytest.raises(AuthorizationTimeoutError):
        login(client, tell=person, timeout=0.05)
    assert ("asks for 51 scopes" in person.told[0]) == warned


def test_a_taken_port_is_found_before_the_browser_opens(
    client: Any, port: int, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person is not asked to agree when the redirect could not be received."""
    monkeypatch.setenv("BROWSER", "true")
    taken = loopback._listening("127.0.0.1", port)
    for paste in (None, Pasted()):
        with pytest.raises(PortUnavailableError, match=f"port {port}"):
            login(client, tell=person, paste=paste)
    taken.close()
    assert not person.told


def test_without_the_port_the_redirect_is_pasted(
    client: Any, emulator: Any, port: int, person: Any
) -> None:
    """`receive=False` does not listen at the port."""
    taken, pasted = loopback._listening("127.0.0.1", port), Pasted()
    person.does = lambda url: pasted.put(emulator.cloud.authorize(url))
    login(client, tell=person, paste=pasted, receive=False, timeout=20)
    taken.close()
    assert client.status().state == "fresh"


def test_a_redirect_that_leads_elsewhere_is_pasted(
    emulator: Any, make_client: Any, person: Any
) -> None:
    """With a web address as callback URL there is no receiver, and `paste` is required."""
    emulator.cloud.app.callback_url = "https://app.example/callback"
    client, pasted = make_client(login=False), Pasted()
    with pytest.raises(ConfigurationError, match="give `paste`"):
        login(client, tell=person)
    person.does = lambda url: pasted.put(emulator.cloud.authorize(url))
    login(client, tell=person, paste=pasted, timeout=20)
    assert "Then paste here" in person.told[0]
    assert client.status().state == "fresh"


def test_without_a_callback_url_the_client_says_so(make_client: Any, person: Any) -> None:
    """The error is that of `oauth_start`."""
    with pytest.raises(ConfigurationError, match="callback_url is missing"):
        login(make_client(login=False, callback_url=""), tell=person)


def test_breaking_off_leaves_nothing_behind(client: Any, port: int) -> None:
    """An exception of the program's own, such as Ctrl-C: the port is free, no thread is left."""

    def interrupt(seconds: float) -> str | None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        login(client, paste=interrupt, tell=lambda text: None)
    assert _is_free(port)
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_login_that_waits(port: int, signals: None) -> None:
    """A process that waits for the browser ends at once and says what an error page means."""
    code = (
        "import atlassian_auth_adapter as a, sys\n"
        "client = a.create_atlassian_oauth_client('id', 'secret', "
        f"'http://localhost:{port}/callback', site_url='https://acme.atlassian.net')\n"
        "try: a.login(client, open_browser=False)\n"
        "except KeyboardInterrupt: sys.exit(7)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as waiting:
        try:
            assert waiting.stderr is not None
            told = [waiting.stderr.readline() for _ in range(3)]
            assert "https://auth.atlassian.com/authorize?" in told[2]
            waiting.send_signal(signal.SIGINT)
            rest = waiting.communicate(timeout=20)[1]
        finally:
            waiting.kill()
    assert waiting.returncode == 7
    assert "Traceback" not in rest
    assert "The most probable cause is the first:\n  1. It speaks of scopes" in rest
    assert _is_free(port)


def test_a_process_that_ends_at_once_has_shown_the_page(
    emulator: Any, client: Any, port: int, visit: Any
) -> None:
    """The browser has its page before the program exits; the exit is quiet and frees the port."""
    cloud = emulator.cloud
    code = (
        "import atlassian_auth_adapter as a, sys\n"
        f"hosts = a.CloudEnvironment({cloud.auth_url!r}, {cloud.api_url!r}, {cloud.audience!r})\n"
        f"keys = {(cloud.app.client_id, cloud.app.client_secret, cloud.app.callback_url)!r}\n"
        f"client = a.create_atlassian_oauth_client(*keys, cloud_id={cloud.sites[0].id!r}, "
        "cloud=hosts)\n"
        "a.login(client, timeout=20)\n"
    )
    signing_in = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert signing_in.stderr is not None
    told = [signing_in.stderr.readline() for _ in range(3)]
    page = visit(cloud.authorize(told[2].strip()))
    assert "You are signed in" in page.text
    rest = signing_in.communicate(timeout=20)[1]
    assert (signing_in.returncode, rest.strip()) == (0, "")
    assert _is_free(port)


# --- the browser ----------------------------------------------------------------------------------


def test_a_browser_that_hangs_does_not_delay_the_login(
    client: Any, emulator: Any, person: Any, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login ends although the call that opens the browser has not returned."""
    opened, release = SimpleQueue[str](), threading.Event()

    def hang(url: str) -> bool:
        opened.put(url)
        return release.wait(20)

    monkeypatch.setenv("BROWSER", "something")
    monkeypatch.setattr(webbrowser, "open", hang)
    person.does = lambda url: visit(emulator.cloud.authorize(opened.get(timeout=20)))
    login(client, tell=person, timeout=20)
    release.set()
    assert client.status().state == "fresh"


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script")
@pytest.mark.parametrize("flavour", ["cloud", "data_center", "bitbucket"])
def test_the_arguments_of_the_browser_hold_no_secret(
    flavour: str, emulator: Any, make_client: Any, port: int, person: Any, visit: Any,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Other users of the machine can read them; with the state they could finish the sign-in."""
    side, told = getattr(emulator, flavour), tmp_path / "told"
    side.app.callback_url = f"http://localhost:{port}/callback"
    client = make_client(flavour, login=False)
    os.mkfifo(told)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$*" > {told}\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(browser))
    # It was read when webbrowser was used first.
    monkeypatch.setattr(webbrowser, "_tryorder", None)

    def browse(url: str) -> Any:
        arguments = told.read_text()  # when the browser has written it
        secrets = parse_qs(urlsplit(url).query)
        for name in ("state", "code_challenge"):
            assert secrets[name][0] not in arguments
        return visit(side.authorize(arguments))

    person.does = browse
    login(client, tell=person, timeout=20)
    assert "You are signed in" in person.done().text


def test_a_browser_that_cannot_start_is_ignored(
    client: Any, emulator: Any, person: Any, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person can open the URL, which was printed."""
    failed = threading.Event()

    def fail(url: str) -> bool:
        failed.set()
        raise webbrowser.Error("no runnable browser")

    monkeypatch.setenv("BROWSER", "something")
    monkeypatch.setattr(webbrowser, "open", fail)
    person.does = lambda url: failed.wait(20) and visit(emulator.cloud.authorize(url))
    login(client, tell=person, timeout=20)
    assert client.status().state == "fresh"


def test_a_browser_is_opened_where_the_person_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the other end of SSH, not in a container, not as text in this terminal."""
    monkeypatch.setattr(login_module, "_CONTAINER_FILES", ())
    ssh = {"SSH_CONNECTION": "a 1 b 22"}
    visible: list[tuple[dict[str, str], str]] = [
        ({"DISPLAY": ":0"}, "linux"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux"),
        ({}, "darwin"),
        ({}, "win32"),
        ({"BROWSER": "/vscode/browser.sh", **ssh}, "linux"),
    ]
    hidden: list[tuple[dict[str, str], str]] = [
        ({}, "linux"),
        ({"DISPLAY": "localhost:10.0", **ssh}, "linux"),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin"),
        ({"DISPLAY": ":0", "container": "podman"}, "linux"),
        ({"DISPLAY": ":0", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "linux"),
    ]
    assert all(login_module.has_browser(*each) for each in visible)
    assert not any(login_module.has_browser(*each) for each in hidden)


def test_over_ssh_there_is_a_tunnel(
    client: Any, person: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text has the command for the machine with the browser."""
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 22")
    with pytest.raises(AuthorizationTimeoutError):
        login(client, tell=person, timeout=0.01)
    assert f"ssh -N -L {port}:127.0.0.1:{port} HOST" in person.told[0]


@pytest.mark.parametrize("name", ["container", "KUBERNETES_SERVICE_HOST"])
def test_in_a_container_the_texts_name_the_published_port(
    client: Any, person: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker run -p` does not lead to loopback addresses: said before and after the wait."""
    monkeypatch.setenv(name, "podman")
    with pytest.raises(AuthorizationTimeoutError, match=r"published port.*--network host"):
        login(client, tell=person, timeout=0.01)
    assert "published port" in person.told[0]


def test_elsewhere_the_texts_do_not_speak_of_containers(
    client: Any, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would mislead."""
    monkeypatch.setattr(login_module, "_CONTAINER_FILES", ())
    monkeypatch.delenv("container", raising=False)
    with pytest.raises(AuthorizationTimeoutError) as caught:
        login(client, tell=person, timeout=0.01)
    assert "container" not in f"{caught.value}{person.told}"


def test_a_sign_in_that_will_end_soon_is_told(make_client: Any, person: Any, port: int) -> None:
    """Without offline_access the person will be asked again after an hour."""
    for scopes, is_short in ((["read:jira-user"], True), (["offline_access"], False)):
        client = make_client(
            login=False, scopes=scopes, callback_url=f"http://localhost:{port}/callback"
        )
        person.told.clear()
        with pytest.raises(AuthorizationTimeoutError):
            login(client, tell=person, timeout=0.01)
        assert ("Without the scope offline_access" in person.told[0]) == is_short


def test_a_redirect_of_another_server_ends_the_login(
    client: Any, emulator: Any, person: Any, visit: Any
) -> None:
    """Received or pasted, `iss` is compared; so is the address of a pasted URL."""
    pasted = Pasted()
    for change in (
        lambda redirect: visit(f"{redirect}&iss=https%3A%2F%2Fevil.example"),
        lambda redirect: pasted.put(f"{redirect}&iss=https%3A%2F%2Fevil.example"),
        lambda redirect: pasted.put(redirect.replace("localhost", "evil.example")),
    ):
        person.told.clear()
        person.does = lambda url, change=change: change(emulator.cloud.authorize(url))
        with pytest.raises(StateMismatchError):
            login(client, paste=pasted, tell=person, timeout=20)
        person.done()
    assert not emulator.token_requests


@pytest.mark.parametrize("quotes", ["''", '""', "<>", "``"])
def test_what_was_copied_with_quotes_is_understood(
    quotes: str, client: Any, emulator: Any, person: Any, events: Any
) -> None:
    """The whole URL, its query in either order, or the code; the state is the one of this login."""
    client._report, pasted = lambda name, **_: events.append(name), Pasted()
    forms = (
        lambda redirect: redirect,
        lambda redirect: redirect.partition("?")[2],
        lambda redirect: "&".join(reversed(redirect.partition("?")[2].split("&"))),
        _code,
    )
    for form in forms:
        person.told.clear()
        person.does = lambda url, form=form: pasted.put(
            f"{quotes[0]}{form(emulator.cloud.authorize(url))}{quotes[1]}"
        )
        login(client, paste=pasted, tell=person, timeout=20)
        person.done()
    assert emulator.count("authorization_code", "issued") == len(forms)
    assert "state_not_checked" not in events


def test_nothing_secret_is_printed(client: Any, emulator: Any, person: Any, capfd: Any) -> None:
    """Neither code nor token; without `tell` the person reads standard error."""
    pasted = Pasted()

    def tell(text: str) -> None:
        person(text)
        login_module._to_standard_error(text)

    person.does = lambda url: pasted.put(emulator.cloud.authorize(url))
    login(client, tell=tell, paste=pasted, timeout=20)
    printed = "".join(capfd.readouterr())
    assert person.url in printed
    assert not [secret for secret in emulator.secrets if secret in printed]
