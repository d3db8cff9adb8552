// Rows times a matrix that was packed once, with what is added and a ReLU in the same pass.
#pragma once

#include <cstddef>
#include <vector>

namespace dense {

// A matrix (k, n) in panels of columns, each panel's rows behind each other.
class Matrix {
 public:
  Matrix(const float* weights, std::size_t k, std::size_t n);

  const float* panel(std::size_t first_column) const noexcept { return data_ + first_column * k; }

  std::size_t k, n;

 private:
  std::vector<float> memory_;
  float* data_;
};

// Rows of numbers, `step` apart; 0: one row for all.
struct Rows {
  const float* data = nullptr;
  std::size_t step = 0;
};

// out[r] = rows[r] * matrix + added[r], and not below 0 where `relu`. Without `added.data` nothing is added.
// `out` has `rows` rows of matrix.n numbers.
void multiply(Rows from, std::size_t rows, const Matrix& matrix, Rows added, bool relu, float* out) noexcept;

}  // namespace dense
