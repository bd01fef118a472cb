"""How `atlassian-auth api` prints an answer: as it came for programs, readable for a terminal."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterable, Iterator
from http.client import responses
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from atlassian_auth_adapter.cli.terminal import console
from atlassian_auth_adapter.foreign_text import printable

if TYPE_CHECKING:
    import requests

__all__ = ["media_type_of", "parsed", "print_body", "print_head", "reason_of"]

#: Bytes of JSON that are made readable; longer ones are printed as they came.
MOST_READABLE = 16 << 20
#: Characters of JSON that get colours.
MOST_COLOURED = 1 << 18
#: Headers whose values open a session, as the token does.
_SECRET_HEADERS = frozenset({"set-cookie", "set-cookie2"})
#: Media types, or their beginnings, that a terminal can show.
_TEXT = re.compile(r"text/|application/([\w.-]+\+)?(json|xml|javascript|x-ndjson|yaml)|$")


def media_type_of(response: requests.Response) -> str:
    """The media type of an answer, without parameters; "" if it has none."""
    header: str = response.headers.get("Content-Type", "")
    return printable(header.partition(";")[0], 100).lower()


def reason_of(response: requests.Response) -> str:
    """Status and reason, such as "404 Not Found"."""
    status = response.status_code
    reason = printable(response.reason, 100) or responses.get(status, "")
    return f"{status} {reason}".strip()


def print_head(response: requests.Response) -> None:
    """Print status and headers. A cookie is not shown: it may be a login."""
    version = {10: "1.0", 11: "1.1", 20: "2"}.get(getattr(response.raw, "version", 11), "1.1")
    lines = [f"HTTP/{version} {reason_of(response)}"]
    for name, value in response.headers.items():
        shown = "(not shown)" if name.lower() in _SECRET_HEADERS else printable(value)
        lines.append(f"{printable(name)}: {shown}")
    sys.stdout.write("\n".join([*lines, "", ""]))


def print_body(chunks: Iterable[bytes], media_type: str, *, as_it_came: bool) -> None:
    """Print a body: every byte as it came, or what a person can read in a terminal.

    Raises:
        click.UsageError: It is not text, and standard output is a terminal.
    """
    if as_it_came or not sys.stdout.isatty():
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return
    rest = iter(chunks)
    start = _start(rest, MOST_READABLE if media_type.endswith("json") else 1)
    if not _TEXT.match(media_type) or b"\0" in start:
        raise click.UsageError(
            f"the answer is {media_type or 'not text'}, which a terminal cannot show. Write it to "
            "a file: add > FILE."
        )
    value = parsed(start) if len(start) < MOST_READABLE else None
    if value is not None:
        _print_json(value)
    else:
        _print_text(chain([start], rest))


def parsed(body: bytes) -> Any:
    """The value of a JSON text; None if it is not JSON, and for null."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _start(chunks: Iterator[bytes], least: int) -> bytes:
    start = bytearray()
    for chunk in chunks:
        start += chunk
        if len(start) >= least:
            break
    return bytes(start)


def _print_json(value: Any) -> None:
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=not is_unicode)
    if not text.isascii() or "\x7f" in text:  # what JSON need not escape, and a terminal may obey
        text = "".join(
            char if char.isprintable() or char == "\n" else _escaped(char) for char in text
        )
    out = console()
    if out.no_color or not out.is_terminal or len(text) > MOST_COLOURED:
        sys.stdout.write(text + "\n")
        return
    from rich.highlighter import JSONHighlighter

    out.print(JSONHighlighter()(text), soft_wrap=True)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"


def _print_text(chunks: Iterable[bytes]) -> None:
    """Print text without the control characters in it; it ends with a line break."""
    decoder, last = codecs.getincrementaldecoder("utf-8")("replace"), "\n"
    for chunk in chain(chunks, [b""]):
        text = decoder.decode(chunk, final=not chunk).replace("\r\n", "\n")
        shown = "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
        sys.stdout.write(shown)
        last = shown[-1:] or last
    if last != "\n":
        sys.stdout.write("\n")
