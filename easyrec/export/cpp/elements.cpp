#include "elements.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lanes.h"

namespace dense {
namespace {

template <class Function>
void each(const float* x, std::size_t count, float* out, Function function) noexcept {
  for (std::size_t i = 0; i < count; ++i) out[i] = function(x[i]);
}

// A function of a register of numbers, the last ones too.
template <class Function>
void by_lanes(const float* x, std::size_t count, float* out, Function function) noexcept {
  std::size_t i = 0;
  for (; i + LANES <= count; i += LANES) store(out + i, function(load(x + i)));
  if (i == count) return;
  float rest[LANES] = {};
  std::copy_n(x + i, count - i, rest);
  store(rest, function(load(rest)));
  std::copy_n(rest, count - i, out + i);
}

Lanes logistic(Lanes x) noexcept { return 1.0f / (exponential(-x) + 1.0f); }

void same(const float* x, std::size_t n, float, float* out) noexcept { std::copy_n(x, n, out); }
void positive(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return v < 0.0f ? 0.0f : v; });
}
void negative(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return -v; });
}
void square(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return v * v; });
}
void absolute(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return std::fabs(v); });
}
void root(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return std::sqrt(v); });
}
void inverse_root(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return 1.0f / std::sqrt(v); });
}
void reciprocal(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return 1.0f / v; });
}
void logarithm(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return std::log(v); });
}
void logarithm_of_more(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return std::log1p(v); });
}
void tangent(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return std::tanh(v); });
}
void leaky(const float* x, std::size_t n, float slope, float* out) noexcept {
  each(x, n, out, [slope](float v) { return v > 0.0f ? v : v * slope; });
}
void at_least(const float* x, std::size_t n, float least, float* out) noexcept {
  each(x, n, out, [least](float v) { return v < least ? least : v; });
}
void at_most(const float* x, std::size_t n, float most, float* out) noexcept {
  each(x, n, out, [most](float v) { return v > most ? most : v; });
}
void error_gate(const float* x, std::size_t n, float, float* out) noexcept {
  each(x, n, out, [](float v) { return 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f)); });
}
void power(const float* x, std::size_t n, float, float* out) noexcept { by_lanes(x, n, out, exponential); }
void sigmoid(const float* x, std::size_t n, float, float* out) noexcept { by_lanes(x, n, out, logistic); }

template <class Function>
void both(const float* x, std::size_t x_step, const float* y, std::size_t y_step, std::size_t count, float* out,
          Function function) noexcept {
  if (x_step != 0 && y_step != 0) {
    for (std::size_t i = 0; i < count; ++i) out[i] = function(x[i], y[i]);
  } else if (x_step != 0) {
    const float b = *y;
    for (std::size_t i = 0; i < count; ++i) out[i] = function(x[i], b);
  } else {
    const float a = *x;
    for (std::size_t i = 0; i < count; ++i) out[i] = function(a, y_step == 0 ? *y : y[i]);
  }
}

void add(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a + b; });
}
void subtract(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a - b; });
}
void times(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a * b; });
}
void divide(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a / b; });
}
void larger(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a > b || a != a ? a : b; });
}
void smaller(const float* x, std::size_t xs, const float* y, std::size_t ys, std::size_t n, float* out) noexcept {
  both(x, xs, y, ys, n, out, [](float a, float b) { return a < b || a != a ? a : b; });
}

template <class Function>
void reduced(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out, float start,
             Function function) noexcept {
  for (std::size_t b = 0; b < before; ++b, x += along * behind, out += behind) {
    if (behind == 1) {
      float found = start;
      for (std::size_t a = 0; a < along; ++a) found = function(found, x[a]);
      *out = found;
      continue;
    }
    std::fill_n(out, behind, start);
    for (std::size_t a = 0; a < along; ++a)
      for (std::size_t i = 0; i < behind; ++i) out[i] = function(out[i], x[a * behind + i]);
  }
}

// Of numbers in a row, register by register.
float sum_of(const float* x, std::size_t count) noexcept {
  Lanes sums{};
  std::size_t i = 0;
  for (; i + LANES <= count; i += LANES) sums += load(x + i);
  float sum = 0.0f;
  for (std::size_t lane = 0; lane < LANES; ++lane) sum += sums[lane];
  for (; i < count; ++i) sum += x[i];
  return sum;
}

