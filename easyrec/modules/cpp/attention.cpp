#include "attention.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#include "bfloat16.h"

namespace modules {
namespace {

constexpr std::size_t kLanes = 16;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));  // stays in registers, as arrays may not
constexpr std::size_t kRowsPerThread = 64;                                 // fewer are not worth another thread

std::size_t padded(std::size_t n) noexcept { return (n + kLanes - 1) / kLanes * kLanes; }

// By reference: how a vector is passed by value depends on the instruction set.
void load(const float* from, Lanes& to) noexcept { std::memcpy(&to, from, sizeof to); }

void put(const Lanes& from, float* to) noexcept { std::memcpy(to, &from, sizeof from); }

// x = exp(x) for numbers <= 0 or NaN, to about 1e-7 of it; below -87 the smallest normal numbers.
// 2^n * exp(r) with |r| <= ln(2) / 2, the polynomial of Cephes' expf.
void exponential(Lanes& x) noexcept {
  typedef std::int32_t Integers __attribute__((vector_size(sizeof(Lanes))));
  x = x < -87.0f ? Lanes{} - 87.0f : x;
  const Lanes number = x == x ? x : Lanes{};  // NaN is no integer, but stays NaN below
  const Integers n = __builtin_convertvector(number * 1.44269504f - 0.5f, Integers);
  const Lanes whole = __builtin_convertvector(n, Lanes);
  const Lanes r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Lanes p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Integers bits = (n + 127) << 23;
  Lanes power;
  std::memcpy(&power, &bits, sizeof power);
  x = (p * (r * r) + r + 1.0f) * power;
}

// One head of one row: fields of `width` floats, `dim` of them used, the others 0.
struct Head {
  std::size_t fields, dim, width;

  // From lines `stride` numbers apart.
  template <class T>
  void fetch(const T* from, std::size_t stride, float* __restrict to) const noexcept {
    for (std::size_t i = 0; i < fields; ++i)
      for (std::size_t d = 0; d < dim; ++d) to[i * width + d] = widened(from[i * stride + d]);
  }

  template <class T>
  void store(const float* __restrict from, T* to, std::size_t stride) const noexcept {
    for (std::size_t i = 0; i < fields; ++i)
      for (std::size_t d = 0; d < dim; ++d) to[i * stride + d] = narrowed<T>(from[i * width + d]);
  }

  void centre(float* __restrict x) const noexcept {
    const float share = 1.0f / static_cast<float>(fields);
    for (std::size_t block = 0; block < width; block += kLanes) {
      float mean[kLanes] = {};
      for (std::size_t i = 0; i < fields; ++i)
        for (std::size_t d = 0; d < kLanes; ++d) mean[d] += x[i * width + block + d];
      for (std::size_t d = 0; d < kLanes; ++d) mean[d] *= share;
      for (std::size_t i = 0; i < fields; ++i)
        for (std::size_t d = 0; d < kLanes; ++d) x[i * width + block + d] -= mean[d];
    }
  }

  // turned[d][j] = x_j[d], in lines of padded(fields).
  template <class T>
  void turn(const T* from, std::size_t stride, float* __restrict turned) const noexcept {
    const std::size_t line = padded(fields);
    for (std::size_t j = 0; j < fields; ++j)
      for (std::size_t d = 0; d < dim; ++d) turned[d * line + j] = widened(from[j * stride + d]);
  }

  // out[i][j] = x_i . y_j, in lines of padded(fields), for y turned.
  void dots(const float* __restrict x, const float* __restrict turned, float* __restrict out) const noexcept {
    const std::size_t line = padded(fields);
    for (std::size_t block = 0; block < line; block += kLanes)
      several(fields, [&](auto rows, std::size_t i) {
        products<rows()>(x + i * width, width, 1, turned + block, line, dim, out + i * line + block, line);
      });
  }

  // out_i = sum over j of weights[i * across + j * down] * x_j.
  void combine(const float* __restrict weights, std::size_t across, std::size_t down, const float* __restrict x,
               float* __restrict out) const noexcept {
    for (std::size_t block = 0; block < width; block += kLanes)
      several(fields, [&](auto rows, std::size_t i) {
        products<rows()>(weights + i * across, across, down, x + block, width, fields, out + i * width + block, width);
      });
  }

