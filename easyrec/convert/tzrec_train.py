"""The training of a TorchEasyRec config."""

from __future__ import annotations

from typing import Any

from easyrec.convert import schedules
from easyrec.convert.draft import Draft
from easyrec.convert.message import Message
from easyrec.convert.report import Report

LR = 0.002
"""Rate of an optimizer that names none."""

SPARSE = {
    "sgd_optimizer": "sgd",
    "adagrad_optimizer": "adagrad",
    "adam_optimizer": "lazy_adam",
    "rowwise_adagrad_optimizer": "rowwise_adagrad",
    "ftrl_optimizer": "ftrl",
}
"""Optimizers of tables. Theirs move the rows of a batch alone, so adam is `lazy_adam`."""

DENSE = {
    "sgd_optimizer": "sgd",
    "adagrad_optimizer": "adagrad",
    "adam_optimizer": "adam",
    "adamw_optimizer": "adamw",
}

_DROPPED = {
    "is_profiling": "easyrec writes timings into every report",
    "use_tensorboard": "curves are always written",
    "tensorboard_summaries": "curves are always written",
    "cudnn_allow_tf32": "has no meaning here",
    "cuda_matmul_allow_tf32": "has no meaning here",
    "global_embedding_constraints": "says how tables are spread over GPUs",
    "grad_scaler": "belongs to fp16",
    "save_checkpoints_timestamp_interval": "belongs to streams",
    "save_checkpoints_timestamps": "belongs to streams",
    "save_checkpoints_timestamp_quorum": "belongs to streams",
}
_LOST = {
    "fine_tune_checkpoint": "their checkpoints cannot be read",
    "fine_tune_ckpt_param_map": "their checkpoints cannot be read",
    "gradient_accumulation_steps": "every batch is a step; take a larger batch_size",
    "delta_embedding_dump_config": "tables are written whole",
}


def convert(root: Message, draft: Draft, report: Report) -> None:
    """Fill in `train`."""
    config = root.message("train_config")
    if config is None:
        return
    train = draft.train
    if config.integer("num_epochs"):
        train["epochs"] = config.integer("num_epochs")
    if config.integer("num_steps"):
        train["steps"] = config.integer("num_steps")
    for section, known in (("sparse_optimizer", SPARSE), ("dense_optimizer", DENSE)):
        message = config.message(section)
        if message is not None:
            report.target = ("train", section)
            train[section] = _optimizer(message, known, report)
            average = message.message("ema")
            if average is not None:
                train["ema"] = {"decay": float(average.number("decay", 0.999))}
    report.target = None
    rhythm(config, train)
    if config.has("keep_checkpoint_max"):
        keep(config, train, report)
    _precision(config, train, report)
    _clipping(config, train, report)
    report.drop(config, _DROPPED)
    report.lose(config, _LOST)


def rhythm(config: Message, train: dict[str, Any]) -> None:
    """How often is evaluated and saved: theirs do both at once."""
    every: dict[str, Any] = {}
    if config.integer("save_checkpoints_epochs"):
        every = {"epochs": config.integer("save_checkpoints_epochs")}
    elif config.integer("save_checkpoints_steps"):
        every = {"steps": config.integer("save_checkpoints_steps")}
    config.values("save_checkpoints_steps")
    if every:
        train["evaluate_every"] = every
        train["checkpoint"] = {"every": every}
    if config.integer("log_step_count_steps"):
        train["log_every"] = config.integer("log_step_count_steps")


def keep(config: Message, train: dict[str, Any], report: Report) -> None:
    """How many checkpoints stay."""
    number = config.integer("keep_checkpoint_max")
    if number:
        train["checkpoint"] = {**train.get("checkpoint", {}), "keep": number}
    else:
        report.add("changed", config, "keep_checkpoint_max", "0 means all there; here the newest two and the best stay")


def _precision(config: Message, train: dict[str, Any], report: Report) -> None:
    precision = config.text("mixed_precision").upper()
    if precision == "BF16":
        train["precision"] = "bf16"
    elif precision and precision != "FP32":
        report.add("changed", config, "mixed_precision", f"{precision} is not there: fp32, or set precision: bf16")


