"""Looks up and learns as one worker of several that torchrun has started, beside one process that does the same alone.

What a case finds wrong is written into the folder that is given, by the case's name; an empty file says that all is well.
"""

import importlib.util
import sys
import traceback
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from easyrec import chunks
from easyrec.config.train import FTRL, SGD, Adagrad, Adam, LazyAdam, RowwiseAdagrad
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.sharded import ShardedCollection
from easyrec.embedding.spec import EmbeddingPlan, KeySpec
from easyrec.embedding.tiers import Store
from easyrec.errors import ConfigError
from easyrec.layout import Search
from easyrec.processors import this_worker
from easyrec.train.checkpoint import CheckpointStore
from easyrec.train.snapshot import Snapshot, read_folder, write_folder
from easyrec.workers import Workers

found = importlib.util.spec_from_file_location("worlds", Path(__file__).with_name("conftest.py"))
worlds = importlib.util.module_from_spec(found)
sys.modules["worlds"] = worlds
found.loader.exec_module(worlds)

IDS, ROWS, STEPS = 2_000, 9, 6
OPTIMIZERS = {
    "lazy_adam": LazyAdam(betas=(0.8, 0.99)),
    "rowwise_adagrad": RowwiseAdagrad(initial_accumulator=0.1),
    "adagrad": Adagrad(initial_accumulator=0.1),
    "sgd": SGD(),
    "ftrl": FTRL(l1=0.01, l2=0.1, beta=0.5),
    "adam": Adam(),
}
workers = Workers(*this_worker())
chunks.CHUNK_BYTES = 3_000  # tables come in many pieces


def dynamic(plan, capacity, **rules):
    """The plan with dynamic tables in place of those of ids that learn."""
    ids = {bag.table for group in plan.groups.values() for bag in group.bags if bag.kind == "ids"}
    names = {t.name: t.name.removesuffix(":first") for t in plan.tables if t.name in ids and t.trainable}
    tables = tuple(replace(t, rows=capacity, keys=names[t.name]) if t.name in names else t for t in plan.tables)
    return EmbeddingPlan(tables, plan.groups, tuple(KeySpec(n, capacity, **rules) for n in sorted(set(names.values()))))


def kinds_of(plan, *kinds):
    """The kinds in turn, by table; dynamic ones by row."""
    bases = list(dict.fromkeys(table.name.partition(":")[0] for table in plan.tables))
    chosen = {base: kinds[at % len(kinds)] for at, base in enumerate(bases)}
    return {t.name: "row" if t.keys else chosen[t.name.partition(":")[0]] for t in plan.tables}


def memory_for(shared, optimizer, slots):
    """The least memory with room for so many rows of each table."""

    def enough(budget):
        try:
            return all(
                tier.slots >= slots for tier in shared._placed(optimizer.type, Store(budget, Path()), keys).tiers
            )
        except ConfigError:
            return False

    keys = [shared.tables.keys[spec.name].spec for spec in shared.plan.keys]
    return bisect_left(range(1 << 24), True, key=enough)


def made(plan, optimizer, kinds, folder=None):
    """The tables of this worker; with a folder, of which 150 rows are in memory."""
    settings = plan, optimizer, 0.0, 3, 1, workers, kinds
    whole = ShardedCollection(*settings)
    return whole if folder is None else ShardedCollection(*settings, Store(memory_for(whole, optimizer, 150), folder))


def batch(number, rank, plan):
    return replace(worlds.world(1000 + 2 * number + rank, ROWS, 4, IDS), plan=plan).batch


def learn(collection, number, rank):
    """Look up, and collect the gradient of a random loss."""
    tensors = collection.lookup(batch(number, rank, collection.plan)).tensors
    generator = torch.Generator().manual_seed(10 * number + rank)
    wanted = {k: t for k, t in tensors.items() if t.requires_grad}
    sum((t * torch.randn(t.shape, generator=generator)).sum() for t in wanted.values()).backward()
    return {key: tensor.detach().clone() for key, tensor in tensors.items()}


def steps(collection, numbers):
    """What this worker looked up in some steps of all."""
    tensors = []
    for number in numbers:
        tensors.append(learn(collection, number, workers.rank))
        collection.apply_gradients(0.05)
    return tensors


def steps_alone(collection, numbers):
    """What this worker looks up in the same steps, of one process that does the work of all."""
    tensors = []
    for number in numbers:
        every = [learn(collection, number, rank) for rank in range(workers.size)]
        tensors.append(every[workers.rank])
        collection.apply_gradients(0.05)
    return tensors


