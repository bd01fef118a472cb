"""How much memory a big upload or download takes with our auth objects, next to its size.

    python benchmarks/streams.py                    200 MB each, some minutes
    python benchmarks/streams.py --megabytes 64     less
    python benchmarks/streams.py httpx2             only lines that begin so

Each line is a process of its own: it sends small bodies of the same kind first, so that everything
is loaded and every buffer is in use, then the big one, and tells by how much its peak has grown. It
does so with a token that is good, and with one that the server rejects once it has the whole body;
then the body is sent again, or, if it cannot be rewound, the 401 is handed back. The emulator is
another process. The first line is what a copy in memory looks like. The exit code is 1 when another
one has grown by 20 MB or more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import httpx2
import requests
from requests_toolbelt import MultipartEncoder

from atlassian_auth_adapter import (
    AtlassianAuth,
    AtlassianHTTPX2Auth,
    AtlassianHTTPXAuth,
    TokenSet,
    TokenSource,
)
from atlassian_auth_adapter.atlassian.gateway import CloudGateway

MEGABYTE = 1 << 20
#: Growth in megabytes that is still no copy of the body: some buffers, and pages of the allocator.
MOST = 20.0
#: Of the requests before: more than any buffer, and some of them.
SMALL, WARM_UPS = MEGABYTE, 5
CHUNK = 1 << 16
#: Bytes of ru_maxrss's unit. Source: getrusage(2) of Linux and of macOS.
UNIT = 1 if sys.platform == "darwin" else 1024
PATIENCE = 600.0  # seconds for one request


@dataclass(frozen=True, slots=True)
class Job:
    """What is sent where.

    Attributes:
        upload: URL that tells what has arrived.
        download: URL of an attachment with the content of the file.
        path: The file.
        size: Of the file, in bytes.
    """

    upload: str
    download: str
    path: str
    size: int


class Tokens(TokenSource):
    """Hands out the last of some tokens once the earlier ones are rejected, and keeps none."""

    def __init__(self, resource_server: CloudGateway, *tokens: str) -> None:
        self._resource_server = resource_server
        self._tokens = tokens

    @property
    def resource_server(self) -> CloudGateway:
        """See TokenSource."""
        return self._resource_server

    def current(self) -> None:
        """See TokenSource."""

    def token_set(self, rejected: str | None = None) -> TokenSet:
        """See TokenSource."""
        token = self._tokens[0] if rejected is None else self._tokens[-1]
        return TokenSet(token, expires_at=time.time() + 3600)


# -- ways to send ----------------------------------------------------------------------------------

Send = Callable[[TokenSource, Job], Any]


@contextmanager
def requests_session(source: TokenSource) -> Iterator[requests.Session]:
    """A session of requests with our auth object."""
    with requests.Session() as session:
        session.auth = AtlassianAuth(source)
        yield session


def requests_file(source: TokenSource, job: Job) -> Any:
    """The open file is the body."""
    with requests_session(source) as session, Path(job.path).open("rb") as file:
        return session.post(job.upload, data=file, timeout=PATIENCE)


def requests_whole(source: TokenSource, job: Job) -> Any:
    """The control: all of the body is in memory."""
    with requests_session(source) as session:
        return session.post(job.upload, data=Path(job.path).read_bytes(), timeout=PATIENCE)


def requests_multipart(source: TokenSource, job: Job) -> Any:
    """A form that is made while it is sent; it cannot be rewound."""
    with requests_session(source) as session, Path(job.path).open("rb") as file:
        form = MultipartEncoder({"file": ("big.bin", file, "application/octet-stream")})
        headers = {"Content-Type": form.content_type, "X-Atlassian-Token": "no-check"}
        return session.post(job.upload, data=form, headers=headers, timeout=PATIENCE)


def requests_download(source: TokenSource, job: Job) -> Any:
    """The answer is read in chunks."""
    with requests_session(source) as session:
        answer = session.get(job.download, stream=True, timeout=PATIENCE)
        check(sum(map(len, answer.iter_content(CHUNK))) == job.size)
    return answer


def httpx_file(library: Any, auth: Any, source: TokenSource, job: Job) -> Any:
    """The open file is the body."""
    client = library.Client(auth=auth(source), timeout=PATIENCE)
    with client as http, Path(job.path).open("rb") as file:
        return http.post(job.upload, content=file)


def httpx_multipart(library: Any, auth: Any, source: TokenSource, job: Job) -> Any:
    """The library makes a form of the open file."""
    client = library.Client(auth=auth(source), timeout=PATIENCE)
    with client as http, Path(job.path).open("rb") as file:
        return http.post(job.upload, files={"file": ("big.bin", file)})


def httpx_download(library: Any, auth: Any, source: TokenSource, job: Job) -> Any:
    """The answer is read in chunks."""
    client = library.Client(auth=auth(source), timeout=PATIENCE, follow_redirects=True)
    with client as http, http.stream("GET", job.download) as answer:
        check(sum(map(len, answer.iter_bytes(CHUNK))) == job.size)
    return answer


def httpx_generator(library: Any, auth: Any, source: TokenSource, job: Job) -> Any:
    """An async generator is the body; it cannot be rewound."""

    async def body() -> AsyncIterator[bytes]:
        with Path(job.path).open("rb") as file:  # noqa: ASYNC230 - the loop has no other task
            while chunk := file.read(CHUNK):
                yield chunk

    async def send() -> Any:
        async with library.AsyncClient(auth=auth(source), timeout=PATIENCE) as http:
            return await http.post(job.upload, content=body())

    return asyncio.run(send())


CONTROL = "requests  bytes"
WAYS: dict[str, Send] = {
    CONTROL: requests_whole,
    "requests  open file": requests_file,
    "requests  MultipartEncoder": requests_multipart,
    "requests  download": requests_download,
}
for name, library, auth in (
    ("httpx", httpx, AtlassianHTTPXAuth),
    ("httpx2", httpx2, AtlassianHTTPX2Auth),
):
    WAYS |= {
        f"{name:<8}  open file": partial(httpx_file, library, auth),
        f"{name:<8}  multipart": partial(httpx_multipart, library, auth),
        f"{name:<8}  download": partial(httpx_download, library, auth),
        f"{name:<8}  async generator": partial(httpx_generator, library, auth),
    }


# -- the measured process --------------------------------------------------------------------------


def check(fine: bool) -> None:
    """The figure of something that has not happened is worth nothing."""
    if not fine:
        raise SystemExit("this is not the body that was expected")


def peak() -> float:
    """The most memory that this process has held so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MEGABYTE


