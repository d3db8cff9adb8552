"""The compiled kernels, in the best build that this processor runs."""

from __future__ import annotations

from typing import Any

from feature_generator.native import load_native

_native: Any = load_native("easyrec.modules")

fm_forward = _native.fm_forward
fm_backward = _native.fm_backward
dropout = _native.dropout
dropout_bf16 = _native.dropout_bf16
attention_weights = _native.attention_weights
attention_weights_bf16 = _native.attention_weights_bf16
attention_weights_backward = _native.attention_weights_backward
attention_weights_backward_bf16 = _native.attention_weights_backward_bf16
attention_mix = _native.attention_mix
attention_mix_bf16 = _native.attention_mix_bf16
attention_mix_backward = _native.attention_mix_backward
attention_mix_backward_bf16 = _native.attention_mix_backward_bf16
