"""Samples against the rule, said plainly: a loop over all events for each event."""

import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.errors import StoreError
from easyrec.store.samples import SampleConfig
from easyrec.stream.dialects import dialect
from easyrec.stream.joiner import BEGINNING, END, EXPOSURE, Joiner
from easyrec.stream.sample_sql import sample_sql

SECOND = 1_000_000
COLUMNS = {"id": "string", "request": "string", "user": "int64", "item": "int64", "ts": "int64"}
SOURCE = {"type": "parquet", "path": "none"}


def config(*, by_user=False, ids=True, **more):
    """Clicks within 10 s, buys within 20 s of a click, comments within 5 s of an exposure."""
    events = {"source": SOURCE, "columns": COLUMNS, "event_time": "ts", **({"id": "id"} if ids else {})}
    keys = ["user", "item"] if by_user else ["request", "item"]
    labels = [
        {**events, "name": "click", "window": 10},
        {**events, "name": "buy", "of": "click", "window": 20, "keys": ["user", "item"]},
        {**events, "name": "comment", "window": 5},
    ]
    output = {"type": "parquet", "path": "none"}
    return SampleConfig(name="s", keys=keys, exposures=events, labels=labels, output=output, **more)


def batch(events):
    """Columns and times of events."""
    columns = {name: [event[place] for event in events] for place, name in enumerate(COLUMNS)}
    kinds = {"string": pa.string(), "int64": pa.int64()}
    rows = pa.record_batch([pa.array(columns[name], kinds[kind]) for name, kind in COLUMNS.items()], list(COLUMNS))
    return rows, rows["ts"].to_numpy() * SECOND


class Plain:
    """The rule: what follows belongs to the latest before it; a sample when its time has come; late ones by the policy."""

    def __init__(self, config):
        self.config, self.watermark = config, BEGINNING
        self.exposures, self.events, self.samples = [], {label.name: [] for label in config.labels}, []
        self.seen = {name: set() for name in (EXPOSURE, *self.events)}
        self.keep = config.correct_micros
        self.span = max(config.horizon(), config.wait_micros) + self.keep

    def key(self, event, names):
        return tuple(str(event[list(COLUMNS).index(name)]) for name in names)

    def step(self, events, watermark):
        late = set()
        for name, rows in events.items():
            oldest = self.watermark - (self.keep if name == EXPOSURE else self.span)
            for row in rows:
                time = row[4] * SECOND
                own = EXPOSURE if name == EXPOSURE else name
                if time < oldest or row[0] in self.seen[own]:
                    continue
                self.seen[own].add(row[0])
                if time < self.watermark:
                    late.add(own)
                one = {"row": row, "time": time, "to": None, "lost": False}
                if name == EXPOSURE:
                    self.exposures.append(one | {"made": False, "labels": {n: [] for n in self.events}})
                else:
                    self.events[name].append(one)
        now = max(self.watermark, watermark)
        before = [id(one) for one in self.exposures if one["made"]]
        again = []
        for label in self.config.labels:
            names = self.config.keys_of(label)
            parents = self.exposures if label.of is None else [one for one in self.events[label.of] if one["to"]]
            for one in self.events[label.name]:
                fresh = one["time"] < now and one["to"] is None and not one["lost"]
                retry = one["lost"] and self.keep and one["time"] >= self.watermark - self.keep
                if not fresh and not (retry and (label.of or EXPOSURE) in late):
                    continue
                found = [
                    p
                    for p in parents
                    if self.key(p["row"], names) == self.key(one["row"], names)
                    and p["time"] <= one["time"] <= p["time"] + label.window_micros
                    and p["time"] >= self.watermark - self.span
                ]
                latest = [
                    p
                    for p in parents
                    if self.key(p["row"], names) == self.key(one["row"], names) and p["time"] <= one["time"]
                ]
                best = max(latest, key=lambda p: (p["time"], p["row"][0]), default=None)
                exposure = None if best is None or best not in found else best if label.of is None else best["to"]
                if exposure is None or exposure["time"] < self.watermark - self.span:
                    one["lost"] = True
                    continue
                one["to"], one["lost"] = exposure, False
                if one["time"] < self.watermark:
                    late.add(label.name)
                made, waited = id(exposure) in before, one["time"] > exposure["time"] + self.config.wait_micros
                if self.config.late == "drop" and (made or waited):
                    continue
                if made:
                    again.append(exposure)
                exposure["labels"][label.name].append(one["time"])
        due = [one for one in self.exposures if not one["made"] and one["time"] + self.config.wait_micros < now]
        for one in due:
            one["made"] = True
        for one, correction in [*((o, False) for o in due), *((o, True) for o in again)]:
            self.samples.append(
                (
                    *one["row"],
                    *((len(times) > 0, min(times, default=None)) for times in one["labels"].values()),
                    correction,
                )
            )
        self.watermark = now