 private:
  // Four at a time, so that their sums do not wait for each other; then what is left.
  template <class Work>
  static void several(std::size_t count, const Work& work) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) work(std::integral_constant<std::size_t, 4>{}, i);
    for (; i + 2 <= count; i += 2) work(std::integral_constant<std::size_t, 2>{}, i);
    for (; i < count; ++i) work(std::integral_constant<std::size_t, 1>{}, i);
  }

  // out[r][lane] = sum over n of factors[r * across + n * down] * lines[n][lane].
  template <std::size_t kRows>
  static void products(const float* __restrict factors, std::size_t across, std::size_t down,
                       const float* __restrict lines, std::size_t line, std::size_t count, float* __restrict out,
                       std::size_t stride) noexcept {
    Lanes sum[kRows] = {}, values;
    for (std::size_t n = 0; n < count; ++n) {
      load(lines + n * line, values);
#pragma GCC unroll 4
      for (std::size_t r = 0; r < kRows; ++r) sum[r] += factors[r * across + n * down] * values;
    }
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kRows; ++r) put(sum[r], out + r * stride);
  }
};

// softmax over j of scale * scores[j][i], in lines of padded(fields), to weights[i][j].
void softmax(float* __restrict scores, std::size_t fields, float scale, float* __restrict weights) noexcept {
  const std::size_t line = padded(fields);
  for (std::size_t block = 0; block < line; block += kLanes) {
    Lanes largest, score, total = {};
    load(scores + block, largest);
    for (std::size_t j = 1; j < fields; ++j) {
      load(scores + j * line + block, score);
      largest = score > largest ? score : largest;
    }
    for (std::size_t j = 0; j < fields; ++j) {
      float* const row = scores + j * line + block;
      load(row, score);
      score = (score - largest) * scale;
      exponential(score);
      total += score;
      put(score, row);
    }
    const Lanes share = 1.0f / total;
    for (std::size_t j = 0; j < fields; ++j) {
      float* const row = scores + j * line + block;
      load(row, score);
      put(score * share, row);
    }
  }
  for (std::size_t i = 0; i < fields; ++i)
    for (std::size_t j = 0; j < fields; ++j) weights[i * fields + j] = scores[j * line + i];
}

// Zeroed room for one thread: three heads' fields, one turned, and a square.
struct Room {
  std::vector<float> numbers;
  float *a, *b, *c, *turned, *square;

  explicit Room(const Head& head) {
    const std::size_t part = head.fields * head.width, line = padded(head.fields);
    numbers.assign(3 * part + head.width * line + head.fields * line, 0.0f);
    a = numbers.data(), b = a + part, c = b + part, turned = c + part;
    square = turned + head.width * line;
  }
};

// work(room, first row, end) over all rows, shared out to threads.
template <class Work>
void spread(const Attention& shape, std::size_t threads, const Work& work) {
  const Head head{shape.fields, shape.dim, padded(shape.dim)};
  const std::size_t count = std::max<std::size_t>(1, std::min(threads, shape.rows / kRowsPerThread));
  std::vector<Room> rooms;
  for (std::size_t t = 0; t < count; ++t) rooms.emplace_back(head);
  std::vector<std::thread> others;
  const auto bound = [&](std::size_t t) { return shape.rows * t / count; };
  for (std::size_t t = 1; t < count; ++t) others.emplace_back([&, t] { work(head, rooms[t], bound(t), bound(t + 1)); });
  work(head, rooms[0], bound(0), bound(1));
  for (std::thread& other : others) other.join();
}

}  // namespace

template <class T>
void attention_weights(const T* maps, const Attention& shape, float* weights, std::size_t threads) {
  const std::size_t fields = shape.fields, units = shape.heads * shape.dim, stride = 2 * units;
  spread(shape, threads, [&](const Head& head, Room& room, std::size_t first, std::size_t end) {
    for (std::size_t b = first; b < end; ++b)
      for (std::size_t h = 0; h < shape.heads; ++h) {
        const T* const from = maps + b * fields * stride + h * shape.dim;
        head.fetch(from + units, stride, room.b);
        if (shape.centred) {
          head.fetch(from, stride, room.a);
          head.centre(room.a);
          head.turn(room.a, head.width, room.turned);
        } else {
          head.turn(from, stride, room.turned);
        }
        head.dots(room.b, room.turned, room.square);  // keys down, queries along the lanes
        softmax(room.square, fields, shape.scale, weights + (b * shape.heads + h) * fields * fields);
      }
  });
}

