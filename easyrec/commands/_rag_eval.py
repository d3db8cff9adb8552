"""Measure what is found and answered, compare two configs, and fail a build that got worse.

easyrec rag eval -c rag.yaml --questions qa.jsonl --output report.json --html report.html
easyrec rag eval -c rag.yaml --questions qa.jsonl --against other.yaml
easyrec rag eval -c rag.yaml --questions qa.jsonl --gate "mrr@5>=0.8" --baseline report.json --max-drop 0.02
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.commands._print import console, count, line, table
from easyrec.commands._rag import add_config, check_output, config_in, config_of
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from rag.config import RagConfig
    from rag.evaluation.comparing import Compared
    from rag.evaluation.gates import Judged
    from rag.evaluation.questions import Question
    from rag.evaluation.results import Evaluation

Values = Mapping[str, Mapping[str, float]]
WORST = 20
"""Questions that got worse that are told of a metric."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec rag eval`."""
    add_config(parser, base=True)
    parser.add_argument("--questions", required=True, metavar="FILE", help="JSON lines, as `easyrec rag qagen` writes")
    parser.add_argument("--against", metavar="FILE", help="another config, to be compared on the same questions")
    parser.add_argument("--metric", nargs="+", default=[], metavar="NAME", help="measure these instead")
    parser.add_argument("--search-only", action="store_true", help="ask no model for answers")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N questions alone")
    parser.add_argument("--output", metavar="FILE", help="everything as JSON; a baseline for later")
    parser.add_argument("--html", metavar="FILE", help="a page with plots")
    parser.add_argument("--json", action="store_true", help="print means and intervals as one JSON object")
    parser.add_argument(
        "--gate", action="append", default=[], metavar="METRIC>=VALUE", help="fail where that surely does not hold"
    )
    parser.add_argument("--baseline", metavar="FILE", help="a former --output, to be compared on the same questions")
    parser.add_argument(
        "--max-drop", type=float, metavar="X", help="fail where a mean is surely more than X below the baseline's [0]"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, and tell what came of it; 3 where a gate failed."""
    from rag.evaluation.evaluate import metrics_of  # noqa: PLC0415 (help must not wait for it)
    from rag.evaluation.gates import check_gates, read_gate  # noqa: PLC0415
    from rag.evaluation.questions import read_questions  # noqa: PLC0415
    from rag.evaluation.results import read_report  # noqa: PLC0415

    if args.max_drop is not None and args.baseline is None:
        raise ConfigError("--max-drop needs --baseline: it says below what")
    if args.max_drop is not None and not 0.0 <= args.max_drop < math.inf:  # a drop is below nothing that is no number
        raise ConfigError(f"--max-drop: must be a number from 0 on, but is {args.max_drop}")
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit: must be at least 1, but is {args.limit}")
    check_output(args.output, args.html)
    config, other = config_of(args), _other(args)
    gates = [read_gate(text) for text in args.gate]
    keys = [one.key(config.search.k) for one in metrics_of(config, args.metric, answers=not args.search_only)]
    for gate in gates:  # before anything is paid for
        if gate.metric not in keys:
            raise ConfigError(f"--gate: '{gate.metric}' is not measured; measured: {', '.join(keys)}")
    former = None if args.baseline is None else read_report(args.baseline)
    questions = read_questions(args.questions)[: args.limit]
    found = _evaluated(args, config, questions)
    judged = check_gates(gates, found.summaries(), config.evaluation.min_measured)
    compared: dict[str, list[Compared]] = {}
    if other is not None:
        theirs = _evaluated(args, other, questions)
        name = args.against if theirs.name == found.name else theirs.name
        compared[f"{name} beside {found.name}"] = _compare(config, found.by_question(), theirs.by_question())
    worse: list[Compared] = []
    if former is not None:
        other_words = former.reworded({case.question.key: case.question.question for case in found.cases})
        if other_words:
            some = ", ".join(other_words[:5]) + (", ..." if len(other_words) > 5 else "")
            note = f"{len(other_words)} questions ask something else than in the baseline, and are not compared: {some}"
            found = replace(found, notes=[*found.notes, note])
        drops = _compare(config, former.by_question(set(other_words)), found.by_question())
        compared[f"{found.name} beside the baseline"] = drops
        judged += _drops(args, config, found, drops)
        bad = {one.metric for one in judged if not one.passed}
        worse = [one for one in drops if one.name in bad]
    _write(args, found, compared, judged)
    failed = [one for one in judged if not one.passed]
    if failed:
        _tell_worse(found, worse, dict.fromkeys(one.metric for one in failed))
        print(f"{len(failed)} of {len(judged)} gates failed", file=sys.stderr)
    return 3 if failed else 0


def _other(args: argparse.Namespace) -> RagConfig | None:
    """The config of `--against`; what is wrong with it is told before anything is paid for."""
    if args.against is None:
        return None
    from rag.evaluation.evaluate import metrics_of  # noqa: PLC0415 (help must not wait for it)

    other = config_in(args, args.against)
    metrics_of(other, args.metric, answers=not args.search_only)
    return other


def _evaluated(args: argparse.Namespace, config: RagConfig, questions: Sequence[Question]) -> Evaluation:
    """What came of the questions."""
    from rag.evaluation.evaluate import Evaluator, metrics_of  # noqa: PLC0415 (help must not wait for it)

    metrics = metrics_of(config, args.metric, answers=not args.search_only)
    with Evaluator(config) as evaluator:
        return evaluator.evaluate(questions, metrics, progress=_progress())


def _compare(config: RagConfig, first: Values, second: Values) -> list[Compared]:
    """The second beside the first, as the config wants it."""
    from rag.evaluation.comparing import compare  # noqa: PLC0415 (help must not wait for it)

    own = config.evaluation
    return compare(first, second, level=own.level, resamples=own.resamples, seed=own.seed)


def _drops(
    args: argparse.Namespace, config: RagConfig, found: Evaluation, drops: Sequence[Compared]
) -> Sequence[Judged]:
    """The gates of the baseline.

    Raises:
        ConfigError: It has nothing to be compared with.
    """
    from rag.evaluation.gates import check_drops  # noqa: PLC0415 (help must not wait for it)

    if not drops:
        raise ConfigError(f"--baseline {args.baseline}: has no question and metric in common with this evaluation")
    shares, own = {one.name: one.share for one in found.summaries()}, config.evaluation
    return check_drops(drops, args.max_drop or 0.0, own.level, measured=shares, min_measured=own.min_measured)


def _progress() -> Any:
    """What is being done, on a terminal."""
    if not sys.stderr.isatty():
        return None
    done = 0

    def tell(what: str) -> None:
        nonlocal done
        done += 1
        sys.stderr.write(f"\r{done} {what[:60]:<60}")

    return tell


def _write(
    args: argparse.Namespace, found: Evaluation, compared: Mapping[str, Sequence[Compared]], judged: Sequence[Judged]
) -> None:
    """What is kept of it, and what is printed."""
    from easyrec.durable import write_text  # noqa: PLC0415 (help must not wait for it)
    from rag.evaluation.questions import whole  # noqa: PLC0415

    told = found.as_json()
    told["compared"] = {name: [one.as_json() for one in some] for name, some in compared.items()}
    told["gates"] = [vars(one) for one in judged]
    if args.output:
        write_text(Path(args.output), whole(json.dumps(told, ensure_ascii=False, indent=1) + "\n"))
    if args.html:
        from easyrec.report.rag_page import rag_page  # noqa: PLC0415 (help must not wait for it)

        write_text(Path(args.html), whole(rag_page(told)))
    if args.json:
        short = {key: value for key, value in told.items() if key != "cases"}
        line(whole(json.dumps(short, ensure_ascii=False)))
    else:
        _tell(found, compared)
        _tell_gates(judged)


def _tell(found: Evaluation, compared: Mapping[str, Sequence[Compared]]) -> None:
    """Means, and differences."""
    level = f"{found.level:.0%}"
    shown = table(f"{found.name}: {count(len(found.cases))} questions", "metric", "mean", level, "of", "", right=1)
    for one in found.summaries():
        ends = one.interval
        apart = ", ".join(
            f"{number} {state}"
            for state, number in one.states.items()
            if number and state not in ("measured", "skipped")
        )
        span = f"{ends.low:.4f} .. {ends.high:.4f}" if ends.count else ""
        shown.add_row(one.name, f"{ends.mean:.4f}" if ends.count else "", span, count(ends.count), apart)
    console().print(shown)
    for note in found.notes:
        line(f"note: {note}")
    for who, took in found.usage.items():
        cost = f", {took['cost']:.4f} money" if took["cost"] else ""
        tokens = f"{count(int(took['input']))} tokens in, {count(int(took['output']))} out"
        line(f"{who}: {count(int(took['calls']))} calls, {count(int(took['hits']))} from the cache, {tokens}{cost}")
    for name, some in compared.items():
        head = ("metric", "first", "second", "difference", level, "p", "p of all", "better", "worse", "of")
        shown = table(f"\n{name}", *head, right=1)
        for each in some:
            own = each.difference
            span = f"{own.low:+.4f} .. {own.high:+.4f}"
            ps = (f"{own.p:.3g}", f"{each.corrected:.3g}")
            means = (f"{each.first:.4f}", f"{each.second:.4f}", f"{own.mean:+.4f}")
            shown.add_row(each.name, *means, span, *ps, count(own.better), count(own.worse), count(own.count))
        console().print(shown)


def _tell_gates(judged: Sequence[Judged]) -> None:
    if not judged:
        return
    shown = table("gates", "", "gate", "seen", right=3)
    for one in judged:
        shown.add_row("passed" if one.passed else "FAILED", one.gate, one.why)
    console().print(shown)


def _tell_worse(found: Evaluation, compared: Sequence[Compared], failed: Iterable[str]) -> None:
    """The questions that got worse, or where there is no baseline, those that came off worst; on stderr beside the error."""
    texts = {case.question.key: case.question.question for case in found.cases}
    lost = {one.name: one for one in compared}
    for name in failed:
        if name in lost:
            head = f"worse by {name} than the baseline ({lost[name].difference.worse} questions):"
            rows = [(f"{loss:+.3f}", key) for key, loss in lost[name].worst(WORST)]
        else:
            lowest = sorted(found.by_question()[name].items(), key=lambda entry: (entry[1], entry[0]))
            head, rows = f"worst by {name}:", [(f"{value:.3f}", key) for key, value in lowest[:WORST]]
        print(f"\n{head}", file=sys.stderr)
        for value, key in rows:
            print(f"  {value}  {key}  {texts.get(key, '')[:100]}", file=sys.stderr)
