// What one feature reads and which columns it fills.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compressed.h"

namespace embedding {

enum class Kind : std::uint8_t { ids, linear, copy };

// One row b of the output is the sum over the elements e of the row, each the sum over its ids (or values):
//   out[b] = s_b * sum_e s_e * sum_k weight_k * table[id_k]        (ids)
//   out[b] = s_b * sum_e sum_j value_ej * table[j]                 (linear)
//   out[b] = s_b * sum_e value_e                                   (copy)
// s_b is 1 / number of elements where `mean`, s_e is 1 / number of ids where `element_mean`, else 1.
struct Bag {
  Kind kind = Kind::ids;
  bool mean = false;
  bool element_mean = false;
  bool open = false;  // ids outside the table are those of a dynamic one that have no row: they add and learn nothing
  int table = -1;
  int dim = 0;
  int value_dim = 1;
  std::int64_t column = 0;

  const float* rows = nullptr;  // (num_table_rows, dim); null where they are stored in fewer bits
  Storage storage = Storage::fp32;
  const std::uint8_t* packed = nullptr;
  const Compressed* compressed = nullptr;  // instead of `rows` and `packed`
  std::int64_t num_table_rows = 0;

  const std::int64_t* ids = nullptr;
  const float* values = nullptr;  // (num_values, value_dim), `value_stride` floats from row to row
  std::int64_t value_stride = 0;
  std::int64_t num_values = 0;                // ids, or rows of `values`
  std::int64_t num_elements = 0;              // of `key_offsets`, else num_values
  const std::int64_t* offsets = nullptr;      // (rows + 1); null: one element per row
  const std::int64_t* key_offsets = nullptr;  // (elements + 1); null: one id per element
  const float* weights = nullptr;             // (num_values); null: 1

  // One id per row and nothing else to do: the fast path.
  bool plain() const { return kind == Kind::ids && !offsets && !key_offsets && !weights; }

  // The same where gradients are summed: every id has a row.
  bool plain_sum() const { return plain() && !open; }

  std::int64_t begin(std::int64_t row) const { return offsets ? offsets[row] : row; }
  std::int64_t first_key(std::int64_t element) const { return key_offsets ? key_offsets[element] : element; }
};

// Calls f(integral_constant<int, dim>) for the dims that are worth their own code, else with 0.
template <int D>
struct Dim {
  static constexpr int value = D;
};

template <class F>
auto with_dim(int dim, F&& f) {
  switch (dim) {
    case 1: return f(Dim<1>{});
    case 2: return f(Dim<2>{});
    case 4: return f(Dim<4>{});
    case 8: return f(Dim<8>{});
    case 10: return f(Dim<10>{});
    case 12: return f(Dim<12>{});
    case 16: return f(Dim<16>{});
    case 24: return f(Dim<24>{});
    case 32: return f(Dim<32>{});
    case 48: return f(Dim<48>{});
    case 64: return f(Dim<64>{});
    case 128: return f(Dim<128>{});
    default: return f(Dim<0>{});
  }
}

}  // namespace embedding
