"""Runs a runbook step by step; if one fails, what was done is compensated in reverse order."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping

from schemas.records import Endpoint
from streams.healing.executors.delivery import Delivery, body_of, expect_success
from streams.healing.executors.runbook_format import Command, Doing, Http, RunbookFile, StepOf, Verify
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError
from streams.healing.strategies.declared import endpoint
from streams.kit.ids import derive

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,200}")
"""Ids put into a command line: never starting with a dash, so that none can pass for an option."""


Holds = Callable[[], Awaitable[bool]]


class RunbookExecutor:
    action_type = "runbook"
    repeatable = False

    def __init__(self, delivery: Delivery, runbooks: Mapping[str, RunbookFile]) -> None:
        self._delivery = delivery
        self._settings = delivery.settings
        self._runbooks = runbooks

    async def execute(self, order: Order) -> Effect:
        name = order.action.runbook or ""
        runbook = self._runbooks.get(name)
        if runbook is None:
            raise RefusedError(f"runbook {name!r} is not in the folders that the settings list")
        done: list[StepOf] = []
        for step in runbook.steps:
            try:
                await self._do(order, step, step.name)
            except ExecutionError as error:
                undone = await self._compensate(order, done)
                detail = f"runbook {name}: step {step.name!r} failed: {error}; {undone}"
                raise (RefusedError if isinstance(error, RefusedError) and not done else ExecutionError)(
                    detail
                ) from error
            done.append(step)
        return Effect(f"runbook {name}: {len(done)} steps done ({', '.join(s.name for s in done)})")

    async def _compensate(self, order: Order, done: list[StepOf]) -> str:
        told: list[str] = []
        for step in reversed(done):
            if step.compensate is None:
                continue
            try:
                await self._do(order, step.compensate, f"compensate {step.name}")
                told.append(f"{step.name!r} undone")
            except ExecutionError as error:
                told.append(f"{step.name!r} could not be undone: {error}")
        return ", ".join(told) or "nothing to undo"

    async def _do(self, order: Order, doing: Doing, name: str) -> None:
        if doing.http is not None:
            await self._http(order, doing.http, name)
        elif doing.command is not None:
            await self._command(order, doing.command)
        elif doing.wait is not None:
            await asyncio.sleep(doing.wait.seconds)
        elif doing.verify is not None:
            await self._verify(order, doing.verify)
        elif doing.approval is not None:
            await self._approval(order, name)

    async def _http(self, order: Order, http: Http, name: str) -> None:
        url = _declared(order, http.endpoint).url.rstrip("/") + http.path
        key = derive("step", order.idempotency_key, name)
        if http.method == "POST":
            response = await self._delivery.post(url, {**body_of(order), **http.body}, key)
        else:
            response = await self._delivery.request(http.method, url, headers={"idempotency-key": key})
        expect_success(response, f"{http.method} {url}")

    async def _command(self, order: Order, command: Command) -> None:
        argv = [_filled(order, part) for part in command.argv]
        timeout_s = command.timeout_s or self._settings.command_timeout_s
        environment = {k: os.environ[k] for k in ("PATH", "LANG", "HOME") if k in os.environ}
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=pipe, env=environment
            )
        except OSError as error:
            raise ExecutionError(f"{argv[0]} cannot be started: {error}") from error
        try:
            async with asyncio.timeout(timeout_s):
                _, said = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise ExecutionError(f"{argv[0]} did not end in {timeout_s:g} s and was killed") from error
        except asyncio.CancelledError:  # the lease is lost or the worker stops: nothing goes on that nobody watches
            process.kill()
            await process.wait()
            raise
        if process.returncode != 0:
            raise ExecutionError(f"{argv[0]} ended with {process.returncode}: {said.decode(errors='replace')[-200:]}")

    async def _verify(self, order: Order, verify: Verify) -> None:
        health_url = _declared(order, verify.endpoint).health_url
        if health_url is None:
            raise ExecutionError(f"endpoint {verify.endpoint} declares no health_url")
        await self._until(lambda: self._delivery.is_well(health_url), verify.timeout_s, f"{health_url} is not well")

    async def _approval(self, order: Order, name: str) -> None:
        approval_id = derive("approval", order.idempotency_key, name)

        async def approved() -> bool:
            return order.is_approved(approval_id)

        await self._until(approved, self._settings.approval_wait_s, f"{approval_id} is not approved")

    async def _until(self, holds: Holds, timeout_s: float, otherwise: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not await holds():
            if loop.time() >= deadline:
                raise ExecutionError(f"{otherwise} after {timeout_s:g} s")
            await asyncio.sleep(self._settings.health_poll_s)


def _declared(order: Order, kind: str) -> Endpoint:
    found = endpoint(order.asset, kind)
    if found is None:
        raise RefusedError(f"{order.action.target_id} declares no endpoint of type {kind}")
    return found


def _filled(order: Order, part: str) -> str:
    names = {
        "{asset_id}": order.action.target_id,
        "{destination_id}": order.destination.id if order.destination else "",
    }
    for placeholder, value in names.items():
        if placeholder in part:
            if not _SAFE_ID.fullmatch(value):
                raise RefusedError(f"{value!r} is not put into a command line")
            part = part.replace(placeholder, value)
    return part
