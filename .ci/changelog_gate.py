"""Fail where the package changed and the change log did not.

Usage: python .ci/changelog_gate.py BASE, with the revision that a change starts from.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable

LOG = "CHANGELOG.md"


def complaint(changed: Iterable[str]) -> str | None:
    """Return what is wrong with a set of changed files, or None."""
    files = set(changed)
    package = sorted(name for name in files if name.startswith("mmlego/"))
    if not package or LOG in files:
        return None
    return (
        f"{LOG}: expected an entry for a change of the package, got none beside {package[0]} "
        f"({len(package)} files in all); say under 'Unreleased' what changed for a reader"
    )


def main(base: str) -> int:
    """Compare the checkout with its common ancestor with ``base``; return the exit status."""
    command = ["git", "diff", "--name-only", f"{base}...HEAD"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    found = complaint(listed.stdout.splitlines())
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
