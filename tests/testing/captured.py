"""Answers of the older notes (their sections 1 to 5 and 8) that the emulator gives, for
docs/emulator.md: which test shows it, who has captured it, by which settings it changes.

What the emulator does is the docstring of the test.
"""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
_3LO = "developer.atlassian.com, OAuth 2.0 (3LO) apps, 2026-09-26"
_STAFF = "Community 54172 and 83103 (staff)"
_PROVIDER = "confluence.atlassian.com, OAuth 2.0 provider API and its system properties"
_WIRE = "public material on releases 8.22 to 9.x"
_BITBUCKET = "developer.atlassian.com/cloud/bitbucket/oauth-2, 2026-02-24; Community 99003"

#: Section, test, source, settings (separated by blanks), what is unconfirmed.
CAPTURED: tuple[tuple[str, str, str, str, str], ...] = (
    # 1.1 authorization on Cloud
    ("1.1", "authorize::test_denial_comes_back_as_access_denied", _3LO, "", "the description"),
    ("1.1", "authorize::test_audience_belongs_to_the_instance", "NangoHQ/nango", "audience", ""),
    ("1.1", "authorize::test_cloud_shows_an_error_page",
     f"{_3LO}; for `openid` a test of public code, 2026-08-05", "", "the statuses"),
    ("1.1", "authorize::test_cloud_accepts_pkce_and_ignores_it",
     "Meridiona/meridian#218, 2026-06-09; loncadev/baron#179, 2026-09-06", "", ""),
    ("1.1", "authorize::test_sites_are_chosen_on_the_consent_page", _3LO, "resource_choice",
     "the page, which has a box for each site"),
    # 1.2 token endpoint of Cloud
    ("1.2", "token::test_token_answer_of_cloud", f"{_3LO}; public fixtures",
     "token_type access_token_lifetime", "`token_type`: fixtures have Bearer and bearer"),
    ("1.2", "token::test_cloud_reads_json_as_well_as_forms", f"{_3LO}; mcp-atlassian, n8n", "",
     "the answer to a body that cannot be read"),
    ("1.2", "token::test_no_refresh_token_without_offline_access", _3LO, "", ""),
    ("1.2", "token::test_expires_in_varies", "social-core's tests; a client of Data Center",
     "expires_in_as", "text: no server was seen to send it; missing: seen in fixtures only"),
    ("1.2", "rotation::test_answer_without_refresh_token", f"sample code of {_3LO}",
     "omit_refresh_token", ""),
    ("1.2", "token::test_malformed_token_requests", "none", "refusals", "all of it"),
    # 1.3 rotation
    ("1.3", "rotation::test_retry_within_the_grace_gives_a_sibling", f"{_3LO}; {_STAFF}",
     "rotation_grace", "that both children work"),
    ("1.3", "rotation::test_siblings_may_be_replaced", "none", "siblings_stay_valid", "all of it"),
    ("1.3", "rotation::test_reuse_after_the_grace_ends_the_family", _STAFF, "reuse_revokes_family",
     ""),
    ("1.3", "rotation::test_a_refresh_ends_the_old_access_token", _STAFF, "companion_grace",
     "Bitbucket Cloud's: none is assumed"),
    ("1.3", "rotation::test_idle_expiry_slides", _3LO, "refresh_token_lifetime", ""),
    ("1.3", "rotation::test_absolute_expiry", "Community 54172, 60806: documented until 2024",
     "absolute_lifetime", "whether it still is so"),
    # 1.4 refusals
    ("1.4", "rotation::test_an_invalid_refresh_token_has_two_answers",
     f"raycast/extensions#11836; {_3LO}", "dead_refresh_token_error", ""),
    ("1.4", "token::test_cloud_wrong_secret_is_access_denied", "Meridiona/meridian#218; jira.js",
     "", ""),
    ("1.4", "token::test_cloud_unknown_client_looks_like_a_wrong_secret", "none", "refusals",
     "all of it"),
    ("1.4", "token::test_a_replayed_code_revokes_its_tokens", _WIRE, "",
     "that Cloud and Bitbucket Cloud do so as well"),
    # 1.5 and 2: gateway and sites
    ("1.5", "resources::test_scopes_open_paths", "open-cli-collective/atlassian-cli#445", "", ""),
    ("1.5", "resources::test_a_product_may_be_denied", "kovetskiy/mark#493", "products_denied",
     "the text for Jira"),
    ("1.5", "resources::test_rate_limit_has_the_documented_headers",
     "developer.atlassian.com rate limiting, 2026-02-03, 2026-10-20", "rate_limit", ""),
    ("1.5", "resources::test_api_tokens_have_no_quota",
     "developer.atlassian.com rate limiting, 2026-02-03", "rate_limit rate_limit_reason", ""),
    ("2", "resources::test_accessible_resources", f"{_3LO}; social-core; NangoHQ/nango",
     "entries_without", ""),
    ("2", "resources::test_me_needs_its_scope", _3LO, "me_refused_as", "the status"),
    ("2", "resources::test_old_content_is_gone_through_the_gateway",
     "sooperset/mcp-atlassian#1598, atlassian-python-api#1560", "", ""),
    # 3 credentials without a person
    ("3", "token::test_cloud_service_account", "support.atlassian.com; n8n#37513",
     "service_account", "the texts of its refusals"),
    ("3", "resources::test_site_takes_api_tokens_and_no_bearers",
     "support.atlassian.com, manage API tokens", "api_token", ""),
    ("3", "resources::test_scoped_api_tokens_are_for_the_gateway",
     "support.atlassian.com; atlassian-cli#169", "scoped_api_token",
     "as a bearer: one report"),
    ("3", "resources::test_personal_access_token", "Jira 8.14, Confluence 7.9",
     "personal_access_tokens", ""),
    # 4 Data Center
    ("4", "token::test_token_answer_of_data_center", f"{_WIRE}; social-core's tests", "", ""),
    ("4", "token::test_metadata_of_data_center", _PROVIDER, "", ""),
    ("4", "token::test_data_center_needs_the_secret_even_with_pkce", _WIRE, "",
     "the status"),
    ("4", "token::test_data_center_looks_for_the_token_before_the_client", _WIRE, "",
     "the status"),
    ("4", "token::test_data_center_checks_the_verifier", f"{_PROVIDER}: 43 to 127", "", ""),
    ("4", "authorize::test_data_center_refuses_in_json", _WIRE, "", ""),
    ("4", "authorize::test_data_center_pkce_can_be_optional", _PROVIDER, "pkce_required", ""),
    ("4", "rotation::test_data_center_has_no_grace_and_no_reuse_detection", f"{_PROVIDER}; {_WIRE}",
     "rotation_grace reuse_revokes_family", ""),
    ("4", "rotation::test_data_center_admin_can_shorten_valid_tokens", _WIRE,
     "lifetime_read_at_check", ""),
    ("4", "resources::test_a_token_may_be_the_password", f"{_PROVIDER}; {_WIRE}", "",
     "that the name of the user does not count"),
    ("4", "resources::test_session_cookie_wins_over_the_bearer", "pycontribs/jira#1904",
     "session_cookie_wins", ""),
    ("4", "resources::test_pages_redirect_bearers_to_the_login", "mcp-atlassian#1634",
     "login_page_as", ""),
    ("4", "resources::test_login_page_in_place", "none", "login_page_as", "all of it"),
    ("4", "resources::test_old_data_center_wants_a_session_for_attachments",
     "mcp-atlassian#1634: Jira 8.14", "attachments_need_session", "Confluence's files"),
    ("4", "resources::test_data_center_rate_limit",
     "confluence.atlassian.com, adjusting your code for rate limiting", "rate_limit", "the body"),
    ("4", "token::test_data_center_service_account_sends_its_scope",
     "confluence.atlassian.com, service accounts", "service_account", ""),
    # 5 Bitbucket Cloud
    ("5", "bitbucket::test_login_needs_neither_scope_nor_redirect_uri", _BITBUCKET, "", ""),
    ("5", "bitbucket::test_client_authenticates_with_basic_only", f"{_BITBUCKET}; harness#1650",
     "refusals", "the answers to a bad code and a bad redirect URI"),
    ("5", "bitbucket::test_invalid_refresh_token_of_bitbucket", "production logs of public code",
     "dead_refresh_token_error", "the status of access_denied"),
    ("5", "bitbucket::test_consumer_credentials", _BITBUCKET, "", ""),
    ("5", "bitbucket::test_expired_access_token_of_bitbucket", "reports from live traffic", "", ""),
)  # fmt: skip


def docstring(test: str) -> str:
    """The docstring of a test, such as `token::test_revocation`, on one line."""
    module, _, name = test.partition("::")
    source = (HERE / f"test_emulator_{module}.py").read_text(encoding="utf-8")
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return " ".join((ast.get_docstring(found) or "").split())
