"""The next page, in the forms of all products; links can lead nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from atlassian_auth_adapter.cli.pages import MOST_EMPTY, Pages, next_page
from atlassian_auth_adapter.errors import ResourceUnavailableError

SITE = "https://acme.atlassian.net"
EX = "https://api.atlassian.com/ex/confluence/1/wiki"
FOUR = [1, 2, 3, 4]


def jira(**more: Any) -> dict[str, Any]:
    """A page of Jira with four items."""
    return {"startAt": 4, "maxResults": 4, "values": FOUR, **more}


@pytest.mark.parametrize(
    ("url", "body", "query"),
    [
        ("/rest/api/3/project/search?a=b", jira(total=9, isLast=False), "a=b&startAt=8"),
        ("/rest/api/3/project/search", jira(total=8), None),
        ("/rest/api/3/project/search", jira(total=9, isLast=True), None),
        ("/rest/api/3/dashboard?startAt=4", jira(total=99, values=[]), None),
        ("/rest/api/2/search", jira(total=9, issues=FOUR, values=[], names={}), "startAt=8"),
        ("/rest/agile/1.0/board", jira(isLast=False, total=None), "startAt=8"),
        ("/rest/api/3/x", jira(), "startAt=8"),
        ("/rest/api/3/x", jira(maxResults=50), None),
        ("/rest/api/3/search/jql?jql=a", {"issues": [], "nextPageToken": "t/+ "},
         "jql=a&nextPageToken=t%2F%2B+"),
        ("/rest/api/3/search/jql", {"issues": FOUR, "nextPageToken": "t", "isLast": True}, None),
        ("/rest/api/3/auditing/record", {"offset": 0, "limit": 4, "total": 5, "records": FOUR},
         "offset=4"),
        ("/rest/api/3/worklog/updated", {"values": FOUR, "lastPage": False,
         "nextPage": f"{SITE}/rest/api/3/worklog/updated?since=7"}, "since=7"),
        ("/rest/api/3/users/search?maxResults=4", FOUR, "maxResults=4&startAt=4"),
        ("/rest/api/2/user/search?startAt=4", FOUR, "startAt=8"),
        ("/rest/api/3/users/search?startAt=8", [], None),
        ("/rest/api/3/field", FOUR, None),
        ("/rest/api/3/myself", {"groups": {"items": FOUR}, "name": "x"}, None),
        ("/rest/servicedeskapi/request", {"start": 0, "limit": 4, "size": 4, "isLastPage": False,
         "values": FOUR, "_links": {"next": f"{SITE}/rest/servicedeskapi/request?start=4"}},
         "start=4"),
        ("/rest/servicedeskapi/request", {"start": 0, "limit": 4, "isLastPage": False,
         "values": FOUR, "_links": {}}, "start=4"),
        ("/rest/api/1.0/projects", {"isLastPage": False, "nextPageStart": 25, "values": FOUR},
         "start=25"),
        ("/rest/api/1.0/projects", {"isLastPage": True, "nextPageStart": None, "start": 0,
         "limit": 4, "values": FOUR}, None),
        ("/2.0/repositories/acme", {"pagelen": 10, "values": FOUR, "page": 1,
         "next": "https://api.bitbucket.org/2.0/repositories/acme?page=2"}, "page=2"),
        ("/2.0/repositories/acme", {"pagelen": 10, "values": FOUR, "page": 3, "size": 24}, None),
        ("/rest/api/content", {"start": 0, "limit": 4, "size": 4, "results": FOUR,
         "_links": {"base": SITE, "context": ""}}, None),
        ("/ex/jira/1/jsm/ops/api/v1/schedules", {"values": FOUR, "links": {
            "next": "https://api.atlassian.com/jsm/ops/api/1/v1/schedules?offset=4"}}, "offset=4"),
        ("/rest/api/3/x", None, None),
        ("/rest/api/3/x", "text", None),
        ("/rest/api/3/x", {"startAt": True, "maxResults": 4, "values": FOUR}, None),
        ("/rest/api/3/x", {"next": 7, "_links": [], "nextPage": {"a": "b"}}, None),
    ],
)  # fmt: skip
def test_the_next_page(url: str, body: Any, query: str | None) -> None:
    """Of each product, in each of its forms; the same path with another query, or the end."""
    expected = "" if query is None else f"{SITE}{url.partition('?')[0]}?{query}"
    assert next_page(SITE + url, body) == expected


@pytest.mark.parametrize(
    "link",
    [
        "/wiki/api/v2/pages?cursor=c1&limit=25",
        f"{SITE}/wiki/api/v2/pages?cursor=c1&limit=25",
        "https://evil.example/wiki/api/v2/pages?cursor=c1&limit=25",
        "//evil.example/api/v2/pages/?cursor=c1&limit=25",
        "http://localhost:8090/pages?cursor=c1&limit=25",
        "?cursor=c1&limit=25",
    ],
)
def test_of_a_link_only_the_query_is_taken(link: str) -> None:
    """Wherever it leads: the token goes to the path that it was sent to before."""
    expected = f"{EX}/api/v2/pages?cursor=c1&limit=25"
    assert next_page(f"{EX}/api/v2/pages?limit=25", {"_links": {"next": link}}) == expected
    assert next_page(f"{EX}/api/v2/pages", {"results": []}, link) == expected
    assert next_page(f"{EX}/api/v2/pages", [], link) == expected


@pytest.mark.parametrize(
    "link",
    ["/wiki/api/v2/users?cursor=1", "https://evil.example/?q=1", "http://[::1?x", "\x1b]0;x\x07"],
)
def test_a_link_to_another_resource_ends_the_list(link: str) -> None:
    """Told as an error, since the list is not complete; its text is printable."""
    with pytest.raises(ResourceUnavailableError, match="not complete") as caught:
        next_page(f"{EX}/api/v2/pages", {"_links": {"next": link}})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"results": FOUR, "nextPageToken": "\ud800"}, ""),
        ([{}], f"?startAt={'9' * 5000}"),
        (None, ""),
    ],
)
def test_what_is_no_page_is_told(body: Any, query: str) -> None:
    """A token that no URL can hold, a number without an end, a page that is not JSON."""
    with pytest.raises(ResourceUnavailableError, match="not complete"):
        Pages().after(f"{EX}/rest/api/3/users{query}", body, "")


def test_a_list_without_an_end_is_given_up() -> None:
    """A page that comes again, at once or later, and pages that are empty for ever."""
    pages = Pages()
    url = f"{EX}/api/v2/pages?cursor=a"
    body = {"results": FOUR, "_links": {"next": "?cursor=b"}}
    assert pages.after(url, body, "").endswith("cursor=b")
    with pytest.raises(ResourceUnavailableError, match="read before"):
        pages.after(f"{EX}/api/v2/pages?cursor=b", {"_links": {"next": "?cursor=a"}}, "")
    pages = Pages()
    empty = [{"results": [], "_links": {"next": f"?cursor={n}"}} for n in range(MOST_EMPTY)]
    for body in empty[1:]:
        assert pages.after(url, body, "")
    with pytest.raises(ResourceUnavailableError, match="empty"):
        pages.after(url, empty[0], "")
