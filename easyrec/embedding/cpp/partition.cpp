#include "partition.h"

#include <algorithm>
#include <atomic>

namespace embedding {
namespace {

constexpr std::int64_t kChunk = 1 << 14;  // ids that one unit of work counts and moves
constexpr std::int64_t kMany = 1 << 15;   // ids that are worth dividing
constexpr std::uint8_t kNobody = 255;     // owner of ids without a row
constexpr int kParts = 4;                 // more of them read the gradient in ever smaller pieces

struct Chunk {
  const Source* source;
  std::int64_t begin, end;  // rows
  std::int64_t first;       // id, counted over all sources
};

std::vector<Chunk> chunks_of(const std::vector<Source>& sources) {
  std::vector<Chunk> chunks;
  std::int64_t before = 0;
  for (const Source& source : sources) {
    const Bag& bag = *source.bag;
    const std::int64_t per_chunk =
        std::max<std::int64_t>(1, source.num_rows * kChunk / std::max(bag.num_values, kChunk));
    for (std::int64_t row = 0; row < source.num_rows; row += per_chunk)
      chunks.push_back(
          {&source, row, std::min(source.num_rows, row + per_chunk), before + bag.first_key(bag.begin(row))});
    before += bag.num_values;
  }
  return chunks;
}

}  // namespace

std::int64_t count_ids(const std::vector<Source>& sources) {
  std::int64_t count = 0;
  for (const Source& source : sources)
    if (source.bag->kind == Kind::ids) count += source.bag->num_values;
  return count;
}

int parts_of(std::int64_t ids) { return ids < kMany ? 1 : kParts; }

bool partition(const std::vector<Source>& sources, int parts, Pool& pool, Occurrences& out) {
  const std::vector<Chunk> chunks = chunks_of(sources);
  const std::size_t width = static_cast<std::size_t>(parts);
  const std::size_t size = static_cast<std::size_t>(count_ids(sources));
  const std::uint64_t limit = static_cast<std::uint64_t>(sources[0].bag->num_table_rows);
  out.counts.assign(chunks.size() * width, 0);
  if (out.ids.size() < size)
    out.ids.resize(size), out.grads.resize(size), out.shares.resize(size), out.owners.resize(size);
  std::atomic<bool> good{true};
  pool.run(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t c, int) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(c)];
    const Bag& bag = *chunk.source->bag;
    std::int64_t* counts = out.counts.data() + static_cast<std::size_t>(c) * width;
    std::uint8_t* owner = out.owners.data() + chunk.first;
    const std::int64_t first = bag.first_key(bag.begin(chunk.begin)), last = bag.first_key(bag.begin(chunk.end));
    bool inside = true;
    for (std::int64_t k = first; k < last; ++k) {
      const bool known = static_cast<std::uint64_t>(bag.ids[k]) < limit;
      inside &= known || bag.open;
      const auto part = known ? static_cast<std::uint8_t>((mix(bag.ids[k]) >> 24) & (width - 1)) : kNobody;
      *owner++ = part;
      if (known) ++counts[part];
    }
    if (!inside) good = false;
  });
  if (!good) return false;
  out.begins.assign(width + 1, 0);
  std::int64_t position = 0;
  for (std::size_t part = 0; part < width; ++part) {
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      const std::int64_t count = out.counts[c * width + part];
      out.counts[c * width + part] = position;
      position += count;
    }
    out.begins[part + 1] = position;
  }
  pool.run(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t c, int) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(c)];
    std::int64_t* next = out.counts.data() + static_cast<std::size_t>(c) * width;
    const std::uint8_t* owner = out.owners.data() + chunk.first;
    each_id(*chunk.source->bag, chunk.begin, chunk.end, [&](std::int64_t id, std::int64_t row, float share) {
      const std::uint8_t part = *owner++;
      if (part == kNobody) return;
      const auto place = static_cast<std::size_t>(next[part]++);
      out.ids[place] = id;
      out.grads[place] = chunk.source->grad + row * chunk.source->stride;
      out.shares[place] = share;
    });
  });
  return true;
}

}  // namespace embedding
