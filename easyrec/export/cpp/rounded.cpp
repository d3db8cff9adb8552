#include "rounded.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lanes.h"

namespace dense {
namespace {

constexpr std::size_t PANEL = 32, ROWS = ROUNDED_ROWS;
constexpr float NOTHING[PANEL] = {};
constexpr int HALF = 128;  // what stands for 0 where a row has numbers below it

using Panel = void (*)(const std::uint8_t* rows, std::size_t step, std::size_t quads, const std::int8_t* panel,
                       std::size_t height, std::int32_t* out) noexcept;

// (height, PANEL) sums of products, exact.
void plain_panel(const std::uint8_t* rows, std::size_t step, std::size_t quads, const std::int8_t* panel,
                 std::size_t height, std::int32_t* out) noexcept {
  for (std::size_t m = 0; m < height; ++m) {
    std::int32_t sums[PANEL] = {};
    for (std::size_t q = 0; q < quads; ++q) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::int32_t number = rows[m * step + 4 * q + i];
        for (std::size_t c = 0; c < PANEL; ++c) sums[c] += number * panel[(q * PANEL + c) * 4 + i];
      }
    }
    std::copy_n(sums, PANEL, out + m * PANEL);
  }
}

#if defined(__AVX512F__) && defined(__GNUC__)
template <std::size_t M>
__attribute__((target("avx512vnni"))) void vnni_rows(const std::uint8_t* rows, std::size_t step, std::size_t quads,
                                                     const std::int8_t* panel, std::int32_t* out) noexcept {
  __m512i sums[M][2];
#pragma GCC unroll 12
  for (std::size_t m = 0; m < M; ++m) sums[m][0] = sums[m][1] = _mm512_setzero_si512();
  for (std::size_t q = 0; q < quads; ++q) {
    const __m512i left = _mm512_loadu_si512(panel + q * PANEL * 4);
    const __m512i right = _mm512_loadu_si512(panel + q * PANEL * 4 + 64);
#pragma GCC unroll 12
    for (std::size_t m = 0; m < M; ++m) {
      std::int32_t four;
      std::memcpy(&four, rows + m * step + 4 * q, 4);
      const __m512i number = _mm512_set1_epi32(four);
      sums[m][0] = _mm512_dpbusd_epi32(sums[m][0], number, left);
      sums[m][1] = _mm512_dpbusd_epi32(sums[m][1], number, right);
    }
  }
#pragma GCC unroll 12
  for (std::size_t m = 0; m < M; ++m) {
    _mm512_storeu_si512(out + m * PANEL, sums[m][0]);
    _mm512_storeu_si512(out + m * PANEL + 16, sums[m][1]);
  }
}

void vnni_panel(const std::uint8_t* rows, std::size_t step, std::size_t quads, const std::int8_t* panel,
                std::size_t height, std::int32_t* out) noexcept {
  constexpr void (*BY_HEIGHT[])(const std::uint8_t*, std::size_t, std::size_t, const std::int8_t*,
                                std::int32_t*) noexcept = {vnni_rows<1>, vnni_rows<2>,  vnni_rows<3>,  vnni_rows<4>,
                                                           vnni_rows<5>, vnni_rows<6>,  vnni_rows<7>,  vnni_rows<8>,
                                                           vnni_rows<9>, vnni_rows<10>, vnni_rows<11>, vnni_rows<12>};
  BY_HEIGHT[height - 1](rows, step, quads, panel, out);
}

Panel best_panel() noexcept { return __builtin_cpu_supports("avx512vnni") ? vnni_panel : plain_panel; }
#else
Panel best_panel() noexcept { return plain_panel; }
#endif

// A row in eight bits.
struct Scale {
  float scale;        // of a step
  std::int32_t zero;  // what stands for 0
};

