#include "lookup.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "rows.h"

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 16;  // rows prefetched before they are read

inline bool outside(std::int64_t id, std::int64_t size) {
  return static_cast<std::uint64_t>(id) >= static_cast<std::uint64_t>(size);
}

// The id may not be checked yet: prefetching a wrong address is harmless, computing it as a pointer is not.
template <int D>
inline void prefetch_id(const Bag& bag, std::int64_t id, int dim) {
  const auto bytes = static_cast<std::uintptr_t>(id) * static_cast<std::uintptr_t>(dim) * sizeof(float);
  prefetch_row<D>(reinterpret_cast<const float*>(reinterpret_cast<std::uintptr_t>(bag.rows) + bytes), dim);
}

bool ascending(const std::int64_t* offsets, std::int64_t begin, std::int64_t end, std::int64_t limit) {
  bool good = offsets[begin] >= 0 && offsets[end] <= limit;
  for (std::int64_t i = begin; i < end; ++i) good &= offsets[i] <= offsets[i + 1];
  return good;
}

template <int D>
void plain_rows(const Bag& bag, std::int64_t begin, std::int64_t end, std::int64_t num_rows, float* out,
                std::int64_t stride) {
  const int dim = D ? D : bag.dim;
  const std::int64_t* ids = bag.ids;
  const std::int64_t near = std::min(end, num_rows - kAhead);
  std::int64_t b = begin;
  const auto copy = [&](std::int64_t row) {
    std::memcpy(out + row * stride, bag.rows + ids[row] * dim, sizeof(float) * static_cast<std::size_t>(dim));
  };
  for (; b < near; ++b) {
    prefetch_id<D>(bag, ids[b + kAhead], dim);
    copy(b);
  }
  for (; b < end; ++b) copy(b);
}

template <int D>
void pooled_rows(const Bag& bag, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride, bool check) {
  const int dim = D ? D : bag.dim;
  for (std::int64_t b = begin; b < end; ++b) {
    float* sum = out + b * stride;
    clear<D>(sum, dim);
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    for (std::int64_t e = low; e < high; ++e) {
      const std::int64_t first = bag.first_key(e), last = bag.first_key(e + 1);
      const float share = bag.element_mean && last > first ? 1.0f / static_cast<float>(last - first) : 1.0f;
      for (std::int64_t k = first; k < last; ++k) {
        if (k + kAhead < bag.num_values) prefetch_id<D>(bag, bag.ids[k + kAhead], dim);
        if (check && outside(bag.ids[k], bag.num_table_rows)) continue;
        add_scaled<D>(sum, bag.rows + bag.ids[k] * dim, bag.weights ? share * bag.weights[k] : share, dim);
      }
    }
    if (bag.mean && high - low > 1) multiply<D>(sum, 1.0f / static_cast<float>(high - low), dim);
  }
}

// The same for rows in fewer bits.
template <Storage S>
void packed_rows(const Bag& bag, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride, bool check) {
  const int dim = bag.dim;
  const std::int64_t bytes = row_bytes(S, dim);
  const auto prefetch = [&](std::int64_t k) {  // the id may not be checked yet
    if (k >= bag.num_values) return;
    const auto address = reinterpret_cast<std::uintptr_t>(bag.packed) +
                         static_cast<std::uintptr_t>(bag.ids[k]) * static_cast<std::uintptr_t>(bytes);
    for (std::int64_t at = 0; at < bytes; at += 64)
      __builtin_prefetch(reinterpret_cast<const void*>(address + static_cast<std::uintptr_t>(at)));
  };
  if (bag.plain() && !check) {
    for (std::int64_t b = begin; b < end; ++b) {
      prefetch(b + kAhead);
      unpack<S>(out + b * stride, bag.packed + bag.ids[b] * bytes, dim);
    }
    return;
  }
  for (std::int64_t b = begin; b < end; ++b) {
    float* sum = out + b * stride;
    clear<0>(sum, dim);
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    for (std::int64_t e = low; e < high; ++e) {
      const std::int64_t first = bag.first_key(e), last = bag.first_key(e + 1);
      const float share = bag.element_mean && last > first ? 1.0f / static_cast<float>(last - first) : 1.0f;
      for (std::int64_t k = first; k < last; ++k) {
        prefetch(k + kAhead);
        if (check && outside(bag.ids[k], bag.num_table_rows)) continue;
        add_scaled_packed<S>(sum, bag.packed + bag.ids[k] * bytes, bag.weights ? share * bag.weights[k] : share, dim);
      }
    }
    if (bag.mean && high - low > 1) multiply<0>(sum, 1.0f / static_cast<float>(high - low), dim);
  }
}

