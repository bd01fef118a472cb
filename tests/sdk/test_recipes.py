"""Whole scripts with existing SDKs: log in, who am I, search, create, upload, download.

A recipe is what the user of an SDK writes; the journey is the same for all. test_oldest.py runs
this module once more with the oldest SDKs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import atlassian
import atlassian.bitbucket
import jira
import pytest
import requests

from atlassian_auth_adapter import AtlassianAuth
from atlassian_auth_adapter.sdk.jira import jira_client

PLACES = ("site", "gateway", "data_center")
ACCIDENTS = ("rejected", "ended", "answer lost")


class Jira:
    """pycontribs/jira."""

    product = "jira"
    found = 120

    def __init__(self, place: Any, session: requests.Session) -> None:
        self.cloud = place.cloud
        self.jira = jira_client(place.client, place.url)

    def whoami(self) -> str:
        return str(self.jira.myself()["displayName"])

    def search(self) -> set[str]:
        if self.cloud and not hasattr(jira.JIRA, "enhanced_search_issues"):
            # Before 3.10 it knows only the search that Cloud has removed.
            return {self.jira.issue(f"ACME-{number}").key for number in range(1, 121)}
        return {issue.key for issue in self.jira.search_issues("project = ACME", maxResults=False)}

    def create(self) -> Any:
        return self.jira.create_issue(project="ACME", summary="New", issuetype={"name": "Task"})

    def upload(self, issue: Any, file: Path) -> Any:
        return self.jira.add_attachment(issue, str(file), file.name)

    def download(self, attachment: Any) -> bytes:
        return bytes(attachment.get())


class AtlassianPythonAPIJira:
    """atlassian-python-api's Jira."""

    product = "jira"
    found = 120

    def __init__(self, place: Any, session: requests.Session) -> None:
        session.auth = AtlassianAuth(place.client)
        self.jira = atlassian.Jira(place.url, session=session, cloud=place.cloud)

    def whoami(self) -> str:
        return str(self.jira.myself()["displayName"])

    def search(self) -> set[str]:
        search = (
            self.jira.enhanced_jql_get_list_of_tickets
            if self.jira.cloud
            else self.jira.jql_get_list_of_tickets
        )
        return {issue["key"] for issue in search("project = ACME")}

    def create(self) -> Any:
        return self.jira.create_issue({"project": {"key": "ACME"}, "summary": "New"})

    def upload(self, issue: Any, file: Path) -> Any:
        return self.jira.add_attachment(issue["key"], str(file))[0]

    def download(self, attachment: Any) -> bytes:
        return bytes(self.jira.get(attachment["content"], absolute=True, not_json_response=True))


class Confluence:
    """atlassian-python-api's Confluence: version 1."""

    product = "confluence"
    found = 60

    def __init__(self, place: Any, session: requests.Session) -> None:
        session.auth = AtlassianAuth(place.client)
        self.confluence = atlassian.Confluence(place.url, session=session, cloud=False)

    def whoami(self) -> str:
        return str(self.confluence.get("rest/api/user/current")["displayName"])

    def search(self) -> set[str]:
        found: list[Any] = []
        while page := self.confluence.cql("type = page", start=len(found), limit=25)["results"]:
            found += page
        return {result["content"]["id"] for result in found}

    def create(self) -> Any:
        return self.confluence.create_page("DOCS", "New", "<p>New</p>")

    def upload(self, page: Any, file: Path) -> Any:
        return self.confluence.attach_file(str(file), page_id=page["id"])["results"][0]

    def download(self, attachment: Any) -> bytes:
        url = self.confluence.url + attachment["_links"]["download"]
        return bytes(self.confluence.get(url, absolute=True, not_json_response=True))


class CloudConfluence(Confluence):
    """Cloud has kept search and uploads of version 1; its client of version 2 came with 5.0."""

    def __init__(self, place: Any, session: requests.Session) -> None:
        session.auth = AtlassianAuth(place.client)
        client = getattr(atlassian, "ConfluenceV2", atlassian.Confluence)
        self.confluence = client(f"{place.url}/wiki", session=session, cloud=True)

    def search(self) -> set[str]:
        if hasattr(self.confluence, "get_pages"):
            return {page["id"] for page in self.confluence.get_pages(limit=25)}
        return super().search()

    def create(self) -> Any:
        return self.confluence.post("api/v2/pages", data={"spaceId": "1", "title": "New"})

    def upload(self, page: Any, file: Path) -> Any:
        path = f"rest/api/content/{page['id']}/child/attachment"
        files = {"file": (file.name, file.read_bytes())}
        made = self.confluence.post(path, headers=self.confluence.no_check_headers, files=files)
        return f"{path}/{made['results'][0]['id']}/download"

    def download(self, path: Any) -> bytes:
        return bytes(self.confluence.get(path, not_json_response=True))