def _clipping(config: Message, train: dict[str, Any], report: Report) -> None:
    clipping = config.message("grad_clipping")
    if clipping is None:
        return
    kind, bound = clipping.text("clipping_type", "none"), float(clipping.number("max_gradient", 1.0))
    if kind in ("norm", "value"):
        train["grad_clip"] = {kind: bound}
    if clipping.number("norm_type", 2.0) != 2.0:
        report.add("changed", clipping, "norm_type", "norms are Euclidean")
    clipping.values("enable_global_grad_clip")


def _optimizer(message: Message, known: dict[str, str], report: Report) -> dict[str, Any]:
    name = next((n for n in message.names() if n.endswith("_optimizer")), "")
    inner = message.message(name) if name else None
    if inner is None:
        return {"type": "lazy_adam" if known is SPARSE else "adam", "lr": LR}
    lr = float(inner.number("lr", LR))
    if name in known:
        found = {"type": known[name], "lr": lr} | _parameters(known[name], inner, report)
    else:
        other = "lazy_adam" if known is SPARSE else "adam"
        report.add("changed", message, name, f"is not there; {other} with its rate is in its place")
        found = {"type": other, "lr": lr}
    for key in message.names():
        if key.endswith("_learning_rate"):
            schedule = _schedule(key, message, lr, report)
            found |= {"schedule": schedule} if schedule else {}
    for key in ("param_optimizers", "part_optimizers"):
        report.lose(message, {key: "one optimizer moves all dense parameters"})
    return found


def _parameters(kind: str, inner: Message, report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind in ("adam", "lazy_adam", "adamw") and inner.has("beta1", "beta2"):
        found["betas"] = [float(inner.number("beta1", 0.9)), float(inner.number("beta2", 0.999))]
    if kind == "adamw":
        found["weight_decay"] = float(inner.number("weight_decay"))
    elif inner.number("weight_decay"):
        report.add("lost", inner, "weight_decay", f"{kind} has none here")
    if kind in ("adagrad", "rowwise_adagrad") and inner.has("initial_accumulator_value"):
        found["initial_accumulator"] = float(inner.number("initial_accumulator_value"))
    if kind == "sgd" and inner.number("momentum"):
        found["momentum"] = float(inner.number("momentum"))
    if kind == "ftrl":
        found |= {k: float(inner.number(n)) for k, n in (("l1", "l1_reg"), ("l2", "l2_reg")) if inner.has(n)}
        found |= {"beta": float(inner.number("ftrl_beta"))} if inner.has("ftrl_beta") else {}
        if inner.number("learning_rate_power", -0.5) != -0.5:
            report.add("changed", inner, "learning_rate_power", "is -0.5")
        report.lose(inner, {"initial_accumulator_value": "sums of squared gradients start at 0"})
    if inner.flag("gradient_clipping"):
        report.add("lost", inner, "gradient_clipping", "gradients are clipped together: train.grad_clip")
    inner.values("max_gradient")
    inner.values("weight_decay_mode")
    return found


def _schedule(name: str, outer: Message, lr: float, report: Report) -> dict[str, Any]:
    message = outer.message(name)
    if message is None or name == "constant_learning_rate":
        return {}
    if message.flag("by_epoch"):
        why = "schedules count steps, not epochs: the rate stays constant"
        report.add("lost", outer, name, why, "write the schedule in steps")
        return {}
    if name == "exponential_decay_learning_rate":
        names = {"steps": "decay_size", "warmup_steps": "warmup_size", "warmup_from": "warmup_learning_rate"}
        return schedules.exponential(message, report, names)
    if name == "manual_step_learning_rate":
        # Theirs changes the rate behind the step that is named, ours at it.
        pairs = zip(message.integers("schedule_sizes"), message.numbers("learning_rates"), strict=False)
        if message.flag("warmup"):
            report.add("changed", message, "warmup", "rates change at once")
        switches = [(step + 1, float(rate)) for step, rate in pairs]
        return schedules.steps(switches, lr)
    if name == "cosine_annealing_learning_rate":
        total = message.integer("T_max") + message.integer("warmup_size")
        if message.number("warmup_learning_rate"):
            report.add("changed", message, "warmup_learning_rate", "a warm-up starts from zero")
        return schedules.cosine(total, message.integer("warmup_size"), float(message.number("min_learning_rate")))
    report.add("lost", outer, name, "is not there: the rate stays constant", "choose a schedule of train's")
    return {}
