"""`atlassian-auth api`: requests with the login, and what is printed of their answers."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlassian_auth_adapter import CloudEnvironment, scope_set
from atlassian_auth_adapter.cli.bodies import Upload, json_of, pairs_of
from atlassian_auth_adapter.cli.main import main
from atlassian_auth_adapter.profiles.client import client_from_profile
from atlassian_auth_adapter.profiles.file import save_profile
from atlassian_auth_adapter.profiles.profile import Profile
from atlassian_auth_adapter.testing import AtlassianEmulator
from atlassian_auth_adapter.testing.emulator import (
    Body,
    CloseAfter,
    CutBody,
    Hold,
    Redirect,
    Status,
)

COMMAND = [sys.executable, "-m", "atlassian_auth_adapter.cli.start", "api"]
MYSELF = "/rest/api/3/myself"
ECHO = "/rest/echo"
PATIENCE = 60
MEGABYTE = 1 << 20


@pytest.fixture
def api(command: Any, profile: Any, local: AtlassianEmulator) -> Callable[..., Any]:
    """Runs `atlassian-auth api` with the login "work"; no token is ever printed."""
    profile(scopes=("read:jira-user", "read:jira-work", "write:jira-work", "offline_access"))

    def run(*arguments: str) -> Any:
        done = command("api", *arguments)
        assert not [secret for secret in local.secrets if secret in done.out + done.err]
        return done

    return run


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def tokens_at(local: AtlassianEmulator, role: str) -> list[str]:
    """The Authorization headers that a host has got."""
    return [r.headers.get("authorization", "") for r in local.requests if r.role == role]


# --- where a request goes -------------------------------------------------------------------------


def test_every_way_to_name_a_resource(api: Any, local: AtlassianEmulator) -> None:
    """A path with and without its slash, of site and gateway, the cloud id, and whole URLs."""
    cloud, site = local.cloud, local.cloud.sites[0]
    gateway = f"/ex/jira/{site.id}{MYSELF}"
    for path in (
        MYSELF,
        MYSELF[1:],
        f"/{MYSELF}",
        f"{MYSELF}?expand=groups#top",
        f"/ex/jira/{{cloudId}}{MYSELF}",
        gateway,
        site.url + MYSELF,
        f"{cloud.api_url}{gateway}",
    ):
        run = api(path)
        assert (run.code, run.err) == (0, "")
        assert run.facts["displayName"] == "Ada Example"
    assert {
        r.path for r in map(_Seen, local.requests) if r.role == "api" and "myself" in r.path
    } == {gateway}


def test_further_apis_of_the_gateway(command: Any, profile: Any) -> None:
    """The error says how to ask for them; a profile that has the option gets an answer."""
    profile(login=False)
    run = command("api", "/graphql", "-f", "query={ me }")
    assert (run.code, "atlassian-auth login --gateway-path '/graphql'" in run.err) == (2, True)
    profile(gateway_paths=("/graphql",))
    assert command("api", "/graphql", "-f", "query={ me }").code == 0


class _Seen:
    def __init__(self, request: Any) -> None:
        self.role, self.path = request.role, request.target.partition("?")[0]


def test_every_product(command: Any, profile: Any, local: AtlassianEmulator) -> None:
    """Confluence, Data Center, Bitbucket, Trello: paths below the base URL, with or without it."""
    server, bitbucket, trello = local.data_center, local.bitbucket, local.trello
    hosts = {"cloud": CloudEnvironment("https://auth.test", "https://api.test", "")}
    for name, side, changes, paths in (
        ("wiki", local.cloud, {"product": "confluence", "scopes": ("read:confluence-user",
         "read:page:confluence", "offline_access")},
         ("/wiki/api/v2/pages", "/api/v2/pages", "/ex/confluence/{cloudid}/wiki/api/v2/pages")),
        ("server", server, {"server_url": server.url, "site_url": "", "scopes": ()},
         ("/rest/api/2/myself", "rest/api/2/myself", "/jira/rest/api/2/myself",
          f"{server.url}/rest/api/2/myself")),
        ("bitbucket", bitbucket, {"product": "bitbucket", "site_url": "", "scopes": (), **hosts},
         ("/user", "/2.0/user")),
        ("trello", trello, {"product": "trello", "site_url": "", "scopes": (), **hosts},
         ("/1/members/me",)),
    ):  # fmt: skip
        if "cloud" in changes:
            audience = getattr(side, "audience", "")
            changes["cloud"] = CloudEnvironment(side.auth_url, side.api_url, audience)
        elif name == "server":
            changes["cloud"] = ""
        app = side.app
        callback = {"callback_url": app.callback_url}
        profile(name, login=False, client_id=app.client_id, **callback, **changes)
        secret = app.client_secret
        client: Any = client_from_profile(name, client_secret=secret)
        client.oauth_complete(side.authorize(client.oauth_start()))
        for path in paths:
            run = command("api", "-p", name, path)
            assert (run.code, run.err) == (0, ""), path
            assert isinstance(run.facts, dict)
        if name not in ("wiki", "server"):  # what is of the gateway elsewhere is a path as any here
            assert command("api", "-p", name, "/graphql").code == 9


def test_a_service_account(
    command: Any, profile: Any, local: AtlassianEmulator, tmp_path: Path
) -> None:
    """Without a sign-in."""
    account = local.cloud.service_account
    made = profile(login=False, client_id=account.client_id, flow="client_credentials", scopes=())
    save_profile(made, account.client_secret)
    run = command("api", MYSELF)
    assert (run.code, run.err) == (0, "")


#: What is given as PATH, and what is said about it.
FOREIGN = (
    ("{foreign}/x", "nothing was sent"),
    ("{other}/rest/api/3/myself", "nothing was sent"),
    ("https://evil.example/rest/api/3/myself", "nothing was sent"),
    ("https://{host}@evil.example/rest/api/3/myself", "nothing was sent"),
    ("https://{host}/rest/api/3/myself", "nothing was sent"),
    ("/ex/jira/other/rest/api/3/myself", "not one of the site"),
    ("{site}/browse/ACME-1", "no counterpart"),
    ("/rest/api/3/..%2f..%2fother", "servers read in different ways"),
    ("\\\\evil.example\\rest", "servers read in different ways"),
    ("/../../../ex/jira/other/rest", "servers read in different ways"),
    ("/rest/%0d%0aA:b", "servers read in different ways"),
    ("ftp://host/x", "https://"),
    ("http://[::1", "not a URL"),
    ("http://x:99999/", "not a URL"),
    ("https://a\u2100b/", "not a URL"),
)


def test_what_is_not_of_the_login_is_refused(api: Any, local: AtlassianEmulator) -> None:
    """A clear text, 2, and no request: not even one without the token."""
    site, other = (each.url for each in local.cloud.sites)
    known = {"site": site, "other": other, "host": site.removeprefix("http://")}
    assert api(MYSELF).code == 0  # the site is known from now on
    before = len(local.requests)
    for path, said in FOREIGN:
        for options in ([], ["-X", "GET", "-f", "a=b"]):
            run = api(path.format(foreign=local.foreign_url, **known), *options)
            assert (run.code, run.out) == (2, ""), path
            assert said in " ".join(run.err.split()), path
    assert len(local.requests) == before


def test_a_redirect_to_another_host_is_followed_without_the_token(
    api: Any, local: AtlassianEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attachments are downloaded so; no login of .netrc is sent there, and no body."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    to = f"{ECHO.replace('echo', 'redirect')}?to={local.foreign_url}/file"
    run = api(to)
    assert (run.code, run.facts) == (0, {"foreign": True})
    assert tokens_at(local, "foreign") == [""]
    file = tmp_path / "body"
    file.write_text("text")
    run = api(f"{to}&status=307", "--input", str(file))
    assert (run.code, run.out) == (5, "")
    assert "a body is not sent there" in run.err
    assert len(tokens_at(local, "foreign")) == 1


def test_redirects_that_lead_nowhere(api: Any, local: AtlassianEmulator) -> None:
    """Without an end, to no URL, to a file, to what no server is at: one line, and 6."""
    site = local.cloud.sites[0].url
    for to in (site + ECHO, "http://[::1", "http://a/\xff", "file:///etc/passwd", "http://:0/",
               "http://evil.invalid@/"):  # fmt: skip
        local.faults.next(ECHO, Redirect(to, 302), times=40)
        run = api(ECHO)
        assert (run.code, run.out) == (6, ""), to
        assert run.err.startswith("Error: no answer"), to
        local.faults.clear()


# --- what is sent ---------------------------------------------------------------------------------


def test_methods_fields_and_bodies(api: Any, tmp_path: Path) -> None:
    """As `gh api`: GET, POST as soon as there is a body, fields in the query or in the body."""
    assert api(ECHO).facts["method"] == "GET"
    assert api(ECHO, "-X", "delete").facts["method"] == "DELETE"
    sent = api(ECHO, "-f", "a=1").facts
    assert (sent["method"], sent["content_type"]) == ("POST", "application/json")
    assert sent["body_sha256"] == hashlib.sha256(b'{"a": "1"}').hexdigest()
    sent = api(f"{ECHO}?a=b", "-X", "GET", "-f", "q=x y&z", "-F", "t=true", "-F", "t=null").facts
    assert sent["query"] == [["a", "b"], ["q", "x y&z"], ["t", "true"], ["t", ""]]
    assert sent["body_length"] == 0
    file = tmp_path / "body"
    file.write_bytes(b"\x00\xff" * 3)
    sent = api(ECHO, "--input", str(file), "-f", "a=b", "-H", "content-type: image/png").facts
    assert (sent["method"], sent["body_length"], sent["query"]) == ("POST", 6, [["a", "b"]])
    assert sent["content_type"] == "image/png"
    file.write_bytes(b"")
    assert api(ECHO, "--input", str(file), "-X", "PUT").facts["body_length"] == 0
    assert api(f"{ECHO}?", "-X", "GET", "-f", "a=b").facts["query"] == [["a", "b"]]


def test_fields_make_objects_and_lists(tmp_path: Path) -> None:
    """In the notation of `gh api`; only -F reads numbers, words and files."""
    file = tmp_path / "text"
    file.write_text("long\ntext", "utf-8")
    raw = ["a[b][c]=1", "l[]=x", "l[]=y", "o[][n]=1", "o[][m]=2", "o[][n]=3", "e[]"]
    typed = ["n=7", "t=true", "z=null", "s=-0x", f"f=@{file}", "a[d]=0"]
    assert json.loads(json_of(pairs_of(raw, typed))) == {
        "a": {"b": {"c": "1"}, "d": 0},
        "l": ["x", "y"],
        "o": [{"n": "1", "m": "2"}, {"n": "3"}],
        "e": [],
        "n": 7,
        "t": True,
        "z": None,
        "s": "-0x",
        "f": "long\ntext",
    }


WRONG = (
    ["-f", "x"], ["-f", "=x"], ["-f", "a=1", "-f", "a=2"], ["-f", "a=1", "-f", "a[b]=2"],
    ["-f", "a[b=1"], ["-F", "a=@/nope"], ["-f", "a[]=1", "-f", "a[x]=1"],
    ["-H", "X"], ["-H", "X: a\r\nEvil: b"], ["-H", "X: a\nEvil: b"], ["-H", "X Y: a"],
    ["-H", "X: \u00e9"], ["-H", "Authorization: Bearer x"], ["-H", "host: evil.example"],
    ["-H", "Content-Length: 1"], ["-H", "Transfer-Encoding: chunked"],
    ["-X", "TRACE"], ["-X", "G ET"], ["-X", "GET /x HTTP/1.1\r\nA:"], ["--input", "/nope"],
    ["--attach", "/nope"], ["--slurp"], ["--paginate", "-X", "POST"],
    ["--paginate", "--slurp", "-i"], ["-f", "a=\udcff"], ["-f", f"a{'[b]' * 2000}=1"],
    ["-F", "a=@/dev/zero"],
)  # fmt: skip


def test_a_wrong_option_is_told_before_a_request(api: Any, local: AtlassianEmulator) -> None:
    """2, with its name; headers cannot replace the login or the frame of the request."""
    assert api(ECHO).code == 0
    before = len(local.requests)
    for options in WRONG:
        run = api(ECHO, *options)
        assert (run.code, run.out) == (2, ""), options
    assert len(local.requests) == before


def test_standard_input_as_a_field(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-8, as from a file, whatever the locale is; other bytes are an error."""
    for data, code in ("caf\u00e9\r\n".encode(), 0), (b"\xff", 2):
        text = io.TextIOWrapper(io.BytesIO(data), "ascii", "surrogateescape")
        monkeypatch.setattr(sys, "stdin", text)
        run = api(ECHO, "-X", "GET", "-F", "a=@-")
        assert run.code == code
        if not code:
            assert run.facts["query"] == [["a", data.decode()]]


