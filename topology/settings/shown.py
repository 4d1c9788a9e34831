"""A setting's value as text for people: as it would be written in a file, and without its password."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import TypeAdapter


def shown(value: object) -> str:
    """`none`, a string or path as it is with a URL's password as ***, JSON for everything else."""
    if value is None:
        return "none"
    if isinstance(value, str | Path):
        return re.sub(r"//([^:/@]*):[^@/]*@", r"//\1:***@", str(value))
    return json.dumps(TypeAdapter(type(value)).dump_python(value, mode="json"), ensure_ascii=False)
