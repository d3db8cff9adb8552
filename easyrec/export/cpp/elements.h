// Functions of one number or two, over many.
#pragma once

#include <cstddef>
#include <string>

namespace dense {

using Unary = void (*)(const float* x, std::size_t count, float number, float* out) noexcept;

// How far apart the operands' numbers are: 1, or 0 for one that meets all.
using Binary = void (*)(const float* x, std::size_t x_step, const float* y, std::size_t y_step, std::size_t count,
                        float* out) noexcept;

// (before, along, behind) numbers to (before, behind).
using Reduce = void (*)(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept;

// Null: nothing has this name.
Unary find_unary(const std::string& name) noexcept;
Binary find_binary(const std::string& name) noexcept;
Reduce find_reduce(const std::string& name) noexcept;

// No number below 0, in place.
void relu(float* x, std::size_t count) noexcept;

// Over the second of three dimensions.
void softmax(const float* x, std::size_t before, std::size_t along, std::size_t behind, float* out) noexcept;

// (m, k) times (k, n).
void matmul(const float* x, const float* y, std::size_t m, std::size_t k, std::size_t n, float* out) noexcept;

// Each row less its mean, over its standard deviation.
void normalize(const float* x, std::size_t rows, std::size_t width, float epsilon, float* out) noexcept;

}  // namespace dense
