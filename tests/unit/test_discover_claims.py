"""Claims of a slot: the epoch rises at each takeover, and whoever owns the slot ends up with the highest."""

from __future__ import annotations

from topology.discover.claims import Slot


def test_a_claim_counts_once_it_is_read_back():
    slot = Slot()
    assert slot.at_end(1000) == 1000
    assert not slot.holding
    assert slot.at_end(1001) is None
    slot.read(1000, own=True, now_ms=1002)
    assert slot.holding


def test_the_epoch_is_above_all_before_it_also_if_the_clock_is_behind():
    slot = Slot()
    slot.read(5000, own=False, now_ms=1000)
    assert slot.at_end(1000) == 5001


def test_a_late_claim_of_one_that_lost_the_slot_is_outbid():
    slot = Slot()
    slot.at_end(1000)
    slot.read(1000, own=True, now_ms=1001)
    assert slot.read(2000, own=False, now_ms=1500) == 2001
    assert not slot.holding
    slot.read(2001, own=True, now_ms=1600)
    assert slot.holding
