// What an online store keeps of one key: parts, each a row of one view in one generation.
//
// A record: magic byte, number of parts, for each part its view's slot (u16), its generation (u32) and its length
// (u32), then the rows one behind another. A row of no bytes says that the key was deleted. All numbers are
// little-endian.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace store {

constexpr unsigned char record_magic = 0xE5;
constexpr std::size_t record_head = 2, part_head = 10;

struct Part {
  std::uint16_t slot;
  std::uint32_t generation;
  std::string_view row;
};

// Generations of a view that together are one state of it, ascending: of a key the newest part among them counts. What
// a writer left that was stopped, or still writes, is of none of them.
struct Span {
  std::uint16_t slot;
  std::vector<std::uint32_t> generations;

  bool has(std::uint32_t generation) const noexcept {
    return std::binary_search(generations.begin(), generations.end(), generation);
  }
};

// The parts of a record. Throws std::invalid_argument where it is damaged.
std::vector<Part> parts_of(std::string_view record);

// The newest row of a span; false where there is none, or the key was deleted. Throws where the record is damaged.
bool newest(std::string_view record, const Span& span, std::string_view& row);

// A record with a row more, unless one of the same generation is there whose event time is later. Of that slot stays
// what `keep` needs and what is of a later generation; nothing else changes. Events join those of the same generation.
// At most 255 parts.
std::string spliced(std::string_view record, std::uint16_t slot, std::uint32_t generation, std::string_view row,
                    const std::vector<Span>& keep);

// A record with nothing but the newest parts of the spans, deleted rows aside; empty where nothing is left.
std::string swept(std::string_view record, const std::vector<Span>& live);

}  // namespace store
