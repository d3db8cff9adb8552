#include "record.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "events.h"

namespace store {
namespace {

template <class T>
T get(const char* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

[[noreturn]] void damaged() { throw std::invalid_argument("the record is damaged"); }

std::string joined(const std::vector<Part>& parts) {
  if (parts.empty()) return {};
  if (parts.size() > 255) throw std::invalid_argument("a record holds at most 255 parts");
  std::size_t size = record_head + parts.size() * part_head;
  for (const Part& part : parts) size += part.row.size();
  std::string made;
  made.reserve(size);
  put(made, record_magic);
  put(made, static_cast<unsigned char>(parts.size()));
  for (const Part& part : parts) {
    put(made, part.slot);
    put(made, part.generation);
    put(made, static_cast<std::uint32_t>(part.row.size()));
  }
  for (const Part& part : parts) made.append(part.row);
  return made;
}

// Whether a part is the newest of one of the spans.
bool needed(const std::vector<Part>& parts, const Part& part, const std::vector<Span>& spans) {
  return std::any_of(spans.begin(), spans.end(), [&](const Span& span) {
    if (part.slot != span.slot || !span.has(part.generation)) return false;
    return std::none_of(parts.begin(), parts.end(), [&](const Part& other) {
      return other.slot == span.slot && other.generation > part.generation && span.has(other.generation);
    });
  });
}

// A deleted key has no time: whatever comes later counts.
std::int64_t time_of(std::string_view row) {
  if (row.size() < sizeof(std::uint16_t) + sizeof(std::int64_t)) return std::numeric_limits<std::int64_t>::min();
  return get<std::int64_t>(row.data() + sizeof(std::uint16_t));
}

}  // namespace

std::vector<Part> parts_of(std::string_view record) {
  if (record.empty()) return {};
  if (record.size() < record_head || static_cast<unsigned char>(record[0]) != record_magic) damaged();
  const auto count = static_cast<unsigned char>(record[1]);
  std::size_t at = record_head + count * part_head;
  if (record.size() < at) damaged();
  std::vector<Part> parts(count);
  for (std::size_t i = 0; i < count; ++i) {
    const char* const from = record.data() + record_head + i * part_head;
    const auto length = get<std::uint32_t>(from + 6);
    if (record.size() - at < length) damaged();
    parts[i] = {get<std::uint16_t>(from), get<std::uint32_t>(from + 2), record.substr(at, length)};
    at += length;
  }
  if (at != record.size()) damaged();
  return parts;
}

bool newest(std::string_view record, const Span& span, std::string_view& row) {
  if (record.empty()) return false;
  if (record.size() < record_head || static_cast<unsigned char>(record[0]) != record_magic) damaged();
  const auto count = static_cast<unsigned char>(record[1]);
  std::size_t at = record_head + count * part_head;
  if (record.size() < at) damaged();
  bool found = false;
  std::uint32_t best = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const char* const from = record.data() + record_head + i * part_head;
    const auto generation = get<std::uint32_t>(from + 2), length = get<std::uint32_t>(from + 6);
    if (record.size() - at < length) damaged();
    if (get<std::uint16_t>(from) == span.slot && (!found || generation > best) && span.has(generation)) {
      found = true;
      best = generation;
      row = record.substr(at, length);
    }
    at += length;
  }
  return found && !row.empty();
}

std::string spliced(std::string_view record, std::uint16_t slot, std::uint32_t generation, std::string_view row,
                    const std::vector<Span>& keep) {
  const std::vector<Part> parts = parts_of(record);
  std::vector<Part> kept;
  std::string both;
  for (const Part& part : parts) {
    const bool same = part.slot == slot && part.generation == generation;
    if (same && is_events(row) && is_events(part.row)) {
      both = merged(part.row, row);
      row = both;
      continue;
    }
    if (same && !row.empty() && time_of(part.row) > time_of(row)) return std::string(record);
    // What is newer is not for an older writer to judge: it may be read already.
    if (part.slot != slot || part.generation > generation || (!same && needed(parts, part, keep))) kept.push_back(part);
  }
  kept.push_back({slot, generation, row});
  return joined(kept);
}

std::string swept(std::string_view record, const std::vector<Span>& live) {
  const std::vector<Part> parts = parts_of(record);
  std::vector<Part> kept;
  for (const Part& part : parts) {
    if (needed(parts, part, live)) kept.push_back(part);
  }
  // That a key was deleted must be told only where an older row of it stays.
  std::vector<Part> told;
  for (const Part& part : kept) {
    const bool older = std::any_of(kept.begin(), kept.end(), [&](const Part& other) {
      return other.slot == part.slot && other.generation < part.generation;
    });
    if (!part.row.empty() || older) told.push_back(part);
  }
  return joined(told);
}

}  // namespace store
