"""`maestro up`: the whole system on this machine, until it is told to stop; parts real or embedded."""

from __future__ import annotations

from contextlib import ExitStack

from rich.console import Console

from topology import plugins
from topology.admin import TopicAdmin, wanted_topics
from topology.embedded.parts import running_parts
from topology.embedded.progress import shown
from topology.receiver.command import create_received, with_received
from topology.receiver.running import receiving
from topology.settings import Settings
from topology.sources.feed import HostFeed
from topology.worker import run_worker


def run_up(settings: Settings, console: Console, *, host: bool = True) -> int:
    """Kafka, Redis, every layer, the read model and (unless `host` is false) this host's own metrics; until SIGINT."""
    with ExitStack() as stack:
        with shown(console) as progress:
            parts = stack.enter_context(running_parts(settings, progress))
        TopicAdmin(parts.broker).create(wanted_topics(settings))
        found = settings.model_copy(update={"broker": parts.broker, "redis_url": parts.redis_url})
        listening = None
        if settings.receiver.port is not None:
            found = with_received(found)
            create_received(found, parts.broker)
            listening = stack.enter_context(receiving(found, parts.broker, settings.receiver.port))
        feed = HostFeed(parts.broker, plugins.providers(), settings.polling) if host else None
        if feed is not None:
            feed.start()
            stack.callback(feed.stop)

        def ready() -> None:
            console.print("[bold]ready[/]; in another terminal:")
            console.print(f"export MAESTRO_BROKER={parts.broker}", highlight=False, soft_wrap=True)
            console.print(f"export MAESTRO_REDIS_URL={parts.redis_url}", highlight=False, soft_wrap=True)
            if listening is not None:
                console.print(f"telemetry is received at {listening.url}", highlight=False, soft_wrap=True)
            console.print("Ctrl-C ends everything that was started here", highlight=False)

        return run_worker(found, parts.broker, on_ready=ready)
