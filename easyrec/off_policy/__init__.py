"""What another policy would have been worth, told from the log of one that was partly random.

docs/guide/off_policy.md says which estimator is for what; `easyrec engine off-policy` reads the logs of an engine.
"""

from __future__ import annotations

from easyrec.off_policy.estimate import Estimate
from easyrec.off_policy.estimators import doubly_robust, ips, snips
from easyrec.off_policy.weights import Logged, Weights

__all__ = ["Estimate", "Logged", "Weights", "doubly_robust", "ips", "snips"]