def saved(collection, path):
    """The arrays of a checkpoint."""
    snapshot = Snapshot({}, arrays=collection.state_arrays())
    if workers.first:
        write_folder(path, snapshot)
    else:
        CheckpointStore(path).take_part(snapshot)
    workers.told(None)  # it is there
    return read_folder(path).arrays


def by_key(arrays, plan):
    """Arrays with the rows of dynamic tables, and what is known of their keys, in the order of keys."""
    result = {name: array for name, array in arrays.items() if "/key_" not in name}
    for keys in plan.keys:
        parts = {part: np.array(arrays[f"{keys.name}/key_{part}"]) for part in ("keys", "rows", "counts", "steps")}
        order = np.lexsort((parts["keys"], parts["rows"] < 0))
        held = int((parts["rows"] >= 0).sum())
        rows = parts.pop("rows")[order][:held]
        result |= {f"{keys.name}/key_{part}": array[order] for part, array in parts.items()}
        result[f"{keys.name}/key_told"] = arrays[f"{keys.name}/key_told"]
        named = {table.name for table in plan.tables if table.keys == keys.name}
        for name in [name for name in result if name.rpartition("/")[0] in named and "/key_" not in name]:
            result[name] = arrays[name][rows]
    return result


def alike(ours, theirs, atol=0.0):
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
    for key, array in ours.items():
        np.testing.assert_allclose(array, theirs[key], rtol=atol, atol=atol, err_msg=key)


def equals_one(plan, optimizer, kinds, folder, far=True):
    """In memory, and partly so, every number is that of one process."""
    one = EmbeddingCollection(plan, optimizer, seed=3, threads=1)
    alone, happened = steps_alone(one, range(STEPS)), one.dynamics()
    found = {}
    for name, storage in (("near", None), ("far", folder))[: 1 + far]:
        shared = made(plan, optimizer, kinds, storage)
        for ours, theirs in zip(steps(shared, range(STEPS)), alone, strict=True):
            alike(ours, theirs, 1e-5)
        if storage is not None:
            assert any(counts["written"] for counts in shared.traffic().values()), "all is in memory"
        assert shared.dynamics() == happened
        found[name] = saved(shared, folder / name)
        alike(by_key(found[name], plan), {**by_key(one.state_arrays(), plan), **zeros(found[name], plan)}, 1e-5)
    alike(*found.values(), *[found["near"]] * (not far))


def zeros(arrays, plan):
    """What was told of keys before their state was saved."""
    return {f"{keys.name}/key_told": arrays[f"{keys.name}/key_told"] for keys in plan.keys}


def goes_on(plan, optimizer, kinds, folder):
    """With ids that come and go: as if it had not stopped, in memory or not, and over one process and back."""
    whole = made(plan, optimizer, kinds)
    start = steps(whole, range(3))
    happened = whole.dynamics().values()
    assert not plan.keys or any(counts["evicted"] + counts["expired"] for counts in happened), "no id goes"
    middle = saved(whole, folder / "middle")
    end = steps(whole, range(3, STEPS))
    final = saved(whole, folder / "final")
    far = made(plan, optimizer, kinds, folder)
    for ours, theirs in zip(steps(far, range(3)), start, strict=True):
        alike(ours, theirs)
    for storage in (None, folder):
        again = made(plan, optimizer, kinds, storage)
        again.load_state_arrays(middle)
        alike(saved(again, folder / "again"), middle)
        for ours, theirs in zip(steps(again, range(3, STEPS)), end, strict=True):
            alike(ours, theirs)
        alike(saved(again, folder / "again"), final)
    one = EmbeddingCollection(plan, optimizer, seed=8, threads=1)
    one.load_state_arrays(middle)
    alike(by_key(one.state_arrays(), plan), by_key(middle, plan))
    back = made(plan, optimizer, kinds, folder)
    if workers.first:
        write_folder(folder / "one", Snapshot({}, arrays=one.state_arrays()))
    workers.told(None)
    back.load_state_arrays(read_folder(folder / "one").arrays)
    alike(by_key(saved(back, folder / "back"), plan), by_key(middle, plan))


def picks(kind):
    """A world's plan whose first sequence is searched."""
    plan = worlds.world(1000, ROWS, 4, IDS).plan
    group = plan.groups["deep"]
    search = Search(kind, 2, None if kind == "newest" else "seq__one")
    sequences = (replace(group.layout.sequences[0], search=search), *group.layout.sequences[1:])
    groups = {**plan.groups, "deep": replace(group, layout=replace(group.layout, sequences=sequences))}
    return replace(plan, groups=groups)


