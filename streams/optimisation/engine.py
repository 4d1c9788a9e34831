"""The optimiser: looks at an asset's figures and says what would help; and the layer that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from schemas.columns import SampleColumns, of_batch, of_signal
from schemas.records import HealthSignal, HealthSignalBatch, RecommendedAction, RegisteredAsset
from streams.kit.layer import Emission, Event, Step
from streams.kit.world import World
from streams.optimisation import snapshot
from streams.optimisation.columns import Intake
from streams.optimisation.destination import carbon_saving_g_per_hour, worth_a_green_move
from streams.optimisation.figures import Figure, figures_at
from streams.optimisation.floors import Floors, floors_of
from streams.optimisation.folding import Grid
from streams.optimisation.forecast import Forecaster
from streams.optimisation.limits import owner_of, worth_it
from streams.optimisation.metrics import Metric
from streams.optimisation.packing import decode, encode
from streams.optimisation.proposal import Proposal, propose, wish
from streams.optimisation.publication import Publication
from streams.optimisation.renewal import renew_at
from streams.optimisation.resizing import resize
from streams.optimisation.settings import OptimisationSettings
from streams.optimisation.situation import Situation, situation
from streams.optimisation.spending import foreseen
from streams.optimisation.state import AssetRow, due_at
from streams.policy.port import PolicyHook

_IDLE_DOUBLINGS = 4
"""Looks that find nothing new grow to 16 times the usual distance; the next sample brings the next look back."""


class CostLatencyOptimizer:
    """Pure: a row, the world and a time give the row after the look and what is published."""

    def __init__(self, settings: OptimisationSettings | None = None, policy: PolicyHook | None = None) -> None:
        self.settings = settings or OptimisationSettings()
        self.policy = policy
        self.grid = Grid.of(self.settings)
        self.forecaster = Forecaster(self.settings)

    def look(self, asset_id: str, row: AssetRow, world: World, at: int, *, on_grid: bool) -> list[Emission]:
        """Looks at `row` (the caller's own copy, changed in place). `on_grid`: one of the equally spaced looks."""
        told: list[Emission] = []
        resize(row, world.assets.get(asset_id), at)
        figures = figures_at(row, at, self.grid)
        self._snapshot(asset_id, row, at, figures, told)
        s = situation(asset_id, world.assets.get(asset_id), at, figures, self.settings, row.units_at)
        if on_grid and s.used is not None and row.samples > row.looked_samples:
            self.forecaster.learn(row, s.used.work, at)
        s = self.forecaster.expecting(s, row)
        self._wish(row, s, at)
        publication = Publication(asset_id, row, at, self.settings, told)
        self._expire(publication)
        standing = row.published.action if row.published is not None else None
        proposal = propose(s, row, self.settings, standing)
        if proposal is None or not worth_it(proposal, s, world, self.settings):
            proposal = self._greener(s, world)
        if proposal is not None:
            proposal = replace(proposal, foreseen=foreseen(s, world, self.settings))
        publication.consider(proposal, s, world, self.policy)
        row.looked_at = at
        return told

    def floors(self, asset_id: str, row: AssetRow, asset: RegisteredAsset | None, at: int) -> Floors:
        """What a cut at `at` (ms) would not go below, in units, by rule; nothing is changed."""
        figures = figures_at(row, at, self.grid)
        s = situation(asset_id, asset, at, figures, self.settings, row.units_at)
        return floors_of(self.forecaster.expecting(s, row), row, self.settings)

    def timer(self, asset_id: str, row: AssetRow, world: World) -> list[Emission]:
        """What is due first: the expiry of what stands, or the next look. Changes `row` in place."""
        due = due_at(row)
        if due is None:
            return []
        if row.next_look_at is None or due < row.next_look_at:
            told: list[Emission] = []
            self._expire(Publication(asset_id, row, due, self.settings, told))
            return told
        told = self.look(asset_id, row, world, due, on_grid=True)
        row.idle_looks = row.idle_looks + 1 if row.samples == row.looked_samples else 0
        row.looked_samples = row.samples
        fresh = any(due - s.newest_at < s.fresh_ms(self.settings.window_ms) for s in row.series.values())
        wait_ms = self.settings.look_every_s * 1000 * 2 ** min(row.idle_looks, _IDLE_DOUBLINGS)
        row.next_look_at = self._not_after_renewal(row, due, due + wait_ms) if fresh else None
        return told

    def _not_after_renewal(self, row: AssetRow, at: int, next_look_at: int) -> int:
        """A rest does not outlast what stands: it is looked at in time for it to be renewed."""
        renewal_at = renew_at(row.published, self.settings) if row.published is not None else 0
        return min(next_look_at, renewal_at) if renewal_at > at else next_look_at

    def owner_changed(self, asset_id: str, row: AssetRow, world: World, at: int, cause_id: str) -> list[Emission]:
        """An incident or a remediation began: what would cut or move is withdrawn at once (one owner per axis)."""
        standing, owner = row.published, owner_of(world, asset_id)
        if standing is None or owner is None or standing.action is RecommendedAction.SCALE_OUT:
            return []
        told: list[Emission] = []
        row.cause_id = cause_id
        Publication(asset_id, row, at, self.settings, told).withdraw(owner)
        return told

    def _snapshot(
        self, asset_id: str, row: AssetRow, at: int, figures: dict[int, Figure], told: list[Emission]
    ) -> None:
        now = snapshot.values_of(figures)
        if figures and snapshot.is_due(row, at, now, self.settings):
            told.append(snapshot.emission(asset_id, at, now, figures, row.cause_id, self.settings))
            row.snapshot_at, row.snapshot = at, now

    def _wish(self, row: AssetRow, s: Situation, at: int) -> None:
        keep_ms = 1000 * max(self.settings.stabilisation_up_s, self.settings.stabilisation_down_s)
        row.wishes = (*((t, units) for t, units in row.wishes if t > at - keep_ms), (at, round(wish(s), 6)))

    def _expire(self, publication: Publication) -> None:
        standing = publication.row.published
        if standing is not None and publication.at >= standing.valid_until:
            publication.withdraw(f"not renewed within {self.settings.ttl_s} s")

    def _greener(self, s: Situation, world: World) -> Proposal | None:
        if not worth_a_green_move(world, s, self.settings):
            return None
        saving = carbon_saving_g_per_hour(world, s)
        why = f"its {s.figures[Metric.ENERGY_W].mean:.0f} W would emit {saving:.0f} gCO2eq/h less elsewhere"
        return Proposal(RecommendedAction.REBALANCE, s.units, (Metric.ENERGY_W,), why, destination_id="greenest")


class OptimisationLayer:
    """`health-signals` in, `performance` and `recommendations` out; one row per asset, key = asset id."""

    name = "optimisation"
    inputs: tuple[str, ...] = ("health-signals",)
    views: tuple[str, ...] = ("assets", "anomalies", "policies", "remediations", "spending")

    def __init__(self, settings: OptimisationSettings | None = None, policy: PolicyHook | None = None) -> None:
        self.optimizer = CostLatencyOptimizer(settings, policy)

    def new_view(self) -> World:
        return World()

    def see(self, view: World, event: Event) -> None:
        view.see(event)

    def step(self, rows: Mapping[str, AssetRow], view: World, event: Event, now: int) -> Step[AssetRow]:
        value = event.value
        if isinstance(value, HealthSignal):
            return self.step_columns(rows, view, of_signal(value), lambda _: event.cause_id, now)
        if isinstance(value, HealthSignalBatch):
            return self.step_columns(rows, view, of_batch(value), lambda row: f"{event.cause_id}#{row}", now)
        return Step()

    def step_columns(
        self,
        rows: Mapping[str, AssetRow],
        view: World,
        columns: SampleColumns,
        causes: Callable[[int], str],
        clock: int,
    ) -> Step[AssetRow]:
        """As many single steps in row order; `clock` is not used: looks keep the time of the samples."""
        return Intake(self.optimizer, rows, view, columns, causes).run()

    def on_view(self, rows: Mapping[str, AssetRow], view: World, event: Event, now: int) -> Step[AssetRow]:
        if event.topic == "assets" and event.value is None:
            return self._forget(rows, event)
        if isinstance(event.value, RegisteredAsset):
            return self._resized(rows, event, event.value)
        asset_id = getattr(event.value, "asset_id", event.key)
        row = rows.get(asset_id)
        if event.topic not in ("anomalies", "remediations") or row is None or row.published is None:
            return Step()
        row = row.copy()
        told = self.optimizer.owner_changed(asset_id, row, view, event.at, event.cause_id)
        return Step({asset_id: row}, tuple(told)) if told else Step()

    def _resized(self, rows: Mapping[str, AssetRow], event: Event, asset: RegisteredAsset) -> Step[AssetRow]:
        known = rows.get(event.key)
        row = known.copy() if known is not None else AssetRow()
        return Step({event.key: row}) if known is not None and resize(row, asset, event.at) else Step()

    def _forget(self, rows: Mapping[str, AssetRow], event: Event) -> Step[AssetRow]:
        """The asset is gone: so are its row, its snapshot and what stood for it."""
        row = rows.get(event.key)
        if row is None:
            return Step()
        row, told = row.copy(), list[Emission]()
        row.cause_id = event.cause_id
        Publication(event.key, row, event.at, self.optimizer.settings, told).withdraw("the asset was removed")
        told.append(Emission("performance", event.key, None, event.at, event.cause_id))
        return Step({event.key: None}, tuple(told))

    def due_at(self, row: AssetRow) -> int | None:
        return due_at(row)

    def on_timer(self, rows: Mapping[str, AssetRow], view: World, key: str, now: int) -> Step[AssetRow]:
        row = rows.get(key)
        if row is None:
            return Step()
        row = row.copy()
        told = self.optimizer.timer(key, row, view)
        return Step({key: row}, tuple(told))

    def encode_row(self, row: AssetRow) -> bytes:
        return encode(row, self.optimizer.grid)

    def decode_row(self, data: bytes) -> AssetRow:
        return decode(data, self.optimizer.grid)
