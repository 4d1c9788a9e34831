"""Kafka's data folder before its first start: formatted once, by Kafka's own tool, or not at all."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid
from pathlib import Path

from topology.embedded.diagnosis import classified, too_slow


def is_formatted(folder: Path) -> bool:
    """A disk that was full left an empty file: then there is no data either, and it is done again."""
    meta = folder / "data" / "meta.properties"
    if meta.exists() and not meta.read_text(encoding="utf-8", errors="replace").strip():
        meta.unlink()
    return meta.exists()


def format_folder(folder: Path, java: list[str], properties: Path, timeout_s: float) -> None:
    """`java` is the command up to the main class. Raises an EmbeddedError; then nothing half made is left."""
    tool = [*java, "kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", str(properties)]
    try:
        done = subprocess.run(tool, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        shutil.rmtree(folder / "data", ignore_errors=True)
        raise too_slow("preparing Kafka's data folder", timeout_s) from error
    if done.returncode:
        shutil.rmtree(folder / "data", ignore_errors=True)
        said = (done.stdout + done.stderr).strip()
        raise classified(f"Kafka could not prepare its data folder {folder}:\n{said}", folder)


def _new_cluster_id() -> str:
    """22 characters; never a dash in front, which would be read as an option."""
    return "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