def searched(kind, moving, kinds, folder):
    """Steps that are not picked are neither counted nor moved."""
    plan = dynamic(picks(kind), IDS) if moving else picks(kind)
    equals_one(plan, OPTIMIZERS["lazy_adam"], kinds_of(plan, *kinds), folder, far=False)


def moves_to_one(folder):
    """A state that one process made goes to workers, who have less room for some keys than there are of them."""
    plan = dynamic(worlds.world(1000, ROWS, 4, IDS).plan, 30, eviction="lfu")
    one = EmbeddingCollection(plan, SGD(), seed=3, threads=1)
    steps_alone(one, range(4))
    if workers.first:
        write_folder(folder / "one", Snapshot({}, arrays=one.state_arrays()))
    workers.told(None)
    whole = read_folder(folder / "one").arrays
    shared = made(plan, SGD(), kinds_of(plan, "row"))
    shared.load_state_arrays(whole)
    after = saved(shared, folder / "two")
    lost = 0
    for name in [keys.name for keys in plan.keys]:
        before, kept = (dict(zip(*told(arrays, name, "keys", "counts"), strict=True)) for arrays in (whole, after))
        assert kept.items() <= before.items()
        gone = [before[key] for key in before.keys() - kept.keys()]
        assert max(gone, default=0) <= max(kept.values())
        evicted = told(after, name, "told")[0][3] - told(whole, name, "told")[0][3]
        assert evicted == len(gone)
        lost += evicted
        here, there = (dict(zip(*told(arrays, name, "keys", "rows"), strict=True)) for arrays in (after, whole))
        for table in (t.name for t in plan.tables if t.keys == name):
            for key, row in here.items():
                theirs = whole[f"{table}/weight"][there[key]]
                np.testing.assert_array_equal(after[f"{table}/weight"][row], theirs)
    assert lost, "there is room for all"


def told(arrays, name, *parts):
    """Parts of the state of keys, as lists."""
    return [arrays[f"{name}/key_{part}"].tolist() for part in parts]


def cases():
    plan = worlds.world(1000, ROWS, 4, IDS).plan
    for name, optimizer in OPTIMIZERS.items():
        if name != "adam":
            yield f"static-{name}", equals_one, (plan, optimizer, kinds_of(plan, "row", "table"))
            moving = dynamic(plan, IDS)
            yield f"dynamic-{name}", equals_one, (moving, optimizer, kinds_of(moving, "row"))
    columns = kinds_of(plan, "column", "row", "data_parallel")
    yield "columns", equals_one, (plan, OPTIMIZERS["lazy_adam"], columns)
    yield "static-goes-on", goes_on, (plan, OPTIMIZERS["lazy_adam"], columns)
    for name, rules in RULES.items():
        moving = dynamic(plan, 10 if name == "exact" else 60, **rules)
        yield f"goes-on-{name}", goes_on, (moving, OPTIMIZERS["adagrad"], kinds_of(moving, "row"))
    for kind in ("newest", "hard"):
        yield f"searched-{kind}", searched, (kind, True, ["row"])
    yield "searched-hard-by-column", searched, ("hard", False, ["column"])
    for kind in ("hash", "soft"):
        for other in ("row", "table", "data_parallel"):
            yield f"searched-{kind}-by-{other}", searched, (kind, False, [other])
    yield "moves-to-one", moves_to_one, ()


# Whose ids come and go.
RULES = {
    "lru": {},
    "score": {"eviction": "score", "half_life": 2.0},
    "ttl": {"ttl": 2},
    "exact": {"counting": "exact", "min_count": 2, "size": 500},
    "sketch": {"counting": "sketch", "min_count": 2, "size": 50},
    "chance": {"counting": "chance", "probability": 0.5},
}


def main():
    folder, transport, *wanted = Path(sys.argv[1]), *sys.argv[2:]
    workers.join(60.0, transport=transport)
    for name, case, settings in cases():
        if wanted and name not in wanted:
            continue
        (folder / name).mkdir(exist_ok=True)
        workers.told(None)
        try:
            case(*settings, folder / name)
            wrong = ""
        except AssertionError:
            wrong = traceback.format_exc()
        every = workers.texts(wrong)
        if workers.first:
            (folder / f"{name}.txt").write_text("\n".join(text for text in every if text))
    workers.leave()


if __name__ == "__main__":
    main()
