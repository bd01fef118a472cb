"""The receiver refuses every request but the redirect, and keeps waiting for it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AuthorizationCompletedError,
    ConfigurationError,
    PortUnavailableError,
)
from atlassian_auth_adapter.oauth.authorization import AuthorizationResponse
from atlassian_auth_adapter.signin import loopback, peers
from atlassian_auth_adapter.signin.loopback import LoopbackURI, Receiver
from atlassian_auth_adapter.signin.pages import NOT_HERE

ROOT = Path(__file__).parents[2]
STATE = "st4te-that-cannot-be-guessed"
GOOD = f"/callback?code=c0de&state={STATE}"


def _uri(port: int, host: str = "localhost") -> LoopbackURI:
    uri = LoopbackURI.parse(f"http://{host}:{port}/callback")
    assert uri is not None
    return uri


def _has_ipv6() -> bool:
    try:
        loopback._listening("::1", 0).close()
    except OSError:
        return False
    return True


@pytest.fixture
def receiver(port: int) -> Iterator[Receiver]:
    """A receiver that waits for `GOOD`."""
    with Receiver(_uri(port), STATE) as waiting:
        yield waiting


def _ask(port: int, request: bytes, address: str = "127.0.0.1") -> bytes:
    """The whole answer to some bytes."""
    with socket.create_connection((address, port), 10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def _get(target: str, port: int, **headers: str) -> bytes:
    fields = {"Host": f"localhost:{port}"} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode()


OTHER_TARGETS = {
    "an icon": "/favicon.ico",
    "the root": "/",
    "another path": GOOD.replace("/callback", "/callback/more"),
    "a path that climbs": GOOD.replace("/callback", "/x/../callback"),
    "another spelling of the path": GOOD.replace("/callback", "/%63allback"),
    "absolute form": f"http://localhost{GOOD}",
    "no query": "/callback",
    "no state": "/callback?code=c0de",
    "an empty state": "/callback?code=c0de&state=",
    "another state": "/callback?code=c0de&state=other",
    "a state in other letters": f"/callback?code=c0de&state={STATE.upper()}",
    "a state that is no text": "/callback?code=c0de&state=%ff%fe",
    "half the state": f"/callback?code=c0de&state={STATE[:-1]}",
    "two states": f"{GOOD}&state=other",
    "no code": f"/callback?state={STATE}",
    "two codes": f"{GOOD}&code=other",
    "code and error": f"{GOOD}&error=access_denied",
    "script": f"/callback?code=<script>alert(1)</script>&state={STATE}x",
}


def test_any_other_get_is_refused(receiver: Receiver, port: int) -> None:
    """Wrong path or state: a 4xx with a page that repeats nothing; the receiver keeps waiting."""
    for name, target in OTHER_TARGETS.items():
        answer = _ask(port, _get(target, port))
        assert answer.startswith((b"HTTP/1.0 404 ", b"HTTP/1.0 400 ")), name
        assert answer.endswith(NOT_HERE.html(f"localhost:{port}")), name
        assert receiver.arrived.empty(), name


OTHER_REQUESTS = {
    "HEAD": f"HEAD {GOOD} HTTP/1.1\r\nHost: localhost:{{port}}\r\n\r\n",
    "POST": f"POST {GOOD} HTTP/1.1\r\nHost: localhost:{{port}}\r\n\r\n",
    "OPTIONS": f"OPTIONS {GOOD} HTTP/1.1\r\nHost: localhost:{{port}}\r\n\r\n",
    "an unknown method": f"BREW {GOOD} HTTP/1.1\r\nHost: localhost:{{port}}\r\n\r\n",
    "no Host": f"GET {GOOD} HTTP/1.1\r\n\r\n",
    "a name that was rebound": f"GET {GOOD} HTTP/1.1\r\nHost: evil.example:{{port}}\r\n\r\n",
    "a name that looks local": f"GET {GOOD} HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n",
    "another port": f"GET {GOOD} HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    "two Hosts": f"GET {GOOD} HTTP/1.1\r\nHost: localhost:{{port}}\r\nHost: a.example\r\n\r\n",
    "HTTP/2": f"GET {GOOD} HTTP/2.0\r\nHost: localhost:{{port}}\r\n\r\n",
    "no HTTP": "\x16\x03\x01 hello\r\n\r\n",
    "a huge line": "GET /" + "a" * 65532,  # to the byte: nothing is left unread
    "many headers": f"GET {GOOD} HTTP/1.1\r\n" + "X: y\r\n" * 101,
}


def test_any_other_request_is_refused(receiver: Receiver, port: int) -> None:
    """Other methods, other hosts, no HTTP: no code is accepted."""
    for name, request in OTHER_REQUESTS.items():
        answer = _ask(port, request.replace("{port}", str(port)).encode())
        assert NOT_HERE.title.encode() in answer or name == "HEAD"
        assert not answer.startswith((b"HTTP/1.0 200", b"HTTP/1.0 303")), name
        assert receiver.arrived.empty(), name


def test_the_redirect_is_received_beside_many_connections(port: int, visit: Any) -> None:
    """A hundred silent connections, half of them with a part of a request: the oldest are ended,
    or they would use up the files that the program may open.
    """
    with ExitStack() as stack:

        def connect() -> None:
            idle = []
            for number in range(100):
                idle.append(socket.create_connection(("127.0.0.1", port), 5))
                stack.enter_context(idle[-1])
                if number % 2:
                    idle[-1].sendall(b"GET /callb")
            assert idle[0].recv(1) == b""

        (page,) = _outcome(port, None, visit, before=connect)
        assert "You are signed in" in page.text


def test_a_silent_connection_is_closed(
    receiver: Receiver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds; no other connection is needed for it."""
    monkeypatch.setattr(loopback._Connection, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /callb")
        assert connection.recv(1) == b""


def test_a_request_without_version_and_headers_is_refused(receiver: Receiver, port: int) -> None:
    """No browser sends one. Newer Pythons have a plain dict for its headers."""
    refused = _ask(port, f"GET /callback?code=c&state={STATE}\r\nHost: localhost\r\n\r\n".encode())
    assert refused.startswith(b"<!doctype html>")
    assert receiver.arrived.empty()


def test_a_connection_serves_one_request(receiver: Receiver, port: int) -> None:
    """A connection is not kept, even if the client asks for it."""
    keep = _get("/favicon.ico", port, Connection="keep-alive")
    assert _ask(port, keep + keep).count(b"HTTP/1.0") == 1


def test_nothing_of_a_request_is_logged_or_printed(
    receiver: Receiver, port: int, caplog: Any, capfd: Any
) -> None:
    """A code in a log could be used by another person."""
    caplog.set_level(logging.DEBUG)
    for request_ in (_get("/favicon.ico?code=s3cr3t", port), b"GET /s3cr3t\xff HTTP/9\r\n\r\n"):
        assert b"s3cr3t" not in _ask(port, request_)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


# --- the entrance ---------------------------------------------------------------------------------

AUTHORIZATION_URL = f"https://auth.atlassian.com/authorize?client_id=x&state={STATE}"


@pytest.fixture
def entrance(port: int) -> Iterator[str]:
    """The path of the address that a browser is started with."""
    with Receiver(_uri(port), STATE, AUTHORIZATION_URL) as waiting:
        address, path = waiting.entrance[: -len(waiting._ticket)], waiting._ticket
        assert address == f"http://localhost:{port}"
        assert STATE not in path
        yield path


def test_the_entrance_leads_to_the_authorization_url_once(entrance: str, port: int) -> None:
    """A second browser learns that another one was there, and not the URL."""
    answer = _ask(port, _get(entrance, port))
    assert answer.startswith(b"HTTP/1.0 303 ")
    assert f"Location: {AUTHORIZATION_URL}\r\n".encode() in answer
    assert b"Referrer-Policy: no-referrer" in answer
    for _ in range(2):
        again = _ask(port, _get(entrance, port))
        assert again.startswith(b"HTTP/1.0 410 ")
        assert b"was opened before" in again
        assert STATE.encode() not in again


def test_the_entrance_is_not_found_in_another_way(entrance: str, port: int) -> None:
    """A guessed path, another host, another method; afterwards it is still unused."""
    requests_ = [_get(entrance[:-1], port), _get(f"{entrance}x", port), _get(entrance + "/", port)]
    requests_ += [_get("/", port)]
    requests_ += [_get(entrance, port, Host=f"evil.example:{port}")]
    requests_ += [_get(entrance, port).replace(b"GET", b"POST")]
    for request_ in requests_:
        answer = _ask(port, request_)
        assert answer.startswith((b"HTTP/1.0 404 ", b"HTTP/1.0 501 "))
        assert STATE.encode() not in answer
    assert b" 303 " in _ask(port, _get(entrance, port))


def test_another_user_of_the_machine_does_not_get_in(
    entrance: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may read the arguments of every process; the entrance stays open for its own user."""
    with monkeypatch.context() as patched:
        patched.setattr(peers, "user_at_the_other_end", lambda _: 4711)
        answer = _ask(port, _get(entrance, port))
    assert answer.startswith(b"HTTP/1.0 404 ")
    assert STATE.encode() not in answer
    assert b" 303 " in _ask(port, _get(entrance, port))


def test_when_the_login_is_over_the_entrance_is_closed(port: int) -> None:
    """The redirect would come too late."""
    with Receiver(_uri(port), STATE, AUTHORIZATION_URL) as waiting:
        pass
    assert b" 410 " in _ask(port, _get(waiting._ticket, port))


# --- the outcome ----------------------------------------------------------------------------------


def _outcome(
    port: int,
    error: Exception | None,
    visit: Any,
    times: int = 1,
    before: Callable[[], object] = lambda: None,
) -> list[Any]:
    """The pages of a browser at the redirect when the login ends with this error, or without."""
    seen: list[requests.Response] = []

    def browse() -> None:
        seen.extend(visit(f"http://localhost:{port}{GOOD}") for _ in range(times))

    browser = threading.Thread(target=browse)
    with suppress(AtlassianAuthError), Receiver(_uri(port), STATE) as receiver:
        before()
        browser.start()
        receiver.arrived.get(timeout=20)
        assert not seen, "a page was shown before there was an outcome"
        if error is not None:
            raise error
    browser.join(20)
    return seen


def test_the_page_comes_after_the_outcome_at_a_clean_address(port: int, visit: Any) -> None:
    """Code and state leave the address bar, and the page can be loaded again."""
    first, again = _outcome(port, None, visit, times=2)
    for page in (first, again):
        assert page.url == f"http://localhost:{port}/callback"
        assert [step.status_code for step in page.history] == [303]
        assert "c0de" not in page.text + repr(page.headers)
        assert STATE not in page.text + repr(page.headers)
    assert "You are signed in" in first.text
    assert "You are already signed in" in again.text
    assert "already signed in" in visit(first.url).text


def test_the_page_is_sealed(port: int, visit: Any) -> None:
    """No script, no external resource, no cached copy, no referrer."""
    (page,) = _outcome(port, None, visit)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "<script" not in page.text
    assert "http" not in page.text


def test_no_site_can_frame_a_page(port: int, visit: Any) -> None:
    """Neither the pages about the outcome nor a refusal; none takes a form or a base address."""
    pages = [*_outcome(port, None, visit), *_outcome(port, ConfigurationError("fix it"), visit)]
    pages.append(visit(f"http://localhost:{port}/favicon.ico"))
    assert [page.status_code for page in pages] == [200, 200, 404]
    for page in pages:
        policy = page.headers["Content-Security-Policy"].split("; ")
        assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= {*policy}
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"


def test_the_receiver_redirects_to_itself_only(port: int, visit: Any, monkeypatch: Any) -> None:
    """Whatever address a redirect brings along: it is no open redirector."""
    monkeypatch.setattr(loopback, "DELIVERY", 0.01)
    names = ("redirect_uri", "redirect_to", "next", "url", "return_to", "continue")
    extra = "".join(f"&{name}=https://evil.example/" for name in names)
    seen: list[bytes] = []
    request = _get(GOOD + extra, port, **{"X-Forwarded-Host": "evil.example", "Host": "127.0.0.1"})
    request = request.replace(b"Host: 127.0.0.1\r", b"Host: 127.0.0.1:%d\r" % port)
    browser = threading.Thread(target=lambda: seen.append(_ask(port, request)))
    with Receiver(_uri(port), STATE) as receiver:
        browser.start()
        receiver.arrived.get(timeout=20)
    browser.join(20)
    assert b" 303 " in seen[0]
    assert b"\r\nLocation: http://localhost:%d/callback\r\n" % port in seen[0]
    assert b"evil" not in seen[0]


def test_a_failure_is_shown_in_plain_words_and_escaped(port: int, visit: Any) -> None:
    """The person reads what to do; the details are for the developers of the program."""
    error = ConfigurationError("fix <b>this</b> & that")
    for page in _outcome(port, error, visit, times=2):
        assert "You did nothing wrong" in page.text
        assert "fix &lt;b&gt;this&lt;/b&gt; &amp; that" in page.text
        assert "signed in" not in page.text


def test_a_browser_that_does_not_fetch_the_page_is_not_waited_for_long(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login ends although the page was not fetched."""
    monkeypatch.setattr(loopback, "DELIVERY", 0.05)
    with Receiver(_uri(port), STATE) as receiver:
        browser = threading.Thread(target=_ask, args=(port, _get(GOOD, port)))
        browser.start()
        receiver.arrived.get(timeout=20)
    browser.join(20)
    assert not browser.is_alive()


def test_after_a_while_the_port_is_free(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page can be loaded again for some seconds, then nothing is left."""
    monkeypatch.setattr(loopback, "LINGER", 0.01)
    with Receiver(_uri(port), STATE) as receiver:
        pass
    receiver._acceptor.join(20)
    assert not receiver._acceptor.is_alive()
    assert not loopback._receivers
    loopback._listening("127.0.0.1", port).close()


def test_breaking_off_frees_the_port_at_once(port: int) -> None:
    """Ctrl-C while a browser waits for the outcome: its connection ends, no thread is left."""
    answers_: list[bytes] = []

    def browse() -> None:
        answers_.append(_ask(port, _get(GOOD, port)))

    browser = threading.Thread(target=browse)

    def break_off() -> None:
        with (
            Receiver(_uri(port), STATE) as receiver,
            socket.create_connection(("127.0.0.1", port), 10),
        ):
            browser.start()
            receiver.arrived.get(timeout=20)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("atlassian-auth-receiver")]
    loopback._listening("127.0.0.1", port).close()
    browser.join(20)
    assert answers_ == [b""]


def test_a_sign_in_that_was_completed_elsewhere_is_no_failure(port: int, visit: Any) -> None:
    """Another process was given the same redirect: the page says that there is a login."""
    for page in _outcome(port, AuthorizationCompletedError("x"), visit, times=2):
        assert "You are already signed in" in page.text


# --- where it listens -----------------------------------------------------------------------------


def test_it_listens_on_loopback_addresses_only(port: int) -> None:
    """On those that a browser may use for the host, and on none that others can reach."""
    for host, addresses in (
        ("localhost", ["127.0.0.1", "::1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("[::1]", ["::1"]),
    ):
        usable = [address for address in addresses if "." in address or _has_ipv6()]
        if not usable:
            continue
        with Receiver(_uri(port, host), STATE) as receiver:
            assert [each.getsockname()[0] for each in receiver._sockets] == usable
            for address in usable:
                assert b" 404 " in _ask(port, _get("/favicon.ico", port), address)
        receiver.close()


def test_a_machine_without_ipv6_is_supported(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There "localhost" is one address."""
    monkeypatch.setitem(loopback._ADDRESSES, "localhost", ("127.0.0.1", "fe80::1%lo"))
    monkeypatch.setattr(loopback, "_NO_SUCH_ADDRESS", _errors_of("fe80::1%lo", port))
    with Receiver(_uri(port), STATE) as receiver:
        assert len(receiver._sockets) == 1


def _errors_of(address: str, port: int) -> tuple[int | None, ...]:
    with pytest.raises(OSError) as caught:
        loopback._listening(address, port)
    return (caught.value.errno,)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_taken_port_is_an_error_that_says_what_to_do(address: str, port: int) -> None:
    """Whichever of the addresses is taken; afterwards no socket is left open."""
    if address == "::1" and not _has_ipv6():
        pytest.skip("this machine has no ::1")
    if address == "0.0.0.0" and sys.platform != "linux":
        pytest.skip("elsewhere the more special address wins")
    taken = loopback._listening(address, port)
    with pytest.raises(PortUnavailableError, match=f"port {port} of .*another port.*paste"):
        Receiver(_uri(port), STATE)
    taken.close()
    with Receiver(_uri(port), STATE):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the more special address wins")
def test_no_option_of_a_socket_lets_another_program_listen(port: int) -> None:
    """At the same address or at all of them; also not a program that has the address already, but
    did not listen yet.
    """
    families = {"127.0.0.1": socket.AF_INET, "0.0.0.0": socket.AF_INET}
    if _has_ipv6():
        families |= {"::1": socket.AF_INET6, "::": socket.AF_INET6}
    reuse = [socket.SO_REUSEADDR, socket.SO_REUSEPORT]
    with socket.socket() as early:
        early.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        early.bind(("127.0.0.1", port))
        with Receiver(_uri(port), STATE):
            with pytest.raises(OSError, match="in use"):
                early.listen()
            for (address, family), options in product(families.items(), ([], *zip(reuse), reuse)):
                with socket.socket(family) as other:
                    for option in options:
                        other.setsockopt(socket.SOL_SOCKET, option, 1)
                    with pytest.raises(OSError, match="in use"):
                        other.bind((address, port))


def test_a_second_login_does_not_share_the_port(receiver: Receiver, port: int) -> None:
    """A person could not tell two logins at one port apart: the second one is refused."""
    with pytest.raises(PortUnavailableError, match="another login"):
        Receiver(_uri(port), STATE)
    assert b" 404 " in _ask(port, _get("/favicon.ico", port))


def test_the_next_login_takes_the_port_over(port: int, visit: Any) -> None:
    """The page about an earlier login is no longer served."""
    _outcome(port, None, visit)
    with Receiver(_uri(port), "another state of another login") as receiver:
        assert b" 400 " in _ask(port, _get(GOOD, port))
        assert receiver.arrived.empty()


def test_logins_at_other_ports_do_not_disturb(
    port: int, free_port: Callable[[], int], visit: Any
) -> None:
    """Each has its own outcome and its own page."""
    _outcome(port, None, visit)
    other = free_port()
    with Receiver(_uri(other), STATE):
        assert "already signed in" in visit(f"http://localhost:{port}/callback").text
        assert visit(f"http://localhost:{other}/callback").status_code == 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_keep_the_port(port: int) -> None:
    """A program that signs in and then forks its workers: the port is free when it says so."""
    code = (
        "import os, sys\n"
        "from atlassian_auth_adapter.signin.loopback import LoopbackURI, Receiver\n"
        "uri = LoopbackURI.parse(f'http://localhost:{sys.argv[1]}/')\n"
        "with Receiver(uri, 'state') as receiver: pass\n"
        "read, write = os.pipe()\n"
        "born, bear = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os.close(write)\n"
        "    os.write(bear, b'x')\n"
        "    os.read(read, 1)\n"  # until the parent is done
        "    with Receiver(uri, 'state'): pass\n"  # it may listen itself
        "    sys.exit()\n"
        "os.read(born, 1)\n"  # the fork is over in the child, too
        "receiver.close()\n"
        "with Receiver(uri, 'state') as again: pass\n"
        "again.close()\n"
        "os.close(write)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, str(port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_other_redirect_uris_do_not_lead_here() -> None:
    """Only http on a loopback host does."""
    for uri in (
        "https://app.example/callback",
        "http://app.example:8080/callback",
        "https://localhost:8080/callback",
        "http://localhost.evil.example/",
        "http://0.0.0.0:8080/callback",
        "http://127.0.0.2:8080/callback",
        "my-app://callback",
        "",
    ):
        assert LoopbackURI.parse(uri) is None


def test_the_parts_of_a_redirect_uri() -> None:
    """Without port and path they are port 80 and the root."""
    assert LoopbackURI.parse("http://LOCALHOST") == LoopbackURI("localhost", 80, "/", "LOCALHOST")
    uri = LoopbackURI.parse("http://[::1]:8080/a/b?c=d")
    assert uri is not None
    assert uri.clean == "http://[::1]:8080/a/b"
    assert uri.is_asked_for(["[::1]:8080"], "/a/b")
    with pytest.raises(ConfigurationError, match="not a URL"):
        LoopbackURI.parse("http://localhost:eight/callback")


def test_port_80_is_not_written_in_host() -> None:
    """Browsers leave the usual port out."""
    uri = LoopbackURI.parse("http://localhost/callback")
    assert uri is not None
    assert uri.is_asked_for(["Localhost"], "/callback")


def test_a_state_may_hold_any_text() -> None:
    """Comparing it is False, not an error, also for text beyond ASCII."""
    for length in (0, 100_000):
        response = AuthorizationResponse.parse(f"?code=c&state=x{'ä' * length}")
        assert not response.answers(STATE)
