#pragma once

#include <cstddef>
#include <cstdint>

namespace modules {

// Attention between the fields of a row, head by head. Numbers are float or, as std::uint16_t, bfloat16; sums are
// float.
struct Attention {
  std::size_t rows, fields, heads, dim;  // a field has heads * dim numbers per part, head after head
  float scale;                           // of the scores
  bool centred;                          // take off queries their mean over the fields of the row
};

// weights[b][h][i][j] = softmax over j of scale * q_i . k_j. A line of `maps` holds a field's queries, then its keys;
// lines are rows * fields, row after row.
template <class T>
void attention_weights(const T* maps, const Attention& shape, float* weights, std::size_t threads);

// The gradient of `maps`, from that of the weights.
template <class T>
void attention_weights_backward(const T* maps, const float* weights, const float* gradient, const Attention& shape,
                                T* of_maps, std::size_t threads);

// out_i = sum over j of weights[b][h][i][j] * v_j, plus residual_i. A line of `maps` holds a field's values and with
// `mapped` then its residual; without, `residual` has lines of its own, or is null.
template <class T>
void attention_mix(const float* weights, const T* maps, const T* residual, bool mapped, const Attention& shape, T* out,
                   std::size_t threads);

// The gradients of the weights and of `maps`, from that of the output.
template <class T>
void attention_mix_backward(const float* weights, const T* maps, const T* gradient, bool mapped, const Attention& shape,
                            float* of_weights, T* of_maps, std::size_t threads);

}  // namespace modules
