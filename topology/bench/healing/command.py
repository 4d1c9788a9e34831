"""A runbook's program with an effect that nobody can recognise as a repeat: PORT ASSET."""

from __future__ import annotations

import sys
from http.client import HTTPConnection

if __name__ == "__main__":
    connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request("POST", f"/command/{sys.argv[2]}")
    sys.exit(0 if connection.getresponse().status == 200 else 1)
