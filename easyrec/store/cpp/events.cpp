#include "events.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <tuple>

#include "row.h"

namespace store {
namespace {

constexpr std::size_t events_head = 18, event_head = 8, row_time = 2, keep_at = 10;
constexpr std::uint64_t sign = std::uint64_t{1} << 63;

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

bool same(const Event& a, const Event& b) noexcept { return a.time == b.time && a.name == b.name && a.item == b.item; }

}  // namespace

bool Kept::take(std::string_view name) {
  for (auto& [known, count] : counts_)
    if (known == name) return count < keep_ && ++count != 0;
  counts_.emplace_back(name, 1U);
  return keep_ != 0;
}

bool before(const Event& a, const Event& b) noexcept {
  return std::tie(a.time, a.name, a.item) < std::tie(b.time, b.name, b.item);
}

bool is_events(std::string_view row) noexcept {
  return row.size() >= events_head && get<std::uint16_t>(row.data()) == events_mark;
}

std::vector<Event> events_of(std::string_view packed) {
  std::vector<Event> made;
  if (packed.empty()) return made;
  if (!is_events(packed)) throw std::invalid_argument("events are damaged");
  const auto count = get<std::uint32_t>(packed.data() + events_head - sizeof(std::uint32_t));
  packed.remove_prefix(events_head);
  if (count > packed.size() / (event_head + row_head)) throw std::invalid_argument("events are damaged");
  made.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (packed.size() < event_head) throw std::invalid_argument("events are damaged");
    const std::size_t name = get<std::uint16_t>(packed.data()), item = get<std::uint16_t>(packed.data() + 2),
                      row = get<std::uint32_t>(packed.data() + 4);
    packed.remove_prefix(event_head);
    if (row < row_head || packed.size() < name + item + row) throw std::invalid_argument("events are damaged");
    const std::string_view bytes = packed.substr(name + item, row);
    made.push_back(
        {get<std::int64_t>(bytes.data() + row_time), packed.substr(0, name), packed.substr(name, item), bytes});
    packed.remove_prefix(name + item + row);
  }
  if (!packed.empty()) throw std::invalid_argument("events are damaged");
  return made;
}

std::vector<Event> merged(const std::vector<Event>& earlier, const std::vector<Event>& later) {
  std::vector<Event> made;
  made.reserve(earlier.size() + later.size());
  auto a = earlier.begin();
  for (const Event& event : later) {
    while (a != earlier.end() && before(*a, event)) made.push_back(*a++);
    if (a != earlier.end() && same(*a, event)) ++a;
    made.push_back(event);
  }
  made.insert(made.end(), a, earlier.end());
  return made;
}

void settle(std::vector<Event>& events) {
  std::stable_sort(events.begin(), events.end(), before);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (kept != 0 && same(events[kept - 1], events[i])) events[kept - 1] = events[i];
    else events[kept++] = events[i];
  }
  events.resize(kept);
}

std::string packed(const std::vector<Event>& events, std::uint32_t keep) {
  Kept kept(keep);
  std::vector<const Event*> chosen;
  std::size_t size = events_head;
  for (auto event = events.rbegin(); event != events.rend(); ++event) {
    if (!kept.take(event->name)) continue;
    chosen.push_back(&*event);
    size += event_head + event->name.size() + event->item.size() + event->row.size();
  }
  std::string made;
  if (chosen.empty()) return made;
  made.reserve(size);
  put(made, events_mark);
  put(made, chosen.front()->time);
  put(made, keep);
  put(made, static_cast<std::uint32_t>(chosen.size()));
  for (auto event = chosen.rbegin(); event != chosen.rend(); ++event) {
    const auto& [time, name, item, row] = **event;
    if (std::max(name.size(), item.size()) > std::numeric_limits<std::uint16_t>::max())
      throw std::invalid_argument("the name of an event and its item have at most 65,535 bytes");
    put(made, static_cast<std::uint16_t>(name.size()));
    put(made, static_cast<std::uint16_t>(item.size()));
    put(made, static_cast<std::uint32_t>(row.size()));
    made.append(name).append(item).append(row);
  }
  return made;
}

std::string merged(std::string_view earlier, std::string_view later) {
  if (later.empty()) return std::string(earlier);
  const std::vector<Event> come = events_of(later);
  return packed(merged(events_of(earlier), come), get<std::uint32_t>(later.data() + keep_at));
}

std::string item_at(const fg::Column& column, std::int64_t row) {
  if (column.is_text()) return std::string(text_at(column, row));
  const std::uint64_t bits = static_cast<std::uint64_t>(column.values<std::int64_t>()[row]) ^ sign;
  std::string made(sizeof bits, '\0');
  for (std::size_t i = 0; i < sizeof bits; ++i) made[i] = static_cast<char>(bits >> (56 - 8 * i));
  return made;
}

std::int64_t number_of(std::string_view item) {
  if (item.size() != sizeof(std::uint64_t)) throw std::invalid_argument("events are damaged");
  std::uint64_t bits = 0;
  for (const char c : item) bits = bits << 8 | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(bits ^ sign);
}

}  // namespace store
