"""Jira's resources in the emulator, as the SDK `jira` finds them: one test for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Client

ADMINISTRATION = "manage:jira-configuration"


def test_lists_that_never_change(jira: Any) -> None:
    """Priorities, statuses, ...: all of them, and each by its id; another id is 404."""
    assert [each.name for each in jira.priorities()][:2] == ["Highest", "High"]
    assert jira.priority("2").name == "High"
    assert jira.status("Done").id == jira.statuses()[-1].id
    assert jira.resolution("10002").name == "Duplicate"
    assert {each.name for each in jira.issue_link_types()} >= {"Blocks", "Duplicate"}
    with pytest.raises(Exception, match="404"):
        jira.priority("99")


def test_collections_of_an_issue(jira: Any) -> None:
    """A comment is made, read, changed, listed page by page in either order, and removed."""
    made = [jira.add_comment("ACME-1", f"Comment {number}") for number in range(3)]
    assert [each.body for each in jira.comments("ACME-1", max_results=2)] == [
        "Comment 0",
        "Comment 1",
    ]
    assert jira.comments("ACME-1", order_by="-created")[0].body == "Comment 2"
    assert jira.issue("ACME-1").fields.comment.comments[2].author.displayName == "Ada Example"
    made[0].update(body="Changed")
    assert jira.comment("ACME-1", made[0].id).body == "Changed"
    for each in made:
        each.delete()
    assert jira.comments("ACME-1") == []
    with pytest.raises(Exception, match="does not exist"):
        jira.comment("ACME-1", made[0].id)


def test_a_record_is_found_below_its_own_issue_only(jira: Any) -> None:
    """The path names both, and both have to fit."""
    made = jira.add_comment("ACME-1", "Here")
    with pytest.raises(Exception, match="404"):
        jira.comment("ACME-2", made.id)


def test_collections_of_a_project(jira: Any) -> None:
    """Components and versions name their project and are listed there."""
    component = jira.create_component("Engine", "ACME", description="of the car")
    assert [each.id for each in jira.project_components("ACME")] == [component.id]
    assert jira.project_components("SEC") == []
    component.update(description="Changed")
    assert jira.component(component.id).description == "Changed"
    component.delete()
    assert jira.project_components("ACME") == []
    sent = {"name": "1.0", "project": "ACME"}  # `create_version` sleeps
    made = jira._session.post(jira._get_url("version"), json=sent).json()
    assert [each.id for each in jira.project_versions("ACME")] == [made["id"]]
    with pytest.raises(Exception, match="There is no such project"):
        jira.create_component("Engine", "NOPE")


def test_filters_and_favourites(jira: Any) -> None:
    """A filter belongs to who made it; favourites are listed apart."""
    made = jira.create_filter("Mine", jql="project = ACME", favourite=True)
    jira.create_filter("Other", jql="project = SEC")
    assert jira.filter(made.id).owner.displayName == "Ada Example"
    assert [each.name for each in jira.favourite_filters()] == ["Mine"]


@pytest.mark.filterwarnings("ignore:Unable to gather applicationlinks")  # Cloud has no such list
def test_links_between_issues(jira: Any) -> None:
    """Each end of a link names the other one; links to elsewhere are listed with the issue."""
    jira.create_issue_link("Blocks", "ACME-1", "ACME-2")
    (link,) = jira.issue("ACME-1").fields.issuelinks
    (back,) = jira.issue("ACME-2").fields.issuelinks
    assert (link.outwardIssue.key, back.inwardIssue.key) == ("ACME-2", "ACME-1")
    there = {"url": "https://example.com", "title": "There"}
    made = jira.add_remote_link("ACME-1", destination=there)
    assert [each.object.title for each in jira.remote_links("ACME-1")] == ["There"]
    jira.delete_remote_link("ACME-1", internal_id=made.id)
    assert jira.remote_links("ACME-1") == []


def test_work_that_is_logged_changes_the_estimate(jira: Any) -> None:
    """The remaining estimate takes part in each change of a worklog, and is never below 0."""
    worklog = jira.add_worklog("ACME-1", "1d 3h")
    assert jira.worklog("ACME-1", worklog.id).timeSpentSeconds == 11 * 3600
    worklog.update(timeSpent="1d 2h")
    assert jira.issue("ACME-1").fields.timetracking.remainingEstimate == "1h"
    worklog.delete()
    assert jira.issue("ACME-1").fields.timetracking.remainingEstimate == "1d 3h"


def test_transitions_change_the_status(jira: Any) -> None:
    """An issue that is done has a resolution; one that is taken up again has none."""
    jira.transition_issue("ACME-1", "Done")
    fields = jira.issue("ACME-1").fields
    assert (fields.status.name, fields.resolution.name) == ("Done", "Done")
    jira.transition_issue("ACME-1", "To Do")
    assert jira.issue("ACME-1").fields.resolution is None


def test_votes_watchers_and_pins(jira: Any) -> None:
    """A name that is put to an issue counts once; a pinned comment is listed while it is pinned."""
    for _ in range(2):
        jira.add_vote("ACME-1")
    assert (jira.votes("ACME-1").votes, jira.votes("ACME-1").hasVoted) == (1, True)
    jira.remove_vote("ACME-1")
    assert jira.issue("ACME-1").fields.votes.votes == 0
    jira.add_watcher("ACME-1", "Reports")
    assert [each.displayName for each in jira.watchers("ACME-1").watchers] == ["Reports"]
    comment = jira.add_comment("ACME-1", "Look here")
    jira.pin_comment("ACME-1", comment.id, True)
    assert [each.comment.id for each in jira.pinned_comments("ACME-1")] == [comment.id]
    jira.pin_comment("ACME-1", comment.id, False)
    assert jira.pinned_comments("ACME-1") == []


def test_properties(jira: Any) -> None:
    """Any JSON value under a name of one's own."""
    jira.add_issue_property("ACME-1", "mine", {"a": [1]})
    assert [each.key for each in jira.issue_properties("ACME-1")] == ["mine"]
    assert jira.issue_property("ACME-1", "mine").value.a == [1]
    jira.issue_property("ACME-1", "mine").delete()
    assert jira.issue_properties("ACME-1") == []


