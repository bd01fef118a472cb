"""The resources of Trello's API (api.trello.com): the member who asks.

Source: developer.atlassian.com/cloud/trello/rest, read 2026-11-26.
"""

from __future__ import annotations

from .accounts import ACCOUNT_NAME, EMAIL
from .echo import ECHO
from .hosts import Call, Routes
from .http import Request, Response, json_response


def trello_routes() -> Routes:
    """`/1/members/me`, and the resources that no product has."""
    return Routes(_missing, *ECHO, ("GET", r"/1/members/me", _member))


def _member(call: Call) -> Response:
    """The member, whose address is among the fields of read:member:trello."""
    return json_response(
        200,
        {
            "id": call.caller.name,
            "username": "ada",
            "fullName": ACCOUNT_NAME,
            "email": EMAIL,
            "url": "https://trello.com/ada",
        },
    )


def _missing(request: Request) -> Response:
    text = f"Cannot {request.method} {request.path}"
    return Response(404, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})
