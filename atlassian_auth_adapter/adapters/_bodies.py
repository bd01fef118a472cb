"""Bodies of answers: how much of one is looked at, and how it can still be read afterwards.

An answer that rejects a token may be a download of any size, may come byte by byte, may be
compressed, and may break. So at most its start is read, and for some seconds only, nothing is
decoded beyond that size, and an error in it is kept for the program that reads it. No HTTP library
is imported here.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from atlassian_auth_adapter.errors import drop_frames

__all__ = ["MOST_LOOKED_AT", "PartlyReadFile", "PartlyReadStream", "StartOfBody", "decoded"]

#: Bytes of a body that are looked at, as sent and once more after decoding.
MOST_LOOKED_AT = 64 * 1024
#: Seconds after which no next piece of a body is waited for; for each one the timeout of the
#: program holds.
LONGEST_LOOK = 5.0
#: Bytes that are decoded at once: older versions of urllib3 do not limit what comes out.
_PIECE = 1024


def decoded(start: bytes, encoding: str) -> bytes:
    """The start of a body without its Content-Encoding, as far as it can be decoded."""
    if not encoding:
        return start[:MOST_LOOKED_AT]
    from urllib3 import HTTPResponse  # seldom needed: rejections are short, and not compressed

    body = HTTPResponse(
        io.BytesIO(start), headers={"Content-Encoding": encoding}, preload_content=False
    )
    text = bytearray()
    with suppress(Exception):  # whatever a decoder raises: the rest says nothing
        for piece in body.stream(_PIECE):
            text += piece
            if len(text) >= MOST_LOOKED_AT:
                break
    return bytes(text[:MOST_LOOKED_AT])


class StartOfBody:
    """What was read of a body, which comes in chunks."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._end = monotonic() + LONGEST_LOOK

    def is_enough(self, chunk: bytes) -> bool:
        """Whether no more is to be looked at, with this chunk."""
        self.chunks.append(chunk)
        return sum(map(len, self.chunks)) >= MOST_LOOKED_AT or monotonic() >= self._end

    def decoded(self, encoding: str) -> bytes:
        """As `decoded`."""
        return decoded(b"".join(self.chunks)[:MOST_LOOKED_AT], encoding)


class PartlyReadFile(io.RawIOBase):
    """A body of requests whose start was read: gives the start, then the rest or the error.

    Args:
        raw: The body.
        read: Reads so many bytes of it, or those that are there, as they were sent.
    """

    def __init__(self, raw: Any, read: Callable[[int], bytes]) -> None:
        super().__init__()
        self._raw, self._read = raw, read
        self._error: Exception | None = None
        self.start = self._read_start()
        self._left = io.BytesIO(self.start)

    def _read_start(self) -> bytes:
        start, end = bytearray(), monotonic() + LONGEST_LOOK
        try:
            while chunk := self._read(MOST_LOOKED_AT - len(start)):
                start += chunk
                if len(start) >= MOST_LOOKED_AT or monotonic() >= end:
                    break
        except Exception as error:  # noqa: BLE001 - raised where the program reads
            # Frames hold this object; from Python 3.12 on those of causes hold the pool as well,
            # until the garbage is collected.
            drop_frames(error)
            self._error = error
        return bytes(start)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        data = self._left.read(len(buffer))
        if not data:
            if self._error is not None:
                raise self._error
            data = self._read(len(buffer)) or b""
        buffer[: len(data)] = data
        return len(data)

    def read1(self, size: int = -1) -> bytes:
        """At most so many bytes, those that come next; called by `read1` of urllib3."""
        return self.read(size if size >= 0 else MOST_LOOKED_AT) or b""

    def close(self) -> None:
        """Close the body; a connection with an unread rest is closed as well."""
        if not self.closed:
            self._error = None  # its cause holds the connection
            self._raw.close()
            if hasattr(self._raw, "release_conn"):
                self._raw.release_conn()
        super().close()


class PartlyReadStream:
    """A body of httpx or httpx2 whose start was read: gives the start, then the rest or the error.

    A subclass inherits from the stream classes of its library, sync and async.
    """

    def __init__(self, stream: Any, rest: Any) -> None:
        self._stream, self._rest = stream, rest
        self._start = StartOfBody()
        self._error: Exception | None = None

    @classmethod
    def start_of(cls, response: Any) -> bytes:
        """The start of the body of a response, decoded. The body can still be read."""
        if (known := _known_start(response)) is not None:
            return known
        body = cls(response.stream, iter(response.stream))
        try:
            for chunk in body._rest:
                if body._start.is_enough(chunk):
                    break
        except Exception as error:  # noqa: BLE001 - raised where the program reads
            drop_frames(error)
            body._error = error
        response.stream = body
        return body._decoded_for(response)

    @classmethod
    async def start_of_async(cls, response: Any) -> bytes:
        """As `start_of`, for async clients."""
        if (known := _known_start(response)) is not None:
            return known
        body = cls(response.stream, aiter(response.stream))
        try:
            async for chunk in body._rest:
                if body._start.is_enough(chunk):
                    break
        except Exception as error:  # noqa: BLE001 - raised where the program reads
            drop_frames(error)
            body._error = error
        response.stream = body
        return body._decoded_for(response)

    @classmethod
    def drop(cls, response: Any) -> None:
        """Close the response, which keeps the start of its body; httpx would read all of it."""
        start = cls.start_of(response)
        response.close()
        _keep(response, start)

    @classmethod
    async def drop_async(cls, response: Any) -> None:
        """As `drop`, for async clients."""
        start = await cls.start_of_async(response)
        await response.aclose()
        _keep(response, start)

    def _decoded_for(self, response: Any) -> bytes:
        return self._start.decoded(response.headers.get("Content-Encoding", ""))

    def __iter__(self) -> Iterator[bytes]:
        yield from self._start.chunks
        if self._error is not None:
            raise self._error
        yield from self._rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._start.chunks:
            yield chunk
        if self._error is not None:
            raise self._error
        async for chunk in self._rest:
            yield chunk

    def close(self) -> None:
        """Close the body. Called by the library."""
        self._error = None  # its cause holds the connection
        if hasattr(self._rest, "close"):
            self._rest.close()
        self._stream.close()

    async def aclose(self) -> None:
        """As `close`, for async clients."""
        self._error = None
        if hasattr(self._rest, "aclose"):
            await self._rest.aclose()
        await self._stream.aclose()


def _known_start(response: Any) -> bytes | None:
    """The start if the body is in memory, b"" if it was read and is gone, None if it is unread."""
    if hasattr(response, "_content"):
        return bytes(response.content[:MOST_LOOKED_AT])
    if isinstance(response.stream, PartlyReadStream):
        return response.stream._decoded_for(response)  # noqa: SLF001 - this class's own
    return b"" if response.is_stream_consumed or response.is_closed else None


def _keep(response: Any, start: bytes) -> None:
    if not hasattr(response, "_content"):
        response._content = start  # noqa: SLF001 - what `read` returns