def test_people_and_groups(jira: Any) -> None:
    """People are found by a part of their name, unlike ones are not; who signed in administers."""
    wanted = {"query" if jira._is_cloud else "user": "ada ex"}
    (person,) = jira.search_users(**wanted)
    assert person.displayName == "Ada Example"
    administrators = "administrators" if jira._is_cloud else "jira-administrators"
    assert administrators in jira.groups()
    assert [each["fullname"] for each in jira.group_members(administrators).values()] == [
        "Ada Example"
    ]
    jira.assign_issue("ACME-1", "Reports")
    assert jira.issue("ACME-1").fields.assignee.displayName == "Reports"
    jira.assign_issue("ACME-1", None)
    assert jira.issue("ACME-1").fields.assignee is None


def test_a_project_takes_its_issues_with_it(jira: Any) -> None:
    """A new project has a name and a key of its own; when it is removed, its issues are gone."""
    jira.create_project("NEW", "A new one")
    with pytest.raises(Exception, match="already exists"):
        jira.create_project("NEWER", "A new one")
    issue = jira.create_issue(project="NEW", summary="First", issuetype={"name": "Bug"})
    assert (issue.key, issue.fields.issuetype.name) == ("NEW-1", "Bug")
    assert jira.delete_project("NEW")
    with pytest.raises(Exception, match="does not exist"):
        jira.issue(issue.key)
    with pytest.raises(Exception, match="No project could be found"):
        jira.project("NEW")


def test_many_issues_at_once(jira: Any) -> None:
    """What is wrong with one does not keep the others from being made."""
    good = {"project": {"key": "ACME"}, "summary": "New", "issuetype": {"name": "Bug"}}
    made = jira.create_issues([good, good | {"issuetype": {"name": "Nonsense"}}, good])
    assert [each["status"] for each in made] == ["Success", "Error", "Success"]
    assert made[1]["error"] == {"issuetype": "issue type is required"}
    with pytest.raises(Exception, match="contains spaces"):
        made[0]["issue"].update(fields={"labels": ["two words"]})


def test_only_the_fields_that_are_asked_for(jira: Any) -> None:
    """In an issue and in a search."""
    one = jira.issue("ACME-1", fields="summary,comment")
    (found,) = jira.search_issues("key = ACME-1", fields=["summary", "comment"])
    assert set(one.raw["fields"]) == set(found.raw["fields"]) == {"summary", "comment"}


