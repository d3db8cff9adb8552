// A program over rows as a list of steps, run for some rows at a time so that what lies between two steps stays near.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "elements.h"
#include "product.h"
#include "rounded.h"

namespace dense {

// A value: a row of `width` numbers, one for each row of the program, or one for all.
struct Value {
  bool once = false;
  std::size_t width = 0;
};

enum class Kind { PRODUCT, UNARY, BINARY, REDUCE, COPY, SOFTMAX, NORM, MATMUL };

// How many there are along each of three dimensions of a row, and how far apart.
struct Places {
  std::size_t sizes[3] = {1, 1, 1}, x[3] = {}, y[3] = {}, out[3] = {};
};

// A step: what is computed of the values `x` and `y` is the value `out`. -1: there is none.
struct Step {
  Kind kind = Kind::COPY;
  int out = -1, x = -1, y = -1;
  int matrix = -1, added = -1;                               // of a product
  std::size_t x_at = 0, y_at = 0, added_at = 0, out_at = 0;  // the first number that is read or written
  bool relu = false;                                         // of a product or binary one: nothing below 0
  bool rounded = false;                                      // a product in eight bits
  float number = 0.0f;                                       // a parameter
  Unary unary = nullptr;
  Binary binary = nullptr;
  Reduce reduce = nullptr;
  // Binary, copy: as they are. Of others sizes alone: product (rows and columns of the matrix, rows of a row), reduce,
  // softmax, norm (before, along, behind), matmul (m, k, n).
  Places places;
};

// What a program reads: numbers, `step` apart from row to row.
using Given = std::vector<Rows>;

class Program {
 public:
  // Values are inputs first, then constants, then those that steps make. Throws std::invalid_argument where a step
  // would read or write outside of its values.
  Program(std::vector<Value> values, std::size_t inputs, std::vector<std::vector<float>> constants,
          std::vector<Step> steps, std::vector<int> outputs);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::size_t width(std::size_t value) const { return values_[value].width; }
  bool once(std::size_t value) const { return values_[value].once; }
  std::size_t inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }

  // The outputs, (rows, width) each. `given` has a row for each row of an input, or one for all. Several threads may
  // call it at a time.
  void run(const Given& given, std::size_t rows, const std::vector<float*>& outputs) const;

 private:
  struct Memory;

  void check(const Step& step, std::size_t number) const;
  void place();
  std::size_t pack(const Step& step);
  void perform(std::size_t number, std::size_t rows, Memory& memory) const;

  std::vector<Value> values_;
  std::size_t inputs_;
  std::vector<std::vector<float>> constants_;
  std::vector<Step> steps_;
  std::vector<int> outputs_;
  std::vector<std::size_t> at_;  // of each value that is made, where its numbers are
  std::size_t once_size_ = 0, each_size_ = 0, scratch_size_ = 0;
  std::vector<Matrix> matrices_;
  std::vector<RoundedMatrix> rounded_;
  std::vector<std::size_t> matrix_of_;  // of each step, where it is a product
};

}  // namespace dense