def measured(way: str, source: TokenSource, small: Job, big: Job) -> dict[str, Any]:
    """Send small bodies, then the big one: what came of it."""
    for _ in range(WARM_UPS):
        WAYS[way](source, small)
    before = peak()
    answer = WAYS[way](source, big)
    grown = peak() - before
    if answer.status_code == HTTPStatus.OK and "download" not in way:
        check(answer.json()["body_length"] >= big.size)
    rejections = sum(each.status_code == HTTPStatus.UNAUTHORIZED for each in answer.history)
    times = 1 if "download" in way else 1 + rejections
    return {"status": answer.status_code, "times": times, "grown": grown}


def attached(source: TokenSource, job: Job) -> str:
    """The URL of the content of a new attachment."""
    site = source.resource_server.base_url
    answer = requests_multipart(
        source, replace(job, upload=f"{site}/rest/api/3/issue/ACME-1/attachments")
    )
    answer.raise_for_status()
    return f"{site}/rest/api/3/attachment/content/{answer.json()[0]['id']}"


def as_child(way: str, gateway: list[str], tokens: list[str], *jobs: dict[str, Any]) -> object:
    """Measure a way, or without one attach the files."""
    source = Tokens(CloudGateway(*gateway), *tokens)
    small, big = (Job(**job) for job in jobs)
    if way:
        return measured(way, source, small, big)
    return [attached(source, job) for job in (small, big)]


# -- the process that starts them ------------------------------------------------------------------


def child(*arguments: object) -> Any:
    """What a fresh process has to say."""
    command = [sys.executable, __file__, "--child", json.dumps(arguments, default=asdict)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


@contextmanager
def emulator() -> Iterator[dict[str, Any]]:
    """What a client must know of an emulator that runs in a process of its own."""
    command = [sys.executable, "-m", "atlassian_auth_adapter.testing.emulator", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["cloud"]
        finally:
            process.terminate()


def token_of(cloud: dict[str, Any]) -> str:
    """An access token of the service account."""
    answer = requests.post(
        f"{cloud['auth_url']}/oauth/token",
        data={"grant_type": "client_credentials", **cloud["service_account"]},
        timeout=PATIENCE,
    )
    return str(answer.json()["access_token"])


def written(folder: str, size: int) -> str:
    """The path of a file of that size."""
    path, block = Path(folder, f"{size}.bin"), os.urandom(MEGABYTE)
    with path.open("wb") as file:
        for _ in range(size // MEGABYTE):
            file.write(block)
    return str(path)


def main() -> int:
    """Measure and print; 1 when something has grown too much."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("lines", nargs="*", help="how they begin; none: all")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(as_child(*json.loads(options.child))))
        return 0
    ways = [way for way in WAYS if way.startswith((CONTROL, *(options.lines or WAYS)))]
    too_much = False
    with emulator() as cloud, tempfile.TemporaryDirectory() as folder:
        gateway, token = (cloud["api_url"], cloud["sites"][0]["id"]), token_of(cloud)
        upload = f"{CloudGateway(*gateway).base_url}/rest/echo"
        sizes = SMALL, options.megabytes * MEGABYTE
        jobs = [Job(upload, "", written(folder, size), size) for size in sizes]
        urls = child("", gateway, [token], *jobs)
        jobs = [replace(job, download=url) for job, url in zip(jobs, urls, strict=True)]
        print(f"{'library   body':<27} token     answer       MB  growth in MB")
        for way in ways:
            for kind, tokens in (("good", [token]), ("rejected", ["unknown", token])):
                found = child(way, gateway, tokens, *jobs)
                grown, size = found["grown"], found["times"] * options.megabytes
                verdict = "copied" if way == CONTROL else "fine" if grown < MOST else "TOO MUCH"
                line = f"{way:<27} {kind:<9} {found['status']:>6} {size:>8} {grown:>13.1f}"
                print(f"{line}  {verdict}", flush=True)
                too_much |= verdict == "TOO MUCH"
    return int(too_much)


if __name__ == "__main__":
    sys.exit(main())
