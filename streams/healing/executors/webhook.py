"""Pages by HTTP: a signed JSON body to the configured address, or to the asset's own declared webhook."""

from __future__ import annotations

from dataclasses import dataclass

from streams.healing.executors.delivery import Delivery, body_of, expect_success
from streams.healing.ports import Effect, Order, RefusedError
from streams.healing.strategies.declared import WEBHOOK, endpoint


@dataclass(frozen=True, slots=True)
class WebhookExecutor:
    delivery: Delivery
    action_type: str = "webhook"
    repeatable: bool = True

    async def execute(self, order: Order) -> Effect:
        declared = endpoint(order.asset, WEBHOOK)
        url = self.delivery.settings.page_url or (declared.url if declared is not None else "")
        if not url:
            raise RefusedError("no page_url is set and the asset declares no webhook endpoint: nobody was told")
        expect_success(await self.delivery.post(url, body_of(order), order.idempotency_key), url)
        return Effect(f"{url} accepted the page")
