"""Big bodies: the ways to send and to receive one with our auth objects, and what each takes.

A process sends small bodies of the same kind first, so that everything is loaded and every buffer
is in use, then the big one, and tells by how much its peak has grown. It does so with a token that
is good, and with one that the server rejects once it has the whole body; then the body is sent
again, or, if it cannot be rewound, the 401 is handed back. The emulator is another process.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


def in_fresh_process(
    way: str, gateway: CloudGateway, tokens: tuple[str, ...], jobs: list[Job]
) -> dict[str, Any]:
    """What a process that has done nothing else has to say."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, way, Tokens(gateway, *tokens), *jobs).result()


def measured_both(way: str, megabytes: int) -> dict[str, dict[str, Any]]:
    """What comes of a way with a token that is good, and with one that is rejected."""
    with emulator() as cloud, tempfile.TemporaryDirectory() as folder:
        gateway, token = CloudGateway(cloud["api_url"], cloud["sites"][0]["id"]), token_of(cloud)
        sizes = SMALL, megabytes * MEGABYTE
        upload = f"{gateway.base_url}/rest/echo"
        jobs = [Job(upload, "", written(folder, size), size) for size in sizes]
        if "download" in way:
            source = Tokens(gateway, token)
            jobs = [replace(job, download=attached(source, job)) for job in jobs]
        kinds = {"good": (token,), "rejected": ("unknown", token)}
        return {
            kind: in_fresh_process(way, gateway, tokens, jobs) for kind, tokens in kinds.items()
        }
