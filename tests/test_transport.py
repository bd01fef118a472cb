"""The package's own requests: settings apply to each, and an error tells whether it was sent."""

from __future__ import annotations

import gc
import gzip
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
import urllib3
from cryptography.hazmat.primitives import serialization

from atlassian_auth_adapter import (
    AtlassianAuthError,
    AtlassianOAuthClient,
    CloudEnvironment,
    ConfigurationError,
    ResourceUnavailableError,
    TokenEndpointUnavailableError,
    create_atlassian_oauth_client,
)
from atlassian_auth_adapter.testing import AtlassianEmulator, FakeClock
from atlassian_auth_adapter.testing.emulator import Status
from atlassian_auth_adapter.transport import (
    MAX_ANSWER,
    Answer,
    NoAnswerError,
    Transport,
)

from .servers import (
    HEAD,
    HOST,
    ForwardProxy,
    Pki,
    dead_port,
    failure_of,
    post,
    raw_server,
    replying,
)

# --- TLS ------------------------------------------------------------------------------------------

#: How to make each kind of request of the package.
OWN_REQUESTS: dict[str, Callable[[AtlassianOAuthClient], object]] = {
    "token": lambda client: client.oauth2_retrieve_access_token(
        refresh_token=client.token_set().refresh_token
    ),
    "tenant_info": lambda client: client.base_url,
    "accessible-resources": lambda client: client.accessible_resources(),  # type: ignore[attr-defined]
    "/rest/api/3/myself": lambda client: client.test_connection(),
    "revoke": lambda client: client.revoke(),
}


def _cloud_client(
    emulator: AtlassianEmulator, clock: FakeClock, host: str = "127.0.0.1", **changes: Any
) -> Any:
    """A Cloud client that is logged in, and still has to find its site by the URL."""
    cloud = emulator.cloud
    auth_url, api_url, site_url = (
        url.replace("127.0.0.1", host)
        for url in (cloud.auth_url, cloud.api_url, cloud.sites[0].url)
    )
    client = create_atlassian_oauth_client(
        **{
            "client_id": cloud.app.client_id,
            "client_secret": cloud.app.client_secret,
            "callback_url": cloud.app.callback_url,
            "site_url": site_url,
            "cloud": CloudEnvironment(auth_url, api_url, cloud.audience),
            "clock": clock,
            "proxy": False,
            **changes,
        }
    )
    emulator.faults.clear()  # other tests use this emulator
    for kind in ("tenant_info", "accessible-resources"):  # at sign-in
        emulator.faults.next(kind, Status(503))
    client.oauth_complete(cloud.authorize(client.oauth_start()))
    return client


