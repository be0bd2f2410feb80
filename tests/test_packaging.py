"""What the package asks for is what it is tested with."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_oldest_releases_allowed_are_those_tested():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = "\n".join(
        (config["options"]["install_requires"], config["options.extras_require"]["test"])
    )
    lines = (ROOT / ".ci/minimum.txt").read_text()
    assert versions(lines, "==") == versions(asked, ">=")


def versions(lines, relation):
    """Return version numbers, without trailing zeros, by the name of the package."""
    found = re.findall(rf"^([a-z-]+){relation}([\d.]+)$", lines, re.MULTILINE)
    return {name: re.sub(r"(\.0)+$", "", version) for name, version in found}
