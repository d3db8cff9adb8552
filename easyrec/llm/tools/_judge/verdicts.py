"""What comparisons come to: wins, strengths, what the order and the length do, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from easyrec.intervals import holm
from easyrec.llm.tools._judge.comparing import LOST, TIE, WON, Compared
from easyrec.llm.tools._judge.config import Config
from easyrec.llm.tools._judge.measures import Measures, Told, told
from easyrec.llm.tools._judge.people import Labels
from easyrec.preferences import strengths


def comparisons_told(config: Config, compared: Compared, names: Sequence[str], labels: Labels | None) -> Told:
    """All of it."""
    measures, panel = Measures(config.level, config.seed), compared.panel
    return {
        "pairs": len(compared.pairs),
        "undecided": int(np.isnan(panel).sum()),
        "table": _table(compared, panel, measures),
        "strengths": _strengths(config, compared, panel),
        "judges": [_judge(config, compared, j, name, measures) for j, name in enumerate(names)],
        "between_judges": _between(compared, names, measures),
        "longer_won": _longer(compared, panel, measures),
        "people": _people(config, panel, labels, measures),
    }


def _table(compared: Compared, panel: np.ndarray, measures: Measures) -> list[dict[str, Any]]:
    """Each pair of systems: who wins how often."""
    met = [(a.system, b.system) for a, b in compared.pairs]
    found: list[dict[str, Any]] = []
    for a, b in dict.fromkeys(met):
        here = np.array([one == (a, b) for one in met])
        values = panel[here & ~np.isnan(panel)]
        won, lost = int((values == WON).sum()), int((values == LOST).sum())
        found.append(
            {
                "first": a,
                "second": b,
                "won": won,
                "tied": int((values == TIE).sum()),
                "lost": lost,
                "undecided": int(here.sum()) - len(values),
                "share_won": measures.share(won, won + lost),
                "score": measures.mean((values + 1) / 2),
                "p": measures.difference(np.zeros(len(values)), values).p,
            }
        )
    for at, p in holm({at: one["p"] for at, one in enumerate(found)}).items():
        found[at]["p_corrected"] = p
    return found


def _strengths(config: Config, compared: Compared, panel: np.ndarray) -> list[dict[str, Any]]:
    """Bradley-Terry of more than two, with the bootstrap over ids."""
    systems = {one: at for at, one in enumerate(dict.fromkeys(unit.system for pair in compared.pairs for unit in pair))}
    if len(systems) < 3:
        return []
    ids = {key: at for at, key in enumerate(dict.fromkeys(a.id for a, _ in compared.pairs))}
    wins = np.zeros((len(ids), len(systems), len(systems)))
    for (a, b), verdict in zip(compared.pairs, panel, strict=True):
        if not np.isnan(verdict):
            i, j, n = systems[a.system], systems[b.system], ids[a.id]
            wins[n, i, j] += (verdict + 1) / 2
            wins[n, j, i] += (1 - verdict) / 2
    by_system = zip(systems, strengths(wins, config.level, seed=config.seed), strict=True)
    return sorted(({"system": one, **told(found)} for one, found in by_system), key=lambda one: -float(one["value"]))


def _judge(config: Config, compared: Compared, j: int, name: str, measures: Measures) -> Told:
    """What the order does to a judge, and how far it agrees with itself."""
    orders, flips = compared.orders[j], int(compared.flipped[j].sum())
    both = ~np.isnan(orders).any(1)
    # who stood first has won where the first of the pair did in the first order, and where it did not in the second
    places = np.column_stack([orders[:, 0], -orders[:, 1]]).ravel()
    first, decided = int((places == WON).sum()), int((np.abs(places) == WON).sum())
    own = {
        "judge": name,
        "decided": int((np.abs(compared.verdicts[j]) == WON).sum()),
        "tied_in_both_orders": int((both & (orders == TIE).all(1)).sum()),
        "flipped": flips,
        "tied_in_one_order": int((both & (orders[:, 0] != orders[:, 1])).sum()) - flips,
        "undecided": int((~both).sum()),
        "votes_unparsed": int((np.isnan(compared.votes[j]).sum(-1) - compared.refused[j]).sum()),
        "votes_refused": int(compared.refused[j].sum()),
        "flips": measures.share(flips, int(both.sum())),
        "first_won": measures.share(first, decided),
    }
    if config.votes < 2:
        return own
    every = compared.votes[j].reshape(-1, config.votes)
    return {**own, "fleiss": measures.fleiss(every), "alpha": measures.alpha(every)}


def _between(compared: Compared, names: Sequence[str], measures: Measures) -> Told | None:
    """How far the judges agree with each other."""
    if len(names) < 2:
        return None
    verdicts = compared.verdicts
    pairs = [
        {"first": names[a], "second": names[b], "kappa": measures.kappa(verdicts[a], verdicts[b])}
        for a, b in combinations(range(len(names)), 2)
    ]
    return {"alpha": measures.alpha(verdicts.T), "pairs": pairs}


def _longer(compared: Compared, panel: np.ndarray, measures: Measures) -> Told:
    """How often the longer answer won, of those that were decided."""
    apart = np.array([a.length - b.length for a, b in compared.pairs], np.float64)
    counted = (np.abs(panel) == WON) & (apart != 0)
    return measures.share_of((np.sign(apart) == panel)[counted])


def _people(config: Config, panel: np.ndarray, labels: Labels | None, measures: Measures) -> Told | None:
    """How far the panel agrees with people."""
    if labels is None or config.people is None or config.people.preferred is None:
        return None
    people = labels.verdicts
    both = ~np.isnan(people + panel)
    decided = both & (people != TIE) & (panel != TIE)
    return {
        "labelled": int((~np.isnan(people)).sum()),
        "rows_about_others": labels.strange,
        "between_people": measures.alpha(labels.preferred),
        "same": measures.share_of((people == panel)[both]),
        "same_where_both_decide": measures.share_of((people == panel)[decided]),
        "kappa": measures.kappa(panel, people),
    }
