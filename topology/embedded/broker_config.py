"""How our single broker is set up: one source for the embedded process and for docker-compose.yml (a test compares)."""

from __future__ import annotations

from pathlib import Path

from topology.limits import DEAD_LETTER_HEADROOM_BYTES, MAX_RECORD_BYTES

HEAP_MB = 512
NODE_ID = 1

# One broker: every internal topic has one replica, and few partitions, since each costs files and start-up time.
BROKER_SETTINGS: dict[str, str] = {
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    # A group of one machine's workers need not wait three seconds for late joiners.
    "group.initial.rebalance.delay.ms": "0",
    # A worker that was killed is noticed after its session: allow short ones.
    "group.min.session.timeout.ms": "1000",
    # After kill -9 a broker may come back only when its old session is over: not after the usual nine seconds.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(MAX_RECORD_BYTES + DEAD_LETTER_HEADROOM_BYTES),
    "replica.fetch.max.bytes": str(MAX_RECORD_BYTES + DEAD_LETTER_HEADROOM_BYTES),
    "log.retention.check.interval.ms": "60000",
    # The default, 128 MB, is a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
}

JVM_FLAGS: tuple[str, ...] = (
    f"-Xmx{HEAP_MB}m",
    "-Xms128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)

_LOG_CONFIG = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd HH:mm:ss.SSS}} %-5p %m (%c{{1}})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
# Hundreds of lines of unchanged defaults at each start.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = WARN
logger.utils.name = org.apache.kafka.common.utils.AppInfoParser
logger.utils.level = WARN
"""


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """KRaft, broker and controller in one process, on the loopback interface only."""
    own = {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"CLIENT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "inter.broker.listener.name": "CLIENT",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
    }
    return "".join(f"{name}={_escaped(value)}\n" for name, value in {**own, **BROKER_SETTINGS}.items())


def log_properties(log: Path) -> str:
    return _LOG_CONFIG.format(log=_escaped(str(log)))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")
