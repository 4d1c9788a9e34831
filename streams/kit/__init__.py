"""Parts that the layers share; pure (no faust, Kafka, Redis, clock, environment)."""