template <class T>
void attention_weights_backward(const T* maps, const float* weights, const float* gradient, const Attention& shape,
                                T* of_maps, std::size_t threads) {
  const std::size_t fields = shape.fields, units = shape.heads * shape.dim, stride = 2 * units;
  spread(shape, threads, [&](const Head& head, Room& room, std::size_t first, std::size_t end) {
    for (std::size_t b = first; b < end; ++b)
      for (std::size_t h = 0; h < shape.heads; ++h) {
        const std::size_t at = b * fields * stride + h * shape.dim;
        const std::size_t square = (b * shape.heads + h) * fields * fields;
        for (std::size_t i = 0; i < fields; ++i) {
          const float* const w = weights + square + i * fields;
          const float* const g = gradient + square + i * fields;
          float mean = 0.0f;
          for (std::size_t j = 0; j < fields; ++j) mean += w[j] * g[j];
          for (std::size_t j = 0; j < fields; ++j) room.square[i * fields + j] = shape.scale * w[j] * (g[j] - mean);
        }
        head.fetch(maps + at + units, stride, room.b);
        head.combine(room.square, fields, 1, room.b, room.c);
        if (shape.centred) head.centre(room.c);
        head.store(room.c, of_maps + at, stride);
        head.fetch(maps + at, stride, room.a);
        if (shape.centred) head.centre(room.a);
        head.combine(room.square, 1, fields, room.a, room.c);
        head.store(room.c, of_maps + at + units, stride);
      }
  });
}

template <class T>
void attention_mix(const float* weights, const T* maps, const T* residual, bool mapped, const Attention& shape, T* out,
                   std::size_t threads) {
  const std::size_t fields = shape.fields, units = shape.heads * shape.dim, stride = mapped ? 2 * units : units;
  spread(shape, threads, [&](const Head& head, Room& room, std::size_t first, std::size_t end) {
    for (std::size_t b = first; b < end; ++b)
      for (std::size_t h = 0; h < shape.heads; ++h) {
        const std::size_t at = b * fields * stride + h * shape.dim, to = b * fields * units + h * shape.dim;
        head.fetch(maps + at, stride, room.a);
        head.combine(weights + (b * shape.heads + h) * fields * fields, fields, 1, room.a, room.b);
        const T* const added = mapped ? maps + at + units : residual == nullptr ? nullptr : residual + to;
        if (added != nullptr) {
          head.fetch(added, mapped ? stride : units, room.c);
          for (std::size_t n = 0; n < fields * head.width; ++n) room.b[n] += room.c[n];
        }
        head.store(room.b, out + to, units);
      }
  });
}

template <class T>
void attention_mix_backward(const float* weights, const T* maps, const T* gradient, bool mapped, const Attention& shape,
                            float* of_weights, T* of_maps, std::size_t threads) {
  const std::size_t fields = shape.fields, units = shape.heads * shape.dim, stride = mapped ? 2 * units : units;
  spread(shape, threads, [&](const Head& head, Room& room, std::size_t first, std::size_t end) {
    const std::size_t line = padded(fields);
    for (std::size_t b = first; b < end; ++b)
      for (std::size_t h = 0; h < shape.heads; ++h) {
        const std::size_t at = b * fields * stride + h * shape.dim, from = b * fields * units + h * shape.dim;
        const std::size_t square = (b * shape.heads + h) * fields * fields;
        head.fetch(gradient + from, units, room.a);
        head.turn(maps + at, stride, room.turned);
        head.dots(room.a, room.turned, room.square);
        for (std::size_t i = 0; i < fields; ++i)
          std::copy_n(room.square + i * line, fields, of_weights + square + i * fields);
        head.combine(weights + square, 1, fields, room.a, room.c);
        head.store(room.c, of_maps + at, stride);
        if (mapped)
          for (std::size_t i = 0; i < fields; ++i)
            std::copy_n(gradient + from + i * units, shape.dim, of_maps + at + units + i * stride);
      }
  });
}

#define INSTANTIATE(T)                                                                                               \
  template void attention_weights(const T*, const Attention&, float*, std::size_t);                                  \
  template void attention_weights_backward(const T*, const float*, const float*, const Attention&, T*, std::size_t); \
  template void attention_mix(const float*, const T*, const T*, bool, const Attention&, T*, std::size_t);            \
  template void attention_mix_backward(const float*, const T*, const T*, bool, const Attention&, float*, T*,         \
                                       std::size_t);
INSTANTIATE(float)
INSTANTIATE(std::uint16_t)

}  // namespace modules
