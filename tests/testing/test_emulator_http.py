"""HTTP and the log: many connections, big bodies, TLS, start and stop, what is recorded."""

from __future__ import annotations

import gc
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests
import trustme

from atlassian_auth_adapter.testing.emulator import Edit, Emulator, Hold, Status
from atlassian_auth_adapter.testing.emulator.__main__ import _text, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Client

START_LIMIT = 0.5  # seconds; typically 5 ms, the limit allows for a busy machine


def connect(url: str) -> socket.socket:
    """A bare connection to the host of a URL."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def test_start_and_stop_do_not_wait_for_connections() -> None:
    """Keep-alive connections, silent connections and held requests do not delay `close`."""
    begun = time.monotonic()
    emulator = Emulator()
    started = time.monotonic()
    with requests.Session() as session, connect(emulator.foreign_url) as silent:
        session.get(emulator.foreign_url, timeout=10)
        hold = Hold()
        emulator.faults.next("foreign", hold)
        with connect(emulator.foreign_url) as held:
            held.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            hold.wait_arrived()
            stopping = time.monotonic()
            emulator.close()
            stopped = time.monotonic()
        assert silent.recv(1) == b""
    assert started - begun < START_LIMIT
    assert stopped - stopping < START_LIMIT
    emulator.close()
    gc.collect()


def test_five_hundred_connections_at_once(cloud: Client, emulator: Emulator) -> None:
    """Five hundred open connections are all answered; each request is in the log."""
    token = cloud.access_token()
    parts = urlsplit(cloud.product_url)
    head = (
        f"GET {parts.path}/rest/api/3/myself HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}"
    )
    connections = [connect(cloud.product_url) for _ in range(500)]
    try:
        for connection in connections:
            connection.sendall(f"{head}\r\n\r\n".encode())
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 200"
    finally:
        for connection in connections:
            connection.close()
    assert len(emulator.requests) == 500


def test_threads_rotate_without_losing_count(
    cloud: Client, emulator: Emulator, client_of: Callable[..., Client]
) -> None:
    """Refreshes of one token from many threads: one is issued, the others are replays."""
    token = cloud.refresh_token()
    clients = [client_of(emulator, "cloud") for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: each.refresh(token).status_code, clients))
    assert answers == [200] * 16
    assert emulator.count(outcome="issued") == 1
    assert emulator.count(outcome="replayed_in_grace") == 15


def test_early_refusal_of_a_big_upload_keeps_the_connection(cloud: Client) -> None:
    """A 401 to five megabytes leaves the connection usable for the next request."""
    parts = urlsplit(cloud.product_url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    token = cloud.access_token()
    for value, status in (("dead", 401), (token, 200)):
        headers = {"Authorization": f"Bearer {value}"}
        connection.request("POST", f"{parts.path}/rest/echo", b"x" * 5_000_000, headers)
        response = connection.getresponse()
        body = response.read()
        assert response.status == status
    assert json.loads(body)["body_length"] == 5_000_000
    connection.close()


def test_expect_100_continue(cloud: Client) -> None:
    """A client that asks first gets `100 Continue`, then the answer."""
    token = cloud.access_token()
    path = urlsplit(cloud.product_url).path
    with connect(cloud.product_url) as connection:
        head = f"POST {path}/rest/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"body")
        assert b'"body_length":4' in connection.recv(5000)


def test_chunked_bodies_arrive_whole(client: Client) -> None:
    """A streamed body (chunked transfer encoding) is echoed with length and hash."""

    def chunks() -> Iterator[bytes]:
        for index in range(100):
            yield bytes([index]) * 1000

    token = client.access_token()
    body = client.request("POST", "/rest/echo", token, data=chunks()).json()
    assert body["body_length"] == 100_000
    assert body["body_sha256"] == hashlib.sha256(b"".join(chunks())).hexdigest()


def test_big_attachments_do_not_live_in_memory(cloud: Client) -> None:
    """An upload of 40 MB costs the process next to no memory and comes back whole."""
    size = 40_000_000
    token = cloud.access_token()
    frame = b'--B\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'

    def body() -> Iterator[bytes]:
        yield frame
        for _ in range(size // 100_000):
            yield b"z" * 100_000
        yield b"\r\n--B--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=B", "X-Atlassian-Token": "no-check"}
    path = "/rest/api/3/issue/ACME-1/attachments"
    tracemalloc.start()
    made = cloud.request("POST", path, token, data=body(), headers=headers).json()[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made["size"] == size
    assert peak < 10_000_000
    with cloud.get(made["content"], token, allow_redirects=True, stream=True) as got:
        assert sum(len(chunk) for chunk in got.iter_content(1 << 16)) == size


def test_head_and_options(client: Client) -> None:
    """HEAD has the headers of GET and no body; OPTIONS names the methods."""
    token = client.access_token()
    path = "/rest/api/2/myself"
    got = client.get(path, token)
    head = client.request("HEAD", path, token)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert "GET" in client.request("OPTIONS", path, token).headers["Allow"]


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Paths: of a certificate authority, and of its certificate for 127.0.0.1 with its key."""
    folder = tmp_path_factory.mktemp("identity")
    authority, chain = str(folder / "authority.pem"), str(folder / "chain.pem")
    made = trustme.CA()
    made.cert_pem.write_to_path(authority)
    made.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(chain)
    return authority, chain