Scale round_row(const float* from, const float* factors, std::size_t k, std::uint8_t* to) noexcept {
  const std::size_t whole = k / LANES * LANES;
  Lanes low{}, high{};
  for (std::size_t i = 0; i < whole; i += LANES) {
    const Lanes number = load(from + i) * load(factors + i);
    low = number < low ? number : low;
    high = number > high ? number : high;
  }
  float least = 0.0f, most = 0.0f;
  for (std::size_t lane = 0; lane < LANES; ++lane) {
    least = std::min(least, low[lane]);
    most = std::max(most, high[lane]);
  }
  for (std::size_t i = whole; i < k; ++i) {
    least = std::min(least, from[i] * factors[i]);
    most = std::max(most, from[i] * factors[i]);
  }
  const bool below = least < 0.0f;
  const float size = std::max(most, -least), steps = below ? 127.0f : 255.0f;
  const float scale = size > 0.0f ? size / steps : 1.0f, inverse = 1.0f / scale;
  const float zero = (below ? static_cast<float>(HALF) : 0.0f) + 0.5f;  // the sum is above 0: cutting it off rounds
  for (std::size_t i = 0; i < k; ++i) {
    const float number = from[i] * factors[i] * inverse + zero;
    to[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(number < 255.0f ? number : 255.0f));
  }
  return {scale, below ? HALF : 0};
}

// Sums of products as the numbers that they stand for.
template <bool Relu>
void finish(const std::int32_t* sums, Scale row, const float* scales, const std::int32_t* of_columns,
            const float* start, std::size_t width, float* out) noexcept {
  for (std::size_t c = 0; c < width; ++c) {
    const float found = static_cast<float>(sums[c] - row.zero * of_columns[c]) * (row.scale * scales[c]) + start[c];
    out[c] = Relu && found < 0.0f ? 0.0f : found;
  }
}

}  // namespace

RoundedMatrix::RoundedMatrix(const float* weights, std::size_t rows, std::size_t columns)
    : k(rows), n(columns), quads((rows + 3) / 4), factors(rows) {
  const std::size_t panels = (n + PANEL - 1) / PANEL;
  scales.assign(panels * PANEL, 1.0f);
  sums.assign(panels * PANEL, 0);
  numbers.assign(panels * quads * PANEL * 4, 0);
  for (std::size_t i = 0; i < k; ++i) {
    double size = 0.0;
    for (std::size_t c = 0; c < n; ++c) size += static_cast<double>(weights[i * n + c]) * weights[i * n + c];
    const auto norm = static_cast<float>(std::sqrt(size));
    factors[i] = norm > std::numeric_limits<float>::min() ? norm : 1.0f;
  }
  for (std::size_t c = 0; c < n; ++c) {
    float largest = 0.0f;
    for (std::size_t i = 0; i < k; ++i) largest = std::max(largest, std::fabs(weights[i * n + c] / factors[i]));
    if (largest > 0.0f) scales[c] = largest / 127.0f;
    std::int8_t* const panel = numbers.data() + c / PANEL * quads * PANEL * 4;
    for (std::size_t i = 0; i < k; ++i) {
      const auto number = static_cast<std::int8_t>(std::lround(weights[i * n + c] / factors[i] / scales[c]));
      panel[(i / 4 * PANEL + c % PANEL) * 4 + i % 4] = number;
      sums[c] += number;
    }
  }
}

void multiply(Rows from, std::size_t rows, const RoundedMatrix& matrix, Rows added, bool relu, std::uint8_t* scratch,
              float* out) noexcept {
  static const Panel panel_of = best_panel();
  const std::size_t step = 4 * matrix.quads, n = matrix.n, blocks = (rows + ROWS - 1) / ROWS;
  Scale scales[ROWS];
  std::int32_t sums[ROWS * PANEL];
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t row = rows * block / blocks, height = rows * (block + 1) / blocks - row;
    for (std::size_t m = 0; m < height; ++m) {
      std::uint8_t* const to = scratch + m * step;
      scales[m] = round_row(from.data + (row + m) * from.step, matrix.factors.data(), matrix.k, to);
      std::fill(to + matrix.k, to + step, std::uint8_t{0});
    }
    for (std::size_t first = 0; first < n; first += PANEL) {
      const std::size_t width = std::min(PANEL, n - first);
      panel_of(scratch, step, matrix.quads, matrix.numbers.data() + first * step, height, sums);
      for (std::size_t m = 0; m < height; ++m) {
        const float* const start = added.data == nullptr ? NOTHING : added.data + (row + m) * added.step + first;
        (relu ? finish<true> : finish<false>)(sums + m * PANEL, scales[m], matrix.scales.data() + first,
                                              matrix.sums.data() + first, start, width, out + (row + m) * n + first);
      }
    }
  }
}

}  // namespace dense
