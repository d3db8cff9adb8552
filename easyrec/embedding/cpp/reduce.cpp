#include "reduce.h"

#include <algorithm>

#include "rows.h"

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 16;  // gradient rows prefetched before they are added

// Places of rows in the order of their first occurrence. A table of few rows is addressed directly.
class Places {
 public:
  Places(Reduced& out, std::int64_t num_table_rows, std::int64_t occurrences) : rows_(out.rows) {
    int bits = 6;
    while ((std::int64_t{1} << bits) < 2 * occurrences) ++bits;
    direct_ = num_table_rows <= std::int64_t{1} << bits;
    shift_ = 64 - bits;
    mask_ = (std::uint64_t{1} << bits) - 1;
    const std::size_t size = direct_ ? static_cast<std::size_t>(num_table_rows) : std::size_t{1} << bits;
    out.table.assign(size, -1);
    table_ = out.table.data();
    rows_.resize(static_cast<std::size_t>(std::min(num_table_rows, occurrences)));
  }

  bool direct() const { return direct_; }
  std::int32_t size() const { return size_; }

  template <bool Direct>
  std::int32_t find(std::int64_t row) {
    if (Direct) {
      std::int32_t& place = table_[row];
      if (place < 0) place = insert(row);
      return place;
    }
    for (std::uint64_t h = mix(row) >> shift_;; h = (h + 1) & mask_) {
      std::int32_t& place = table_[h];
      if (place < 0) return place = insert(row);
      if (rows_[static_cast<std::size_t>(place)] == row) return place;
    }
  }

 private:
  std::int32_t insert(std::int64_t row) {
    rows_[static_cast<std::size_t>(size_)] = row;
    return size_++;
  }

  std::vector<std::int64_t>& rows_;
  std::int32_t* table_;
  std::int32_t size_ = 0;
  int shift_;
  std::uint64_t mask_;
  bool direct_;
};

// Lists the occurrences of one source: place, row of its gradient, factor. Returns how many, or -1.
template <bool Direct>
std::int64_t list(const Source& source, Places& places, std::int32_t* place, std::int32_t* origin, float* share) {
  const Bag& bag = *source.bag;
  const std::uint64_t limit = static_cast<std::uint64_t>(bag.num_table_rows);
  std::int64_t count = 0;
  if (bag.plain_sum()) {
    for (; count < source.num_rows; ++count) {
      if (static_cast<std::uint64_t>(bag.ids[count]) >= limit) return -1;
      place[count] = places.find<Direct>(bag.ids[count]);
    }
    return count;
  }
  bool inside = true;
  each_id(bag, 0, source.num_rows, [&](std::int64_t id, std::int64_t row, float factor) {
    if (static_cast<std::uint64_t>(id) >= limit) {
      inside &= bag.open;
      return;
    }
    place[count] = places.find<Direct>(id);
    origin[count] = static_cast<std::int32_t>(row);
    share[count++] = factor;
  });
  return inside ? count : -1;
}

template <int D>
void add_plain(const Source& source, const std::int32_t* place, std::int64_t count, float* sums, int dim) {
  const int width = D ? D : dim;
  for (std::int64_t i = 0; i < count; ++i) {
    const float* g = source.grad + i * source.stride;
    prefetch_row<D>(g + kAhead * source.stride, dim);
    add<D>(sums + std::int64_t{place[i]} * width, g, dim);
  }
}

template <int D>
void add_shared(const Source& source, const std::int32_t* place, const std::int32_t* origin, const float* share,
                std::int64_t count, float* sums, int dim) {
  const int width = D ? D : dim;
  for (std::int64_t i = 0; i < count; ++i)
    add_scaled<D>(sums + std::int64_t{place[i]} * width, source.grad + origin[i] * source.stride, share[i], dim);
}

// sums[0] += sum_b value_b * grad_b, in four interleaved sums.
template <int D>
void add_plain_linear(const Source& source, float* sums) {
  const Bag& bag = *source.bag;
  alignas(64) float lanes[4][D ? D : 1] = {};
  std::int64_t b = 0;
  for (; b + 4 <= source.num_rows; b += 4) {
    for (int lane = 0; lane < 4; ++lane) {
      const float* g = source.grad + (b + lane) * source.stride;
      prefetch_row<D>(g + kAhead * source.stride, D);
      add_scaled<D>(lanes[lane], g, bag.values[(b + lane) * bag.value_stride], D);
    }
  }
  for (; b < source.num_rows; ++b)
    add_scaled<D>(lanes[0], source.grad + b * source.stride, bag.values[b * bag.value_stride], D);
  for (int k = 0; k < D; ++k) sums[k] += (lanes[0][k] + lanes[1][k]) + (lanes[2][k] + lanes[3][k]);
}