def test_tls(identity: tuple[str, str], client_of: Callable[..., Client]) -> None:
    """With an SSL context every host speaks https, as does the browser of `authorize`."""
    authority, chain = identity
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with Emulator(ssl_context=context) as emulator, connect(emulator.foreign_url) as mute:
        assert emulator.cloud.auth_url.startswith("https://")
        response = requests.get(emulator.foreign_url, verify=authority, timeout=10)
        assert response.json() == {"foreign": True}
        mute.sendall(b"GET / HTTP/1.1\r\n\r\n")  # no TLS: no other client is affected
        for name in ("cloud", "data_center"):
            client = client_of(emulator, name)
            client.http.verify = authority
            assert client.exchange(client.code()).status_code == 200


def test_mutual_tls(identity: tuple[str, str], client_of: Callable[..., Client]) -> None:
    """A context that asks for client certificates refuses clients without one."""
    authority, chain = identity
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    browser = ssl.create_default_context(cafile=authority)
    browser.load_cert_chain(chain)
    with Emulator(ssl_context=context) as emulator:
        with pytest.raises(requests.RequestException):
            requests.get(emulator.foreign_url, verify=authority, timeout=10)
        client = client_of(emulator, "cloud")
        client.http.verify, client.http.cert = authority, chain
        client.flavour.browser_ssl_context = browser
        assert client.exchange(client.code()).status_code == 200


def test_foreign_host(emulator: Emulator, cloud: Client) -> None:
    """It answers anything, redirects and refuses as told, and logs headers and bodies in clear."""
    root = emulator.foreign_url
    response = cloud.request("PUT", f"{root}/any/path", "a-token", data=b"a body")
    assert response.status_code == 200
    logged = emulator.requests[-1]
    assert (logged.role, logged.headers["authorization"]) == ("foreign", "Bearer a-token")
    assert logged.body == b"a body"
    assert cloud.get(f"{root}/status/401").status_code == 401
    target = f"{cloud.product_url}/rest/echo"
    response = cloud.get(f"{root}/redirect", params={"to": target, "status": "307"})
    assert (response.status_code, response.headers["Location"]) == (307, target)


def test_redirect_resource(client: Client, emulator: Emulator) -> None:
    """/rest/redirect of a product sends a client with a good token elsewhere."""
    token = client.access_token()
    params = {"to": f"{emulator.foreign_url}/trap", "status": "308"}
    response = client.request("POST", "/rest/redirect", token, params=params)
    assert (response.status_code, response.headers["Location"]) == (308, params["to"])


def test_log_of_requests(cloud: Client, emulator: Emulator) -> None:
    """Each request is logged with role, target, hash of the body and status; reset empties it."""
    token = cloud.access_token()
    cloud.request("POST", "/rest/echo?a=1", token, data=b"12345")
    logged = emulator.requests[-1]
    assert (logged.role, logged.method, logged.status) == ("api", "POST", 200)
    assert logged.target.endswith("/rest/echo?a=1")
    assert logged.body_length == 5
    assert logged.body_sha256 == hashlib.sha256(b"12345").hexdigest()
    assert logged.body == b""
    assert logged.at == 1_800_000_000.0
    emulator.reset_log()
    assert emulator.requests == ()


