"""Models of crosses between fields, of both peers."""

from __future__ import annotations

from typing import Any

from easyrec.convert.groups import EMBEDDING_DIM, Group, crossable, finish
from easyrec.convert.message import Message
from easyrec.convert.source import Source

ONE_LAYER = "a single layer follows the crosses and the MLP"


def dlrm(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """TorchEasyRec's DLRM: an MLP over the group `dense`, dot products with the fields of `sparse`."""
    bottom = body.message("dense_mlp")
    deep, layers = _fields(source, body, bottom)
    if body.flag("arch_with_sparse", default=True):
        layers["with_fields"] = True
    return _of_equal_dims(source, body, {"type": "dlrm", **source.mlp(body.message("final")), **layers, **single}, deep)


def dlrm_of_easyrec(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """EasyRec's DLRM: its MLP reads the fields, and the dense one where it is told so.

    Older versions call the MLP of the dense group the top one; the last layer, as wide as an embedding, tells.
    """
    bottom, top = body.message("bot_dnn"), body.message("top_dnn")
    widths = {source.known[name].dim or EMBEDDING_DIM for name in source.group("sparse").features}
    lasts = [{*message.integers("hidden_units")[-1:]} if message is not None else set() for message in (bottom, top)]
    if lasts[1] == widths != lasts[0]:
        bottom, top = top, bottom
        why = "top_dnn ends as wide as an embedding, so it is the MLP of 'dense', as in older versions there"
        source.report.add("check", body, "", why)
    deep, layers = _fields(source, body, bottom)
    body.values("l2_regularization")
    if body.text("arch_interaction_op", "dot") == "cat":
        layers["interaction"] = "cat"
        body.values("arch_with_dense_feature")
    else:
        layers["with_fields"] = True
        if not body.flag("arch_with_dense_feature"):
            source.report.add("changed", body, "arch_with_dense_feature", "the top MLP reads the dense field as well")
    if body.flag("arch_interaction_itself"):
        source.report.add("lost", body, "arch_interaction_itself", "a field has no product with itself")
    return _of_equal_dims(source, body, {"type": "dlrm", **source.mlp(top), **layers, **single}, deep)


def wukong(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """Wukong: the keys of the first layer hold for all."""
    deep, keys = _fields(source, body, body.message("dense_mlp"))
    final = source.mlp(body.message("final"))
    layers = []
    for layer in body.messages("wukong_layers"):
        found = {
            "fm_fields": layer.integer("fmb_feature_num"),
            "linear_fields": layer.integer("lcb_feature_num"),
            "rank": layer.integer("compressed_feature_num", 16),
        }
        mlp = source.mlp(layer.message("feature_num_mlp") or Message())
        inner = {"activation": "relu", **({"dropout": final["dropout"]} if "dropout" in final else {})}
        if {key: value for key, value in mlp.items() if key != "hidden"} != inner:
            why = "its layers have ReLU, no normalisation, and the dropout of 'final'"
            source.report.add("changed", layer, "feature_num_mlp", why)
        layers.append({**found, "fm_hidden": mlp["hidden"]})
    if any(layer != layers[0] for layer in layers):
        source.report.add("changed", body, "wukong_layers", "all layers have the numbers of the first")
    if layers:
        keys = {"layers": len(layers), **layers[0], **keys}
    return _of_equal_dims(source, body, {"type": "wukong", **final, **keys, **single}, deep)


def _fields(source: Source, body: Message, bottom: Message | None) -> tuple[Group, dict[str, Any]]:
    """The groups `sparse` and `dense`, or the only one, and `bottom` with the layers below an embedding's width."""
    report = source.report
    if len(source.groups) == 1 or "sparse" not in source.groups:
        if bottom is not None:
            bottom.settle()
        return source.deep(), {}
    deep, dense = source.group("sparse"), source.group("dense")
    for name in source.groups:
        if name not in ("sparse", "dense"):
            report.add(
                "changed", body, "", f"the model there reads 'sparse' and 'dense' alone, so '{name}' is left out"
            )
    embedded = [n for n in dense.features if not source.known[n].numeric] + [e["sequence"] for e in dense.sequences]
    numbers = [n for n in [*deep.features, *dense.features] if source.known[n].numeric]
    if embedded:
        why = f"these of 'dense' have embeddings, and are fields of their own here: {', '.join(embedded)}"
        report.add("changed", body, "", why)
    deep.add(dense)
    mlp = source.mlp(bottom)
    if not mlp or not numbers:
        return deep, {}
    mlp["hidden"] = mlp["hidden"][:-1]  # the last is as wide as an embedding, and ours adds it
    return deep, {"bottom": mlp}


def deepfm(source: Source, body: Message, keys: dict[str, Any], single: dict[str, Any]) -> dict[str, Any]:
    """DeepFM, or wide_and_deep where fields differ in width.

    Args:
        source: The model of the config.
        body: Its own keys.
        keys: Those of its deep part here.
        single: Its task.
    """
    deep, wide = source.deep(), source.wide()
    if why := crossable(deep, source.known):
        why = f"a factorization machine needs fields of one width, but {why}: wide_and_deep is in its place"
        source.report.add("changed", body, "", why, "give all fields one embedding_dim and set type: deepfm")
        return finish({"type": "wide_and_deep", **keys, **single}, deep, wide, source.known)
    if wide is not None and set(wide.features) != set(deep.features):
        why = "the first-order weights are those of the group 'deep', whatever the wide group lists"
        source.report.add("changed", body, "", why)
    return finish({"type": "deepfm", **keys, **single}, deep, None, source.known)


def dcn_v1(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """TorchEasyRec's DCN of the first version; older versions called its parts otherwise."""
    cross, deep = (
        body.message("cross") or body.message("cross_tower"),
        body.message("deep") or body.message("deep_tower"),
    )
    keys: dict[str, Any] = {"cross_layers": cross.integer("cross_num", 3) if cross is not None else 3}
    keys |= source.mlp(deep) or {"structure": "cross"}
    source.report.lose(body, dict.fromkeys(("final", "final_dnn"), ONE_LAYER))
    return finish({"type": "dcn", **keys, **single}, source.main(), None, source.known)


def dcn_v2(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """TorchEasyRec's DCN of the second version."""
    cross = body.message("cross") or Message()
    keys: dict[str, Any] = {"cross_layers": cross.integer("cross_num", 3), "low_rank": cross.integer("low_rank", 32)}
    keys |= source.mlp(body.message("deep")) or {"structure": "cross"}
    lost = {"backbone": "features enter the crosses as they are", "final": ONE_LAYER}
    source.report.lose(body, lost)
    return finish({"type": "dcn_v2", **keys, **single}, source.main(), None, source.known)


def dcn_of_easyrec(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """EasyRec's DCN, of either version."""
    deep, cross = body.message("deep_tower"), body.message("cross_tower")
    kind, keys = "dcn", dict[str, Any](cross_layers=3)
    if cross is not None:
        keys["cross_layers"] = cross.integer("cross_num", 3)
        if cross.integer("version", 1) == 2:
            kind = "dcn_v2"
            keys |= {"low_rank": cross.integer("projection_dim")} if cross.integer("projection_dim") else {}
            unlike = ("diag_scale", "preactivation", "use_bias")
            source.report.lose(cross, dict.fromkeys(unlike, "the crosses are those of the paper"))
    keys |= source.mlp(deep.message("dnn") if deep is not None else None) or {"structure": "cross"}
    source.report.lose(body, {"final_dnn": ONE_LAYER})
    named = dict.fromkeys(n for m in (deep, cross) if m is not None and (n := m.text("input")) in source.groups)
    group = Group()
    for name in named:
        group.add(source.group(name))
    if len(named) > 1:
        source.report.add("changed", body, "", "crosses and MLP read the same group, both groups together")
    return finish({"type": kind, **keys, **single}, group, None, source.known)


def xdeepfm(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """xDeepFM, whose CIN has embeddings of its own there."""
    report, deep, wide = source.report, source.deep(), source.wide()
    cin = body.message("cin")
    units = cin.integers("cin_layer_size") if cin is not None else []
    keys = {**source.mlp(body.message("deep"), omitted=True), **({"cin_units": units} if units else {})}
    report.lose(body, {"final": "the parts are added up, no MLP follows"})
    report.lose(body, {"wide_init_fn": "the CIN reads the embeddings of 'deep'"})
    if body.has("wide_embedding_dim"):
        report.add("changed", body, "wide_embedding_dim", "the CIN reads the embeddings of 'deep'")
    why = "CIN and MLP share the embeddings of 'deep'; first-order weights stand beside them"
    if wide is not None and set(wide.features) != set(deep.features):
        why += "; the CIN crosses all of 'deep', whatever the wide group lists"
    report.add("changed", body, "", why)
    return _of_equal_dims(source, body, {"type": "xdeepfm", **keys, **single}, deep)


def masknet(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """MaskNet, with its blocks in series or side by side."""
    report, deep = source.report, source.main()
    module = body.message("mask_net_module") or Message()
    block = module.message("mask_block") or Message()
    number, width, serial = module.integer("n_mask_blocks", 3), block.integer("hidden_dim", 64), False
    keys: dict[str, Any] = {"blocks": number, "block_dim": width}
    top = module.message("top_mlp")
    if not module.flag("use_parallel", default=True):
        serial, keys = True, {"structure": "serial", "hidden": [width] * number}
        report.lose(module, {"top_mlp": "a single layer follows blocks in series"})
    elif top is None:
        report.add("changed", module, "", "an MLP follows the blocks, where the source has none")
    else:
        keys |= source.mlp(top)
        if keys.pop("layer_norm", False):
            report.add("lost", top, "use_ln", "layer_norm is that of the blocks")
        if keys["activation"] != "relu" or "dropout" in keys:
            report.add("changed", module, "top_mlp", "its activation and dropout are those of the blocks, too")
    _reduction(source, block, keys)
    if crossable(deep, source.known):
        keys["embedding_norm"] = False
        why = "fields differ in width, so they are not normalised before they are masked; there all are, side by side"
        report.add("changed", body, "", why)
    elif not serial or number:
        report.add("changed", body, "", "each field is normalised by itself, as in the paper; there all, side by side")
    return finish({"type": "masknet", **keys, **single}, deep, None, source.known)


def _reduction(source: Source, block: Message, keys: dict[str, Any]) -> None:
    ratio = float(block.number("reduction_ratio", 1.0))
    if ratio not in (0.0, 1.0):
        keys["reduction"] = ratio
    if block.has("aggregation_dim"):
        if ratio:
            source.report.drop(block, {"aggregation_dim": "reduction_ratio, which is 1 by default, has the say there"})
        else:
            why = "a mask's hidden layer is as wide as the mask"
            source.report.add("changed", block, "aggregation_dim", why, "set reduction, a multiple of that width")


def autoint(source: Source, body: Message, single: dict[str, Any]) -> dict[str, Any]:
    """AutoInt, without an MLP."""
    heads = body.integer("multi_head_num", 1)
    keys = {
        "attention_layers": body.integer("interacting_layer_num", 1),
        "attention_dim": heads * body.integer("multi_head_size", 32),
        "heads": heads,
    }
    source.report.add("changed", body, "", "scores are not multiplied by the root of a head's width")
    return _of_equal_dims(source, body, {"type": "autoint", **keys, **single}, source.main())


def _of_equal_dims(source: Source, body: Message, model: dict[str, Any], deep: Group) -> dict[str, Any]:
    """The model, or where its fields cannot be crossed `dnn` in its place."""
    why = crossable(deep, source.known)
    if not why:
        return finish(model, deep, None, source.known)
    keys: dict[str, Any] = {
        k: model[k] for k in ("hidden", "activation", "dropout", "batch_norm", "layer_norm", "tasks") if k in model
    }
    if not keys.get("hidden", True):
        del keys["hidden"]
    text = f"{model['type']} crosses fields of one width, but {why}: dnn is in its place"
    source.report.add("changed", body, "", text, f"give all fields one embedding_dim and set type: {model['type']}")
    return finish({"type": "dnn", **keys}, deep, None, source.known)
