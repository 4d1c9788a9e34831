"""Rewrites topology/embedded/kafka-jars.lock: what Kafka's own POM asks for, at which version, with size and SHA-256.

Run by `make lock` when Kafka is raised; never at install or at start. Needs the network and the project's venv.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from jgo.maven import MavenContext

KAFKA = "4.4.0"
# Kafka logs through slf4j 1.7 and ships no binding: without this one its log is empty.
LOG_BINDING = "2.25.5"
LOCK = Path(__file__).resolve().parent.parent / "topology" / "embedded" / "kafka-jars.lock"


def lock_text(work: Path) -> str:
    maven = MavenContext(repo_cache=work, timeout=60)
    roots, others = maven.resolver.resolve([maven.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA}")])
    # Resolved apart, and alone: together, its parent POM would change the versions that Kafka was built with.
    binding = maven.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG_BINDING}")
    artifacts = {str(d.artifact.component): d.artifact for d in [*roots, *others, binding]}
    lines = ["# Written by `make lock` (scripts/lock_jars.py). Nothing that is not listed here is ever downloaded.", ""]
    lines.append(f'kafka = "{KAFKA}"')
    for _, artifact in sorted(artifacts.items()):
        body = artifact.resolve().read_bytes()
        lines += ["", "[[jar]]", f'group = "{artifact.groupId}"', f'artifact = "{artifact.artifactId}"']
        lines += [f'version = "{artifact.version}"', f"size_bytes = {len(body)}"]
        lines.append(f'sha256 = "{hashlib.sha256(body).hexdigest()}"')
    return "\n".join(lines) + "\n"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="maestro-lock-") as work:
        text = lock_text(Path(work))
    LOCK.write_text(text, encoding="utf-8")
    print(f"{LOCK.name}: {text.count('[[jar]]')} jars for Kafka {KAFKA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
