"""What is kept of the sites that were found for a login."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["Sites"]


class Sites(NamedTuple):
    """The cloud ids that were found for one login.

    Attributes:
        login_id: Of that login: another login may reach other sites.
        cloud_ids: By the URL of the site, or by the name of the product when one site alone has it.
    """

    login_id: str = ""
    cloud_ids: Mapping[str, str] = MappingProxyType({})
