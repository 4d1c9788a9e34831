"""Sizes that broker, topics, producers and consumers must agree on."""

# The largest record a topic takes. An oversized signal must still arrive, so that it can end in dead-letters with its
# reason instead of being lost at its producer; ten megabytes is the case that is tested.
MAX_RECORD_BYTES = 12 * 1024 * 1024
# dead-letters carries the refused bytes as they were, and headers with coordinates and reason on top.
DEAD_LETTER_HEADROOM_BYTES = 256 * 1024
