"""A small world that leaves logs: users of very different activity, who come again."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

DAY = 86_400_000
START = 1_772_323_200_000  # 2026-03-01


@dataclass
class World:
    """Users with a heavy-tailed activity and tastes of their own; `lift` acts on the probability of a click."""

    folder: object
    users: int = 2000
    days: int = 6
    before: int = 4
    lift: float = 0.0
    seed: int = 0

    def write(self, assigned, layer="ranking"):
        """Write the log; `assigned` is each user's `experiment/variant` or None."""
        random = np.random.default_rng(self.seed)
        rate = np.minimum(random.pareto(1.5, self.users) + 0.2, 30)
        taste = random.beta(2, 12, self.users)
        treated = np.array([bool(name) and name.endswith("/b") for name in assigned])
        exposures, events, number = [], [], 0
        for day in range(-self.before, self.days):
            requests = random.poisson(rate * 0.4)
            for user in np.flatnonzero(requests):
                for _ in range(requests[user]):
                    number += 1
                    time = START + day * DAY + int(random.integers(DAY))
                    known = {layer: assigned[user]} if day >= 0 and assigned[user] else {}
                    user_id, request = f"u{user}", f"r{number}"
                    for item in {int(item) for item in random.integers(0, 500, 4)}:
                        clicks = taste[user] * (1 + (self.lift if treated[user] and day >= 0 else 0))
                        line = {"event_id": f"{request}/{item}", "request_id": request, "scene": "feed"}
                        line |= {"user_id": user_id, "item_id": item, "time": time, "experiments": known}
                        line |= {"features": {"user": {"country": "NO" if user % 3 else "SE"}}}
                        exposures.append(line)
                        if random.random() < clicks:
                            told = {"type": "click", "request_id": request, "user_id": user_id, "item_id": item}
                            events.append({"event_id": f"e{len(events)}", **told, "time": time + 1000})
                            if random.random() < 0.1:
                                told = {**told, "type": "conversion", "value": float(random.exponential(20))}
                                events.append({"event_id": f"e{len(events)}", **told, "time": time + 5000})
        self.folder.mkdir(exist_ok=True)
        for name, lines in (("exposures", exposures), ("events", events)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (self.folder / f"{name}-1.jsonl").write_text(text, encoding="utf-8")
        return exposures, events


@pytest.fixture
def world(tmp_path):
    """Makes worlds whose logs lie in a folder of the test."""
    return lambda **keys: World(tmp_path / "logs", **keys)