class BitbucketCloud:
    """atlassian-python-api's Bitbucket Cloud, with a method for most and paths for the rest."""

    product = "bitbucket"
    found = 25

    def __init__(self, place: Any, session: requests.Session) -> None:
        session.auth = AtlassianAuth(place.client)
        url = place.url.removesuffix("/2.0")
        self.bitbucket = atlassian.bitbucket.Cloud(url, session=session)

    def whoami(self) -> str:
        return str(self.bitbucket.get("user")["display_name"])

    def search(self) -> set[str]:
        return {repository.slug for repository in self._workspace().repositories.each()}

    def _workspace(self) -> Any:
        return self.bitbucket.workspaces.get("acme")

    def create(self) -> Any:
        return self._workspace().repositories.create("new")

    def upload(self, repository: Any, file: Path) -> Any:
        path = f"repositories/acme/{repository.slug}/downloads"
        files = {"files": (file.name, file.read_bytes())}
        self.bitbucket.post(path, headers=self.bitbucket.no_check_headers, files=files)
        return f"{path}/{file.name}"

    def download(self, path: Any) -> bytes:
        return bytes(self.bitbucket.get(path, not_json_response=True))


class Bitbucket:
    """atlassian-python-api's Bitbucket Data Center."""

    product = "bitbucket"
    found = 30

    def __init__(self, place: Any, session: requests.Session) -> None:
        session.auth = AtlassianAuth(place.client)
        self.bitbucket = atlassian.Bitbucket(place.url, session=session)

    def whoami(self) -> str:
        path = "rest/api/1.0/application-properties"  # whoami is a page, which takes no token
        name = self.bitbucket.get(path, advanced_mode=True).headers["X-AUSERNAME"]
        return str(self.bitbucket.get(f"rest/api/1.0/users/{name}")["displayName"])

    def search(self) -> set[str]:
        return {repository["slug"] for repository in self.bitbucket.repo_list("ACME")}

    def create(self) -> Any:
        return self.bitbucket.create_repo("ACME", "new")

    def upload(self, repository: Any, file: Path) -> Any:
        where = ("ACME", repository["slug"])
        self.bitbucket.upload_file(*where, file.read_bytes(), "A message", "main", file.name)
        return (*where, file.name)

    def download(self, where: Any) -> bytes:
        return bytes(self.bitbucket.get_content_of_file(*where))


RECIPES = [
    *((recipe, name) for recipe in (Jira, AtlassianPythonAPIJira) for name in PLACES),
    *((CloudConfluence, name) for name in ("site", "gateway")),
    (Confluence, "data_center"),
    (BitbucketCloud, "bitbucket"),
    (Bitbucket, "data_center"),
]


@pytest.mark.filterwarnings("ignore:V1 methods are deprecated")  # of every ConfluenceV2
@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize(("recipe", "name"), RECIPES)
def test_a_script_does_not_notice_that_its_token_expires(
    recipe: Any,
    name: str,
    accident: str,
    place_of: Any,
    session: requests.Session,
    tmp_path: Path,
) -> None:
    """The token dies between two pages, before an upload and before a download: one refresh each
    time, all pages and all bytes arrive, and the token goes nowhere but home.
    """
    place = place_of(name, recipe.product)
    file = tmp_path / "report.bin"
    file.write_bytes(os.urandom(300_000))
    script = recipe(place, session)
    assert script.whoami() == "Ada Example"
    place.expire_after_next_answer(accident)
    assert len(script.search()) == recipe.found
    made = script.create()
    place.expire(accident)
    uploaded = script.upload(made, file)
    place.expire(accident)
    assert script.download(uploaded) == file.read_bytes()
    place.assert_refreshed(accident, times=3)
    place.assert_token_stayed_home()
