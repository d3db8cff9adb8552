"""Logs in the engine's form: what was shown, and what followed, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from easyrec.durable import sync
from easyrec.simulate.clock import Clock
from easyrec.simulate.events import Clicks, request_ids
from easyrec.simulate.policy import Answers
from easyrec.simulate.users import names_of
from easyrec.simulate.world import Requests, World


class Recorder:
    """Writes `exposures-<name>.jsonl` and `events-<name>.jsonl`, which have these names once they are whole.

    Args:
        world: The world.
        folder: Of the logs.
        name: Beginning of request ids, and the end of the files' names.
        scene: What the exposures say.
    """

    def __init__(self, world: World, folder: Path, name: str, scene: str = "feed") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.world, self.folder, self.name, self.scene = world, folder, name, scene
        self._open: dict[str, TextIO] = {
            kind: self._partial(kind).open("w", encoding="utf-8") for kind in ("exposures", "events")
        }

    def exposures(self, requests: Requests, answers: Answers) -> None:
        """Write what was shown."""
        items, write = self.world.items, self._open["exposures"].write
        ids, users = request_ids(self.name, requests.number), names_of(requests.user)
        columns = self.world.users.columns(requests.user)
        hour, weekday = Clock.hour(requests.time).tolist(), Clock.weekday(requests.time).tolist()
        shown = answers.items.tolist()
        chances = None if answers.propensity is None else answers.propensity.tolist()
        about: Mapping[str, list[Any]] = {
            name: getattr(items, column)[answers.items].tolist()
            for name, column in (("cate", "cate"), ("brand", "brand"), ("price", "price"), ("birth_time", "birth"))
        }
        for row, when in enumerate(requests.time.tolist()):
            for position, item in enumerate(shown[row]):
                if item < 0:
                    continue
                line = {
                    "event_id": f"{ids[row]}/{item}",
                    "request_id": ids[row],
                    "scene": self.scene,
                    "user_id": users[row],
                    "item_id": item,
                    "time": when,
                    "position": position,
                    "score": 0.0,
                    "sources": ["simulate"],
                    "experiments": {},
                    "propensity": 1.0 if chances is None else round(chances[row][position], 9),
                    "features": {
                        **columns[row],
                        **{name: values[row][position] for name, values in about.items()},
                        "hour": hour[row],
                        "weekday": weekday[row],
                    },
                }
                write(json.dumps(line) + "\n")

    def events(self, events: Clicks) -> None:
        """Write what followed."""
        self._open["events"].writelines(json.dumps(row) + "\n" for row in events.rows(self.name))

    def close(self) -> None:
        """Give the files their names."""
        for kind, file in self._open.items():
            file.close()
            sync(self._partial(kind))
            self._partial(kind).replace(self.folder / f"{kind}-{self.name}.jsonl")
        sync(self.folder)

    def _partial(self, kind: str) -> Path:
        return self.folder / f".{kind}-{self.name}.writing"