// The same for rows of a compressed table.
template <int D>
void compressed_rows(const Bag& bag, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride,
                     bool check) {
  const Compressed& table = *bag.compressed;
  const int dim = D ? D : bag.dim;
  std::vector<float> scratch(static_cast<std::size_t>(dim) + static_cast<std::size_t>(table.width));
  float *one = scratch.data(), *inner = one + dim;
  if (bag.plain() && !check) {
    for (std::int64_t b = begin; b < end; ++b) {
      if (b + kAhead < bag.num_values) table.prefetch(bag.ids[b + kAhead]);
      table.decode<D>(bag.ids[b], out + b * stride, dim, inner);
    }
    return;
  }
  for (std::int64_t b = begin; b < end; ++b) {
    float* sum = out + b * stride;
    clear<0>(sum, dim);
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    for (std::int64_t e = low; e < high; ++e) {
      const std::int64_t first = bag.first_key(e), last = bag.first_key(e + 1);
      const float share = bag.element_mean && last > first ? 1.0f / static_cast<float>(last - first) : 1.0f;
      for (std::int64_t k = first; k < last; ++k) {
        if (k + kAhead < bag.num_values) table.prefetch(bag.ids[k + kAhead]);
        if (check && outside(bag.ids[k], bag.num_table_rows)) continue;
        table.decode<D>(bag.ids[k], one, dim, inner);
        add_scaled<D>(sum, one, bag.weights ? share * bag.weights[k] : share, dim);
      }
    }
    if (bag.mean && high - low > 1) multiply<0>(sum, 1.0f / static_cast<float>(high - low), dim);
  }
}

template <int D>
void linear_rows(const Bag& bag, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride) {
  const int dim = D ? D : bag.dim;
  for (std::int64_t b = begin; b < end; ++b) {
    float* sum = out + b * stride;
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    if (high - low == 1 && bag.value_dim == 1) {
      set_scaled<D>(sum, bag.rows, bag.values[low * bag.value_stride], dim);
      continue;
    }
    clear<D>(sum, dim);
    for (std::int64_t e = low; e < high; ++e) {
      const float* value = bag.values + e * bag.value_stride;
      for (int j = 0; j < bag.value_dim; ++j) add_scaled<D>(sum, bag.rows + std::int64_t{j} * dim, value[j], dim);
    }
    if (bag.mean && high - low > 1) multiply<D>(sum, 1.0f / static_cast<float>(high - low), dim);
  }
}

void copied_rows(const Bag& bag, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride) {
  if (bag.offsets == nullptr) {
    const float* value = bag.values + begin * bag.value_stride;
    for (std::int64_t b = begin; b < end; ++b, value += bag.value_stride)
      for (int j = 0; j < bag.dim; ++j) out[b * stride + j] = value[j];
    return;
  }
  for (std::int64_t b = begin; b < end; ++b) {
    float* sum = out + b * stride;
    clear<0>(sum, bag.dim);
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    for (std::int64_t e = low; e < high; ++e) add<0>(sum, bag.values + e * bag.value_stride, bag.dim);
    if (bag.mean && high - low > 1) multiply<0>(sum, 1.0f / static_cast<float>(high - low), bag.dim);
  }
}

