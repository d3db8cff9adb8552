// What a key did: events packed into one row of a record, and the sequences that are read of them.
//
// Events: a mark (u16, where other rows have their schema), time of the newest (i64), how many of one name are kept
// (u32), their number (u32), then for each, in their order: the lengths of name (u16), item (u16) and row (u32), and
// these. A row is packed like others, without name and item. Items that are numbers are 8 bytes that sort like them.
//
// Events ascend by time, name and item; two that agree in all three are one, of which the later written counts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arrow_column.h"

namespace store {

constexpr std::uint16_t events_mark = 0x8000;

struct Event {
  std::int64_t time = 0;
  std::string_view name, item, row;
};

bool before(const Event& a, const Event& b) noexcept;

// Whether a row of a record holds events.
bool is_events(std::string_view row) noexcept;

// The events of such a row, of an empty one none. Throws std::invalid_argument where it is damaged.
std::vector<Event> events_of(std::string_view packed);

// Both together, sorted; where two are one, the one of `later`.
std::vector<Event> merged(const std::vector<Event>& earlier, const std::vector<Event>& later);

// Sorts events that were written one after another, and leaves of several that are one the last.
void settle(std::vector<Event>& events);

// The newest `keep` events of each name as a row; the events are sorted.
std::string packed(const std::vector<Event>& events, std::uint32_t keep);

// What is there with what comes: as many are kept as `later` says.
std::string merged(std::string_view earlier, std::string_view later);

// Says of events, the newest first, which are among the newest `keep` of their name.
class Kept {
 public:
  explicit Kept(std::uint32_t keep) noexcept : keep_(keep) {}
  bool take(std::string_view name);

 private:
  std::uint32_t keep_;
  std::vector<std::pair<std::string_view, std::uint32_t>> counts_;
};

// The bytes of an item, of a column of texts or of int64; and the number that they are.
std::string item_at(const fg::Column& column, std::int64_t row);
std::int64_t number_of(std::string_view item);

}  // namespace store
