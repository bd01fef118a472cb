"""The attachments of issues."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from atlassian_auth_adapter.testing.emulator.attachments import Attachment, xsrf_refusal
from atlassian_auth_adapter.testing.emulator.hosts import Call, Caller, Row, found_or
from atlassian_auth_adapter.testing.emulator.http import Response, json_response, redirect_response

from .issues import ISSUE
from .state import API, CREATED, InvalidError, Issue, State, logged_in, missing, no_issue

_UPLOAD_LIMIT = 10485760  # bytes, as a fresh Jira says; nothing here enforces it


class Files:
    """Threads may share it."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.computed["attachment"] = self._of_issue

    def rows(self) -> list[Row]:
        """Their routes."""
        issue = found_or(no_issue, self._state.issue_of)
        file = found_or(missing, self._seen)
        rows: list[Row] = [
            ("POST", f"{ISSUE}/attachments", logged_in(issue(self._attach))),
            ("GET", f"{API}/attachment/meta", _meta),
            ("GET", rf"{API}/attachment/(?P<id>\d+)", file(self._read)),
            ("DELETE", rf"{API}/attachment/(?P<id>\d+)", file(self._remove)),
        ]
        if self._state.cloud:
            path = rf"{API}/attachment/content/(?P<id>\d+)"
            return [*rows, ("GET", path, file(self._content_elsewhere))]
        return [*rows, ("GET", r"/secure/attachment/(?P<id>\d+)/[^/]+", file(_content_here))]

    def _of_issue(self, issue: Issue, caller: Caller) -> list[dict[str, Any]]:
        return [self._bean(each, caller) for each in self._state.attachments.of(issue["key"])]

    def _bean(self, attachment: Attachment, caller: Caller) -> dict[str, Any]:
        api = self._state.api
        content = (
            f"{api}/attachment/content/{attachment.id}"
            if self._state.cloud
            else f"/secure/attachment/{attachment.id}/{quote(attachment.filename, safe='')}"
        )
        return {
            "self": f"{caller.base}{api}/attachment/{attachment.id}",
            "id": attachment.id,
            "filename": attachment.filename,
            "author": self._state.person(caller.name, caller.base),
            "created": CREATED,
            "size": attachment.length,
            "mimeType": attachment.content_type,
            "content": f"{caller.base}{content}",
        }

    def _attach(self, call: Call, issue: Issue) -> Response:
        if refused := xsrf_refusal(call.request):
            return refused
        added = self._state.attachments.add(issue["key"], call.request)
        if not added:
            raise InvalidError("No file was sent", field="file")
        return json_response(200, [self._bean(each, call.caller) for each in added])

    def _seen(self, call: Call) -> Attachment | None:
        attachment = self._state.attachments.get(call["id"])
        if attachment and attachment.owner.partition("-")[0] in self._state.visible(call.caller):
            return attachment
        return None

    def _read(self, call: Call, found: Attachment) -> Response:
        return json_response(200, self._bean(found, call.caller))

    def _remove(self, call: Call, found: Attachment) -> Response:
        if call.caller.anonymous:
            return missing(call.request)
        self._state.attachments.remove(found.id)
        return Response(204)

    def _content_elsewhere(self, _: Call, found: Attachment) -> Response:
        return redirect_response(found.link(self._state.media_url()), 303)


def _content_here(_: Call, found: Attachment) -> Response:
    return found.response()


def _meta(_: Call) -> Response:
    return json_response(200, {"enabled": True, "uploadLimit": _UPLOAD_LIMIT})
