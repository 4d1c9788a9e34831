"""A real HTTP server that can be made ill: FILE PORT. Standard library only, so that twenty of them start in a second.

GET /work answers after about 10 ms; GET /fault/none, /slow or /error sets how; GET /metrics is for Prometheus.
"""

from __future__ import annotations

import asyncio
import random
import sys

DELAY_S, SPREAD, SLOW_S = 0.01, 0.4, 0.4
"""Median and log-deviation of a healthy answer, and a slow one."""


class Served:
    """Counts since the start; `fault` is none, slow or error."""

    fault = "none"
    requests = errors = 0
    seconds = 0.0

    async def answer(self, path: str) -> tuple[int, str]:
        if path.startswith("/fault/"):
            self.fault = path.removeprefix("/fault/")
            return 200, self.fault
        if path == "/metrics":
            return 200, self._metrics()
        delay_s = SLOW_S if self.fault == "slow" else DELAY_S * random.lognormvariate(0.0, SPREAD)
        await asyncio.sleep(delay_s)
        self.requests += 1
        self.seconds += delay_s
        if self.fault == "error":
            self.errors += 1
            return 500, "ill"
        return 200, "ok"

    def _metrics(self) -> str:
        return (
            f"# TYPE app_requests_total counter\napp_requests_total {self.requests}\n"
            f"# TYPE app_errors_total counter\napp_errors_total {self.errors}\n"
            f"# TYPE app_seconds_total counter\napp_seconds_total {self.seconds:.6f}\n"
        )


async def serve(port: int) -> None:
    served = Served()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                status, body = await served.answer(head.split(b" ", 2)[1].decode())
                kind = "text/plain; version=0.0.4"
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