def test_headers(api: Any, local: AtlassianEmulator) -> None:
    """Of one's own, and without one of the defaults."""
    assert (
        api(ECHO, "-H", "X-Test:  a b ", "-H", "accept: text/plain", "-H", "User-Agent:").code == 0
    )
    headers = local.requests[-1].headers
    assert "atlassian-auth" not in headers.get("user-agent", "")
    assert (headers["x-test"], headers["accept"]) == ("a b", "text/plain")


def test_attachments(api: Any, command: Any, tmp_path: Path) -> None:
    """Uploaded with one option, and downloaded from the host that the gateway redirects to."""
    file = tmp_path / 'na"me \u00e9.txt'
    file.write_bytes(b"content\r\n--x")
    run = api("/rest/api/3/issue/ACME-1/attachments", "--attach", str(file))
    assert (run.code, run.err) == (0, "")
    (made,) = run.facts
    assert (made["size"], made["mimeType"]) == (12, "text/plain")
    run = api(f"/rest/api/3/attachment/content/{made['id']}")
    assert (run.code, run.out.encode()) == (0, file.read_bytes())
    run = api("/rest/api/3/issue/ACME-1/attachments", "--input", str(file))
    assert run.code == 5
    assert "X-Atlassian-Token: no-check" in run.err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_file_that_does_not_tell_its_length(api: Any) -> None:
    """Those of /proc: sent as from a pipe, and never as an empty body or attachment."""
    assert api(ECHO, "--input", "/proc/self/status").facts["body_length"] > 100
    run = api(ECHO, "--attach", "/proc/self/status")
    assert (run.code, run.out) == (2, "")


