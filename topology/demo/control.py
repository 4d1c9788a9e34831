"""The simulated fleet's control plane: a real HTTP server on loopback that executors really call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from topology.demo.fleet import Fault, Fleet

Told = Callable[[str, str, bool], None]
"""Called as (asset id, action, whether it ended a fault) after each action."""


class ControlServer:
    """POST /assets/{id} with {"action": ...} acts on the fleet; GET says whether it is well. POST /pager pages."""

    def __init__(self, fleet: Fleet, told: Told | None = None) -> None:
        self.fleet = fleet
        self.told = told or (lambda _asset, _action, _ended: None)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, name="fleet-control", daemon=True)

    @property
    def url(self) -> str:
        return f"{self._address}/assets/{{id}}"

    @property
    def pager_url(self) -> str:
        """Takes pages, as an on-call system would."""
        return f"{self._address}/pager"

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def _handler(control: ControlServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asset_id = self.path.removeprefix("/assets/")
            try:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                if self.path == "/pager":
                    control.told(str(body.get("asset_id", body.get("target_id", "?"))), "page", False)
                    self._answer(202, {"paged": True})
                    return
                action = str(body["action"])
                ended = control.fleet.act(asset_id, action)
            except (ValueError, KeyError, TypeError) as error:
                self._answer(400, {"error": repr(error)})
                return
            control.told(asset_id, action, ended)
            self._answer(200, {"asset": asset_id, "action": action, "fault_ended": ended})

        def do_GET(self) -> None:
            member = control.fleet.members.get(self.path.removeprefix("/assets/"))
            if member is None:
                self._answer(404, {"error": "unknown asset"})
                return
            well = member.fault is None or member.fault is Fault.OVERLOADED
            self._answer(200 if well else 503, {"asset": member.id, "fault": member.fault})

        def _answer(self, status: int, body: dict[str, object]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Silent: the demo narrates actions itself."""

    return Handler
