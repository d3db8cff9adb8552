#include "product.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "lanes.h"

namespace dense {
namespace {

constexpr std::size_t WIDE = 2;  // registers that a whole panel is wide
constexpr std::size_t PANEL = WIDE * LANES;
constexpr std::size_t ALIGNED = 64;

// M rows times a panel of V registers. `width` of its columns are wanted.
template <std::size_t M, std::size_t V>
void tile(const float* rows, std::size_t step, std::size_t k, const float* panel, Rows added, bool relu, float* out,
          std::size_t n, std::size_t width) noexcept {
  Lanes sums[M][V];
  const bool whole = width == V * LANES;
#pragma GCC unroll 12
  for (std::size_t m = 0; m < M; ++m) {
    float some[V * LANES] = {};
    const float* start = some;
    if (added.data != nullptr) {
      start = added.data + m * added.step;
      if (!whole) start = static_cast<const float*>(std::memcpy(some, start, width * sizeof(float)));
    }
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sums[m][v] = load(start + v * LANES);
  }
  for (std::size_t i = 0; i < k; ++i, panel += V * LANES) {
    Lanes columns[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) columns[v] = load(panel + v * LANES);
#pragma GCC unroll 12
    for (std::size_t m = 0; m < M; ++m) {
      const Lanes number = all(rows[m * step + i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sums[m][v] = multiply_add(number, columns[v], sums[m][v]);
    }
  }
#pragma GCC unroll 12
  for (std::size_t m = 0; m < M; ++m) {
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      Lanes sum = sums[m][v];
      if (relu) sum = sum < 0.0f ? Lanes{} : sum;
      if (whole) {
        store(out + m * n + v * LANES, sum);
      } else if (v * LANES < width) {
        float some[LANES];
        store(some, sum);
        std::memcpy(out + m * n + v * LANES, some, std::min(LANES, width - v * LANES) * sizeof(float));
      }
    }
  }
}

using Tile = void (*)(const float*, std::size_t, std::size_t, const float*, Rows, bool, float*, std::size_t,
                      std::size_t) noexcept;

template <std::size_t V, std::size_t... M>
constexpr auto tiles(std::index_sequence<M...>) {
  return std::array<Tile, sizeof...(M)>{tile<M + 1, V>...};
}

constexpr auto WIDE_TILES = tiles<WIDE>(std::make_index_sequence<TILE_ROWS>());
constexpr auto NARROW_TILES = tiles<1>(std::make_index_sequence<TILE_ROWS>());

}  // namespace

Matrix::Matrix(const float* weights, std::size_t rows, std::size_t columns) : k(rows), n(columns) {
  const std::size_t padded = (n + LANES - 1) / LANES * LANES;
  memory_.assign(k * padded + ALIGNED / sizeof(float), 0.0f);
  const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
  data_ = memory_.data() + (ALIGNED - address % ALIGNED) % ALIGNED / sizeof(float);
  for (std::size_t first = 0; first < n; first += PANEL) {
    const std::size_t width = std::min(PANEL, padded - first), used = std::min(width, n - first);
    float* to = data_ + first * k;
    for (std::size_t i = 0; i < k; ++i, to += width) std::copy_n(weights + i * n + first, used, to);
  }
}

void multiply(Rows from, std::size_t rows, const Matrix& matrix, Rows added, bool relu, float* out) noexcept {
  const std::size_t blocks = (rows + TILE_ROWS - 1) / TILE_ROWS, n = matrix.n;
  for (std::size_t first = 0; first < n; first += PANEL) {
    const std::size_t width = std::min(PANEL, n - first);
    const auto& kernels = width > LANES ? WIDE_TILES : NARROW_TILES;
    for (std::size_t block = 0; block < blocks; ++block) {  // all of almost the same height
      const std::size_t row = rows * block / blocks, height = rows * (block + 1) / blocks - row;
      const Rows start{added.data == nullptr ? nullptr : added.data + row * added.step + first, added.step};
      kernels[height - 1](from.data + row * from.step, from.step, matrix.k, matrix.panel(first), start, relu,
                          out + row * n + first, n, width);
    }
  }
}

}  // namespace dense
