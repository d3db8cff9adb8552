"""The training of an EasyRec config."""

from __future__ import annotations

from typing import Any

from easyrec.convert import schedules
from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.report import Report
from easyrec.convert.tzrec_train import LR, keep, rhythm

OPTIMIZERS = {
    "adam_optimizer": ("lazy_adam", "adam"),
    "adam_async_optimizer": ("lazy_adam", "adam"),
    "lazy_adam_optimizer": ("lazy_adam", "adam"),
    "adamw_optimizer": ("lazy_adam", "adamw"),
    "adam_asyncw_optimizer": ("lazy_adam", "adamw"),
    "adagrad_optimizer": ("adagrad", "adagrad"),
    "momentum_optimizer": ("sgd", "sgd"),
    "momentumw_optimizer": ("sgd", "sgd"),
    "ftrl_optimizer": ("ftrl", "adagrad"),
}
"""(of tables, of dense parameters) for each of theirs."""

_DROPPED = dict.fromkeys(
    [
        "sync_replicas",
        "sparse_accumulator_type",
        "startup_delay_steps",
        "save_summary_steps",
        "is_profiling",
        "train_distribute",
        "num_gpus_per_worker",
        "summary_model_vars",
        "protocol",
        "inter_op_parallelism_threads",
        "intra_op_parallelism_threads",
        "tensor_fuse",
        "write_graph",
        "enable_oss_stop_signal",
    ],
    "has no meaning here",
)
_LOST = {
    "fine_tune_checkpoint": "their checkpoints cannot be read",
    "fine_tune_ckpt_var_map": "their checkpoints cannot be read",
    "force_restore_shape_compatible": "their checkpoints cannot be read",
    "freeze_gradient": "trainable: false freezes a table, nothing freezes layers",
    "incr_save_config": "tables are written whole",
    "dead_line": "nothing stops training at a time of day",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `train`."""
    config = root.message("train_config")
    if config is None:
        return
    train = draft.train
    if config.integer("num_steps"):
        train["steps"] = config.integer("num_steps")
    _optimizers(config, train, report)
    rhythm(config, train)
    if config.integer("save_checkpoints_secs") and "checkpoint" not in train:
        train["checkpoint"] = {"every": {"seconds": config.integer("save_checkpoints_secs")}}
    if config.has("keep_checkpoint_max"):
        keep(config, train, report)
    bound = float(config.number("gradient_clipping_by_norm"))
    train |= {"grad_clip": {"norm": bound}} if bound > 0 else {}
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)
    if config.has("enable_early_stop", "early_stop_func"):
        report.lose(
            config,
            dict.fromkeys(("enable_early_stop", "early_stop_func", "early_stop_params"), "see train.early_stop"),
            "give train.early_stop its metric and patience",
        )


def _optimizers(config: Message, train: dict[str, Any], report: Report) -> None:
    """One optimizer of theirs moves all; of two the first moves the tables of the wide part."""
    messages = config.messages("optimizer_config")
    chosen = messages[-1:]
    if len(messages) > 1:
        why = "one optimizer moves all tables, the last; theirs gave the wide part its own"
        report.add("changed", messages[0], "", why)
        for message in messages[:-1]:
            message.settle()
    for message in chosen:
        report.target = ("train", "sparse_optimizer")
        sparse, dense = _optimizer(message, report)
        factor = float(message.number("embedding_learning_rate_multiplier", 1.0))
        sparse["lr"] *= factor or 1.0
        train |= {"sparse_optimizer": sparse, "dense_optimizer": dense}
        if message.flag("use_moving_average"):
            train["ema"] = {"decay": float(message.number("moving_average_decay", 0.9999))}
        message.values("moving_average_decay")
        report.target = None


def _optimizer(message: Message, report: Report) -> tuple[dict[str, Any], dict[str, Any]]:
    name = next((n for n in message.names() if n.endswith("_optimizer")), "")
    inner = message.message(name) if name else None
    if inner is None:
        return {"type": "lazy_adam", "lr": LR}, {"type": "adam", "lr": LR}
    lr, schedule = _rate(inner.message("learning_rate"), report)
    if name not in OPTIMIZERS:
        report.add("changed", message, name, "is not there; adam with its rate is in its place")
    sparse, dense = OPTIMIZERS.get(name, ("lazy_adam", "adam"))
    both: tuple[dict[str, Any], dict[str, Any]] = ({"type": sparse, "lr": lr}, {"type": dense, "lr": lr})
    for found in both:
        if "adam" in found["type"] and inner.has("beta1", "beta2"):
            found["betas"] = [float(inner.number("beta1", 0.9)), float(inner.number("beta2", 0.999))]
        if found["type"] == "adamw":
            found["weight_decay"] = float(inner.number("weight_decay", 1e-6))
        if found["type"] == "ftrl":
            found.update({k: float(inner.number(n)) for k, n in (("l1", "l1_reg"), ("l2", "l2_reg")) if inner.has(n)})
        found.update({"schedule": schedule} if schedule else {})
    if dense == "sgd":
        both[1]["momentum"] = float(inner.number("momentum_optimizer_value", 0.9))
        report.add("changed", inner, "", "tables move without momentum")
    if name == "momentumw_optimizer":
        report.lose(inner, {"weight_decay": "sgd has none here"})
    if sparse == "ftrl":
        report.add("changed", inner, "", "dense parameters move by adagrad")
        report.lose(
            inner,
            dict.fromkeys(
                ("learning_rate_power", "initial_accumulator_value", "l2_shrinkage_reg"), "ftrl has no such key here"
            ),
        )
    if name == "adam_optimizer":
        why = "tables move by lazy_adam, the rows of a batch alone"
        report.add("changed", inner, "", why, "adam moves all rows at every step, as there, and is slow")
    if name == "adagrad_optimizer":
        value = float(inner.number("initial_accumulator_value", 0.1))
        for found in both:
            found["initial_accumulator"] = value
    if name == "adamw_optimizer":
        report.add("changed", inner, "", "the weight decay is that of dense parameters alone")
    return both


def _rate(message: Message | None, report: Report) -> tuple[float, dict[str, Any]]:
    """Rate and schedule."""
    name = next(iter(message.names()), "") if message is not None else ""
    inner = message.message(name) if message is not None and name else None
    if message is None or inner is None:
        return LR, {}
    if name == "constant_learning_rate":
        return float(inner.number("learning_rate", LR)), {}
    if name == "exponential_decay_learning_rate":
        names = {"steps": "decay_steps", "warmup_steps": "burnin_steps", "warmup_from": "burnin_learning_rate"}
        return float(inner.number("initial_learning_rate", LR)), schedules.exponential(inner, report, names)
    if name == "manual_step_learning_rate":
        base = float(inner.number("initial_learning_rate", LR))
        switches = [(s.integer("step"), float(s.number("learning_rate", LR))) for s in inner.messages("schedule")]
        if inner.flag("warmup"):
            report.add("changed", inner, "warmup", "rates change at once")
        return base, schedules.steps(switches, base)
    base = float(inner.number("learning_rate_base", LR))
    if name == "cosine_decay_learning_rate":
        report.lose(inner, {"hold_base_rate_steps": "the rate falls from the first step on"})
        inner.values("warmup_learning_rate")
        warmup = inner.integer("warmup_steps", 10_000)
        return base, schedules.cosine(inner.integer("total_steps", 4_000_000), warmup, 0.0)
    report.add("lost", message, name, "is not there: the rate stays constant", "choose a schedule of train's")
    return base, {}