def rows_of(table):
    made = []
    for row in table.to_pylist():
        labels = (
            (bool(row[n]), row[f"{n}_time"] and round(row[f"{n}_time"].timestamp() * SECOND))
            for n in ("click", "buy", "comment")
        )
        made.append((*(row[name] for name in COLUMNS), *labels, row["correction"]))
    return made


def final(samples):
    """The last row of each exposure."""
    return {row[0]: row[:-1] for row in samples}


EVENT = st.tuples(st.sampled_from(["r1", "r2"]), st.integers(1, 2), st.integers(1, 2), st.integers(0, 60))
KINDS = ("exposure", "click", "buy", "comment")


@st.composite
def logs(draw):
    """Steps of events, out of order, some of them copies of former ones."""
    events = draw(st.lists(st.tuples(st.sampled_from(KINDS), EVENT), max_size=30))
    events = [(kind, (f"{kind}{place}", *rest)) for place, (kind, rest) in enumerate(events)]
    for place in draw(st.lists(st.integers(0, max(0, len(events) - 1)), max_size=4)):
        if events:
            events.append(events[place])
    jitter = draw(st.lists(st.integers(0, 12), min_size=len(events), max_size=len(events)))
    events = [event for _, event in sorted(zip(jitter, events, strict=True), key=lambda pair: pair[1][1][4] + pair[0])]
    cuts = sorted(draw(st.lists(st.integers(0, len(events)), max_size=6)))
    return [events[a:b] for a, b in itertools.pairwise([0, *cuts, len(events)])]


def stepped(log, lateness):
    """Each step's events by kind, and the watermark behind them."""
    newest = BEGINNING
    for events in log:
        by_kind = {}
        for kind, event in events:
            by_kind.setdefault(kind, []).append(event)
            newest = max(newest, event[4] * SECOND)
        yield by_kind, newest - lateness * SECOND
    yield {}, END


def joined(config, log, lateness, *, restart=frozenset()):
    """Samples, with a joiner that begins anew from its state after some steps."""
    joiner, state, samples = Joiner(config), {}, []
    for place, (events, watermark) in enumerate(stepped(log, lateness)):
        step = joiner.advance({kind: batch(rows) for kind, rows in events.items()}, watermark)
        for key in step.deletes:
            state.pop(key, None)
        state.update(step.puts)
        samples += rows_of(step.samples)
        if place in restart:
            joiner = Joiner(config)
            joiner.restore(sorted(state.items()))
    assert set(state) == {"joiner"}
    return samples, joiner


@settings(max_examples=40, deadline=None)
@given(
    logs(),
    st.booleans(),
    st.integers(0, 15),
    st.sampled_from(["drop", "correct"]),
    st.sampled_from([None, 3, 12, 60]),
    st.frozensets(st.integers(0, 7)),
)
def test_samples_are_those_of_the_rule(log, by_user, lateness, late, wait, restart):
    told = config(by_user=by_user, late=late, correct_for=15, **({} if wait is None else {"wait": wait}))
    plain = Plain(told)
    for events, watermark in stepped(log, lateness):
        plain.step(events, watermark)
    samples, joiner = joined(told, log, lateness, restart=restart)
    assert sorted(map(repr, (s for s in samples if not s[-1]))) == sorted(
        map(repr, (s for s in plain.samples if not s[-1]))
    )
    assert final(samples) == final(plain.samples)
    assert joiner.counts["samples"] == sum(not row[-1] for row in samples)


def one(kind, place, *rest):
    return (kind, (f"{kind}{place}", *rest))


def made_of(told, *steps):
    """Samples as (id, click, buy, correction), of steps of events with the watermarks behind them."""
    joiner, found = Joiner(told), []
    for events, watermark in steps:
        by_kind = {}
        for kind, event in events:
            by_kind.setdefault(kind, []).append(event)
        step = joiner.advance({kind: batch(rows) for kind, rows in by_kind.items()}, watermark * SECOND)
        found += [(row["id"], row["click"], row["buy"], row["correction"]) for row in step.samples.to_pylist()]
    return found, joiner.counts


E = one("exposure", 0, "r", 1, 1, 100)


@pytest.mark.parametrize(
    ("second", "clicked"), [(99, 0), (100, 1), (110, 1), (111, 0)], ids=["before", "at-once", "on-the-edge", "too-late"]
)
def test_a_window_includes_both_of_its_ends(second, clicked):
    click = one("click", 0, "r", 1, 1, second)
    found, counts = made_of(config(), ([E, click], 100), ([], 1000))
    assert found == [("exposure0", clicked, 0, False)]
    assert counts["click.unmatched"] == 1 - clicked


