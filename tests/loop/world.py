"""A small world whose exposures and clicks are logged as an engine records them, and a loop over it."""

import json
from pathlib import Path

import numpy as np
import yaml

T0 = 1_764_500_000_000
"""Milliseconds since 1970."""
USERS, ITEMS = 60, 40


class World:
    """Users who like items, and the files that tell of it.

    Attributes:
        exposed: Ids and times of the exposures.
        clicked: Ids of those that were clicked.
    """

    def __init__(self, folder, seed=0, writers=("1-a", "2-b")):
        self.folder, self.writers = Path(folder), writers
        self.random = np.random.default_rng(seed)
        self.taste = self.random.normal(size=(USERS, 4))
        self.appeal = self.random.normal(size=(ITEMS, 4))
        self.now, self.requests, self.files = T0, 0, dict.fromkeys(writers, 0)
        self.exposed, self.clicked = [], set()
        self.folder.mkdir(parents=True, exist_ok=True)

    def shift(self):
        """Let tastes be others."""
        self.taste = self.random.normal(size=(USERS, 4))

    def chance(self, user, item):
        return 1 / (1 + np.exp(1.0 - 1.5 * self.taste[user] @ self.appeal[item]))

    def pass_time(self, requests, minutes=10.0, size=4, *, invert=False, shuffled=False, clicks=True):
        """So many requests within so many minutes, logged by each writer in a file of its own."""
        lines = {(writer, kind): [] for writer in self.writers for kind in ("exposures", "events")}
        for number in range(requests):
            self.now += int(minutes * 60_000 / requests)
            self.requests += 1
            user, request = int(self.random.integers(USERS)), f"r{self.requests}"
            writer = self.writers[number % len(self.writers)]
            for position, item in enumerate(self.random.choice(ITEMS, size, replace=False)):
                name = f"{request}/{item}"
                shown = {
                    "event_id": name,
                    "request_id": request,
                    "scene": "feed",
                    "user_id": user,
                    "item_id": int(item),
                    "time": self.now,
                    "position": position,
                    "score": 0.5,
                    "sources": ["popular"],
                    "experiments": {},
                    "propensity": 1.0,
                    "features": {"user_id": user, "item_id": int(item), "hour": self.now // 3_600_000 % 24},
                }
                lines[writer, "exposures"].append(json.dumps(shown))
                self.exposed.append((name, self.now))
                if clicks and (self.random.random() < self.chance(user, item)) != invert:
                    self.clicked.add(name)
                    click = {"event_id": f"c/{name}", "type": "click", "request_id": request, "user_id": user}
                    click |= {"item_id": int(item), "time": self.now + 2000, "value": 1.0}
                    lines[writer, "events"].append(json.dumps(click))
        for (writer, kind), written in lines.items():
            if shuffled:
                self.random.shuffle(written)
            self.write(kind, written, writer)

    def write(self, kind, lines, writer="1-a"):
        """A finished file."""
        self.files.setdefault(writer, 0)
        self.files[writer] += 1
        path = self.folder / f"{kind}-{writer}-{self.files[writer]:012d}.jsonl"
        hidden = path.with_suffix(".jsonl.open")
        hidden.write_text("".join(f"{line}\n" for line in lines))
        hidden.rename(path)


def experiment(**changes):
    return {
        "name": "tiny",
        "data": {"labels": ["click"], "batch_size": 256, "event_time": "time"},
        "features": [
            {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
            {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": ITEMS},
        ],
        "model": {"type": "fm", "embedding_dim": 4},
        "train": {"epochs": 2, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.03}, "threads": 1},
        "export": {"runtimes": ["kernels"], "warmup_rows": 8},
        **changes,
    }


def loop(folder, **changes):
    """The content of a `loop.yaml` in a folder, where its experiment is too."""
    folder = Path(folder)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment()))
    made = {
        "experiment": str(folder / "experiment.yaml"),
        "state": str(folder / "state"),
        "logs": {"exposures": str(folder / "logs")},
        "join": {"labels": [{"name": "click", "window": "1m"}], "lateness": "10s", "every": 0.1},
        "samples": str(folder / "samples"),
        "train": {"every": "5m", "min_rows": 200},
        "gate": {"metric": "auc", "max_drop": 0.2},
        "publish": {"to": str(folder / "served")},
        "poll": 0.1,
    }
    for key, value in changes.items():
        made[key] = {**made[key], **value} if isinstance(made.get(key), dict) and isinstance(value, dict) else value
    return made
