"""The calibrations that are used unless a config has its own, made by `benchmarks/llm_naming.py --fit`."""

from __future__ import annotations

from easyrec.llm.naming.scoring import Calibration


def _made(**own: float) -> Calibration:
    return Calibration(**{**dict.fromkeys(Calibration.model_fields, 0.0), **own})


OURS = {
    (False, False): _made(
        bias=-15.16, covered=4.747, groups=4.193, typo=9.989, mended=9.232, threshold=0.69, margin=0.2
    ),
    (True, False): _made(
        bias=-14.849,
        meaning=1.038,
        above=0.584,
        covered=0.303,
        letters=0.74,
        typo=11.667,
        mended=12.892,
        threshold=0.755,
        margin=0.05,
    ),
    (False, True): _made(
        bias=-22.599,
        covered=2.614,
        titles=1.968,
        all_titles=6.326,
        groups=1.504,
        typo=13.766,
        mended=16.67,
        threshold=0.5,
        margin=0.1,
    ),
    (True, True): _made(
        bias=-18.468,
        meaning=0.247,
        above=1.491,
        titles=2.66,
        all_titles=4.556,
        groups=0.017,
        letters=0.693,
        typo=13.974,
        mended=13.426,
        threshold=0.42,
        margin=0.3,
    ),
}
"""By whether there are vectors and titles."""
