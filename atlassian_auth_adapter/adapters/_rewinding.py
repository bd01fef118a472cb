"""Bodies of requests that are sent again: the library requests rewinds only some of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import requests
from requests.exceptions import UnrewindableBodyError
from requests.utils import rewind_body

__all__ = ["note_how_to_rewind", "rewound"]


def note_how_to_rewind(request: requests.PreparedRequest) -> None:
    """Note where the body begins, for `rewind_body`: requests does so for iterables only."""
    body: Any = request.body
    if isinstance(body, bytes | str):
        return
    if encode_again := _encoding_again(body):
        request._atlassian_encode_again = encode_again  # type: ignore[attr-defined] # noqa: SLF001
    known = request._body_position  # type: ignore[attr-defined] # noqa: SLF001
    if known is not None or not (hasattr(body, "seek") and hasattr(body, "tell")):
        return
    with suppress(OSError, ValueError):
        request._body_position = body.tell()  # type: ignore[attr-defined] # noqa: SLF001


def _encoding_again(body: Any) -> Callable[[], Any] | None:
    """If the body is an encoder of requests-toolbelt: a function that makes the same one again.

    The encoder streams a form and cannot be rewound, but the files in it can. The SDK jira uploads
    attachments with it. A monitor reports what was read of its encoder, and goes on with the new
    one. Source: requests-toolbelt 1.0, multipart/encoder.py.
    """
    if not hasattr(body, "read"):
        return None
    bases = [f"{cls.__module__.partition('.')[0]}.{cls.__name__}" for cls in type(body).__mro__]
    if "requests_toolbelt.MultipartEncoderMonitor" in bases:
        encode_again = _encoding_again(body.encoder)
        return encode_again and partial(_monitored_again, body, encode_again)
    if bases[0] != "requests_toolbelt.MultipartEncoder":
        return None
    fields, length = body.fields, body.len
    values = [value for _, value in (fields.items() if hasattr(fields, "items") else fields)]
    parts = [value[1] if isinstance(value, list | tuple) else value for value in values]
    files = [part for part in parts if hasattr(part, "read")]
    try:
        starts = [(file, file.tell()) for file in files]
    except (AttributeError, OSError, ValueError):
        return None

    # Not a nested function: responses are pickled with their requests.
    return partial(_encoded_again, body, length, starts)


def _encoded_again(spent: Any, length: int, starts: list[tuple[Any, int]]) -> Any:
    """An encoder of the same form, or None if its files cannot be read from the start again."""
    try:
        if any(file.seek(start) != start for file, start in starts):
            return None
        encoder = type(spent)(spent.fields, spent.boundary_value, spent.encoding)
    except (AttributeError, OSError, ValueError):  # closed meanwhile, or not seekable
        return None
    return encoder if encoder.len == length else None


def _monitored_again(monitor: Any, encode_again: Callable[[], Any]) -> Any:
    """The monitor with an encoder of the same form, or None if the form cannot be read again."""
    encoder = encode_again()
    if encoder is None:
        return None
    monitor.encoder, monitor.bytes_read = encoder, 0
    return monitor


def rewound(request: requests.PreparedRequest) -> bool:
    """Whether the body was rewound, so that all of it would be sent again."""
    if encode_again := getattr(request, "_atlassian_encode_again", None):
        encoder = encode_again()
        request.body = encoder or request.body
        return encoder is not None
    body: object = request.body
    if body is None or isinstance(body, bytes | str):
        return True
    start = request._body_position  # type: ignore[attr-defined] # noqa: SLF001
    try:
        rewind_body(request)  # raises for a generator, and for a file without a known start
        return not hasattr(body, "tell") or body.tell() == start
    except (UnrewindableBodyError, OSError, ValueError):
        return False
