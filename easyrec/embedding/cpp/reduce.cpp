#include "reduce.h"

#include <algorithm>

#include "rows.h"

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 16;  // gradient rows prefetched before they are added

inline std::uint64_t mix(std::int64_t row) { return static_cast<std::uint64_t>(row) * 0x9E3779B97F4A7C15ull; }

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

inline bool belongs(std::int64_t row, int part, int parts) {
  return parts == 1 || static_cast<int>((mix(row) >> 20) % static_cast<std::uint64_t>(parts)) == part;
}

// Lists the occurrences of one source: place, row of its gradient, factor. Returns how many, or -1.
template <bool Direct>
std::int64_t list(const Source& source, int part, int parts, Places& places, std::int32_t* place, std::int32_t* origin,
                  float* share) {
  const Bag& bag = *source.bag;
  const std::uint64_t limit = static_cast<std::uint64_t>(bag.num_table_rows);
  std::int64_t count = 0;
  if (bag.plain() && parts == 1) {
    for (; count < source.num_rows; ++count) {
      if (static_cast<std::uint64_t>(bag.ids[count]) >= limit) return -1;
      place[count] = places.find<Direct>(bag.ids[count]);
    }
    return count;
  }
  for (std::int64_t b = 0; b < source.num_rows; ++b) {
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    const float mean = bag.mean && high > low ? 1.0f / static_cast<float>(high - low) : 1.0f;
    for (std::int64_t e = low; e < high; ++e) {
      const std::int64_t first = bag.first_key(e), last = bag.first_key(e + 1);
      const float element = bag.element_mean && last > first ? mean / static_cast<float>(last - first) : mean;
      for (std::int64_t k = first; k < last; ++k) {
        if (static_cast<std::uint64_t>(bag.ids[k]) >= limit) return -1;
        if (!belongs(bag.ids[k], part, parts)) continue;
        place[count] = places.find<Direct>(bag.ids[k]);
        origin[count] = static_cast<std::int32_t>(b);
        share[count++] = bag.weights ? element * bag.weights[k] : element;
      }
    }
  }
  return count;
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

std::int64_t count_occurrences(const Source* sources, int num_sources) {
  std::int64_t count = 0;
  for (int s = 0; s < num_sources; ++s)
    if (sources[s].bag->kind == Kind::ids) count += sources[s].bag->num_values;
  return count;
}

bool reduce(const Source* sources, int num_sources, int part, int parts, Reduced& out) {
  const Bag& model = *sources[0].bag;
  const int dim = model.dim;
  const std::int64_t occurrences = count_occurrences(sources, num_sources);
  if (model.kind == Kind::linear) {
    out.rows.clear();
    std::int64_t rows = 0;
    for (int s = 0; s < num_sources; ++s) rows += sources[s].num_rows;
    if (part || rows == 0) return true;
    for (int j = 0; j < model.value_dim; ++j) out.rows.push_back(j);
    float* sums = out.sums.reserve(out.rows.size() * static_cast<std::size_t>(dim));
    std::fill(sums, sums + out.rows.size() * static_cast<std::size_t>(dim), 0.0f);
    for (int s = 0; s < num_sources; ++s)
      with_dim(dim, [&](auto d) { add_linear<decltype(d)::value>(sources[s], sums, dim); });
    return true;
  }
  const std::size_t room = static_cast<std::size_t>(occurrences);
  if (out.places.size() < room) out.places.resize(room), out.origins.resize(room), out.shares.resize(room);
  Places places(out, model.num_table_rows, occurrences);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(num_sources));
  std::int64_t start = 0;
  for (int s = 0; s < num_sources; ++s) {
    std::int32_t* const place = out.places.data() + start;
    std::int32_t* const origin = out.origins.data() + start;
    float* const share = out.shares.data() + start;
    const std::int64_t count = places.direct() ? list<true>(sources[s], part, parts, places, place, origin, share)
                                               : list<false>(sources[s], part, parts, places, place, origin, share);
    if (count < 0) return false;
    counts[static_cast<std::size_t>(s)] = count;
    start += count;
  }
  out.rows.resize(static_cast<std::size_t>(places.size()));
  const std::size_t size = out.rows.size() * static_cast<std::size_t>(dim);
  float* sums = out.sums.reserve(size);
  std::fill(sums, sums + size, 0.0f);
  start = 0;
  for (int s = 0; s < num_sources; ++s) {
    const std::int64_t count = counts[static_cast<std::size_t>(s)];
    with_dim(dim, [&](auto d) {
      constexpr int D = decltype(d)::value;
      const std::int32_t* place = out.places.data() + start;
      if (sources[s].bag->plain() && parts == 1) add_plain<D>(sources[s], place, count, sums, dim);
      else add_shared<D>(sources[s], place, out.origins.data() + start, out.shares.data() + start, count, sums, dim);
    });
    start += count;
  }
  return true;
}

}  // namespace embedding
