"""Effects: the halves of the strategies that touch the world. No Faust, no Kafka.

`ledger.ExecutorsLayer` (pure) decides whether an order is carried out, refused or answered as before;
`runner.ActionRunner` carries it out with one of the executors here and says what happened as an ActionOutcome.
Safety: only endpoints that the registry or the settings declare are called, never link-local addresses, never a
redirect; commands come from files on this machine's disk that the settings name, never from a record, and no shell
is involved.
"""
