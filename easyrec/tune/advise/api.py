"""`easyrec.advise`: what a config, its data and its runs say against each other."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from easyrec.check import build
from easyrec.config import Experiment
from easyrec.config.experiment import experiment_of, read_document
from easyrec.config.family import implementation
from easyrec.config.space import unsearched
from easyrec.data import open_sources
from easyrec.durable import write_text
from easyrec.errors import ConfigError, RunError, nearest
from easyrec.report.advice_page import advice_page
from easyrec.train.profiling import read_profile
from easyrec.train.run_folder import METRICS, run_path
from easyrec.tune.advise.evidence import Evidence
from easyrec.tune.advise.history import History, read_history
from easyrec.tune.advise.measured import measure
from easyrec.tune.advise.proposal import ORDER, Proposal
from easyrec.tune.advise.rules import Rule
from easyrec.tune.advise.searched import Searched, read_searched
from easyrec.tune.advise.seen import Seen, look
from easyrec.tune.advise.settle import settled, write_applied
from easyrec.tune.outputs import TABLE
from easyrec.tune.search import load_search
from easyrec.tune.study import differences
from feature_generator.config import Document, members, override

logger = logging.getLogger("easyrec.tune")

RULES = "easyrec.tune.advise.rules"
ROWS, STEPS = 20_000, 200


@dataclass(frozen=True)
class Advice:
    """What was found.

    Attributes:
        experiment: The experiment; of a config with spaces that of each space's first value.
        proposals: The most severe first.
        looked: Rules that had what they need.
        missing: What other rules needed, and why it was not there.
        seen: What was looked at, in words.
        document: The config, its features taken in.
    """

    experiment: Experiment
    proposals: tuple[Proposal, ...]
    looked: tuple[str, ...]
    missing: Mapping[str, str]
    seen: tuple[str, ...]
    document: Document

    def told(self) -> dict[str, Any]:
        """Plain data."""
        proposals = [proposal.told() for proposal in self.proposals]
        return {
            "name": self.experiment.name,
            "proposals": proposals,
            "looked": list(self.looked),
            "missing": dict(self.missing),
            "seen": list(self.seen),
        }

    def apply(self, path: str | os.PathLike[str]) -> list[Proposal]:
        """Write the config with the proposed settings; the proposals that were applied.

        A proposal without settings is left out, and so is one whose settings do not go with those of a more severe one.

        Raises:
            ConfigError: It is the file that was looked at, whose comments would be lost.
        """
        if self.document.file and Path(path).exists() and Path(path).samefile(self.document.file):
            raise ConfigError("is the config that was looked at: name another file", str(path))
        return write_applied(Path(path), self.experiment, self.document, self.proposals)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the advice as an HTML page."""
        write_text(Path(path), advice_page(self.told(), [proposal.place for proposal in self.proposals]))
        return Path(path)


def advise(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | os.PathLike[str]] = (),
    run: str | os.PathLike[str] | None = None,
    study: str | os.PathLike[str] | None = None,
    rows: int = ROWS,
    steps: int = STEPS,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Advice:
    """Look at a config, a sample of its data, the time of some steps, and what a run and a search have left.

    Args:
        config: A YAML, also one with spaces, its content as a dict, or the folder of a run or a search.
        data: Rows by part that stand in for the config's.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run: Folder of a run; default: `config` where it is one, else `runs/<name>` where its config is the same.
        study: Folder of a search; default: `config` where it is one, else `runs/<name>-tune`.
        rows: Rows of `train` and of `valid` that are read at most; 0: the data are left alone.
        steps: Training steps that are measured; 0: none. A profile of the run stands in for them.
        only: Rules that are heard, `small_buckets` or, about one feature alone, `small_buckets:tags`; default: all.
        skip: Rules that are not.

    Raises:
        ConfigError: The config is wrong, lacks columns of the data, or there is no such rule.
        DataError: The data cannot be read.
        RunError: A folder that is named holds no run, or no search.
    """
    document = read_document(config, overrides, plugins=plugins)
    experiment = (
        load_search(config, overrides, given=list(data or {})).first
        if unsearched(document)
        else experiment_of(document)
    )
    wanted = _wanted(only, skip)
    built, whole = build(experiment), _whole(document, experiment)
    missing: dict[str, str] = {}
    needs = {rule.needs for rule in wanted.values()}
    history = _history(config, experiment, run, missing) if "run" in needs else None
    searched = _searched(config, experiment, study, missing) if "study" in needs else None
    parts = _parts(experiment, data, rows, missing) if "data" in needs else {}
    folder = history.path if history is not None else None
    profile = _profile(experiment, data, steps, folder, missing) if "profile" in needs else None
    evidence = Evidence(experiment, built, whole.raw, parts, profile, history, searched)
    there = {"config": True, "data": "train" in parts, "profile": profile, "run": history, "study": searched}
    heard = {name: rule for name, rule in wanted.items() if there[rule.needs] not in (None, False)}
    proposals = [
        settled(found, experiment, whole, evidence.spots)
        for name, rule in heard.items()
        for found in _found(name, rule, evidence)
        if _chosen(found.key, only, skip)
    ]
    proposals.sort(key=lambda proposal: ORDER.index(proposal.severity))
    return Advice(experiment, tuple(proposals), tuple(heard), missing, tuple(_told(evidence)), whole)


