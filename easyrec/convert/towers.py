"""Models of several tasks, of both peers: what is shared, and a tower for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from easyrec.convert import layers, tasks
from easyrec.convert.message import Message
from easyrec.convert.report import Report

Keys = dict[str, Any]


@dataclass(frozen=True)
class Towers:
    """Reads the MLPs of a model of several tasks.

    Attributes:
        mlp: How the peer calls a layer stack: `mlp` or `dnn`.
        batch_norm: Whether the peer normalises unless told otherwise.
        report: Where to say what is not carried.
    """

    mlp: str
    batch_norm: bool
    report: Report

    def block(self, message: Message | None) -> Keys:
        """An MLP as a block of our config; without one no layers."""
        if message is None:
            return {"hidden": []}
        return layers.mlp(message, self.report, batch_norm=self.batch_norm)

    def of_tasks(self, names: Sequence[str], towers: Sequence[Message]) -> Keys:
        """`tower`, and `towers` of the tasks that differ from it."""
        blocks = {n: self.block(tower.message(self.mlp)) for n, tower in zip(names, towers, strict=True)}
        if not blocks:
            return {}
        common = max(blocks.values(), key=list(blocks.values()).count)
        differing = {name: _difference(block, common) for name, block in blocks.items() if block != common}
        return {"tower": common} | ({"towers": differing} if differing else {})

    def relations(self, names: Sequence[str], towers: Sequence[Message]) -> Keys:
        """`relations` and the one `relation` of dbmtl."""
        found: dict[str, list[str]] = {}
        blocks: list[Keys] = []
        for task, tower in zip(names, towers, strict=True):
            others = [tasks.plain_name(name) for name in tower.texts("relation_tower_names")]
            before = [name for name in dict.fromkeys(others) if name in names[: names.index(task)]]
            if len(before) < len(set(others)):
                self.report.add("lost", tower, "relation_tower_names", "names what is no task before it")
            if before and self.mlp == "mlp" and not tower.has("relation_mlp"):
                self.report.drop(tower, {"relation_tower_names": "has no effect there without relation_mlp"})
            elif before:
                found[task] = before
                block = self.block(tower.message(f"relation_{self.mlp}"))
                if blocks and block != blocks[0]:
                    why = "tasks that depend on others have equal layers over them: those of the first stand for all"
                    self.report.add("changed", tower, f"relation_{self.mlp}", why)
                blocks.append(block)
            else:
                self.report.lose(tower, {f"relation_{self.mlp}": "belongs to a task that depends on none"})
        return {"relations": found, "relation": blocks[0]} if found else {}

    def experts(self, model: Message, default: int) -> Keys:
        """`experts` and `expert`; nothing where the model has none."""
        number = model.integer("num_expert", default)
        expert = model.message(f"expert_{self.mlp}")
        self.report.lose(model, {f"gate_{self.mlp}": "a gate is a single layer"})
        if expert is None or not number:
            return {}
        return {"experts": number, "expert": self.block(expert)}

    def levels(self, model: Message) -> Keys:
        """`levels` of ple, each with what the first one is not."""
        found: list[Keys] = []
        for network in model.messages("extraction_networks"):
            network.values("network_name")
            level: Keys = {"task_experts": max(network.integer("expert_num_per_task", 1), 1)}
            level["shared_experts"] = network.integer("share_num", 0)
            own, shared = network.message("task_expert_net"), network.message("share_expert_net")
            level["expert"] = self.block(own)
            if not level["shared_experts"]:
                level["shared_experts"] = 1
                self.report.add("changed", network, "", "a level has shared experts: one, as it names none")
            elif shared is not None and self.block(shared) != level["expert"]:
                why = "all experts of a level have the layers of the tasks' own"
                self.report.add("changed", network, "share_expert_net", why)
            found.append(level)
        if not found:
            return {}
        if all(level == found[0] for level in found):
            return {"levels": len(found), **found[0]}
        first = found[0]
        return {"levels": [{k: v for k, v in level.items() if v != first[k]} for level in found], **first}


def _difference(block: Keys, common: Keys) -> Keys:
    """What must be said of a block that stands over a common one."""
    defaults = {"dropout": 0.0, "batch_norm": False, "layer_norm": False}
    missing = {key: defaults[key] for key in common if key not in block and key in defaults}
    return {key: value for key, value in {**block, **missing}.items() if common.get(key) != value}
