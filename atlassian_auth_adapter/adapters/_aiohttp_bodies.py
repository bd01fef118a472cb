"""Bodies of aiohttp: which are sent again as they were, and the start of an answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aiohttp import (
    BufferedReaderPayload,
    BytesIOPayload,
    BytesPayload,
    ClientResponse,
    IOBasePayload,
    MultipartWriter,
    ServerTimeoutError,
    StreamReader,
)

from atlassian_auth_adapter.adapters._bodies import StartOfBody

__all__ = ["Upload", "start_of"]

#: Payloads of files. Text files are left out: their positions are no numbers of bytes.
_FILES = (BufferedReaderPayload, BytesIOPayload, IOBasePayload)


class Upload:
    """The body of a request, before it is sent.

    aiohttp sends a body again as far as it can: a file from where it began, a generator as an empty
    body. All of it is sent again if it is in memory, or a file that was read to its end and can
    seek. A thread may still read any other file, because aiohttp reads them in threads and does not
    wait for these when it gives a request up.

    Args:
        body: The payload; b"" without one.
    """

    def __init__(self, body: Any) -> None:
        self._files: list[tuple[Any, int]] | None = []  # each with its end
        if body:
            try:
                self._files = list(_files_in(body))
            except (_UnknownError, AttributeError, OSError, ValueError):
                self._files = None

    @property
    def can_be_repeated(self) -> bool:
        """Whether all of it was sent, and would be sent again."""
        try:
            return self._files is not None and all(
                file.seekable() and file.tell() == end for file, end in self._files
            )
        except (AttributeError, OSError, ValueError):  # closed meanwhile
            return False


class _UnknownError(Exception):
    """A payload of which nothing is known."""


def _files_in(payload: Any) -> Iterator[tuple[Any, int]]:
    """Each file in the payload, with the end of what is to be sent."""
    kind = type(payload)
    if kind is MultipartWriter:
        for part, _, _ in payload:
            yield from _files_in(part)
    elif kind in _FILES:
        file, size = payload._value, payload.size  # noqa: SLF001 - there is no other way to it
        if size is None:
            raise _UnknownError
        yield file, file.tell() + size
    elif not (issubclass(kind, BytesPayload) and kind.__module__ == BytesPayload.__module__):
        raise _UnknownError


async def start_of(response: ClientResponse) -> bytes:
    """The start of the body, decoded. The body can still be read, as a whole or as a stream.

    Raises:
        TimeoutError: The time of the whole request is over.
    """
    content = response.content
    if content.at_eof():  # empty, or another middleware has read it
        with suppress(Exception):
            return await response.read()
        return b""
    start = StartOfBody()
    try:
        while chunk := await content.readany():
            if start.is_enough(chunk):
                break
    except Exception as error:
        # The content keeps its error for the program that reads; that the time of the whole request
        # is over is told only once.
        if isinstance(error, TimeoutError) and not isinstance(error, ServerTimeoutError):
            raise
    response.content = _PartlyRead(content, start.chunks)
    # aiohttp has decoded it, unless it was told not to
    encoding = response.headers.get("Content-Encoding", "")
    return (encoding and start.decoded(encoding)) or start.decoded("")


class _NoFlow:
    """In place of the protocol that a stream pauses when it has too much."""

    connected = True
    _reading_paused = False  # asked for by aiohttp 3.12

    def pause_reading(self) -> None:
        """Called by the stream."""

    def resume_reading(self, **_: Any) -> None:
        """Called by the stream."""


_NO_FLOW: Any = _NoFlow()


class _PartlyRead(StreamReader):
    """A body whose start was read: gives the start, then the rest or the error."""

    __slots__ = ("_rest",)

    def __init__(self, rest: StreamReader, chunks: list[bytes]) -> None:
        super().__init__(_NO_FLOW, sys.maxsize, loop=asyncio.get_running_loop())
        self._rest = rest
        for chunk in chunks:
            self.feed_data(chunk)

    async def _wait(self, func_name: str) -> None:
        """Called by all methods that read, when there is nothing to give."""
        chunk = await self._rest.readany()
        if chunk:
            self.feed_data(chunk)
        else:
            self.feed_eof()
