"""What the models are for, as `easyrec new` lists them."""

from __future__ import annotations

from collections.abc import Iterable

FAMILIES = {
    "linear models and factorization machines": "lr fm ffm fwfm fmfm afm hofm",
    "MLPs and interactions of features": (
        "wide_and_deep dnn deepcrossing deepfm nfm pnn onn ccpm dcn dcn_v2 gdcn xdeepfm autoint sam interhat fignn "
        "destine deepim aoanet afn fibinet edcn masknet finalmlp finalnet cmbf dlrm wukong eulernet apg rankmixer "
        "multi_tower ncf pdn cdn rocket"
    ),
    "sequences of behaviour": "din multi_window_din multi_tower_din dmr bst transact dmin dien dlrm_hstu",
    "long sequences of behaviour": "sim eta sdim twin",
    "several tasks": "shared_bottom mmoe ple esmm escm2 aitm dbmtl home",
    "several domains": "star m2m ppnet pepnet",
    "matching, against a whole catalogue": "dssm youtube_dnn bpr_mf lightgcn dat dropoutnet co_metric_learning_i2i mind comirec "
    "sasrec gru4rec narm stamp bert4rec cl4srec hstu fmlp_rec tiger tdm",
    "statistics, counted in one pass": "popularity item_cf swing ease item2vec",
    "of your own": "backbone",
}
"""Types by family, in the order of docs/models/index.md; what is plugged in is of your own."""


def grouped(types: Iterable[str]) -> dict[str, list[str]]:
    """The types of each family that has some; those that no family names are the last one's."""
    left = list(types)
    found: dict[str, list[str]] = {}
    for family, names in FAMILIES.items():
        found[family] = [name for name in names.split() if name in left]
        left = [name for name in left if name not in found[family]]
    found["of your own"] += left
    return {family: names for family, names in found.items() if names}
