"""Names the wheel for the platform of the program that deploy/wheel.sh has put into it.

Without $RESSLT_WHEEL_PLATFORM the wheel is pure Python, without a program: what an
installation from the source distribution makes.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ProgramHook(BuildHookInterface[Any]):
    """Sets the tag, and refuses a wheel that lacks its program or has one that it should not."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        platform = os.environ.get("RESSLT_WHEEL_PLATFORM", "")
        program = Path(self.root) / "src/resslt/_bin/resslt"
        if bool(platform) != program.exists():
            raise SystemExit(
                f"RESSLT_WHEEL_PLATFORM is {platform!r} and {program} {'exists' if program.exists() else 'is missing'}: use deploy/wheel.sh"
            )
        if platform:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