@pytest.fixture(scope="module")
def tls_emulator(pki: Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian behind https with a certificate of that authority."""
    with AtlassianEmulator(ssl_context=pki.server_context()) as running:
        yield running


@pytest.fixture(scope="module")
def mtls_emulator(pki: Pki) -> Iterator[AtlassianEmulator]:
    """A local Atlassian that requires a client certificate."""
    with AtlassianEmulator(ssl_context=pki.server_context(client_certificates=True)) as running:
        browser = ssl.create_default_context(cafile=pki.bundle)
        browser.load_cert_chain(pki.client_pem)
        running.cloud.browser_ssl_context = browser
        yield running


def _make_own_requests(client: Any, emulator: AtlassianEmulator) -> None:
    """Makes each kind of request once; each is accepted."""
    emulator.reset_log()
    for make in OWN_REQUESTS.values():
        make(client)
    assert [request.status for request in emulator.requests] == [200] * len(OWN_REQUESTS)


def test_a_ca_bundle_applies_to_every_own_request(
    tls_emulator: AtlassianEmulator, clock: FakeClock, pki: Pki
) -> None:
    """`verify="/path/ca.pem"`: each request trusts that authority."""
    _make_own_requests(_cloud_client(tls_emulator, clock, verify=pki.bundle), tls_emulator)


def test_a_client_certificate_applies_to_every_own_request(
    mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: Pki
) -> None:
    """`cert=` is sent to every server that asks for it, as one file or as two."""
    for cert in (pki.client_pem, pki.client_pair):
        client = _cloud_client(mtls_emulator, clock, verify=pki.bundle, cert=cert)
        _make_own_requests(client, mtls_emulator)


def test_without_the_client_certificate_nothing_works(
    mtls_emulator: AtlassianEmulator, clock: FakeClock, pki: Pki
) -> None:
    """The emulator refuses a client without it, so the test above proves something."""
    with pytest.raises(TokenEndpointUnavailableError):
        _cloud_client(mtls_emulator, clock, verify=pki.bundle)


def test_an_unknown_authority_is_not_trusted(
    tls_emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """Without `verify=` the login fails before the secret is sent; the text names `verify`."""
    tls_emulator.reset_log()
    with pytest.raises(TokenEndpointUnavailableError, match="verify") as caught:
        _cloud_client(tls_emulator, clock)
    assert caught.value.outcome == "not_sent"
    assert not tls_emulator.token_requests


def test_verification_can_be_switched_off(
    tls_emulator: AtlassianEmulator, clock: FakeClock
) -> None:
    """`verify=False` is obeyed, with urllib3's warning."""
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        _cloud_client(tls_emulator, clock, verify=False)


# --- settings that cannot work --------------------------------------------------------------------


def test_settings_that_cannot_work_are_refused_at_once() -> None:
    """The constructor raises a ConfigurationError that names the setting and what to give."""
    wrong: dict[str, list[object]] = {
        "verify: there is no file": ["/no/such/bundle.pem", "", 0, None],  # requests: no check
        "cert: there is no file": [
            *("/no/such/client.pem", ("/no/such.crt", "/no/such.key"), (__file__, "/no/such.key")),
            *((__file__,), ""),
        ],
        "timeout: give seconds above zero": [
            *(0, -1.0, (5, 0), (5, 30, 60), (), "30", float("nan"), float("inf"), True),
            None,  # requests would wait for ever
        ],
        "proxy: give a URL": [
            *("", "http://", "http://proxy:port", "http://pro xy:80", 0, ["http://proxy"]),
            *({"https": 8080}, {"https": "http://proxy:port"}, {"all": "http://"}, {"http": "a b"}),
        ],
    }
    for text, values in wrong.items():
        for value in values:
            with pytest.raises(ConfigurationError, match=text):
                Transport(**{text.partition(":")[0]: value})


@dataclass(frozen=True)
class _Files:
    """Files that are none of PEM, or not the right ones."""

    empty: str
    junk: str
    half: str
    other_key: str
    locked_key: str
    no_hashes: str


@pytest.fixture
def files(pki: Pki, tmp_path: Path) -> _Files:
    """Each kind of file once, and a directory whose certificates have no hashed names."""
    key = serialization.load_pem_private_key(Path(pki.client_pair[1]).read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"s3cr3t"),
    )
    certificate = Path(pki.bundle).read_bytes()
    other = trustme.CA().issue_cert("other@company.com").private_key_pem.bytes()
    contents = (b"", b"no PEM", certificate[: len(certificate) // 2], other, locked)
    paths = []
    for number, content in enumerate(contents):
        paths.append(tmp_path / f"file-{number}.pem")
        paths[-1].write_bytes(content)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(certificate)
    return _Files(*map(str, paths), no_hashes=str(folder))


def test_a_bundle_that_holds_no_certificate_is_refused_with_its_path(
    files: _Files, pki: Pki
) -> None:
    """Empty, junk, cut off, a key, a directory without hashes: told before any request."""
    for path in (files.empty, files.junk, files.half, pki.client_pair[1], files.no_hashes):
        with pytest.raises(ConfigurationError, match="verify: ") as caught:
            post(9, "https", verify=path)
        assert path in str(caught.value)
        assert "ry again" not in str(caught.value)


def test_a_client_certificate_that_cannot_work_is_refused_with_its_path(
    files: _Files, pki: Pki
) -> None:
    """Junk, no key, another key, a key that asks for a password: before any request."""
    certificate, key = pki.client_pair
    for cert in (
        *(files.empty, files.junk, certificate, key),
        *((certificate, files.empty), (files.junk, key), (certificate, files.other_key)),
        *((certificate, files.locked_key), (key, certificate)),
    ):
        with pytest.raises(ConfigurationError, match="cert: ") as caught:
            post(9, "https", cert=cert)
        assert all(path in str(caught.value) for path in (cert if type(cert) is tuple else [cert]))


def test_files_that_change_later_are_looked_at_again(pki: Pki, tmp_path: Path) -> None:
    """A certificate that a cron job replaces by an empty file is told by its path as well."""
    bundle, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    bundle.write_bytes(Path(pki.bundle).read_bytes())
    client.write_bytes(Path(pki.client_pem).read_bytes())
    transport = Transport(verify=str(bundle), cert=str(client), proxy=False)
    for file in (client, bundle):
        file.write_bytes(b"")
        with pytest.raises(ConfigurationError, match=file.name):
            transport.get("https://127.0.0.1:9/")


AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


def test_authorities_that_the_environment_names_are_trusted(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of requests and those that httpx obeys; only if the program names none itself."""
    folder = tmp_path / "hashed"
    folder.mkdir()
    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-hash", "-in", pki.bundle], capture_output=True, text=True
    )
    (folder / f"{hashed.stdout.strip()}.0").write_bytes(Path(pki.bundle).read_bytes())
    reply = replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    with raw_server(reply, pki.server_context()) as port:
        for name in AUTHORITIES:
            with monkeypatch.context() as patch:
                patch.setenv(name, str(folder) if name.endswith("DIR") else pki.bundle)
                assert post(port, "https").json() == {}, name
                with pytest.raises(NoAnswerError, match="certificate verify failed"):
                    post(port, "https", verify=requests.certs.where())


def test_a_variable_that_names_no_certificates_is_told_by_name(
    files: _Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there or is none of PEM: the error has the variable and the path."""
    for name in AUTHORITIES:
        for path in ("/no/such/bundle", files.empty, files.junk, files.no_hashes):
            with monkeypatch.context() as patch:
                for other in AUTHORITIES:
                    patch.delenv(other, raising=False)
                patch.setenv(name, path)
                with pytest.raises(ConfigurationError, match=f"^{name}: .*{path}"):
                    post(9, "https")
                with pytest.raises(NoAnswerError):  # without TLS it does not matter
                    post(dead_port())


def test_a_path_object_is_a_path(pki: Pki) -> None:
    """`pathlib` users need no str()."""
    reply = replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    with raw_server(reply, pki.server_context()) as port:
        assert post(port, "https", verify=Path(pki.bundle)).json() == {}


def test_an_invalid_host_name_is_a_configuration_error() -> None:
    """A host name that the network library refuses to look up: the URL is wrong."""
    for host in ("a" * 70 + ".example", "host..example"):
        with pytest.raises(ConfigurationError, match="cannot send"):
            Transport(proxy=False).send("GET", f"https://{host}/")


def test_an_invalid_url_is_a_configuration_error() -> None:
    """Brackets without an address, a port that is no number, no host."""
    for url in ("http://[", "https://host:port/", "http://", "https://[::1/"):
        with pytest.raises(ConfigurationError, match="cannot send"):
            Transport(proxy=False).send("GET", url)


def test_an_invalid_header_is_not_shown() -> None:
    """A stored token with a line break is an error that does not repeat it."""
    for token in ("s3cr3t\n", "s3cr3t\r\nX: y", "s3cr3t€", " s3cr3t", b"s3cr3t\n"):
        headers: Any = {"Authorization": token}
        with pytest.raises(ConfigurationError) as caught:
            Transport(proxy=False).send("GET", "http://127.0.0.1:9/", headers=headers)
        chain = caught.value, caught.value.__cause__, caught.value.__context__
        assert not any("s3cr3t" in f"{error!r} {error}" for error in chain)


# --- proxies --------------------------------------------------------------------------------------


def test_the_proxy_applies_to_every_own_request(
    tls_emulator: AtlassianEmulator, clock: FakeClock, pki: Pki, forward_proxy: ForwardProxy
) -> None:
    """`proxy="http://..."`: each request goes through a CONNECT tunnel of that proxy."""
    settings = {"verify": pki.bundle, "proxy": forward_proxy.url}
    client = _cloud_client(tls_emulator, clock, HOST, **settings)
    forward_proxy.seen.clear()
    _make_own_requests(client, tls_emulator)
    assert len(forward_proxy.seen) == len(OWN_REQUESTS)
    assert all(line.startswith(f"CONNECT {HOST}:") for line in forward_proxy.seen)


def test_which_proxy_is_used(forward_proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """None and True follow the environment, False uses none, an address is used as given."""
    proxy = forward_proxy.url
    cases: list[tuple[Any, dict[str, str], bool]] = [
        (None, {}, False),
        (None, {"HTTP_PROXY": proxy}, True),
        (None, {"http_proxy": proxy, "NO_PROXY": HOST}, False),
        (True, {"HTTP_PROXY": proxy}, True),
        (True, {"ALL_PROXY": proxy}, True),
        (True, {"HTTP_PROXY": proxy, "no_proxy": ".test"}, False),
        (False, {"HTTP_PROXY": proxy}, False),
        (False, {"http_proxy": proxy, "ALL_PROXY": proxy}, False),
        (proxy, {}, True),
        (proxy, {"HTTP_PROXY": "http://127.0.0.1:9"}, True),
        (proxy.removeprefix("http://"), {}, True),
        ({"http": proxy}, {}, True),
        ({"https": proxy}, {}, False),
    ]
    with raw_server(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        line = f"POST http://{HOST}:{port}/token"
        for setting, environment, is_used in cases:
            forward_proxy.seen.clear()
            with monkeypatch.context() as patch:
                for name, value in environment.items():
                    patch.setenv(name, value)
                assert post(port, host=HOST, proxy=setting).json() == {}
            assert forward_proxy.seen == [line] * is_used, (setting, environment)


#: This machine, in many spellings, and hosts that are other machines.
def test_a_request_to_this_machine_uses_no_proxy(
    forward_proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the environment's nor the given one: secrets would leave the machine in clear."""
    proxy = forward_proxy.url
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    settings: list[Any] = [
        *(None, True, proxy, proxy.removeprefix("http://")),
        *({"http": proxy}, {"all": proxy}, {"http://localhost": proxy}),
    ]
    with raw_server(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        for host in ("localhost", "LocalHost", "127.0.0.1", "127.1"):
            for setting in settings:
                assert post(port, host=host, proxy=setting).json() == {}
                assert not Transport(proxy=setting).proxy_for(f"http://{host}:{port}/")
    assert not forward_proxy.seen


def test_a_login_at_this_machine_tells_a_proxy_nothing(
    make_client: Any, forward_proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of a developer, below a company's HTTP_PROXY: from the code to the resources."""
    monkeypatch.setenv("HTTP_PROXY", forward_proxy.url)
    client = make_client("data_center", proxy=forward_proxy.url)
    client.refresh()
    client.test_connection()
    client.check_registration()
    client.revoke()
    assert not forward_proxy.seen


def test_the_password_of_the_proxy_is_sent_and_not_shown(forward_proxy: ForwardProxy) -> None:
    """The password is sent to the proxy; no error and no repr repeats it."""
    forward_proxy.refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    address = forward_proxy.url.replace("//", "//user:s3cr3t@")
    transport = Transport(proxy=address)
    with pytest.raises(NoAnswerError, match="407") as caught:
        transport.send("GET", f"https://{HOST}:9/")
    assert b"proxy-authorization: basic" in forward_proxy.heads[0].lower()
    shown = f"{caught.value!r} {caught.value.__cause__!r} {transport!r}"
    assert "s3cr3t" not in shown
    assert not caught.value.sent


def test_a_malformed_proxy_address_is_not_repeated() -> None:
    """The error for it does not show its password."""
    for address in ("http://user:s3cr3t@proxy:0", "http://user:s3cr3t@[::1", "h\0"):
        with pytest.raises(AtlassianAuthError) as caught:
            Transport(proxy=address).send("GET", f"https://{HOST}:9/")
        assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_netrc_is_never_read(
    make_client: Any, emulator: AtlassianEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login for the host in `.netrc` is not sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password s3cr3t\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.utils.get_netrc_auth("http://127.0.0.1/") == ("bob", "s3cr3t")
    client = make_client(cloud_id="")
    for ask in OWN_REQUESTS.values():
        ask(client)
    headers = [request.headers.get("authorization", "") for request in emulator.requests]
    assert not any(header.startswith("Basic") for header in headers)
    assert sum(header.startswith("Bearer ") for header in headers) == 3  # resources (2), myself


# --- answers --------------------------------------------------------------------------------------


def test_a_redirect_is_an_answer(emulator: AtlassianEmulator) -> None:
    """No redirect is followed: its target gets no request."""
    for status in (301, 302, 303, 307, 308):
        reply = f"HTTP/1.1 {status} Moved\r\nLocation: {emulator.foreign_url}/\r\n\r\n"
        with raw_server(replying(reply.encode())) as port:
            assert post(port).status == status
    assert not emulator.requests


def test_a_redirect_to_a_malformed_url_is_an_answer() -> None:
    """Nor is its URL looked at, or its body read beyond the limit."""
    for place in ("http://[bad", "http://a:b:c/", "//", "\xff\x00", "http://x:99999/"):
        reply = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 2\r\n\r\n{{}}"
        with raw_server(replying(reply.encode("latin-1"))) as port:
            assert (post(port).status, post(port).body) == (302, b"{}")
    reply = "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n" + "x" * (MAX_ANSWER + 1)
    with raw_server(replying(reply.encode())) as port, pytest.raises(NoAnswerError) as caught:
        post(port)
    assert caught.value.sent


# The libraries below leave such a connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_answer_with_two_lengths_is_none_and_the_request_was_sent() -> None:
    """It is no error of the configuration: the server may have rotated a refresh token."""
    for lengths in (("2", "3"), ("2, 3",), ("7", "2")):
        fields = "".join(f"Content-Length: {length}\r\n" for length in lengths)
        with raw_server(replying(f"HTTP/1.1 200 OK\r\n{fields}\r\n{{}}".encode())) as port:
            with pytest.raises(NoAnswerError) as caught:
                post(port)
            assert caught.value.sent
            del caught
    gc.collect()


def test_a_body_without_json_is_read_as_none() -> None:
    """Never an exception, however broken or deep it is."""
    for body in (
        *(b"", b"<html>", b'{"a": ', b"\xff\xfe\xff", b"[" * 100_000, b'{"a":' * 100_000),
        b'{"a": ' + b"9" * 5000 + b"}",
    ):
        assert Answer(200, {}, body).json() is None
    for text, encoding in (
        ('{"a": "é"}', "utf-8"),
        ('{"a": "é"}', "utf-8-sig"),
        ('{"a": "é"}', "utf-16"),
        ('{"a": "é"}', "latin-1"),
    ):
        assert Answer(200, {}, text.encode(encoding)).json() == {"a": "é"}


def test_an_answer_does_not_print_its_body() -> None:
    """The body may hold tokens; the repr does not."""
    answer = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"s3cr3t")
    assert "s3cr3t" not in repr(answer)
    assert answer.content_type == "text/html"
    assert Answer(200, {"Content-Type": "a\x1b[31m"}, b"").content_type == ""
    assert Answer(200, {}, b"").content_type == ""


def test_a_compressed_answer_is_read_up_to_the_limit() -> None:
    """A gzip answer is read; a gzip bomb ends at the size limit."""

    def zipped(text: bytes) -> Callable[[socket.socket], None]:
        body = gzip.compress(text)
        head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        return replying(head + body)

    with raw_server(zipped(b'{"a": 1}')) as port:
        assert post(port).json() == {"a": 1}
    assert failure_of(zipped(bytes(50_000_000)), match="larger").sent


def test_a_get_without_an_answer_holds_no_bearer() -> None:
    """The error without a connection has its cause; text and fields do not hold the bearer."""
    with pytest.raises(ResourceUnavailableError, match="Try again") as caught:
        Transport().get(f"http://127.0.0.1:{dead_port()}/x?state=s3cr3t", "Bearer s3cr3t")
    assert isinstance(caught.value.__cause__, requests.ConnectionError)
    assert caught.value.__context__ is None
    assert "s3cr3t" not in f"{caught.value}{vars(caught.value)}"