// sums[j] += sum_b share_b * sum_e value_ej * grad_b.
template <int D>
void add_linear(const Source& source, float* sums, int dim) {
  const Bag& bag = *source.bag;
  if (D && !bag.offsets && bag.value_dim == 1) return add_plain_linear<D>(source, sums);
  for (std::int64_t b = 0; b < source.num_rows; ++b) {
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    const float mean = bag.mean && high > low ? 1.0f / static_cast<float>(high - low) : 1.0f;
    const float* g = source.grad + b * source.stride;
    for (std::int64_t e = low; e < high; ++e)
      for (int j = 0; j < bag.value_dim; ++j)
        add_scaled<D>(sums + std::int64_t{j} * dim, g, mean * bag.values[e * bag.value_stride + j], dim);
  }
}

}  // namespace

float* Floats::reserve(std::size_t size) {
  if (size > size_) {
    size_ = size + size / 4;
    memory_.reset(new char[size_ * sizeof(float) + 64]);
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
    data_ = reinterpret_cast<float*>(memory_.get() + (64 - address % 64));
  }
  return data_;
}

namespace {

bool reduce_linear(const std::vector<Source>& sources, Reduced& out) {
  const Bag& bag = *sources[0].bag;
  std::int64_t rows = 0;
  for (const Source& source : sources) rows += source.num_rows;
  out.rows.clear();
  for (int j = 0; rows && j < bag.value_dim; ++j) out.rows.push_back(j);
  const std::size_t size = out.rows.size() * static_cast<std::size_t>(bag.dim);
  float* sums = out.sums.reserve(size);
  std::fill(sums, sums + size, 0.0f);
  for (const Source& source : sources)
    if (rows) with_dim(bag.dim, [&](auto d) { add_linear<decltype(d)::value>(source, sums, bag.dim); });
  return true;
}

// Memory of the sums, filled with zeros, once the number of rows is known.
float* cleared(Reduced& out, std::int32_t num_rows, int dim) {
  out.rows.resize(static_cast<std::size_t>(num_rows));
  const std::size_t size = out.rows.size() * static_cast<std::size_t>(dim);
  float* sums = out.sums.reserve(size);
  std::fill(sums, sums + size, 0.0f);
  return sums;
}

}  // namespace

bool reduce(const std::vector<Source>& sources, Reduced& out) {
  const Bag& bag = *sources[0].bag;
  if (bag.kind == Kind::linear) return reduce_linear(sources, out);
  const std::int64_t ids = count_ids(sources);
  const std::size_t room = static_cast<std::size_t>(ids);
  if (out.places.size() < room) out.places.resize(room);  // a part of a large table grows this one alone
  if (out.shares.size() < room) out.origins.resize(room), out.shares.resize(room);
  Places places(out, bag.num_table_rows, ids);
  std::vector<std::int64_t> counts;
  std::int64_t start = 0;
  for (const Source& source : sources) {
    std::int32_t* const place = out.places.data() + start;
    std::int32_t* const origin = out.origins.data() + start;
    float* const share = out.shares.data() + start;
    counts.push_back(places.direct() ? list<true>(source, places, place, origin, share)
                                     : list<false>(source, places, place, origin, share));
    if (counts.back() < 0) return false;
    start += counts.back();
  }
  float* sums = cleared(out, places.size(), bag.dim);
  start = 0;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    with_dim(bag.dim, [&](auto d) {
      constexpr int D = decltype(d)::value;
      const std::int32_t* place = out.places.data() + start;
      if (sources[s].bag->plain_sum()) add_plain<D>(sources[s], place, counts[s], sums, bag.dim);
      else
        add_shared<D>(sources[s], place, out.origins.data() + start, out.shares.data() + start, counts[s], sums,
                      bag.dim);
    });
    start += counts[s];
  }
  return true;
}

bool reduce(const Bag& bag, const Occurrences& occurrences, int part, Reduced& out) {
  const std::int64_t begin = occurrences.begins[static_cast<std::size_t>(part)];
  const std::int64_t count = occurrences.begins[static_cast<std::size_t>(part) + 1] - begin;
  const std::int64_t* ids = occurrences.ids.data() + begin;
  const float* const* grads = occurrences.grads.data() + begin;
  const float* shares = occurrences.shares.data() + begin;
  if (out.places.size() < static_cast<std::size_t>(count)) out.places.resize(static_cast<std::size_t>(count));
  std::int32_t* place = out.places.data();
  Places places(out, bag.num_table_rows, count);
  for (std::int64_t i = 0; i < count; ++i) {
    if (static_cast<std::uint64_t>(ids[i]) >= static_cast<std::uint64_t>(bag.num_table_rows)) return false;
    place[i] = places.direct() ? places.find<true>(ids[i]) : places.find<false>(ids[i]);
  }
  float* sums = cleared(out, places.size(), bag.dim);
  with_dim(bag.dim, [&](auto d) {
    constexpr int D = decltype(d)::value;
    for (std::int64_t i = 0; i < count; ++i) {
      if (i + kAhead < count) prefetch_row<D>(grads[i + kAhead], bag.dim);
      add_scaled<D>(sums + std::int64_t{place[i]} * bag.dim, grads[i], shares[i], bag.dim);
    }
  });
  return true;
}

}  // namespace embedding
