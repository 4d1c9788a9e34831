"""The executors that ship, from their settings. One of your own: give it to `ActionRunner` beside these."""

from __future__ import annotations

from streams.healing.executors.control import ControlExecutor, FailoverExecutor
from streams.healing.executors.delivery import Delivery
from streams.healing.executors.inoculation import Faults, InoculationExecutor
from streams.healing.executors.kubernetes import CHANGES, KubernetesExecutor
from streams.healing.executors.load_balancers import LimitExecutor, LoadBalancers, WeighExecutor
from streams.healing.executors.processes import RestartExecutor
from streams.healing.executors.runbook import RunbookExecutor
from streams.healing.executors.runbook_format import load
from streams.healing.executors.runner import by_type
from streams.healing.executors.settings import ExecutorSettings
from streams.healing.executors.terraform import TerraformPlanExecutor
from streams.healing.executors.webhook import WebhookExecutor
from streams.healing.ports import Executor
from streams.healing.strategies.inoculation import INJECT, LIFT_FAULT
from streams.healing.strategies.throttle import LIFT, THROTTLE


def shipped_executors(settings: ExecutorSettings) -> dict[str, Executor]:
    """Raises RunbookError if a runbook cannot be used: better at start than in an incident."""
    delivery, balancers = Delivery(settings), LoadBalancers(settings.load_balancers)
    restart = RestartExecutor(delivery)
    faults = Faults(settings.load_balancers, restart)
    return by_type(
        (
            FailoverExecutor(delivery, balancers, "failover"),
            FailoverExecutor(delivery, balancers, "failback"),
            ControlExecutor(delivery, "rebalance"),
            WeighExecutor(settings.load_balancers),
            LimitExecutor(settings.load_balancers, THROTTLE),
            LimitExecutor(settings.load_balancers, LIFT),
            restart,
            InoculationExecutor(faults, INJECT),
            InoculationExecutor(faults, LIFT_FAULT),
            RunbookExecutor(delivery, load(settings.runbook_dirs)),
            WebhookExecutor(delivery),
            TerraformPlanExecutor(settings.terraform_workspaces),
            *(KubernetesExecutor(settings.clusters, kind) for kind in CHANGES),
        )
    )
