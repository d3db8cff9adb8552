"""Names of modules that belong to what a config calls by a name: groups, tasks, blocks."""

from __future__ import annotations

RESERVED = {
    "T_destination", "add_module", "apply", "bfloat16", "buffers", "call_super_init", "children", "clear",
    "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward", "get_buffer",
    "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "items", "keys", "load_state_dict",
    "modules", "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters", "pop",
    "register_backward_hook", "register_buffer", "register_forward_hook", "register_forward_pre_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
    "register_load_state_dict_pre_hook", "register_module", "register_parameter", "register_state_dict_post_hook",
    "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule", "share_memory",
    "state_dict", "to", "to_empty", "train", "training", "type", "update", "values", "xpu", "zero_grad",
}  # fmt: skip
"""Words of torch's own, which the children of a module cannot be called. Kept here: weights are stored under these names,
whichever torch reads them."""


def module_name(name: str) -> str:
    """What the module is called that the config calls `name`, which may be any text.

    torch refuses dots, words of its own such as `train` or names that begin with an underscore, and no text at all. Other
    names stay as they are, and different ones stay different.
    """
    plain = name.replace("%", "%25").replace(".", "%2E")
    return f"{plain}%" if plain in RESERVED or plain.startswith("_") or not plain else plain
