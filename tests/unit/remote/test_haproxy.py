"""The client of HAProxy's runtime socket: against Debian's HAProxy where it is installed, and a socket with faults."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from streams.remote.haproxy import (
    HAProxyAnswerError,
    HAProxyRefusedError,
    HAProxyRuntime,
    HAProxyTimeoutError,
    HAProxyUnreachableError,
    ServerOrder,
)
from streams.remote.haproxy_answers import Admin, AnswerError, Operation, parse_servers_state, parse_stat

WEB = """
backend web
  server one 127.0.0.1:18081 weight 10
  server two 127.0.0.1:18082 weight 20 maxconn 5
backend spare
  server three 127.0.0.1:18083 disabled
"""


@asynccontextmanager
async def answering(tmp_path, answer, hold_s=0.0):
    """A socket that takes one line and answers it with these bytes, after `hold_s`."""
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readline()).decode())
        await asyncio.sleep(hold_s)
        writer.write(answer)
        writer.close()

    path = str(tmp_path / "fake.sock")
    server = await asyncio.start_unix_server(serve, path)
    try:
        yield path, asked
    finally:
        server.close()


# --- a real one -----------------------------------------------------------------------------------------------------


async def test_what_a_real_one_serves(start_haproxy):
    runtime = HAProxyRuntime(str(start_haproxy(WEB).socket))
    servers = {f"{s.backend}/{s.server}": s for s in await runtime.servers_state()}
    assert servers.keys() == {"web/one", "web/two", "spare/three"}
    one = servers["web/one"]
    assert (one.address, one.port, one.weight, one.operation) == ("127.0.0.1", 18081, 10, Operation.RUNNING)
    assert one.takes_work
    assert Admin.CONFIGURED_MAINTENANCE in servers["spare/three"].admin
    assert not servers["spare/three"].takes_work
    assert [s.server for s in await runtime.servers_state("spare")] == ["three"]
    stats = {(s.proxy, s.server): s for s in await runtime.stat()}
    assert stats["shop", "FRONTEND"].status == "OPEN"
    assert stats["web", "two"].number("weight") == 20
    assert stats["web", "two"].number("slim") == 5
    assert stats["web", "two"].number("check_duration") is None
    assert (await runtime.info())["Version"].split(".")[0].isdigit()


async def test_orders_to_a_real_one(start_haproxy):
    real = start_haproxy(WEB)
    runtime = HAProxyRuntime(str(real.socket))

    async def one():
        return next(s for s in await runtime.servers_state("web") if s.server == "one")

    for _ in range(2):  # each order may be repeated
        await runtime.set_state("web", "one", ServerOrder.DRAIN)
        assert (await one()).admin is Admin.FORCED_DRAIN
    await runtime.set_state("web", "one", ServerOrder.MAINTENANCE)
    assert Admin.FORCED_MAINTENANCE in (await one()).admin
    assert not (await one()).takes_work
    await runtime.set_state("web", "one", ServerOrder.READY)
    await runtime.set_weight("web", "one", 0)
    assert ((await one()).weight, (await one()).configured_weight) == (0, 10)
    assert not (await one()).takes_work
    await runtime.set_weight("web", "one", 256)
    assert (await one()).takes_work
    await runtime.set_server_maxconn("web", "two", 7)
    await runtime.set_frontend_maxconn("shop", 9)
    await runtime.set_session_rate(70)
    stats = {(s.proxy, s.server): s for s in await runtime.stat()}
    assert stats["web", "two"].number("slim") == 7
    assert stats["shop", "FRONTEND"].number("slim") == 9
    assert (await runtime.info())["SessRateLimit"] == "70"


async def test_a_real_one_refuses(start_haproxy):
    real = start_haproxy(WEB)
    runtime = HAProxyRuntime(str(real.socket))
    with pytest.raises(HAProxyRefusedError, match=r"web/nobody weight 1`: No such server"):
        await runtime.set_weight("web", "nobody", 1)
    with pytest.raises(HAProxyRefusedError, match="Can't find backend"):
        await runtime.servers_state("nowhere")
    with pytest.raises(HAProxyRefusedError, match="Unknown command"):
        await runtime.command("make coffee")
    looking = HAProxyRuntime(f"127.0.0.1:{real.user_port}")
    assert len(await looking.servers_state()) == 3
    with pytest.raises(HAProxyRefusedError, match="Permission denied"):
        await looking.set_state("web", "one", ServerOrder.MAINTENANCE)


async def test_a_real_one_that_is_stopped(start_haproxy):
    real = start_haproxy(WEB)
    runtime = HAProxyRuntime(str(real.socket), timeout_s=0.5)
    real.process.kill()
    real.process.wait(10)
    with pytest.raises(HAProxyUnreachableError, match=r"Connection refused|No such file"):
        await runtime.info()


# --- faults ---------------------------------------------------------------------------------------------------------


async def test_no_answer_in_time(tmp_path):
    async with answering(tmp_path, b"\n", hold_s=5) as (path, _):
        with pytest.raises(HAProxyTimeoutError, match=r"no answer within 0\.05 s"):
            await HAProxyRuntime(path, timeout_s=0.05).stat()


@pytest.mark.parametrize("answer", [b"", b"\n1\n# be_id be_name\n3 b 1 s"])
async def test_an_answer_that_is_cut_off(tmp_path, answer):
    async with answering(tmp_path, answer) as (path, _):
        with pytest.raises(HAProxyUnreachableError, match="cut off"):
            await HAProxyRuntime(path).servers_state()


@pytest.mark.parametrize("answer", [b"\n\n", b"\n2\n# be_id\n\n", b"\nhello\n\n", b"\n\xff\xfe\n"])
async def test_an_answer_of_another_form(tmp_path, answer):
    async with answering(tmp_path, answer) as (path, _):
        with pytest.raises(HAProxyAnswerError):
            await HAProxyRuntime(path).servers_state()


async def test_what_haproxy_would_take_for_0_is_never_sent(tmp_path):
    async with answering(tmp_path, b"\n\n") as (path, asked):
        runtime = HAProxyRuntime(path)
        for weight in (-1, 257):
            with pytest.raises(ValueError, match="weight is"):
                await runtime.set_weight("b", "s", weight)
        with pytest.raises(ValueError, match="connections is -4"):
            await runtime.set_server_maxconn("b", "s", -4)
        assert asked == []


@pytest.mark.parametrize("name", ["", "a b", "a;shutdown sessions server web/one", "a\nb", "a/b", "ä"])
async def test_a_name_cannot_end_the_command(tmp_path, name):
    async with answering(tmp_path, b"\n\n") as (path, asked):
        runtime = HAProxyRuntime(path)
        with pytest.raises(ValueError, match="no name of a server"):
            await runtime.set_state("web", name, ServerOrder.MAINTENANCE)
        with pytest.raises(ValueError, match="not one command"):
            await runtime.command("show info;show stat")
        assert asked == []


def test_columns_are_found_by_name():
    text = "1\n# be_name new srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port"
    text += " srv_time_since_last_change\nb x s - 2 8 1 1 80 5\n"
    (server,) = parse_servers_state(text)
    assert (server.address, server.port, server.admin) == ("", 80, Admin.FORCED_DRAIN)
    with pytest.raises(AnswerError, match="cannot be read"):
        parse_servers_state(text + "b x s - 9 8 1 1 80 5\n")
    (stat,) = parse_stat('# pxname,svname,status,last_chk,\nb,s,UP,"two, words",\n')
    assert stat.figures["last_chk"] == "two, words"
    with pytest.raises(AnswerError, match="not a number"):
        stat.number("last_chk")
    with pytest.raises(AnswerError, match="without 'status'"):
        parse_stat("# pxname,svname\nb,s\n")
