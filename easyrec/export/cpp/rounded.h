// Rows times a matrix in eight bits: the matrix is rounded once, each row as it comes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "product.h"

namespace dense {

// A matrix (k, n) in int8 with a scale for each column.
//
// Its rows are first made equally large, and what they are divided by multiplies the numbers that meet them: then a
// number counts for as much as it moves the result, and of a row the large ones that hardly matter do not take the
// precision of the small ones that do.
class RoundedMatrix {
 public:
  RoundedMatrix(const float* weights, std::size_t k, std::size_t n);

  std::size_t k, n, quads;           // quads: of numbers of a row that meet four of the matrix at once
  std::vector<float> factors;        // (k) that multiply a row's numbers
  std::vector<float> scales;         // (n), padded to whole panels, as the next ones
  std::vector<std::int32_t> sums;    // of each column's numbers
  std::vector<std::int8_t> numbers;  // panels of columns; in each (quads, columns, 4)
};

constexpr std::size_t ROUNDED_ROWS = 12;  // that are rounded at a time

// What `multiply` does, to within rounding. `scratch` holds ROUNDED_ROWS * 4 * matrix.quads bytes.
void multiply(Rows from, std::size_t rows, const RoundedMatrix& matrix, Rows added, bool relu, std::uint8_t* scratch,
              float* out) noexcept;

}  // namespace dense
