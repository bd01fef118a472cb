"""Real SDKs find in the emulator what they ask of the products. Skipped where they are missing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests

from atlassian_auth_adapter.testing.emulator import Emulator

if TYPE_CHECKING:
    from .conftest import Client


@pytest.fixture
def session(client: Client) -> Iterator[requests.Session]:
    """A session with a valid bearer."""
    with requests.Session() as made:
        made.headers["Authorization"] = f"Bearer {client.flavour.issue()['access_token']}"
        yield made


def test_jira_says_who_we_are(client: Client, jira: Any) -> None:
    """`JIRA(...)` reads serverInfo by itself; `myself` names the account."""
    assert jira.deploymentType == ("Cloud" if client.name == "cloud" else "Server")
    assert jira.myself()["displayName"] == "Ada Example"


def test_jira_searches_page_by_page(jira: Any) -> None:
    """`search_issues` collects all pages of either kind of search."""
    found = jira.search_issues("project = ACME", maxResults=False)
    assert len({issue.key for issue in found}) == 120


def test_jira_creates_updates_and_deletes(jira: Any) -> None:
    """An issue lives through its `self` link."""
    issue = jira.create_issue(project="ACME", summary="New", issuetype={"name": "Task"})
    issue.update(summary="Changed")
    assert jira.issue(issue.key).fields.summary == "Changed"
    issue.delete()
    with pytest.raises(Exception, match="does not exist"):
        jira.issue(issue.key)


def test_jira_attachments(jira: Any) -> None:
    """add_attachment streams multipart; get follows the content link."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = jira.add_attachment("ACME-1", io.BytesIO(b"content " * 1000), "file.bin")
    assert made.size == 8000
    assert made.get() == b"content " * 1000
    assert jira.issue("ACME-1").fields.attachment[0].filename == "file.bin"


def test_jira_reads_projects_and_fields(jira: Any) -> None:
    """Lists have the shapes the SDK expects."""
    assert {project.key for project in jira.projects()} == {"ACME", "SEC"}
    assert jira.project("ACME").name == "Acme"
    assert "Summary" in {field["name"] for field in jira.fields()}


def test_atlassian_python_api_jira(client: Client, session: requests.Session) -> None:
    """atlassian-python-api works with a session that carries the bearer."""
    module = pytest.importorskip("atlassian")
    cloud = client.name == "cloud"
    jira = module.Jira(client.product_url, session=session, cloud=cloud)
    assert jira.myself()["displayName"] == "Ada Example"
    assert {each["key"] for each in jira.projects()} == {"ACME", "SEC"}
    made = jira.create_issue({"project": {"key": "ACME"}, "summary": "New"})
    assert jira.issue(made["key"])["fields"]["summary"] == "New"
    if cloud:
        page = jira.enhanced_jql("project = ACME", limit=10)
        assert (len(page["issues"]), page["isLast"]) == (10, False)
    else:
        assert jira.jql("project = ACME", limit=10)["total"] > 100


def test_atlassian_python_api_confluence(cloud: Client) -> None:
    """ConfluenceV2 follows the relative cursors through the gateway."""
    module = pytest.importorskip("atlassian")
    if not hasattr(module, "ConfluenceV2"):
        pytest.skip("atlassian-python-api 4 has no ConfluenceV2")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {cloud.flavour.issue()['access_token']}"
        url = f"{cloud.flavour.api_url}/ex/confluence/{cloud.flavour.sites[0].id}/wiki"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            confluence = module.ConfluenceV2(url, session=session, cloud=True)
        pages = list(confluence.get_pages(limit=25))
        assert len({page["id"] for page in pages}) == 60
        made = confluence.create_page(space_id="1", title="New", body="<p>Hello</p>")
        page = confluence.get_page_by_id(made["id"], body_format="storage")
        assert page["body"]["storage"]["value"] == "<p>Hello</p>"
        path = f"rest/api/content/{made['id']}/child/attachment"
        headers = {"X-Atlassian-Token": "no-check"}
        sent = confluence.post(path, headers=headers, files={"file": ("a.bin", b"content")})
        file = f"{path}/{sent['results'][0]['id']}/download"
        assert confluence.get(file, not_json_response=True) == b"content"


def test_atlassian_python_api_confluence_on_data_center(
    client_of: Callable[[Emulator, str], Client],
) -> None:
    """`Confluence` makes a page, finds it page by page, attaches a file and downloads it.

    At the root of the host: atlassian-python-api 5.0.5 loses a context path when it pages.
    """
    module = pytest.importorskip("atlassian")
    with Emulator(context_path="") as emulator, requests.Session() as session:
        url = client_of(emulator, "data_center").product_url
        session.headers["Authorization"] = f"Bearer {emulator.data_center.issue()['access_token']}"
        confluence = module.Confluence(url, session=session, cloud=False)
        made = confluence.create_page("DOCS", "New", "<p>Hello</p>")
        page = confluence.get_page_by_id(made["id"], expand="body.storage")
        assert page["body"]["storage"]["value"] == "<p>Hello</p>"
        found = list(confluence.iter_cql("type = page", limit=25))
        assert len({each["content"]["id"] for each in found}) == 61
        confluence.attach_content(b"content", "a b.txt", "text/plain", page_id=made["id"])
        files = confluence.download_attachments_from_page(made["id"], to_memory=True)
        assert files["a b.txt"].read() == b"content"


def test_atlassian_python_api_bitbucket_on_data_center(server: Client) -> None:
    """`Bitbucket` pages through repositories and pull requests, makes one, writes a file."""
    module = pytest.importorskip("atlassian")
    with requests.Session() as session:
        token = server.access_token("REPO_WRITE")
        session.headers["Authorization"] = f"Bearer {token}"
        bitbucket = module.Bitbucket(server.product_url, session=session)
        assert {each["key"] for each in bitbucket.project_list()} == {"ACME", "SEC"}
        assert len({each["slug"] for each in bitbucket.repo_list("ACME")}) == 30
        assert bitbucket.create_repo("SEC", "New one")["slug"] == "new-one"
        pulls = list(bitbucket.get_pull_requests("SEC", "new-one", limit=10))
        assert len({each["id"] for each in pulls}) == 30
        place = ("SEC", "new-one")
        bitbucket.upload_file(*place, "some text", "a message", "main", "docs/a b.txt")
        assert bitbucket.get_content_of_file(*place, "docs/a b.txt") == b"some text"


def test_atlassian_python_api_bitbucket_cloud(emulator: Emulator) -> None:
    """`bitbucket.Cloud` follows absolute `next` links, makes repositories and issues, downloads."""
    module = pytest.importorskip("atlassian.bitbucket")
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {emulator.bitbucket.issue()['access_token']}"
        cloud = module.Cloud(emulator.bitbucket.api_url, session=session)
        workspace = cloud.workspaces.get("acme")
        assert len({each.slug for each in workspace.repositories.each()}) == 25
        assert workspace.repositories.create("new").slug == "new"
        issues = cloud.repositories.get("acme", "repo-1").issues
        assert issues.create("New", "text", "bug", "major").id == 26
        assert len({each.id for each in issues.each()}) == 26
        downloads = workspace.repositories.get("new").downloads
        session.post(downloads.url, files={"files": ("a b.json", b'{"a": 1}')}, timeout=10)
        assert [each.get_content() for each in downloads.each()] == [{"a": 1}]