def test_the_name_of_an_attachment_may_be_any_bytes(api: Any, tmp_path: Path) -> None:
    """What is not UTF-8 in it is replaced."""
    name = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.txt")
    try:
        Path(name).write_bytes(b"text")
    except OSError:  # the file system wants UTF-8
        return
    run = api("/rest/api/3/issue/ACME-1/attachments", "--attach", name)
    assert (run.code, run.facts[0]["filename"]) == (0, "caf\ufffd.txt")


def test_a_file_that_changes_while_it_is_sent(tmp_path: Path) -> None:
    """What is added is left out, since the length was sent; one that is cut off is an error."""
    file = tmp_path / "log"
    file.write_bytes(b"1234")
    with file.open("rb", buffering=0) as opened, file.open("ab", buffering=0) as writer:
        body = Upload(opened, b"<", b">")
        writer.write(b"5678")
        assert body.len == 6
        assert body.read() == b"<1234>"
        assert body.seek(3) == 3
        assert body.read() == b"34>"
        body.seek(0)
        writer.truncate(2)
        with pytest.raises(OSError, match="shorter"):
            body.read()


def test_a_rejected_token(api: Any, local: AtlassianEmulator, tmp_path: Path) -> None:
    """A body from a file is sent again with another token."""
    file = tmp_path / "body"
    file.write_bytes(b"text")
    for option in ("--input", "--attach"):
        local.cloud.revoke_access_tokens()
        run = api(ECHO, option, str(file))
        assert (run.code, run.err) == (0, ""), option
        assert run.facts["body_length"] >= 4
    assert api(ECHO, "--input", str(file)).facts["body_length"] == 4