def test_reprs_and_token_log_hold_no_secret(client: Client, emulator: Emulator) -> None:
    """No code, token or secret stands in a repr or in a record of the token log."""
    issued = client.exchange(client.code()).json()
    client.refresh(issued["refresh_token"])
    client.whoami(issued["access_token"])
    shown = repr((emulator.token_requests, emulator.requests, client.flavour.app))
    fields = repr([getattr(r, n) for r in emulator.token_requests for n in r.__slots__])
    assert len(emulator.secrets) > 5
    for secret in emulator.secrets:
        assert secret not in shown
        assert secret not in fields


def test_secrets_names_everything_issued(client: Client, emulator: Emulator) -> None:
    """Codes, tokens and client secrets are listed for leak scanners."""
    code = client.code()
    issued = client.exchange(code).json()
    wanted = {code, issued["access_token"], issued["refresh_token"]}
    assert wanted | {client.flavour.app.client_secret} <= emulator.secrets


def test_flavours_may_be_left_out() -> None:
    """A flavour that was not started is an AttributeError that says so."""
    with Emulator(data_center=False) as emulator:
        assert emulator.cloud.auth_url
        with pytest.raises(AttributeError, match="Data Center"):
            _ = emulator.data_center
    with Emulator(cloud=False, context_path="") as emulator:
        url = emulator.data_center.url
        assert urlsplit(url).path == ""
        assert requests.get(f"{url}/rest/api/2/serverInfo", timeout=10).ok


def started_somewhere() -> Emulator:
    """An emulator on ten consecutive ports, below those that the kernel hands out."""
    for first in range(20_000 + os.getpid() % 1000, 32_000, 97):
        try:
            return Emulator(port=first, sites=2)
        except OSError:
            continue  # one of them is in use
    raise AssertionError("no ten free ports")


def test_consecutive_ports() -> None:
    """`port` fixes the ports: auth, api, sites, media, server, foreign, then Bitbucket's."""
    with started_somewhere() as emulator:
        cloud = emulator.cloud
        urls = [cloud.auth_url, cloud.api_url, *(site.url for site in cloud.sites)]
        urls += [cloud.media_url, emulator.data_center.url, emulator.foreign_url]
        bitbucket = emulator.bitbucket
        urls += [bitbucket.auth_url, bitbucket.api_url, bitbucket.media_url]
        ports = [urlsplit(url).port or 0 for url in urls]
        assert ports == list(range(ports[0], ports[0] + 10))


def test_a_failing_handler_is_a_500(
    cloud: Client, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bug in the emulator shows as a status 500 with a traceback, not as a lost connection."""

    def broken(_: object) -> Status:
        raise RuntimeError("bug in a test")

    emulator.faults.next("me", Edit(broken))  # type: ignore[arg-type]
    response = cloud.get(f"{cloud.flavour.api_url}/me")
    assert response.status_code == 500
    assert "bug in a test" in response.text
    assert "bug in a test" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_line(number: signal.Signals) -> None:
    """The command prints where everything is and ends with 0 on a signal."""
    module = "atlassian_auth_adapter.testing.emulator"
    command = [sys.executable, "-m", module, "--json", "--sites", "2", "--context-path", "/x"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert len(facts["cloud"]["sites"]) == 2
        assert facts["data_center"]["url"].endswith("/x")
        assert facts["bitbucket"]["client_secret"]
        page = requests.get(facts["cloud"]["authorization_url"], timeout=10)
        assert page.status_code == 200
        process.send_signal(number)
        assert process.wait(10) == 0


def test_command_line_text() -> None:
    """Without --json it prints instructions for people."""
    with Emulator() as emulator:
        text = _text(describe(emulator))
    urls = (emulator.cloud.auth_url, emulator.data_center.url, emulator.bitbucket.api_url)
    for expected in (*urls, "curl", "Ctrl-C", "export ATLASSIAN_SITE_URL=http"):
        assert expected in text


def test_no_threads_are_left() -> None:
    """After `close` no thread of the emulator runs."""
    before = set(threading.enumerate())
    with Emulator() as emulator:
        requests.get(emulator.foreign_url, timeout=10)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
