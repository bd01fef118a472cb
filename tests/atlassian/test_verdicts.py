"""What an answer says about its token."""

from __future__ import annotations

from hypothesis import given, strategies as st
from requests.structures import CaseInsensitiveDict

from atlassian_auth_adapter.atlassian.verdicts import Verdict, judge

V = Verdict

SCOPE = b'{"code":401,"message":"Unauthorized; scope does not match"}'
FAILED = {"X-Seraph-LoginReason": "AUTHENTICATED_FAILED"}
ANONYMOUS = {"X-AUSERNAME": "anonymous"}


#: Status, headers, body, whether the token has expired, whether the server is Data Center.
VERDICTS = [
    (200, {}, b"", False, False, V.FINE),
    (200, {}, b"", True, True, V.FINE),
    (401, {}, b"", False, False, V.REJECTED),
    (401, {}, b'{"code":401,"message":"Unauthorized"}', False, False, V.REJECTED),
    (401, ANONYMOUS, b"", False, True, V.REJECTED),
    (401, FAILED, b"", False, False, V.REJECTED),
    (401, {}, SCOPE, False, False, V.SCOPE_MISSING),
    (401, {}, SCOPE.upper(), True, True, V.SCOPE_MISSING),
    (403, {}, b"", False, False, V.FINE),
    (404, {}, b"", False, False, V.FINE),
    (403, {}, b"", True, False, V.REJECTED),
    (404, {}, b"", True, True, V.REJECTED),
    (403, {}, SCOPE, False, False, V.FINE),
    (410, {}, b"", True, True, V.GONE),
    (429, {}, b"", True, True, V.RATE_LIMITED),
    (500, {}, b"", True, True, V.FINE),
    (302, {}, b"", True, True, V.FINE),
    (200, FAILED, b"", False, False, V.ANONYMOUS),
    (200, {"x-seraph-loginreason": "authenticated_failed"}, b"", False, False, V.ANONYMOUS),
    (200, {"x-seraph-loginreason": "OK"}, b"", False, True, V.FINE),
    (403, FAILED, b"", False, False, V.ANONYMOUS),
    (200, ANONYMOUS, b"", False, True, V.ANONYMOUS),
    (200, {"x-ausername": "Anonymous"}, b"", False, True, V.ANONYMOUS),
    (404, ANONYMOUS, b"", False, True, V.ANONYMOUS),
    (200, ANONYMOUS, b"", False, False, V.FINE),  # the gateway means something else by it
    (200, {"X-AUSERNAME": "ada"}, b"", True, True, V.FINE),
]  # fmt: skip


def test_the_table_of_verdicts() -> None:
    """What an answer means: by status, headers, body and the token's age."""
    for status, headers, body, expired, fallback, verdict in VERDICTS:
        found = judge(
            status,
            CaseInsensitiveDict(headers),
            lambda body=body: body,
            expired=expired,
            anonymous_fallback=fallback,
        )
        assert found is verdict, (status, headers, body, expired, fallback)


LOGIN = {"Location": "https://jira.company.com/jira/login.jsp?os_destination=%2Fsecure"}
PAGE = {"Content-Type": "text/html;charset=UTF-8"}


LOGIN_PAGES = [
    (302, LOGIN, "/jira/secure/attachment/1/x.png", V.ANONYMOUS),
    (303, {"Location": "/dologin.action"}, "/rest/api/content", V.ANONYMOUS),
    (302, {"Location": "https://jira.company.com/jira/browse/A-1"}, "/jira/x", V.FINE),
    (302, LOGIN | {"X-AUSERNAME": "ada"}, "/jira/secure/Logout.jspa", V.FINE),
    (200, PAGE, "/jira/login.jsp", V.ANONYMOUS),
    (200, PAGE, "/jira/rest/api/2/myself", V.ANONYMOUS),
    (200, PAGE | {"X-AUSERNAME": "ada"}, "/jira/rest/api/2/attachment/content/1", V.FINE),
    (200, PAGE, "/jira/browse/A-1", V.FINE),
    (500, PAGE, "/jira/rest/api/2/myself", V.FINE),
    (200, {"Content-Type": "application/json"}, "/jira/rest/api/2/myself", V.FINE),
]


def test_a_login_page_of_data_center_is_an_anonymous_answer() -> None:
    """Sent with a 200, or as a redirect; on Cloud neither says anything about the token."""
    for status, headers, path, verdict in LOGIN_PAGES:
        for fallback, expected in ((True, verdict), (False, V.FINE)):
            found = judge(
                status,
                CaseInsensitiveDict(headers),
                bytes,
                expired=False,
                anonymous_fallback=fallback,
                path=path,
            )
            assert found is expected, (status, headers, path)