def test_a_body_from_a_pipe(
    api: Any, local: AtlassianEmulator, end_token: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent in chunks, with a token that is valid for long; if it is rejected, it is said."""

    def send() -> Any:
        reading, writing = os.pipe()
        os.write(writing, b"text" * 10_000)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            monkeypatch.setattr(sys, "stdin", pipe)
            return api(ECHO, "--input", "-")

    client: Any = client_from_profile("work")
    client.refresh()
    local.reset_log()
    assert send().facts["body_length"] == 40_000
    assert local.requests[-1].headers["transfer-encoding"] == "chunked"
    assert not local.token_requests
    end_token()
    assert send().code == 0
    assert len(local.token_requests) == 1
    local.cloud.revoke_access_tokens()
    run = send()
    assert run.code == 5
    assert "cannot be sent again" in run.err
    assert send().code == 0  # the next one has the other token


# --- what is printed ------------------------------------------------------------------------------


def test_a_pipe_gets_every_byte(api: Any, local: AtlassianEmulator) -> None:
    """JSON as the server wrote it, also invalid; nothing for 204 and HEAD; decoded gzip."""
    for body in (b'{"a":  1,\n "b":1.10}', b"{", b"", b"[1]\r\n", b'"\\u001b"'):
        local.faults.next(ECHO, Body(body))
        assert api(ECHO).out.encode() == body
    local.faults.next(ECHO, Status(204))
    assert api(ECHO).out == ""
    assert api(ECHO, "-X", "HEAD").out == ""
    packed = Body(gzip.compress(b"x" * 3 * MEGABYTE), headers={"Content-Encoding": "gzip"})
    local.faults.next(ECHO, packed)
    assert api(ECHO).out == "x" * 3 * MEGABYTE


def test_include(api: Any, local: AtlassianEmulator) -> None:
    """Status and headers of the answer; a cookie, which may be a login, is not shown."""
    answer = Body(b"[]", headers={"Set-Cookie": "JSESSIONID=s3cr3t", "X-A": "\x1b[31m"})
    local.faults.next(ECHO, answer)
    run = api(ECHO, "-i")
    head, _, body = run.out.partition("\n\n")
    assert body == "[]"
    assert head.startswith("HTTP/1.1 200 OK\nContent-Type: application/json\n")
    assert "Set-Cookie: (not shown)" in head
    assert "s3cr3t" not in run.out
    assert "\x1b" not in run.out


@pytest.mark.usefixtures("on_terminal")
def test_a_terminal_gets_json_that_can_be_read(
    command: Any, profile: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indented and in colour; what a terminal would obey is escaped as JSON does it."""
    profile()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    hostile = '{"a": ["\\u001b[2J", "\u009b31m", "\u202e", "\u00e9", "\\ud800"]}'
    plain = (
        '{\n  "a": [\n    "\\u001b[2J",\n    "\\u009b31m",\n    "\\u202e",\n    "\u00e9",\n'
        '    "\\ud800"\n  ]\n}\n'
    )
    local.faults.next(ECHO, Body(hostile.encode()), times=3)
    shown = _on_terminal(command, monkeypatch, ECHO).out
    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert _on_terminal(command, monkeypatch, ECHO).out == plain
    assert _on_terminal(command, monkeypatch, ECHO, "--json").out == hostile


def _on_terminal(command: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    return command("api", *arguments)


def test_a_terminal_gets_text_without_what_it_would_obey(
    api: Any, command: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTML and broken JSON as text, bytes that are not UTF-8 replaced, and no binary file."""
    for body, media_type, shown in (
        (b"<p>\x1b[31m\tx\r\ny", "text/html; charset=utf-8", "<p>\ufffd[31m\tx\ny\n"),
        (b'{"a": \xff\x1b', "application/json", '{"a": \ufffd\ufffd\n'),
        (b"[" * 100_000, "application/json", "[" * 100_000 + "\n"),
    ):
        local.faults.next(ECHO, Body(body, content_type=media_type))
        run = _on_terminal(command, monkeypatch, ECHO)
        assert (run.code, run.out, run.err) == (0, shown, "")
    for body, media_type in ((b"PNG", "image/png"), (b"a\0b", "text/plain")):
        local.faults.next(ECHO, Body(body, content_type=media_type))
        run = _on_terminal(command, monkeypatch, ECHO)
        assert (run.code, run.out) == (2, "")
        assert "> FILE" in run.err


def test_long_json_is_printed_in_a_terminal(
    api: Any, command: Any, local: AtlassianEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of 10 MB: readable, without the time that colours would take."""
    body = json.dumps({"a": "x" * 10 * MEGABYTE}).encode()
    local.faults.next(ECHO, Body(body))
    run = _on_terminal(command, monkeypatch, ECHO)
    assert run.out == json.dumps(json.loads(body), indent=2) + "\n"


# --- errors ---------------------------------------------------------------------------------------


#: Answers, the exit code, and what is said.
REFUSALS = (
    (Status(400, "{}"), 9, "HTTP 400 Bad Request. The answer says"),
    (Status(403, "{}"), 5, "an administrator"),
    (Status(404, "{}"), 9, "compare the path"),
    (Status(405, "{}"), 9, "-X"),
    (Status(415, "{}"), 9, "Content-Type"),
    (Status(429, "{}", retry_after=1847), 6, "try again in 1847 s"),
    (Status(429, "{}"), 6, "try again later"),
    (Status(503, "{}", retry_after="\x1b[2J"), 6, "try again in"),
    (Status(500, "{}"), 6, "try again soon"),
    (Status(599, "{}"), 6, "try again soon"),
)


def test_an_error_of_the_server(api: Any, local: AtlassianEmulator) -> None:
    """Its body on standard output, one line with what to do on the other, and an exit code."""
    for answer, code, said in REFUSALS:
        local.faults.next(ECHO, answer)
        run = api(ECHO)
        assert (run.code, run.out) == (code, "{}")
        assert run.err.count("\n") == 1
        assert run.err.startswith(f"Error: HTTP {answer.code}")
        assert said in run.err
        assert "\x1b" not in run.err


def test_a_missing_scope_is_named_with_the_command_that_adds_it(api: Any) -> None:
    """All scopes of the login and the missing one: sign-in replaces them."""
    run = api("/rest/api/3/auditing/record")
    assert run.code == 5
    assert "lacks the scope manage:jira-configuration" in run.err
    assert "login -p work --scope offline_access --scope read:jira-user" in run.err
    assert run.facts["code"] == 401


def test_a_path_of_another_product_is_told(command: Any, profile: Any) -> None:
    """The paths of Confluence Cloud begin with /wiki, and those of a page are no resources."""
    scopes = ("read:confluence-user", "offline_access")
    profile(product="confluence", scopes=scopes)
    run = command("api", "/rest/api/content")
    assert run.code == 5
    assert "begin with /wiki" in run.err
    profile(login=True)
    run = command("api", "/browse/ACME-1")
    assert run.code == 9
    assert "not one of a REST API" in run.err


def test_content_that_a_policy_has_left_out(api: Any, local: AtlassianEmulator) -> None:
    """A note on standard error: the answer looks whole."""
    header = {"Atlassian-DataSecurityPolicy": "app_access_blocked"}
    local.faults.next(ECHO, Body(b"[]", headers=header))
    run = api(ECHO)
    assert (run.code, run.out) == (0, "[]")
    assert run.err.startswith("Note: a data security policy")


def test_an_answer_as_if_not_signed_in(command: Any, local: AtlassianEmulator) -> None:
    """Data Center may answer a rejected token with 200: printed, and 5."""
    server = local.data_center
    made = Profile("work", server.app.client_id, server_url=server.url, store="file")
    save_profile(made, server.app.client_secret)
    client: Any = client_from_profile("work", callback_url=server.app.callback_url)
    client.oauth_complete(server.authorize(client.oauth_start()))
    anonymous = Body(b"{}", headers={"X-AUSERNAME": "anonymous"})
    local.faults.next("/rest/api/2/serverInfo", anonymous, times=None)
    run = command("api", "/rest/api/2/serverInfo")
    assert (run.code, run.out) == (5, "{}")
    assert "as if not signed in" in run.err


def test_no_answer_and_half_an_answer(api: Any, local: AtlassianEmulator) -> None:
    """6, and one line without the path, which may hold a secret."""
    local.faults.next(ECHO, CloseAfter(), times=None)
    run = api(f"{ECHO}?key=s3cr3t", "-X", "POST")
    assert (run.code, run.out) == (6, "")
    assert "no answer from" in run.err
    assert "s3cr3t" not in run.err
    local.faults.clear()
    local.faults.next(ECHO, CutBody())
    run = api(ECHO)
    assert run.code == 6
    assert "is not complete" in run.err
    for headers in ({"Content-Encoding": "gzip"}, {"Transfer-Encoding": "chunked"}):
        local.faults.next(ECHO, Body(b"-5\r\njunk", headers=headers), times=2)
        for options in ([], ["--paginate"]):
            run = api(ECHO, *options)
            assert (run.code, "is not complete" in run.err) == (6, True), headers


def test_an_error_after_the_beginning_of_an_answer(api: Any, local: AtlassianEmulator) -> None:
    """With --json it is on standard error; an error without an answer on standard output."""
    for options in ([], ["--paginate", "--slurp"]):
        local.faults.next(ECHO, Body(b'{"values":[1],"nextPageToken":"2"}'))
        local.faults.next(ECHO, CutBody())
        if not options:
            api(ECHO)
        run = api(ECHO, "--json", *options)
        assert run.code == json.loads(run.err)["error"]["exit_code"] == 6
        assert '"error"' not in run.out
    local.faults.next(ECHO, CloseAfter(), times=None)
    run = api(ECHO, "--json", "-X", "POST")
    assert (run.facts["error"]["exit_code"], run.err) == (6, "")


def test_a_login_that_has_ended(api: Any, local: AtlassianEmulator, end_token: Any) -> None:
    """4, and the command that signs in."""
    end_token()
    local.cloud.revoke_grants()
    run = api(MYSELF)
    assert (run.code, run.out) == (4, "")
    assert "atlassian-auth login" in run.err


# --- pages ----------------------------------------------------------------------------------------


def test_all_pages(api: Any) -> None:
    """One JSON text after the other, or one array of all; each page is asked for once."""
    path = "/rest/api/3/search/jql?jql=project=ACME&maxResults=50"
    run = api(path, "--paginate")
    assert (run.code, run.err) == (0, "")
    pages = [json.loads(line) for line in run.out.splitlines()]
    assert [len(page["issues"]) for page in pages] == [50, 50, 20]
    assert api(path, "--paginate", "--slurp").facts == pages
    fields = api("/rest/api/3/search/jql", "--paginate", "-f", "jql=project=ACME", "-F",
                 "maxResults=100", "--slurp").facts  # fmt: skip
    assert [len(page["issues"]) for page in fields] == [100, 20]


def test_pages_end_with_an_error(api: Any, local: AtlassianEmulator) -> None:
    """What came before is printed, and the array is complete."""
    first = Body(b'{"startAt":0,"maxResults":1,"total":9,"values":[1]}')
    local.faults.next("/rest/x", first)
    local.faults.next("/rest/x", Status(500, "{}"), times=3)
    run = api("/rest/x", "--paginate", "--slurp")
    assert run.code == 6
    assert run.facts == [{"startAt": 0, "maxResults": 1, "total": 9, "values": [1]}, {}]


def test_a_page_that_is_not_json(api: Any, local: AtlassianEmulator) -> None:
    """Such as that of a proxy: the list is not complete, and that is an error."""
    local.faults.next("/rest/x", Body(b'{"startAt":0,"maxResults":1,"total":9,"values":[1]}'))
    local.faults.next("/rest/x", Body(b"<html>", content_type="text/html"))
    run = api("/rest/x", "--paginate")
    assert run.code == 6
    assert "not complete: an answer is not JSON" in run.err


def test_a_hostile_next_link(api: Any, local: AtlassianEmulator) -> None:
    """A link to another host, for ever: no request there, and an end."""
    link = f"{local.foreign_url}/rest/x?page=1"
    for headers, body in (({}, {"next": link}), ({"Link": f'<{link}>; rel="next"'}, {"a": [1]})):
        local.faults.next("/rest/x", Body(json.dumps(body).encode(), headers=headers), times=None)
        run = api("/rest/x", "--paginate")
        assert run.code == 6
        assert "read before" in run.err
        assert run.out.count("\n") == 2
        assert api("/rest/x", "--paginate", "--slurp").facts == [body, body]
        local.faults.clear()
    assert tokens_at(local, "foreign") == []


# --- the page -------------------------------------------------------------------------------------


def test_every_line_of_the_page_works(
    api: Any, profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/api.md: each command ends with 0."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    profile("wiki", product="confluence", scopes=scope_set("confluence", "read"))
    monkeypatch.setenv("ATLASSIAN_PROFILE", "work")
    monkeypatch.chdir(tmp_path)
    Path("comment.json").write_text('{"body": "text"}')
    Path("log.txt").write_text("text")
    lines = re.findall(r"^    atlassian-auth api (.+)", page, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        run = api(*shlex.split(line))
        assert (run.code, run.err) == (0, ""), line


# --- as a process ---------------------------------------------------------------------------------


@pytest.fixture
def work(profile: Any) -> None:
    """A profile with a login, for processes."""
    profile(scopes=("read:jira-user", "read:jira-work", "write:jira-work", "offline_access"))


@pytest.mark.usefixtures("work")
def test_a_reader_that_has_seen_enough(local: AtlassianEmulator) -> None:
    """`| head`: nothing is said, and 0."""
    local.faults.next(ECHO, Body(b"x" * 8 * MEGABYTE))
    program = f"{' '.join(COMMAND)} {ECHO} | head -c 10"
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program], capture_output=True, timeout=PATIENCE
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"x" * 10, b"")


@pytest.mark.usefixtures("work", "signals")
def test_ctrl_c_ends_a_request(local: AtlassianEmulator) -> None:
    """130, and nothing else."""
    local.faults.next(ECHO, hold := Hold())
    with subprocess.Popen([*COMMAND, ECHO], stderr=subprocess.PIPE, text=True) as process:
        hold.wait_arrived(timeout=PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr
        assert process.stderr.read().strip() == "Interrupted."


@pytest.mark.usefixtures("work")
def test_no_token_in_a_traceback_or_a_process_list(local: AtlassianEmulator) -> None:
    """With --debug, while the command runs, and when it breaks."""
    local.faults.next(ECHO, hold := Hold(then=CloseAfter()), times=None)
    with subprocess.Popen(
        [*COMMAND, "--debug", "-X", "POST", f"{ECHO}?key=s3cr3t"], stderr=subprocess.PIPE, text=True
    ) as process:
        hold.wait_arrived(timeout=PATIENCE)
        listed = [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
        seen = "".join(path.read_text(errors="replace") for path in listed if path.exists())
        hold.release()
        assert process.stderr
        printed = process.stderr.read()
        assert process.wait(PATIENCE) != 0
    assert "Traceback" in printed
    assert not [secret for secret in local.secrets if secret in printed + seen]


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_many_at_an_expiry_refresh_once(local: AtlassianEmulator, end_token: Any) -> None:
    """A script with `xargs -P 20`: one token request for all of them."""
    end_token()
    local.reset_log()
    started = [
        subprocess.Popen([*COMMAND, MYSELF], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(20)
    ]
    printed = {process.communicate(timeout=PATIENCE) for process in started}
    assert [process.returncode for process in started] == [0] * 20, printed
    assert [request.outcome for request in local.token_requests] == ["issued"]


#: Runs the command, and tells the peak of its memory, in kilobytes.
MEASURED = """
import re, sys
from pathlib import Path
from atlassian_auth_adapter.cli.main import main

code = main(sys.argv[1:])
sys.stderr.write(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


def _peak(*arguments: str, **streams: Any) -> float:
    """Megabytes of memory that `atlassian-auth api` has used at most."""
    run = subprocess.run([sys.executable, "-c", MEASURED, "api", *arguments],
                         stderr=subprocess.PIPE, timeout=300, **streams)  # fmt: skip
    assert run.returncode == 0, run.stderr
    return int(run.stderr) / 1024


def test_no_copy_of_a_body_is_made(
    api: Any, local: AtlassianEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Python allocates for an upload and a download is less than a quarter of them."""
    size = 24 * MEGABYTE
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(size)
    (made,) = api("/rest/api/3/issue/ACME-1/attachments", "--attach", str(file)).facts
    content = f"/rest/api/3/attachment/content/{made['id']}"
    for arguments in ((ECHO, "--input", str(file)), (content,)):
        with Path(os.devnull).open("w") as nowhere:
            monkeypatch.setattr(sys, "stdout", nowhere)
            tracemalloc.start()
            try:
                assert main(["api", *arguments]) == 0
                assert tracemalloc.get_traced_memory()[1] < size / 4
            finally:
                tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak of a process")
@pytest.mark.usefixtures("work")
def test_big_files_are_not_held_in_memory(local: AtlassianEmulator, tmp_path: Path) -> None:
    """Uploads from a file, a form and a pipe, and a download, take as much memory as small ones."""
    small, big, size = tmp_path / "small", tmp_path / "big", 200
    for file, megabytes in ((small, 1), (big, size)):
        with file.open("wb") as opened:
            opened.truncate(megabytes * MEGABYTE)
    peaks = {}
    for file in (small, big):
        attached = tmp_path / "attached"
        with file.open("rb") as opened, attached.open("wb") as written:
            with subprocess.Popen(["cat"], stdin=opened, stdout=subprocess.PIPE) as piped:
                pipe = _peak(ECHO, "--input", "-", stdin=piped.stdout, stdout=subprocess.DEVNULL)
            upload = _peak(ECHO, "--input", str(file), stdout=subprocess.DEVNULL)
            path = "/rest/api/3/issue/ACME-1/attachments"
            form = _peak(path, "--attach", str(file), stdout=written)
        (made,) = json.loads(attached.read_text())
        copy = tmp_path / "copy"
        with copy.open("wb") as written:
            download = _peak(f"/rest/api/3/attachment/content/{made['id']}", stdout=written)
        assert copy.stat().st_size == made["size"] == file.stat().st_size
        peaks[file] = {"pipe": pipe, "upload": upload, "form": form, "download": download}
    grown = {name: peaks[big][name] - peaks[small][name] for name in peaks[big]}
    assert max(grown.values()) < 12, grown
    sizes = {r.body_length for r in local.requests if r.target.endswith(ECHO)}
    assert sizes == {MEGABYTE, size * MEGABYTE}