void sum(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept {
  if (behind == 1) {
    for (std::size_t b = 0; b < before; ++b) out[b] = sum_of(x + b * along, along);
  } else if (behind % LANES == 0) {
    for (std::size_t b = 0; b < before; ++b, x += along * behind, out += behind)
      for (std::size_t i = 0; i < behind; i += LANES) {
        Lanes found{};
        for (std::size_t a = 0; a < along; ++a) found += load(x + a * behind + i);
        store(out + i, found);
      }
  } else {
    reduced(x, before, along, behind, out, 0.0f, [](float a, float b) { return a + b; });
  }
}
void mean(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept {
  sum(x, before, along, behind, out);
  const float share = 1.0f / static_cast<float>(along);
  for (std::size_t i = 0; i < before * behind; ++i) out[i] *= share;
}
void highest(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept {
  reduced(x, before, along, behind, out, -std::numeric_limits<float>::infinity(),
          [](float a, float b) { return a > b || a != a ? a : b; });
}
void lowest(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept {
  reduced(x, before, along, behind, out, std::numeric_limits<float>::infinity(),
          [](float a, float b) { return a < b || a != a ? a : b; });
}

template <class Function>
struct Named {
  const char* name;
  Function function;
};

constexpr Named<Unary> UNARY[] = {{"same", same},          {"relu", positive},
                                  {"neg", negative},       {"square", square},
                                  {"abs", absolute},       {"sqrt", root},
                                  {"rsqrt", inverse_root}, {"reciprocal", reciprocal},
                                  {"log", logarithm},      {"log1p", logarithm_of_more},
                                  {"tanh", tangent},       {"leaky_relu", leaky},
                                  {"at_least", at_least},  {"at_most", at_most},
                                  {"gelu", error_gate},    {"exp", power},
                                  {"sigmoid", sigmoid}};
constexpr Named<Binary> BINARY[] = {{"add", add},    {"sub", subtract},   {"mul", times},
                                    {"div", divide}, {"maximum", larger}, {"minimum", smaller}};
constexpr Named<Reduce> REDUCE[] = {{"sum", sum}, {"mean", mean}, {"amax", highest}, {"amin", lowest}};

template <class Function, std::size_t N>
Function find(const Named<Function> (&all)[N], const std::string& name) noexcept {
  for (const auto& one : all)
    if (name == one.name) return one.function;
  return nullptr;
}

}  // namespace

Unary find_unary(const std::string& name) noexcept { return find(UNARY, name); }
Binary find_binary(const std::string& name) noexcept { return find(BINARY, name); }
Reduce find_reduce(const std::string& name) noexcept { return find(REDUCE, name); }

void relu(float* x, std::size_t count) noexcept { positive(x, count, 0.0f, x); }

void softmax(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept {
  for (std::size_t b = 0; b < before; ++b, x += along * behind, out += along * behind) {
    for (std::size_t i = 0; i < behind; ++i) {
      float most = -std::numeric_limits<float>::infinity(), total = 0.0f;
      for (std::size_t a = 0; a < along; ++a) most = std::max(most, x[a * behind + i]);
      for (std::size_t a = 0; a < along; ++a) out[a * behind + i] = x[a * behind + i] - most;
      if (behind == 1) {
        power(out, along, 0.0f, out);
      } else {
        for (std::size_t a = 0; a < along; ++a) out[a * behind + i] = std::exp(out[a * behind + i]);
      }
      for (std::size_t a = 0; a < along; ++a) total += out[a * behind + i];
      for (std::size_t a = 0; a < along; ++a) out[a * behind + i] /= total;
    }
  }
}

void matmul(const float* x, const float* y, std::size_t m, std::size_t k, std::size_t n, float* out) noexcept {
  std::fill_n(out, m * n, 0.0f);
  for (std::size_t i = 0; i < m; ++i, out += n)
    for (std::size_t l = 0; l < k; ++l) {
      const float number = x[i * k + l];
      for (std::size_t j = 0; j < n; ++j) out[j] += number * y[l * n + j];
    }
}

void normalize(const float* x, std::size_t rows, std::size_t width, float epsilon, float* out) noexcept {
  const float share = 1.0f / static_cast<float>(width);
  for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
    const float middle = sum_of(x, width) * share;
    for (std::size_t i = 0; i < width; ++i) out[i] = (x[i] - middle) * (x[i] - middle);
    const float factor = 1.0f / std::sqrt(sum_of(out, width) * share + epsilon);
    for (std::size_t i = 0; i < width; ++i) out[i] = (x[i] - middle) * factor;
  }
}

}  // namespace dense
