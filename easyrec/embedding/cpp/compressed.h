// Rows of tables that are served compressed: from an id to its row, from what is stored there to its numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "packed.h"

namespace embedding {

constexpr int kBook = 256;  // entries of a code book

// How the numbers of an id are found:
//   1. its row: the id itself, or where `kept` is given the place of the id among those that kept a row of their own,
//      and `shared` for all others
//   2. `width` numbers: as `storage` has them, or for codes the entries of `parts` books, one after another
//   3. these, or where `project` is given their product with it
// Neither a code nor a row can be outside of its memory, whatever the arrays hold.
struct Compressed {
  Storage storage = Storage::fp32;
  const std::uint8_t* rows = nullptr;  // (num_rows) of `bytes`
  std::int64_t num_rows = 0;
  std::int64_t bytes = 0;
  int width = 0;
  const std::uint64_t* kept = nullptr;  // per 64 ids: the bits of those with a row, and how many have one before them
  std::int64_t shared = 0;
  int parts = 0;
  const float* books = nullptr;    // (parts, kBook, width / parts)
  const float* project = nullptr;  // (width, dim)

  std::int64_t row_of(std::int64_t id) const noexcept {
    if (!kept) return id;
    const std::uint64_t bits = kept[2 * (id >> 6)], before = kept[2 * (id >> 6) + 1];
    const std::uint64_t bit = std::uint64_t{1} << (id & 63);
    if (!(bits & bit)) return shared;
    const std::uint64_t row = before + static_cast<std::uint64_t>(__builtin_popcountll(bits & (bit - 1)));
    return static_cast<std::int64_t>(std::min(row, static_cast<std::uint64_t>(shared)));
  }

  // Brings near what `decode` will read first; the id may not be checked yet.
  void prefetch(std::int64_t id) const noexcept {
    const auto at = static_cast<std::uintptr_t>(id);
    const auto address = kept ? reinterpret_cast<std::uintptr_t>(kept) + 16 * (at >> 6)
                              : reinterpret_cast<std::uintptr_t>(rows) + at * static_cast<std::uintptr_t>(bytes);
    __builtin_prefetch(reinterpret_cast<const void*>(address));
  }

  // out (dim) = the numbers of an id; `inner` has room for `width`. D is dim, or 0 where only that knows it.
  template <int D>
  void decode(std::int64_t id, float* out, int dim, float* inner) const noexcept {
    const std::uint8_t* row = rows + row_of(id) * bytes;
    float* numbers = project ? inner : out;
    if (storage == Storage::codes) {
      switch (width / parts) {
        case 1: entries<1>(row, numbers, 1); break;
        case 2: entries<2>(row, numbers, 2); break;
        case 4: entries<4>(row, numbers, 4); break;
        default: entries<0>(row, numbers, width / parts);
      }
    } else if (storage == Storage::fp32) {
      std::memcpy(numbers, row, sizeof(float) * static_cast<std::size_t>(width));
    } else {
      with_storage(storage, [&](auto s) { unpack<decltype(s)::value>(numbers, row, width); });
    }
    if (!project) return;
    chunks<D>(dim, [&](auto w, int i) {
      using L = Lanes<decltype(w)::value>;
      L sum{};
      for (int j = 0; j < width; ++j) sum.v += L::load(project + std::int64_t{j} * dim + i).v * inner[j];
      sum.store(out + i);
    });
  }

 private:
  // numbers = the entries that a row of codes names; S is their size, or 0.
  template <int S>
  void entries(const std::uint8_t* row, float* numbers, int size) const noexcept {
    const int sub = S ? S : size;
    const float* book = books;
    for (int part = 0; part < parts; ++part, book += kBook * sub)
      std::memcpy(numbers + part * sub, book + row[part] * sub, sizeof(float) * static_cast<std::size_t>(sub));
  }
};

}  // namespace embedding
