"""Every setting, from one place: `MAESTRO_*` variables, a TOML file, or the default.

    settings = load_settings()                    # raises SettingsError with all errors at once
    settings.partitions, settings.telemetry.grace_s
    rows(settings)                                # what `maestro settings` shows

The first that has a value wins: a command's own option, the environment (`MAESTRO_TELEMETRY__GRACE_S=5`), the file that
`--settings` or `MAESTRO_SETTINGS` names (`[telemetry]`, `grace_s = 5`), the default.
"""

from topology.settings.loading import Problem, SettingsError, load_settings
from topology.settings.model import Settings
from topology.settings.table import Row, rows

__all__ = ["Problem", "Row", "Settings", "SettingsError", "load_settings", "rows"]
