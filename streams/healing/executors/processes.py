"""Really restarting a local process: stop it, start it, wait until it says that it is well."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import psutil

from streams.healing.executors.delivery import Delivery, body_of, expect_success
from streams.healing.executors.settings import ExecutorSettings, ProcessSpec
from streams.healing.ports import Effect, ExecutionError, Order, RefusedError
from streams.healing.strategies.declared import CONTROL, PROCESS, endpoint


class RestartExecutor:
    """By an endpoint `process:<name>` (argv and pid file are in the settings, never in a record), else by control."""

    action_type = "restart"
    repeatable = False

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._settings: ExecutorSettings = delivery.settings
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def execute(self, order: Order) -> Effect:
        process = endpoint(order.asset, PROCESS)
        if process is not None:
            detail = await self._restart_process(process.url.partition(":")[2])
            health_url = process.health_url
        else:
            control = endpoint(order.asset, CONTROL)
            if control is None:
                raise RefusedError(f"{order.action.target_id} declares neither a process nor a control endpoint")
            response = await self._delivery.post(control.url, body_of(order), order.idempotency_key)
            expect_success(response, control.url)
            detail, health_url = f"{control.url} accepted the restart", control.health_url
        return Effect(detail + await self._wait_until_well(health_url))

    async def _restart_process(self, name: str) -> str:
        spec = self._spec(name)
        async with self._lock(name):
            old = find(spec)
            how = await self._stop(old) if old is not None else "it was not running"
            child = await self._run(name, spec)
        return f"process {name} was restarted as pid {child.pid} ({how})"

    def kill(self, name: str) -> str:
        """SIGKILL, on purpose."""
        process = find(self._spec(name))
        if process is None:
            raise RefusedError(f"process {name} does not run")
        try:
            process.kill()
        except psutil.NoSuchProcess:
            raise RefusedError(f"process {name} has just ended") from None
        except psutil.AccessDenied as error:
            raise RefusedError(f"pid {process.pid} cannot be killed: {error}") from error
        return f"process {name} (pid {process.pid}) was killed on purpose"

    async def start_if_gone(self, name: str) -> str:
        """Under the lock of its restarts, so that it never runs twice."""
        spec = self._spec(name)
        async with self._lock(name):
            ours = self._started.get(name)
            if ours is not None and ours.poll() is None:  # Its command line is not there to be read at once.
                return f"process {name} runs as pid {ours.pid}"
            process = find(spec)
            if process is not None:
                return f"process {name} runs as pid {process.pid}"
            return f"process {name} was started as pid {(await self._run(name, spec)).pid}"

    def _spec(self, name: str) -> ProcessSpec:
        spec = self._settings.processes.get(name)
        if spec is None:
            raise RefusedError(f"process {name!r} is not among the settings' processes")
        return spec

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _run(self, name: str, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        child = self._started[name] = await asyncio.to_thread(_start, spec)
        return child

    async def _stop(self, process: psutil.Process) -> str:
        try:
            process.terminate()
            gone, _ = await asyncio.to_thread(psutil.wait_procs, [process], self._settings.stop_grace_s)
            if gone:
                return f"pid {process.pid} ended on SIGTERM"
            process.kill()
            gone, _ = await asyncio.to_thread(psutil.wait_procs, [process], self._settings.stop_grace_s)
        except psutil.NoSuchProcess:
            return f"pid {process.pid} had ended"
        except psutil.AccessDenied as error:
            raise ExecutionError(f"pid {process.pid} cannot be stopped: {error}") from error
        if not gone:
            raise ExecutionError(f"pid {process.pid} does not end, even on SIGKILL")
        return f"pid {process.pid} ignored SIGTERM for {self._settings.stop_grace_s:g} s and was killed"

    async def _wait_until_well(self, health_url: str | None) -> str:
        if health_url is None:
            return "; it declares no health_url, so nobody looked"
        deadline = asyncio.get_running_loop().time() + self._settings.health_timeout_s
        while not await self._delivery.is_well(health_url):
            if asyncio.get_running_loop().time() >= deadline:
                raise ExecutionError(
                    f"{health_url} is not well {self._settings.health_timeout_s:g} s after the restart"
                )
            await asyncio.sleep(self._settings.health_poll_s)
        return f"; {health_url} is well"


def find(spec: ProcessSpec) -> psutil.Process | None:
    """The running process of the pid file; None if it has ended or its pid now belongs to another program."""
    try:
        process = psutil.Process(int(spec.pid_file.read_text().strip()))
        alike = tuple(process.cmdline()[1:]) == spec.argv[1:] and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    except psutil.AccessDenied as error:
        raise ExecutionError(f"the process of {spec.pid_file} cannot be looked at: {error}") from error
    return process if alike else None


def _start(spec: ProcessSpec) -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(
            spec.argv, cwd=spec.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ExecutionError(f"{spec.argv[0]} cannot be started: {error}") from error
    _write_pid(spec.pid_file, child.pid)
    return child


def _write_pid(path: Path, pid: int) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(f"{pid}\n")
    os.replace(part, path)
