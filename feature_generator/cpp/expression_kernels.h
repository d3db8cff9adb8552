// What the operations of expressions compute. The Python side states the same: feature_generator/expressions/.
#pragma once

#include <cstddef>
#include <string>

namespace fg {

struct ExpressionKernel {
  const char* name;
  std::size_t operands;
  // out[i] = operation(x[0][i], x[1][i] ..) for i < n; `out` overlaps no operand. Null for the others.
  void (*each)(const double* const* x, std::size_t n, double* out);
  // The number that vectors of n > 0 values give. Null for the others.
  double (*reduce)(const double* const* x, std::size_t n);
};

inline constexpr std::size_t most_operands = 4;

// The operation of that name, or null.
const ExpressionKernel* find_kernel(const std::string& name) noexcept;

// `condition ? a : b`.
bool is_select(const ExpressionKernel& kernel) noexcept;

}  // namespace fg
