"""Chaos inoculation: a fault is put on an asset on purpose, and it is measured whether the loop heals it.

    idle --slot--> gates --held--> idle (said why)        the fault stands
                     | free, mode auto or approved            | healed, or its time is over, or an abort
                     v                                        v
                 injecting --succeeded--> standing -------> lifting --lifted--> idle (score published)
                     +--refused--> idle (nothing was done)    +--not lifted--> again, until it is

The victim's incident is healed by the rest of the layer, which knows nothing of this. One experiment at a time.
"""