def test_operations_on_lists(jira: Any) -> None:
    """`update` adds to a list, takes from it, or sets it."""
    issue = jira.issue("ACME-1")
    issue.update(update={"labels": [{"add": "one"}, {"add": "two"}, {"remove": "one"}]})
    assert issue.fields.labels == ["two"]
    issue.update(update={"labels": [{"set": []}]}, fields={"summary": "Changed"})
    assert (issue.fields.labels, issue.fields.summary) == ([], "Changed")


def test_ranks_decide_the_order_of_a_search(jira: Any) -> None:
    """An issue that is ranked before another one is found before it."""
    jql = "key in (ACME-1, ACME-2) ORDER BY Rank ASC"
    jira.rank("ACME-2", next_issue="ACME-1")
    assert [each.key for each in jira.search_issues(jql)] == ["ACME-2", "ACME-1"]
    jira.rank("ACME-2", prev_issue="ACME-1")
    assert [each.key for each in jira.search_issues(jql)] == ["ACME-1", "ACME-2"]


def test_boards_and_sprints(jira: Any) -> None:
    """An issue in a sprint names it in its field, until it goes back to the backlog."""
    saved = jira.create_filter("Ours", jql="project = ACME")
    board = jira.create_board("Ours", saved.id, location_type="user")
    sprint = jira.create_sprint("First", board.id)
    (field,) = (each["id"] for each in jira.fields() if each["name"] == "Sprint")
    jira.add_issues_to_sprint(sprint.id, ["ACME-1"])
    (shown,) = jira.issue("ACME-1").raw["fields"][field]
    assert "name=First" in shown if isinstance(shown, str) else shown["id"] == sprint.id
    jira.move_to_backlog(["ACME-1"])
    assert jira.issue("ACME-1").raw["fields"][field] is None
    assert [each.name for each in jira.sprints(board.id)] == ["First"]
    sprint.delete()
    assert jira.sprints(board.id) == []


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read:jira-user", "GET", "groups/picker", 200),
        ("read:jira-work", "GET", "groups/picker", 401),
        ("read:jira-work", "GET", "priority", 200),
        ("read:jira-work", "GET", "role", 401),
        (ADMINISTRATION, "GET", "role", 200),
        ("write:jira-work", "POST", "version", 401),
        ("manage:jira-project", "POST", "version", 400),
        ("manage:jira-project", "POST", "project", 401),
        (ADMINISTRATION, "POST", "project", 400),
        (ADMINISTRATION, "POST", "user", 401),  # no scope opens it
        ("write:jira-work", "POST", "filter", 200),
        ("read:jira-work", "POST", "filter", 401),
    ],
)
def test_scopes_of_cloud(cloud: Client, scope: str, method: str, path: str, status: int) -> None:
    """Projects and their parts want scopes of administration; accounts are not for apps."""
    sent = {} if method == "GET" else {"json": {}}
    for version in ("3", "latest"):
        token = cloud.access_token(scope)
        answer = cloud.request(method, f"/rest/api/{version}/{path}", token, **sent)
        assert answer.status_code == status, answer.text


def test_administration_of_data_center(server: Client) -> None:
    """It wants the scope ADMIN, and an administrator; anonymous people see the public project."""
    path, group = "/rest/api/2/group", {"json": {"name": "new"}}
    assert server.request("POST", path, **group).status_code == 401
    assert server.request("POST", path, server.access_token("WRITE"), **group).status_code == 403
    assert server.request("POST", path, server.access_token("ADMIN"), **group).status_code == 201
    server.flavour.service_account.scopes = ("ADMIN",)
    other = server.service_token(scope="ADMIN").json()["access_token"]
    assert server.request("POST", path, other, **group).status_code == 403
    assert server.get("/rest/api/2/issue/ACME-1/comment").status_code == 200
    assert server.get("/rest/api/2/issue/SEC-1/comment").status_code == 404
    assert server.request("POST", "/rest/api/2/filter", json={}).status_code == 401


def test_personal_access_tokens_are_made(server: Client) -> None:
    """A new one belongs to the person who asked for it."""
    path = "/rest/pat/latest/tokens"
    made = server.request("POST", path, server.access_token(), json={"name": "mine"})
    assert made.status_code == 201
    assert server.whoami(made.json()["rawToken"]).json()["name"] == "ada"
    assert server.request("POST", path, json={"name": "mine"}).status_code == 401
