"""What `atlassian-auth api` sends: fields, as `gh api` reads them; files and forms, streamed.

Source: cli.github.com, manual of `gh api`, read 2026-11-27.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from mimetypes import guess_type
from pathlib import Path
from typing import IO, Any

import click
from urllib3.fields import RequestField

from atlassian_auth_adapter.foreign_text import printable

__all__ = ["Upload", "form_with_file", "json_of", "pairs_of", "streamed"]

#: Bytes that are read of a pipe at once.
CHUNK = 1 << 16
#: Bytes of a file that is the value of a field, which is in memory.
MOST_IN_FIELD = 64 << 20
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\]){0,99})")
_WORDS = {"true": True, "false": False, "null": None}

Pair = tuple[str, Any]


# --- fields ---------------------------------------------------------------------------------------


def pairs_of(raw: Iterable[str], typed: Iterable[str]) -> list[Pair]:
    """Names and values of fields; `typed` ones may be numbers, true, false, null, or files.

    Raises:
        click.UsageError: A field has no name or no value, or its file cannot be read.
    """
    found: list[Pair] = []
    for texts, read in ((raw, str), (typed, _typed)):
        reader: Callable[[str], Any] = read
        for text in texts:
            name, is_given, value = text.partition("=")
            if not is_given and name.endswith("[]"):
                found.append((name, ()))  # an empty list
            elif not name or not is_given:
                raise click.UsageError(f"a field is name=value, and {printable(text)!r} is not.")
            else:
                found.append((name, reader(value)))
    return found


def _typed(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text.startswith("@"):
        try:
            with click.open_file(text[1:], "rb") as file:
                data = file.read(MOST_IN_FIELD + 1)
            if len(data) <= MOST_IN_FIELD:
                return data.decode()
            reason = f"it is longer than {MOST_IN_FIELD >> 20} MB"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise click.UsageError(f"cannot read {printable(text[1:])!r}: {reason}.")
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text) else text


def json_of(pairs: Sequence[Pair]) -> bytes:
    """A JSON object: `a[b]=1` is an object within it, `a[]=1` adds to a list.

    Raises:
        click.UsageError: Two fields contradict each other.
    """
    made: dict[str, Any] = {}
    for name, value in pairs:
        match = _NAME.fullmatch(name)
        keys = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])] if match else []
        try:
            _put(made, keys, value)
        except (TypeError, ValueError, AttributeError, KeyError):
            text = f"the name of the field {printable(name)!r} does not fit to the other fields."
            raise click.UsageError(text) from None
    return json.dumps(made).encode()


def _put(target: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    key, *inner = keys
    if not inner:
        if key in target:
            raise KeyError(key)
        target[key] = value
    elif inner[0]:
        _put(target.setdefault(key, {}), inner, value)
    else:
        items = target.setdefault(key, [])
        if len(inner) > 1:  # a[][b]=1: into the last object, or into a new one if that has it
            if not items or inner[1] in items[-1]:
                items.append({})
            _put(items[-1], inner[1:], value)
        elif value != ():
            items.append(value)


# --- files ----------------------------------------------------------------------------------------


def streamed(file: IO[bytes]) -> Upload | Iterator[bytes] | bytes:
    """The body of a request: a file with its length, or what comes out of a pipe."""
    with suppress(OSError, AttributeError):
        if (length := _length_of(file)) is not None:
            return Upload(file) if length else b""
    return iter(partial(getattr(file, "read1", file.read), CHUNK), b"")


def _length_of(file: Any) -> int | None:
    """Bytes that are left of a file; None: it is a pipe, or one of those whose length is told as 0.

    Such as the files of /proc.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    length = max(status.st_size - file.tell(), 0)
    return length if length or not file.peek(1) else None


def form_with_file(pairs: Iterable[Pair], file: IO[bytes]) -> tuple[Upload, str]:
    """A form with the file as its field `file`, and its Content-Type. Source: RFC 7578.

    Raises:
        click.UsageError: It is a pipe.
    """
    if _length_of(file) is None:
        raise click.UsageError("--attach: give a file, not a pipe: its length is sent first.")
    boundary = secrets.token_hex(16)
    filename = os.fsencode(Path(file.name).name).decode(errors="replace")
    head = b""
    for name, value in pairs:
        head += _part(boundary, RequestField(name, b"")) + f"{_text(value)}\r\n".encode()
    kind = guess_type(filename)[0] or "application/octet-stream"
    head += _part(boundary, RequestField("file", b"", filename), kind)
    body = Upload(file, head, f"\r\n--{boundary}--\r\n".encode())
    return body, f"multipart/form-data; boundary={boundary}"


def _part(boundary: str, field: RequestField, content_type: str | None = None) -> bytes:
    field.make_multipart(content_type=content_type)
    return f"--{boundary}\r\n{field.render_headers()}".encode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Upload(io.RawIOBase):
    """A body of known length: some bytes, a file, some bytes. It can be sent again.

    The length is that of the file at the beginning: what is added to it meanwhile is left out.
    """

    def __init__(self, file: IO[bytes], head: bytes = b"", tail: bytes = b"") -> None:
        super().__init__()
        self._file, self._head, self._tail = file, head, tail
        self._begin = file.tell()
        self._size = os.fstat(file.fileno()).st_size - self._begin
        self._position = 0
        #: What requests takes as the Content-Length.
        self.len: int = len(head) + self._size + len(tail)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes that were read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.len}[whence]
        self._position = min(max(base + offset, 0), self.len)
        self._file.seek(self._begin + min(max(self._position - len(self._head), 0), self._size))
        return self._position

    def readinto(self, buffer: Any) -> int:
        """The next bytes of one of the three."""
        at, end = self._position, len(self._head) + self._size
        if at < len(self._head):
            data = self._head[at : at + len(buffer)]
        elif at < end:
            data = self._file.read(min(len(buffer), end - at))
            if not data:
                raise OSError("the file has become shorter while it was sent")
        else:
            data = self._tail[at - end : at - end + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
