"""Resources that no Atlassian product has: they tell a test what arrived, or redirect elsewhere."""

from __future__ import annotations

from .hosts import Call, Routes
from .http import Request, Response, json_response, redirect_response


def _echo(call: Call) -> Response:
    request = call.request
    return json_response(
        200,
        {
            "method": request.method,
            "body_sha256": request.body.sha256,
            "body_length": request.body.length,
            "content_type": request.headers.get("content-type", ""),
            "query": [list(pair) for pair in request.query],
            "caller": call.caller.name,
        },
    )


def _redirect(call: Call) -> Response:
    to = call.request.first("to", f"{call.caller.base}/rest/echo")
    return redirect_response(to, int(call.request.first("status", "302")))


#: `/rest/echo` says what arrived, `/rest/redirect?to=URL&status=302` redirects. For every product.
ECHO = (("*", r"/rest/echo", _echo), ("*", r"/rest/redirect", _redirect))


def _status(call: Call) -> Response:
    return json_response(int(call["status"]), {"foreign": True})


def _anything(_: Request) -> Response:
    return json_response(200, {"foreign": True})


def foreign_routes() -> Routes:
    """A host that is not Atlassian's: `/redirect?to=URL&status=302`, `/status/401`, else 200."""
    return Routes(
        _anything,
        ("*", r"/redirect", _redirect),
        ("*", r"/status/(?P<status>[1-5]\d\d)", _status),
    )