def test_a_sample_is_made_when_the_watermark_has_passed_its_wait():
    told = config(wait=10)
    click = one("click", 0, "r", 1, 1, 110)
    assert made_of(told, ([E, click], 110))[0] == []
    assert made_of(told, ([E, click], 110), ([], 111))[0] == [("exposure0", 1, 0, False)]


def test_a_buy_follows_a_click_and_not_an_exposure():
    click, buy = one("click", 0, "r", 1, 1, 105), one("buy", 0, "x", 1, 1, 125)
    assert made_of(config(), ([E, buy], 100), ([], 1000))[0] == [("exposure0", 0, 0, False)]
    assert made_of(config(), ([E, buy, click], 100), ([], 1000))[0] == [("exposure0", 1, 1, False)]


def test_what_comes_late_makes_a_sample_again_or_is_counted():
    late = ([one("click", 0, "r", 1, 1, 105)], 1000)
    assert made_of(config(late="correct", correct_for=1000), ([E], 131), late)[0] == [
        ("exposure0", 0, 0, False),
        ("exposure0", 1, 0, True),
    ]
    found, counts = made_of(config(late="drop"), ([E], 130), ([], 130), late)
    assert found == [("exposure0", 1, 0, False)]  # its sample still waited
    found, counts = made_of(config(late="drop", wait=12), ([E], 113), late)
    assert found == [("exposure0", 0, 0, False)]
    assert counts["click.late"] == 1


def test_what_came_before_a_late_exposure_finds_it():
    click, buy = one("click", 0, "r", 1, 1, 105), one("buy", 0, "x", 1, 1, 107)
    steps = ([click, buy], 108), ([], 108), ([E], 109), ([], 1000)
    assert made_of(config(late="correct", correct_for=100), *steps)[0] == [("exposure0", 1, 1, False)]
    found, counts = made_of(config(), *steps)
    assert found == []
    assert counts["exposure.late"] == 1


def test_of_exposures_at_one_time_the_greatest_id_counts():
    shown = [one("exposure", place, "r", 1, 1, 100) for place in (2, 10, 1)]
    found, _ = made_of(config(), (shown[:1], 90), (shown[1:], 90), ([one("click", 0, "r", 1, 1, 100)], 1000))
    assert {name for name, clicked, *_ in found if clicked} == {"exposure2"}


def test_nothing_stays_behind_when_all_is_past():
    joiner, state = Joiner(config()), {}
    for second in range(0, 2000, 50):
        shown = [one("exposure", second + n, f"r{n}", n, 1, second + n) for n in range(20)]
        clicks = [one("click", second + n, f"r{n}", n, 1, second + n + 3) for n in range(20)]
        events = {"exposure": batch([e for _, e in shown]), "click": batch([e for _, e in clicks])}
        step = joiner.advance(events, second * SECOND)
        state = {key: value for key, value in {**state, **step.puts}.items() if key not in step.deletes}
        assert len(state) <= 1 + 3 * 3
        assert len(joiner._exposed.time) <= 60 + 20
    assert joiner.counts["samples"] == 20 * 39


def test_a_state_of_other_labels_is_refused():
    step = Joiner(config()).advance({"exposure": batch([E[1]])}, 0)
    other = config().model_dump(by_alias=True)
    other["labels"] = other["labels"][:1]
    with pytest.raises(StoreError, match="made with other labels"):
        Joiner(SampleConfig.model_validate(other)).restore(step.puts.items())


@settings(max_examples=8, deadline=None)
@given(logs(), st.booleans(), st.sampled_from(["drop", "correct"]), st.sampled_from([None, 12]))
def test_duckdb_makes_the_same_samples_of_all_events(log, by_user, late, wait):
    duckdb = pytest.importorskip("duckdb", reason="needs the extra 'store'")
    told = config(by_user=by_user, late=late, correct_for=100, **({} if wait is None else {"wait": wait}))
    samples, _ = joined(told, log, 20)
    with duckdb.connect() as db:
        for kind in KINDS:
            db.register(
                f"{kind}_log", pa.table(batch([event for events in log for of, event in events if of == kind])[0])
            )
        query = sample_sql(told, dialect("duckdb"), {kind: f"{kind}_log" for kind in KINDS})
        found = rows_of(db.sql(query).to_arrow_table())
    assert {row[0]: row[:-1] for row in found} == final(samples)
    assert len(found) == sum(not row[-1] for row in samples)
