"""Settings of the executors."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class ProcessSpec(BaseModel):
    """A local process that healing may restart; an asset names it by an endpoint `process:<name>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argv: tuple[str, ...] = Field(min_length=1, description="program and arguments; no shell")
    pid_file: Path = Field(description="file with the process id; written at each restart")
    cwd: Path | None = Field(None, description="working directory; none = this process's")


class LoadBalancerSpec(BaseModel):
    """A HAProxy whose runtime socket (level admin) healing may use; assets name it in their endpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(min_length=1, description="path of the runtime socket, or HOST:PORT")
    timeout_s: float = Field(2, gt=0, le=60, description="s per command")
    drain: Literal["drain", "maint"] = Field(
        "drain", description="drain: what is under way may end; maint: no checks either"
    )
    close_sessions: bool = Field(False, description="also close the drained server's sessions at once")
    switch_map: str = Field("", pattern=r"^[\w./#-]*$", description="map file (or #id) of blue/green switches")
    limit_map: str = Field("", pattern=r"^[\w./#-]*$", description="map file (or #id) of limits in requests/s")


class ClusterSpec(BaseModel):
    """A Kubernetes API server that healing may change; assets name it in their endpoints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^https?://", description="address of the API server")
    token_file: Path | None = Field(None, description="file with a bearer token, read at each order; none = no token")
    ca_file: Path | None = Field(None, description="certificate authority of the server; none = the system's")
    timeout_s: float = Field(5, gt=0, le=300, description="s per request")


class ExecutorSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    page_url: str = Field("", description="URL that pages are posted to; empty = an asset's `webhook` endpoint, if any")
    webhook_secret: SecretStr = Field(SecretStr(""), description="key of the HMAC-SHA256 signature; empty = unsigned")
    http_timeout_s: float = Field(5, gt=0, le=300, description="s per request")
    http_attempts: int = Field(3, ge=1, le=10, description="tries per request on a lost connection, 429 or 5xx")
    http_retry_wait_s: float = Field(0.2, ge=0, le=60, description="s before the second try; doubles each time")
    blocked_networks: tuple[str, ...] = Field(
        ("169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::/128", "fd00:ec2::254/128"),
        description="networks that are never called (link-local has the clouds' credentials service)",
    )
    runbook_dirs: tuple[Path, ...] = Field((), description="folders with runbooks; empty = no runbook runs")
    command_timeout_s: float = Field(60, gt=0, le=3600, description="s per runbook command without its own timeout")
    approval_wait_s: float = Field(600, gt=0, le=86_400, description="s that a runbook step waits for its approval")
    processes: dict[str, ProcessSpec] = Field({}, description="local processes that may be restarted, by name")
    load_balancers: dict[str, LoadBalancerSpec] = Field({}, description="HAProxy instances that may be used, by name")
    clusters: dict[str, ClusterSpec] = Field({}, description="Kubernetes clusters that may be changed, by name")
    terraform_workspaces: dict[str, Path] = Field(
        {}, description="folders with Terraform state versions, by workspace; they are read, nothing is applied"
    )
    stop_grace_s: float = Field(10, ge=0, le=600, description="s between SIGTERM and SIGKILL")
    health_timeout_s: float = Field(30, gt=0, le=600, description="s for `health_url` to answer 2xx after a restart")
    health_poll_s: float = Field(0.5, gt=0, le=60, description="s between two looks at `health_url` or an approval")
    met_obligations: frozenset[str] = Field(
        frozenset(), description="obligations (`redact`, `x.<name>`) that this installation's executors meet"
    )
    lease_s: float = Field(
        60, ge=1, le=86_400, description="s that the Redis lease of a killed executor still holds; renewed each third"
    )
    lease_required: bool = Field(
        False, description="refuse effects that must not be repeated where no `redis_url` is set for their lease"
    )
    retention_s: float = Field(86_400, ge=60, le=31_536_000, description="s that an outcome is kept for repeats")

    @field_validator("blocked_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value