// Fills one bag's columns of the rows begin .. end. Returns what is wrong, `bad` counts ids outside the table.
Fault fill(const Bag& bag, int index, std::int64_t begin, std::int64_t end, std::int64_t num_rows, float* out,
           std::int64_t stride, bool tolerant, std::int64_t& bad) {
  const std::int64_t num_elements = bag.key_offsets ? bag.num_elements : bag.num_values;
  if (bag.offsets && !ascending(bag.offsets, begin, end, num_elements)) return {index, begin, 0, Fault::offsets};
  const std::int64_t low = bag.begin(begin), high = bag.begin(end);
  out += bag.column;
  if (bag.kind == Kind::copy) return copied_rows(bag, begin, end, out, stride), Fault{};
  if (bag.kind == Kind::linear) {
    with_dim(bag.dim, [&](auto d) { linear_rows<decltype(d)::value>(bag, begin, end, out, stride); });
    return {};
  }
  if (bag.key_offsets && !ascending(bag.key_offsets, low, high, bag.num_values))
    return {index, begin, 0, Fault::key_offsets};
  const std::int64_t first = bag.first_key(low), last = bag.first_key(high);
  std::int64_t wrong = 0;
  for (std::int64_t k = first; k < last; ++k) wrong += outside(bag.ids[k], bag.num_table_rows);
  const bool taken = !wrong || bag.open || tolerant;
  if (bag.compressed && taken) {
    if (!bag.open) bad += wrong;
    with_dim(bag.dim, [&](auto d) { compressed_rows<decltype(d)::value>(bag, begin, end, out, stride, wrong != 0); });
    return {};
  }
  if (bag.storage != Storage::fp32 && taken) {
    if (!bag.open) bad += wrong;
    with_storage(bag.storage,
                 [&](auto s) { packed_rows<decltype(s)::value>(bag, begin, end, out, stride, wrong != 0); });
    return {};
  }
  if (wrong && bag.open) {
    with_dim(bag.dim, [&](auto d) { pooled_rows<decltype(d)::value>(bag, begin, end, out, stride, true); });
    return {};
  }
  if (wrong && !tolerant) {
    std::int64_t k = first;
    while (!outside(bag.ids[k], bag.num_table_rows)) ++k;
    std::int64_t b = begin;
    while (bag.first_key(bag.begin(b + 1)) <= k) ++b;
    return {index, b, bag.ids[k], Fault::id};
  }
  bad += wrong;
  with_dim(bag.dim, [&](auto d) {
    constexpr int D = decltype(d)::value;
    if (bag.plain() && !wrong) plain_rows<D>(bag, begin, end, num_rows, out, stride);
    else pooled_rows<D>(bag, begin, end, out, stride, wrong != 0);
  });
  return {};
}

}  // namespace

Fault lookup(const Bag* bags, int num_bags, std::int64_t num_rows, float* out, std::int64_t stride,
             std::int64_t* count_bad, Pool& pool) {
  // A block's part of `out` stays in the second-level cache while feature after feature fills it.
  const std::int64_t block = std::clamp<std::int64_t>(32768 / std::max<std::int64_t>(stride, 1), 16, 512);
  const std::int64_t num_blocks = (num_rows + block - 1) / block;
  std::mutex mutex;
  Fault fault;
  std::int64_t fault_block = num_blocks;
  std::atomic<std::int64_t> bad{0};
  pool.run(num_blocks, [&](std::int64_t unit, int) {
    const std::int64_t begin = unit * block, end = std::min(num_rows, begin + block);
    std::int64_t wrong = 0;
    for (int i = 0; i < num_bags; ++i) {
      const Fault found = fill(bags[i], i, begin, end, num_rows, out, stride, count_bad != nullptr, wrong);
      if (found.bag < 0) continue;
      std::lock_guard<std::mutex> lock(mutex);
      if (unit < fault_block) fault = found, fault_block = unit;
      return;
    }
    if (wrong) bad += wrong;
  });
  if (count_bad) *count_bad = bad;
  return fault;
}

bool row_ids(const std::int64_t* offsets, std::int64_t num_rows, std::int64_t size, std::int64_t* rows) noexcept {
  if (offsets[0] != 0 || !ascending(offsets, 0, num_rows, size) || offsets[num_rows] != size) return false;
  for (std::int64_t b = 0; b < num_rows; ++b) std::fill(rows + offsets[b], rows + offsets[b + 1], b);
  return true;
}

}  // namespace embedding