def rules() -> dict[str, Rule]:
    """All rules by their names."""
    return {name: implementation(RULES, name, Rule)() for name in members(RULES)}  # type: ignore[type-abstract]


def _wanted(only: Sequence[str], skip: Sequence[str]) -> dict[str, Rule]:
    """The rules that may be heard.

    Raises:
        ConfigError: There is no such rule.
    """
    known = rules()
    for named in (*only, *skip):
        name = named.partition(":")[0]
        if name not in known:
            raise ConfigError(f"there is no rule '{name}'{nearest(name, known)}\nknown: {', '.join(known)}")
    heard = {named.partition(":")[0] for named in only} or set(known)
    return {name: rule for name, rule in known.items() if name in heard and name not in skip}


def _chosen(key: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    rule = key.partition(":")[0]
    return (not only or rule in only or key in only) and key not in skip


def _found(name: str, rule: Rule, evidence: Evidence) -> Iterator[Proposal]:
    seen = set()
    for found in rule.look(evidence):
        proposal = replace(found, rule=name)
        if proposal.key not in seen:  # features of one entry, or of one table, share a proposal
            seen.add(proposal.key)
            yield proposal


def _whole(document: Document, experiment: Experiment) -> Document:
    """The config with its features file in the place of the path, as overrides reach into it."""
    if not isinstance(document.raw.get("features"), str):
        return document
    return override(Document(None, {**document.raw, **experiment.features.raw}, document.places, document.file), ())


# ------------------------------------------------------------------------------------------- evidence


def _parts(
    experiment: Experiment, data: Mapping[str, Any] | None, rows: int, missing: dict[str, str]
) -> dict[str, Seen]:
    if not rows:
        missing["data"] = "no rows were asked for"
        return {}
    if open_sources(experiment, data).train is None:
        missing["data"] = "the config names no rows to learn from"
        return {}
    found = look(experiment, data, rows)
    if "train" not in found:
        missing["data"] = "train has no rows, or no end of them"
    return found


def _profile(
    experiment: Experiment,
    data: Mapping[str, Any] | None,
    steps: int,
    folder: Path | None,
    missing: dict[str, str],
) -> dict[str, Any] | None:
    known = None if folder is None else read_profile(folder)
    if known is not None:
        return known
    if not steps:
        missing["profile"] = "no steps were asked for, and no run has a profile"
        return None
    if open_sources(experiment, data).train is None:
        missing["profile"] = "the config names no rows to learn from"
        return None
    logger.info("measuring %s training steps", steps)
    found = measure(experiment, data, steps)
    if found is None:
        missing["profile"] = "the training is too short to be measured, or counts in one pass"
    return found


def _history(
    config: Any, experiment: Experiment, run: str | os.PathLike[str] | None, missing: dict[str, str]
) -> History | None:
    folder = Path(run) if run is not None else _itself(config, METRICS) or _of_the_same(experiment)
    if run is not None and not (folder is not None and (folder / "config.yaml").is_file()):
        raise RunError(f"{folder}: holds no run")
    found = None if folder is None else read_history(folder, experiment.watched)
    if found is None:
        missing["run"] = "no run of this config has been evaluated" if folder is None else f"{folder} has no evaluation"
    return found


def _of_the_same(experiment: Experiment) -> Path | None:
    """The run of this name, where it was trained by this config."""
    folder = run_path(experiment.name)
    if not (folder / METRICS).is_file():
        return None
    known = read_document(folder).raw
    differing = differences(known, experiment.resolved())
    if differing:
        logger.info("%s is left aside: its config differs in %s", folder, ", ".join(differing[:3]))
    return None if differing else folder


def _searched(
    config: Any, experiment: Experiment, study: str | os.PathLike[str] | None, missing: dict[str, str]
) -> Searched | None:
    guessed = run_path(f"{experiment.name}-tune")
    folder = Path(study) if study is not None else _itself(config, TABLE) or guessed
    if study is None and not (folder / TABLE).is_file():
        missing["study"] = "there is no search of this config"
        return None
    found = read_searched(folder)
    if found is None:
        missing["study"] = f"no trial of {folder} has ended"
    return found


def _itself(config: Any, file: str) -> Path | None:
    """The config where it is a folder that holds a file."""
    path = None if isinstance(config, Mapping) else Path(config)
    return path if path is not None and path.is_dir() and (path / file).is_file() else None


def _told(evidence: Evidence) -> Iterator[str]:
    for part in evidence.parts.values():
        of = "" if part.total is None else f" of {part.total:,}"
        yield f"{part.rows:,}{of} rows of {part.name}"
    if evidence.profile is not None:
        yield f"{evidence.profile['steps']} training steps"
    if evidence.history is not None:
        count = len(evidence.history)
        yield f"{count} evaluation{'s' * (count != 1)} of {evidence.history.path}"
    if evidence.searched is not None:
        yield f"{len(evidence.searched.trials)} trials of {evidence.searched.path}"
