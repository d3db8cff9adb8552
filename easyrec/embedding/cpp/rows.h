// Arithmetic on rows of a table, in explicit vectors: loops this short the compiler unrolls into scalar code.
#pragma once

#include <cstddef>
#include <cstring>

namespace embedding {

// W floats that the compiler keeps in registers, whatever their width in the processor.
template <int W>
struct Lanes {
  typedef float Vector __attribute__((vector_size(4 * W)));
  Vector v;
  static inline Lanes load(const float* p) noexcept {
    Lanes lanes;
    std::memcpy(&lanes.v, p, sizeof(lanes.v));
    return lanes;
  }
  inline void store(float* p) const noexcept { std::memcpy(p, &v, sizeof(v)); }
};

template <>
struct Lanes<1> {
  float v;
  static inline Lanes load(const float* p) noexcept { return {*p}; }
  inline void store(float* p) const noexcept { *p = v; }
};

template <int W>
struct Width {
  static constexpr int value = W;
};

// Calls f(Width<W>, i) for chunks i .. i + W that cover a row; D is its width, or 0 where only `dim` knows it.
template <int D, class F>
inline void chunks(int dim, F&& f) noexcept {
  int i = 0;
  const int width = D ? D : dim;
  for (; i + 16 <= width; i += 16) f(Width<16>{}, i);
  if (D == 0 || D % 16 >= 8)
    for (; i + 8 <= width; i += 8) f(Width<8>{}, i);
  if (D == 0 || D % 8 >= 4)
    for (; i + 4 <= width; i += 4) f(Width<4>{}, i);
  for (; i < width; ++i) f(Width<1>{}, i);
}

// sum += row
template <int D>
inline void add(float* sum, const float* row, int dim) noexcept {
  chunks<D>(dim, [&](auto w, int i) {
    using L = Lanes<decltype(w)::value>;
    L s = L::load(sum + i);
    s.v += L::load(row + i).v;
    s.store(sum + i);
  });
}

// sum += scale * row
template <int D>
inline void add_scaled(float* sum, const float* row, float scale, int dim) noexcept {
  chunks<D>(dim, [&](auto w, int i) {
    using L = Lanes<decltype(w)::value>;
    L s = L::load(sum + i);
    s.v += L::load(row + i).v * scale;
    s.store(sum + i);
  });
}

// out = scale * row
template <int D>
inline void set_scaled(float* out, const float* row, float scale, int dim) noexcept {
  chunks<D>(dim, [&](auto w, int i) {
    using L = Lanes<decltype(w)::value>;
    L s = L::load(row + i);
    s.v *= scale;
    s.store(out + i);
  });
}

// row *= scale
template <int D>
inline void multiply(float* row, float scale, int dim) noexcept {
  set_scaled<D>(row, row, scale, dim);
}

template <int D>
inline void clear(float* row, int dim) noexcept {
  std::memset(row, 0, sizeof(float) * static_cast<std::size_t>(D ? D : dim));
}

// Brings the cache lines of a row near. One prefetch per 64 bytes.
template <int D, int Write = 0>
inline void prefetch_row(const float* row, int dim) noexcept {
  const int width = D ? D : dim;
  for (int i = 0; i < width; i += 16) __builtin_prefetch(row + i, Write, 3);
}

}  // namespace embedding
