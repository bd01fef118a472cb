"""Resources that no Atlassian product has: they tell a test what arrived, or send it elsewhere."""

from __future__ import annotations

from .hosts import Call, Routes
from .http import Response, json_response, redirect_response


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


def add_probes(routes: Routes) -> None:
    """`/rest/echo` says what arrived, `/rest/redirect?to=URL&status=302` sends elsewhere."""
    routes.add("*", r"/rest/echo", _echo)
    routes.add("*", r"/rest/redirect", _redirect)
