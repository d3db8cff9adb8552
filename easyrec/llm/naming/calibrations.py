"""The calibrations that are used unless a config has its own, made by `benchmarks/llm_naming.py --fit`."""

from __future__ import annotations

from easyrec.llm.naming.scoring import Calibration


def _made(**own: float) -> Calibration:
    return Calibration(**{**dict.fromkeys(Calibration.model_fields, 0.0), **own})


OURS = {
    (False, False): _made(
        bias=-15.577, covered=4.511, both=0.578, groups=4.113, typo=9.912, mended=9.683, threshold=0.695, margin=0.05
    ),
    (True, False): _made(
        bias=-14.786,
        meaning=1.035,
        above=0.572,
        covered=0.335,
        letters=0.719,
        typo=11.687,
        mended=12.824,
        threshold=0.76,
        margin=0.05,
    ),
    (False, True): _made(
        bias=-22.6,
        covered=2.614,
        titles=1.973,
        all_titles=6.323,
        groups=1.503,
        typo=13.791,
        mended=16.669,
        threshold=0.5,
        margin=0.1,
    ),
    (True, True): _made(
        bias=-18.458,
        meaning=0.246,
        above=1.491,
        titles=2.678,
        all_titles=4.542,
        groups=0.02,
        letters=0.69,
        typo=13.977,
        mended=13.41,
        threshold=0.42,
        margin=0.3,
    ),
}
"""By whether there are vectors and titles."""
