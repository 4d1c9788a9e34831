"""HAProxy as a source, against a real one."""

from __future__ import annotations

import asyncio
import time

from streams.discovery.ports import Change, Relist
from streams.discovery.providers.haproxy import HAProxyProvider
from streams.remote.haproxy import HAProxyRuntime, ServerOrder

WEB = """
backend web
  server one 127.0.0.1:18081
  server two 127.0.0.1:18082 disabled
"""


async def test_backends_servers_and_their_state(start_haproxy):
    real = start_haproxy(WEB)
    looked = await HAProxyProvider(f"127.0.0.1:{real.user_port}", "edge").list()  # a socket that may only look
    found = {a.id: a for a in looked}
    assert found.keys() == {"haproxy:edge/web", "haproxy:edge/web/one", "haproxy:edge/web/two"}
    assert found["haproxy:edge/web"].depends_on == ("haproxy:edge/web/one", "haproxy:edge/web/two")
    one = found["haproxy:edge/web/one"]
    assert (one.labels["state"], one.endpoints[0].url) == ("ready", "tcp://127.0.0.1:18081")
    assert one.weak_keys == ("address:127.0.0.1:18081",)
    assert found["haproxy:edge/web/two"].labels["state"] == "maintenance"


async def test_a_change_is_told_within_a_second_and_what_is_gone_by_a_listing(start_haproxy):
    path = str(start_haproxy(WEB).socket)
    provider = HAProxyProvider(path, "edge")
    await provider.list()
    watch = provider.watch()
    changed = asyncio.create_task(anext(watch))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    await HAProxyRuntime(path).set_state("web", "one", ServerOrder.DRAIN)
    change = await changed
    assert time.monotonic() - began < 1.0
    assert isinstance(change, Change)
    assert change.asset is not None
    assert (change.asset_id, change.asset.labels["state"]) == ("haproxy:edge/web/one", "drain")
    await HAProxyRuntime(path).command("del server web/two")
    told = [await anext(watch), await anext(watch)]
    assert isinstance(told[0], Change)  # the backend, which has one server less
    assert isinstance(told[1], Relist)
