"""How an adapter is described to the tests, and what all of them share."""

from __future__ import annotations

import io
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import pytest

from atlassian_auth_adapter.testing.clock import FakeClock
from atlassian_auth_adapter.testing.emulator import Hold
from atlassian_auth_adapter.testing.local import AtlassianEmulator

from .world import (
    DATA,
    PATIENCE,
    Call,
    FalselySeekableFile,
    Reply,
    SelfClosingFile,
    Sent,
    UnseekableFile,
    World,
    wait_for_refreshes,
)

__all__ = ["AdapterTests", "meanwhile"]

T = TypeVar("T")

#: Bytes before the part of a file that is to be sent.
OFFSET = 1000


class AdapterTests:
    """What a subclass describes, and what the tests share."""

    #: Base of everything that the library raises because of a request.
    request_error: ClassVar[type[Exception]]
    #: What SDKs treat as a lost connection, and retry with long pauses.
    connection_errors: ClassVar[tuple[type[Exception], ...]] = (ConnectionError,)
    #: What the library raises for a URL that it cannot read.
    url_errors: ClassVar[tuple[type[Exception], ...]] = (ValueError,)
    #: Bodies that the library can send twice, by names that `body` knows.
    replayable: ClassVar[tuple[str, ...]] = (
        "no body",
        "json",
        "bytes",
        "multipart",
        "file",
        "file from the middle",
    )
    #: Bodies that it can send once.
    one_shot: ClassVar[tuple[str, ...]] = (
        "generator",
        "unseekable file",
        "file that closes itself",
    )
    #: Whether a redirect to the site becomes one to the gateway before it is followed, or after.
    maps_redirects: ClassVar[bool] = False
    #: Whether a user name in a URL is shown to the auth object; else the library has made a header
    #: of it, as of any other login of the program.
    shows_user_names: ClassVar[bool] = True

    @abstractmethod
    def auth(self, source: Any, **options: Any) -> Any:
        """The auth object under test."""

    @abstractmethod
    def exchange(
        self, *calls: Call, auth: Any, at_once: bool = False, **options: Any
    ) -> list[Reply]:
        """Send the calls through one client with that auth object; proxies and `.netrc` are off.

        Args:
            calls: What to send.
            auth: Of the client.
            at_once: Whether they are sent all at once (threads, tasks) or in turn.
            options: Of the client, for tests of your own.
        """

    @abstractmethod
    def send_offline(
        self, *calls: Call, auth: Any, answers: Sequence[tuple[int, Mapping[str, str]]] = ()
    ) -> list[Sent]:
        """Send the calls in turn without a network, and return what would have been sent.

        Args:
            calls: What to send.
            auth: Of the client.
            answers: Statuses and headers of the first responses; then 200.
        """

    def request_of(self, error: Any) -> Any:
        """What an error of the library tells about the request: `.method` and `.url`."""
        return error.request

    def as_sent(self, url: str) -> str:
        """The URL as the library sends it."""
        return url

    def body(self, kind: str) -> dict[str, Any]:
        """The arguments of a `Call` for a body of that kind; DATA, unless it is JSON or empty."""
        match kind:
            case "no body":
                return {}
            case "json":
                return {"json": {"summary": "Zoë ☃", "list": [1, 2, 3]}}
            case "bytes":
                return {"content": DATA}
            case "multipart":
                return {"files": {"file": ("a.bin", io.BytesIO(DATA))}}
            case "multipart of bytes":
                return {"files": {"file": ("a.bin", DATA)}}
            case "multipart of an unseekable file":
                return {"files": {"file": ("a.bin", UnseekableFile(DATA))}}
            case "file":
                return {"content": io.BytesIO(DATA)}
            case "file from the middle":
                file = io.BytesIO(b"x" * OFFSET + DATA)
                file.seek(OFFSET)
                return {"content": file}
            case "file on disk":
                return {"content": _on_disk()}
            case "multipart of a file on disk":
                return {"files": {"file": ("a.bin", _on_disk())}}
            case "generator":
                return {"content": (DATA[i : i + 5000] for i in range(0, len(DATA), 5000))}
            case "iterator":
                return {"content": iter([DATA[:100], DATA[100:]])}
            case "unseekable file":
                return {"content": UnseekableFile(DATA)}
            case "file that cannot tell":
                return {"content": FalselySeekableFile(DATA)}
            case "file that closes itself":
                return {"content": SelfClosingFile(DATA)}
        raise AssertionError(f"unknown kind of body {kind!r}")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The subclass says which kinds of bodies there are."""
        for name, kinds in (("replayable", self.replayable), ("one_shot", self.one_shot)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, kinds)

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """A local Atlassian with two Cloud sites and a Data Center."""
        clock = FakeClock()
        with AtlassianEmulator(clock, sites=2) as emulator:
            emulator.data_center.anonymous_access = False
            yield World(emulator, clock)
            wait_for_refreshes()

    @pytest.fixture(params=["cloud", "data_center"])
    def flavour(self, request: pytest.FixtureRequest) -> str:
        """Cloud and Data Center: the test runs twice."""
        flavour: str = request.param
        return flavour

    def _get(self, *urls: str, auth: Any) -> list[Reply]:
        return self.exchange(*(Call("GET", url) for url in urls), auth=auth)


def meanwhile(
    hold: Hold, work: Callable[[], T], happens: Callable[[], object], requests: int = 1
) -> T:
    """What `work` returns; `happens()` is called while the hold stops that many requests of it."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            hold.wait_arrived(requests)
            happens()
        finally:
            hold.release()
        return working.result(PATIENCE)


def _on_disk() -> Any:
    """A file of the file system that is to be sent from the middle; the library closes it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"x" * OFFSET + DATA)
    file.seek(OFFSET)
    return file