REST, FILE = "/jira/rest/api/2/myself", "/jira/secure/attachment/1/x.png"
IDP = "https://idp.company.com"
#: Status, target of the redirect, path that was asked, whether it is an answer without a login.
REDIRECTS = [
    (302, "/jira/plugins/servlet/samlsso?redirectTo=%2Frest", REST, True),
    (303, "https://jira.company.com/jira/plugins/servlet/external-login", REST, True),
    (307, "/plugins/servlet/oidc/login", "/rest/api/content", True),
    (302, "/plugins/servlet/anything", "/rest/api/latest/projects", True),
    (302, "/plugins/servlet/saml/auth?x=1", FILE, True),
    (302, f"{IDP}/tenant/saml2?SAMLRequest=fZ&RelayState=x", REST, True),
    (302, f"{IDP}/?SAMLRequest=fZ", FILE, True),
    (302, f"{IDP}/realms/a/protocol/openid-connect/auth?client_id=j&redirect_uri=x", FILE, True),
    (303, f"{IDP}/adfs/ls/?wa=wsignin1.0&wtrealm=j", FILE, True),
    (307, f"{IDP}/", REST, True),
    (302, "//idp.company.com/app/jira", REST, True),
    (302, "https://jira.company.com:8443/portal", REST, True),
    (301, f"https://jira.company.com/new{REST[REST.index('/rest/') :]}", REST, False),
    (301, f"http://new.company.com{REST[REST.index('/rest/') :]}?expand=x", REST, False),
    (302, "//jira.company.com/jira/browse/A-1", REST, False),
    (302, "https://jira.company.com:443/jira/browse/A-1", REST, False),
    (302, "https://company.example/cdn-cgi/access/login/jira.company.com", REST, True),
    (302, "/oauth2/sign_in?rd=%2Frest", REST, True),
    (302, "/secure/Dashboard.jspa?os_destination=%2Frest", REST, True),
    (301, "https://jira.company.com/jira/login.jsp", FILE, True),
    (302, "/jira/login.action", "/confluence/rest/api/content", True),
    # files at another host, and what has nothing to do with a login
    (302, "https://store.example/bucket/1?X-Amz-Signature=f", FILE, False),
    (302, "https://store.example/x", "/jira/rest/api/2/attachment/content/10001", False),
    (303, "https://cdn.example/y", "/rest/api/content/1/child/attachment/2/download", False),
    (307, "https://cdn.example/y", "/download/attachments/1/report.pdf", False),
    (302, "https://secure.gravatar.example/avatar/1", "/rest/api/1.0/users/ada/avatar.png", False),
    (302, "https://secure.gravatar.example/1", "/rest/api/2/universal_avatar/view/1", False),
    (302, "https://store.example/o", "/rest/git-lfs/storage/PRJ/repo/1", False),
    (303, "/jira/rest/api/2/task/5", REST, False),
    (301, f"https://new.company.com{REST}", REST, False),
    (302, "/jira/browse/A-1", REST, False),
    (302, "https://elsewhere.example/", "/jira/browse/A-1", False),
    (302, "/plugins/servlet/gadgets/ifr", "/jira/browse/A-1", False),
    (304, "", REST, False),
    (302, "https://[::1", REST, False),
]  # fmt: skip


def test_a_redirect_to_sign_in_is_an_anonymous_answer() -> None:
    """Data Center behind single sign-on; a file at another host says nothing about the token."""
    for status, target, path, is_sign_in in REDIRECTS:
        for fallback in (True, False):
            found = judge(
                status,
                CaseInsensitiveDict({"Location": target} if target else {}),
                bytes,
                expired=False,
                anonymous_fallback=fallback,
                path=path,
                origin=("https", "jira.company.com", 443),
            )
            expected = V.ANONYMOUS if is_sign_in and fallback else V.FINE
            assert found is expected, (status, target, path)


@given(st.text(), st.sampled_from([REST, FILE]))
def test_any_location_can_be_judged(target: str, path: str) -> None:
    """A malformed one is no sign-in."""
    for location in (target, f"https://{target}", f"/x?{target}"):
        headers = {"location": location}
        for origin in (("https", "x", 443), None):
            judge(
                302,
                headers,
                bytes,
                expired=False,
                anonymous_fallback=True,
                path=path,
                origin=origin,
            )


@given(st.integers(100, 599).filter(lambda status: status != 401), st.booleans(), st.booleans())
def test_a_body_is_read_on_a_401_only(status: int, expired: bool, fallback: bool) -> None:
    """Streams are not read, except for a 401."""

    def body() -> bytes:
        raise AssertionError("read")

    judge(status, {}, body, expired=expired, anonymous_fallback=fallback)


@given(st.integers(100, 599), st.booleans())
def test_which_statuses_are_rejections(status: int, fallback: bool) -> None:
    """Only a 401, and for an expired token 403 and 404, count as a rejection."""
    for expired in (False, True):
        verdict = judge(status, {}, bytes, expired=expired, anonymous_fallback=fallback)
        assert verdict.is_rejection == (status == 401 or (expired and status in (403, 404)))
