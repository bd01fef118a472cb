"""Somebody else's host: answers everything, logs everything, redirects where it is told."""

from __future__ import annotations

from .hosts import Call, Routes
from .http import Request, Response, json_response, redirect_response


def _redirect(call: Call) -> Response:
    to = call.request.first("to", "/")
    return redirect_response(to, int(call.request.first("status", "302")))


def _status(call: Call) -> Response:
    return json_response(int(call["status"]), {"foreign": True})


def _anything(request: Request) -> Response:
    return json_response(200, {"foreign": True})


def foreign_routes() -> Routes:
    """`/redirect?to=URL&status=302`, `/status/401`, and 200 for the rest."""
    routes = Routes(_anything)
    routes.add("*", r"/redirect", _redirect)
    routes.add("*", r"/status/(?P<status>[1-5]\d\d)", _status)
    return routes
