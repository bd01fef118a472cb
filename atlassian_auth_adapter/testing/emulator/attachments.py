"""Uploaded files: they stay in their multipart body, however big they are.

Source: RFC 7578 (multipart/form-data), RFC 2046 section 5.1.1 (boundaries).
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import HeaderParser
from urllib.parse import urlencode

from .http import CHUNK, Body, Request, Response

_HEAD_LIMIT = 16384  # bytes of the headers of one part


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside a body that is kept; `token` opens it at the media host, once issued."""

    id: str
    owner: str
    filename: str
    content_type: str
    offset: int
    length: int
    body: Body = field(repr=False)
    token: str = field(repr=False)

    def response(self) -> Response:
        """The file itself, streamed."""
        safe = "".join(c for c in self.filename if c.isprintable() and c not in '"\\')
        headers = {
            "Content-Type": self.content_type,
            "Content-Disposition": f'attachment; filename="{safe}"',
        }
        return Response(
            200, b"", headers, stream=(self.length, self.body.slice(self.offset, self.length))
        )

    def link(self, media_url: str) -> str:
        """The URL of the file at the media host, with its token."""
        query = urlencode({"token": self.token, "name": self.filename})
        return f"{media_url}/file/{self.id}/binary?{query}"


class Attachments:
    """All files of one product. Threads may share it; `close` removes them.

    Args:
        field: Name of the form field that holds a file.
        prefix: What the ids begin with.
        replacing: A file takes the place, and the id, of its owner's file of the same name.
    """

    def __init__(self, field: str = "file", *, prefix: str = "", replacing: bool = False) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Attachment] = {}
        self._bodies: list[Body] = []
        self._next = 10100
        self._field = field
        self._prefix = prefix
        self._replacing = replacing

    def add(self, owner: str, request: Request, *, replacing: bool = False) -> list[Attachment]:
        """The files of a multipart request; empty when the field has no file."""
        found = []
        for part in parts(request.body, _boundary(request)):
            if part.name != self._field or part.filename is None:
                continue
            with self._lock:
                old = self._named(owner, part.filename) if replacing or self._replacing else None
                attachment = Attachment(
                    old.id if old else f"{self._prefix}{self._next}",
                    owner,
                    part.filename,
                    part.content_type,
                    part.offset,
                    part.length,
                    request.body,
                    secrets.token_urlsafe(24),
                )
                self._next += 1
                self._by_id[attachment.id] = attachment
            found.append(attachment)
        if found:
            request.body.keep()
            self._bodies.append(request.body)
        return found

    def _named(self, owner: str, filename: str) -> Attachment | None:
        mine = (each for each in self._by_id.values() if each.owner == owner)
        return next((each for each in mine if each.filename == filename), None)

    def named(self, owner: str, filename: str) -> Attachment | None:
        """The owner's file of that name."""
        with self._lock:
            return self._named(owner, filename)

    def get(self, attachment_id: str) -> Attachment | None:
        """An attachment by its id."""
        with self._lock:
            return self._by_id.get(attachment_id)

    def of(self, owner: str) -> list[Attachment]:
        """The attachments of an issue, a page, a repository."""
        with self._lock:
            return [each for each in self._by_id.values() if each.owner == owner]

    def media(self, request: Request) -> Response | None:
        """A file at the media host; None: no such file, or not its token."""
        match = re.fullmatch(r"/file/([^/]+)/binary", request.path)
        attachment = self.get(match[1]) if match else None
        if attachment is None or request.first("token") != attachment.token:
            return None
        return attachment.response()

    def remove(self, attachment_id: str) -> bool:
        """Whether there was such an attachment; it is gone (its file stays until `close`)."""
        with self._lock:
            return self._by_id.pop(attachment_id, None) is not None

    def close(self) -> None:
        """The files are removed."""
        with self._lock:
            for body in self._bodies:
                body.close(force=True)
            self._by_id.clear()


def xsrf_refusal(request: Request) -> Response | None:
    """The refusal of an upload without the header against cross-site forms, or None."""
    if request.headers.get("x-atlassian-token", "").lower() in ("no-check", "nocheck"):
        return None
    return Response(403, b"XSRF check failed", {"Content-Type": "text/html"})


@dataclass(frozen=True, slots=True)
class Part:
    """Where one part's content lies in the body, in bytes."""

    name: str
    filename: str | None
    content_type: str
    offset: int
    length: int


def _boundary(request: Request) -> bytes:
    message = Message()
    message["content-type"] = request.headers.get("content-type", "")
    boundary = message.get_param("boundary")
    return boundary.encode() if isinstance(boundary, str) else b""


def parts(body: Body, boundary: bytes) -> Iterator[Part]:
    """The parts of a multipart body; nothing when the framing is wrong."""
    if not boundary:
        return
    delimiter = b"\r\n--" + boundary
    # The first delimiter may stand at the very beginning, without a line break before it.
    position = 0 if body.read(len(delimiter) - 2) == delimiter[2:] else _find(body, delimiter, 0)
    position += len(delimiter) - 2 if position == 0 else len(delimiter)
    while position >= len(delimiter) - 2:
        head = b"".join(body.slice(position, _HEAD_LIMIT))
        blank = head.find(b"\r\n\r\n")
        if head.startswith(b"--") or blank < 0:
            return
        start = position + blank + 4
        end = _find(body, delimiter, start)
        if end < 0:
            return
        headers = HeaderParser().parsestr(head[2:blank].decode("utf-8", "replace"))
        name = headers.get_param("name", header="content-disposition")
        yield Part(
            name if isinstance(name, str) else "",
            headers.get_filename(),
            headers.get_content_type() if "content-type" in headers else "text/plain",
            start,
            end - start,
        )
        position = end + len(delimiter)


def _find(body: Body, needle: bytes, start: int) -> int:
    """The offset of the first occurrence, or -1; holds two chunks in memory at most."""
    tail, position = b"", start
    for chunk in body.slice(start, body.length - start):
        window = tail + chunk
        if (at := window.find(needle)) >= 0:
            return position - len(tail) + at
        position += len(chunk)
        tail = window[-(len(needle) - 1) :]
    return -1


assert CHUNK > _HEAD_LIMIT  # the head of a part is read in one piece
