// One optimizer step on one row. g is the gradient; w, a, b are the row's weights and state.
#pragma once

#include <cmath>
#include <cstdint>

namespace embedding {

enum class Rule : std::uint8_t { adam, rowwise_adagrad, adagrad, sgd, ftrl };

struct Hyper {
  float lr = 0, beta1 = 0, beta2 = 0, eps = 0, l1 = 0, l2 = 0, beta = 0;
  float correction1 = 1, correction2 = 1;  // 1 - beta1^step, sqrt(1 - beta2^step)
};

// Kingma & Ba, ICLR 2015, algorithm 1, with eps outside the corrected root as torch.optim.Adam has it.
struct AdamRule {
  static constexpr int a_width(int dim) { return dim; }
  static constexpr int b_width(int dim) { return dim; }
  template <int D>
  static void step(const Hyper& h, float* __restrict w, float* __restrict a, float* __restrict b,
                   const float* __restrict g, int dim) {
    const int width = D ? D : dim;
    const float rate = h.lr / h.correction1;
    for (int i = 0; i < width; ++i) {
      a[i] += (g[i] - a[i]) * (1.0f - h.beta1);
      b[i] = b[i] * h.beta2 + g[i] * g[i] * (1.0f - h.beta2);
      w[i] -= rate * a[i] / (std::sqrt(b[i]) / h.correction2 + h.eps);
    }
  }
};

// One accumulator per row: the mean of the squared gradient (FBGEMM's EXACT_ROWWISE_ADAGRAD).
struct RowwiseAdagradRule {
  static constexpr int a_width(int) { return 1; }
  static constexpr int b_width(int) { return 0; }
  template <int D>
  static void step(const Hyper& h, float* __restrict w, float* __restrict a, float*, const float* __restrict g,
                   int dim) {
    const int width = D ? D : dim;
    float lanes[8] = {};  // a fixed order of summation, whatever the vectors' width
    for (int i = 0; i < width; i += 8)
      for (int k = 0; k < 8 && i + k < width; ++k) lanes[k] += g[i + k] * g[i + k];
    const float sum = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    *a += sum / static_cast<float>(width);
    const float rate = h.lr / (std::sqrt(*a) + h.eps);
    for (int i = 0; i < width; ++i) w[i] -= rate * g[i];
  }
};

// Duchi et al., JMLR 2011, diagonal.
struct AdagradRule {
  static constexpr int a_width(int dim) { return dim; }
  static constexpr int b_width(int) { return 0; }
  template <int D>
  static void step(const Hyper& h, float* __restrict w, float* __restrict a, float*, const float* __restrict g,
                   int dim) {
    const int width = D ? D : dim;
    for (int i = 0; i < width; ++i) {
      a[i] += g[i] * g[i];
      w[i] -= h.lr * g[i] / (std::sqrt(a[i]) + h.eps);
    }
  }
};

struct SgdRule {
  static constexpr int a_width(int) { return 0; }
  static constexpr int b_width(int) { return 0; }
  template <int D>
  static void step(const Hyper& h, float* __restrict w, float*, float*, const float* __restrict g, int dim) {
    const int width = D ? D : dim;
    for (int i = 0; i < width; ++i) w[i] -= h.lr * g[i];
  }
};

// McMahan et al., KDD 2013, algorithm 1; a is z, b is n.
struct FtrlRule {
  static constexpr int a_width(int dim) { return dim; }
  static constexpr int b_width(int dim) { return dim; }
  template <int D>
  static void step(const Hyper& h, float* __restrict w, float* __restrict a, float* __restrict b,
                   const float* __restrict g, int dim) {
    const int width = D ? D : dim;
    for (int i = 0; i < width; ++i) {
      const float n = b[i] + g[i] * g[i];
      const float root = std::sqrt(n);
      const float z = a[i] + (g[i] - (root - std::sqrt(b[i])) / h.lr * w[i]);
      const float shrunk = std::fabs(z) - h.l1;
      w[i] = shrunk <= 0.0f ? 0.0f : -std::copysign(shrunk, z) / ((h.beta + root) / h.lr + h.l2);
      a[i] = z;
      b[i] = n;
    }
  }
};

template <class F>
auto with_rule(Rule rule, F&& f) {
  switch (rule) {
    case Rule::rowwise_adagrad: return f(RowwiseAdagradRule{});
    case Rule::adagrad: return f(AdagradRule{});
    case Rule::sgd: return f(SgdRule{});
    case Rule::ftrl: return f(FtrlRule{});
    default: return f(AdamRule{});
  }
}

}  // namespace embedding
