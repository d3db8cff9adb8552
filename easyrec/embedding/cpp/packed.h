// Rows of tables that are served in fewer bits, and their numbers as floats.
#pragma once

#include <cstdint>
#include <cstring>

#include "rows.h"

namespace embedding {

// How the numbers of a row are stored:
//   fp32, fp16, bf16  one after another; fp16 holds no infinities and no NaN
//   int8              float scale, float low, then a byte each: the number is low + scale * byte
//   codes             of compressed tables alone, see compressed.h
enum class Storage : std::uint8_t { fp32, fp16, bf16, int8, codes };

constexpr std::int64_t kHead = 8;  // bytes of scale and low

inline std::int64_t row_bytes(Storage storage, std::int64_t dim) {
  switch (storage) {
    case Storage::fp32: return 4 * dim;
    case Storage::int8: return kHead + dim;
    default: return 2 * dim;
  }
}

// Floats of the same bits.
inline float as_float(std::uint32_t bits) noexcept {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Vectors of W whole numbers.
template <int W>
struct Whole {
  typedef std::uint8_t Byte __attribute__((vector_size(W)));
  typedef std::uint16_t Half __attribute__((vector_size(2 * W)));
  typedef std::uint32_t Word __attribute__((vector_size(4 * W)));
  typedef std::int32_t Int __attribute__((vector_size(4 * W)));
};

// The numbers of one row, W at a time.
template <Storage S>
struct Packed {
  explicit Packed(const std::uint8_t* row) noexcept : row(row) {
    if (S == Storage::int8) {
      std::memcpy(&scale, row, sizeof(scale));
      std::memcpy(&low, row + 4, sizeof(low));
    }
  }

  template <int W>
  inline Lanes<W> load(int i) const noexcept {
    using Word = typename Whole<W>::Word;
    Lanes<W> lanes;
    if constexpr (S == Storage::int8) {
      typename Whole<W>::Byte bytes;
      std::memcpy(&bytes, row + kHead + i, sizeof(bytes));
      lanes.v =
          __builtin_convertvector(__builtin_convertvector(bytes, typename Whole<W>::Int), typename Lanes<W>::Vector) *
              scale +
          low;
    } else {
      typename Whole<W>::Half halves;
      std::memcpy(&halves, row + 2 * i, sizeof(halves));
      const Word words = __builtin_convertvector(halves, Word);
      if constexpr (S == Storage::bf16) {
        const Word bits = words << 16;
        std::memcpy(&lanes.v, &bits, sizeof(bits));
      } else {  // fraction and exponent as a float whose exponent is 112 too small, then the sign
        const Word magnitude = (words & 0x7fff) << 13;
        std::memcpy(&lanes.v, &magnitude, sizeof(magnitude));
        lanes.v *= as_float(0x77800000u);  // 2^112
        Word bits;
        std::memcpy(&bits, &lanes.v, sizeof(bits));
        bits |= (words & 0x8000) << 16;
        std::memcpy(&lanes.v, &bits, sizeof(bits));
      }
    }
    return lanes;
  }

  const std::uint8_t* row;
  float scale = 1.0f, low = 0.0f;
};

template <>
template <>
inline Lanes<1> Packed<Storage::int8>::load<1>(int i) const noexcept {
  return {static_cast<float>(row[kHead + i]) * scale + low};
}

template <>
template <>
inline Lanes<1> Packed<Storage::bf16>::load<1>(int i) const noexcept {
  std::uint16_t half;
  std::memcpy(&half, row + 2 * i, sizeof(half));
  return {as_float(static_cast<std::uint32_t>(half) << 16)};
}

template <>
template <>
inline Lanes<1> Packed<Storage::fp16>::load<1>(int i) const noexcept {
  std::uint16_t half;
  std::memcpy(&half, row + 2 * i, sizeof(half));
  const float magnitude = as_float(static_cast<std::uint32_t>(half & 0x7fff) << 13) * as_float(0x77800000u);
  return {half & 0x8000 ? -magnitude : magnitude};
}

// out = row
template <Storage S>
inline void unpack(float* out, const std::uint8_t* row, int dim) noexcept {
  const Packed<S> packed(row);
  chunks<0>(dim, [&](auto w, int i) { packed.template load<decltype(w)::value>(i).store(out + i); });
}

// sum += scale * row
template <Storage S>
inline void add_scaled_packed(float* sum, const std::uint8_t* row, float scale, int dim) noexcept {
  const Packed<S> packed(row);
  chunks<0>(dim, [&](auto w, int i) {
    using L = Lanes<decltype(w)::value>;
    L s = L::load(sum + i);
    s.v += packed.template load<decltype(w)::value>(i).v * scale;
    s.store(sum + i);
  });
}

// Calls f(integral constant of a storage in fewer bits).
template <Storage S>
struct Stored {
  static constexpr Storage value = S;
};

template <class F>
auto with_storage(Storage storage, F&& f) {
  switch (storage) {
    case Storage::fp16: return f(Stored<Storage::fp16>{});
    case Storage::bf16: return f(Stored<Storage::bf16>{});
    default: return f(Stored<Storage::int8>{});
  }
}

}  // namespace embedding
