"""What hatchling asks when it builds: the project's URLs, and README as the package page shows it.

The links of README are relative, as they are in the repository. On the package page they are those
of the repository at the version's tag. The repository's address is in pyproject.toml only.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

__all__ = ["RepositoryLinks"]

#: A link or, with "!", a picture in Markdown, whose target is a path.
_RELATIVE = re.compile(r"(?P<mark>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?:\./)?(?P<path>[^)\s]+)\)")


class RepositoryLinks(MetadataHookInterface):
    """Makes `urls` and `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with the table `project`, whose version is known by now."""
        repository, tag = self.config["repository"], f"v{metadata['version']}"
        metadata["urls"] = {
            "Source": repository,
            "Documentation": f"{repository}/blob/{tag}/docs",
            "Changelog": f"{repository}/blob/{tag}/CHANGELOG.md",
            "Issues": f"{repository}/issues",
        }

        def absolute(link: re.Match[str]) -> str:
            kind = "raw" if link["mark"] else "blob"
            return f"{link['mark']}[{link['text']}]({repository}/{kind}/{tag}/{link['path']})"

        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": _RELATIVE.sub(absolute, text),
        }
