#include "sequence.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <unordered_set>

namespace store {
namespace {

constexpr std::int64_t second = 1'000'000;

std::int64_t seconds(std::int64_t micros) noexcept { return micros / second - (micros % second < 0 ? 1 : 0); }

template <class T>
double number(const char* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<double>(value);
}

}  // namespace

double Behaviour::played(std::string_view row, const std::vector<Layout>& layouts) const {
  const std::size_t place = layout_of(row, layouts);
  const Layout& layout = layouts[place];
  const std::int32_t field = plays[place];
  if (field < 0) return std::nan("");
  const auto f = static_cast<std::size_t>(field);
  const char* const nulls = row.data() + row_head;
  std::size_t at = row_head + (layout.types.size() + 7) / 8;
  for (std::size_t i = 0; i < f; ++i) at += layout.types[i].width() != 0 ? layout.types[i].width() : 4;
  if (row.size() < at + layout.types[f].width()) throw std::invalid_argument("a row is damaged");
  if (nulls[f / 8] >> f % 8 & 1) return std::nan("");
  const char* const value = row.data() + at;
  switch (layout.types[f].kind) {
    case Kind::i32: return number<std::int32_t>(value);
    case Kind::i64: return number<std::int64_t>(value);
    case Kind::f32: return number<float>(value);
    default: return number<double>(value);
  }
}

bool Behaviour::counts(const Event& event, const Sequence& sequence) const {
  if (sequence.names.empty()) return true;
  const auto found = std::find_if(sequence.names.begin(), sequence.names.end(),
                                  [&](const Name& one) { return one.name == event.name; });
  if (found == sequence.names.end()) return false;
  return !found->filtered || played(event.row, sequence.layouts) >= found->least;
}

void Behaviour::put(const Event& event, std::int64_t now, const Sequence& sequence,
                    std::vector<ColumnBuilder>& columns) const {
  const auto add = [&columns](std::int32_t to, const void* from, std::size_t bytes) {
    if (to >= 0) columns[static_cast<std::size_t>(to)].items().add(static_cast<const char*>(from), bytes);
  };
  if (sequence.item >= 0 && item == Kind::text) {
    add(sequence.item, event.item.data(), event.item.size());
  } else if (sequence.item >= 0) {
    const std::int64_t number = number_of(event.item);
    const auto narrow = static_cast<std::int32_t>(number);
    if (item == Kind::i32) add(sequence.item, &narrow, sizeof narrow);
    else add(sequence.item, &number, sizeof number);
  }
  const std::int64_t since = seconds(event.time),
                     age = static_cast<std::int64_t>(between(event.time, now) / second);  // it is before now
  add(sequence.name, event.name.data(), event.name.size());
  add(sequence.time, &since, sizeof since);
  add(sequence.age, &age, sizeof age);
  read_row(event.row, sequence.layouts[layout_of(event.row, sequence.layouts)], now, columns, true);
}

std::size_t Behaviour::read(const std::vector<Event>& events, std::int64_t now,
                            std::vector<ColumnBuilder>& columns) const {
  std::size_t found = 0;
  std::vector<const Event*> chosen;
  for (const Sequence& sequence : sequences) {
    chosen.clear();
    Kept kept(keep);
    std::unordered_set<std::string_view> seen;
    for (auto event = events.rbegin(); event != events.rend() && chosen.size() < sequence.length; ++event) {
      if (event->time >= now) continue;
      if (sequence.ttl > 0 && is_past(event->time, now, sequence.ttl)) break;
      if (!kept.take(event->name) || !counts(*event, sequence)) continue;
      if (sequence.distinct && !seen.insert(event->item).second) continue;
      chosen.push_back(&*event);
    }
    found += chosen.size();
    for (auto event = chosen.rbegin(); event != chosen.rend(); ++event) put(**event, now, sequence, columns);
    for (const std::int32_t column : sequence.columns) columns[static_cast<std::size_t>(column)].close();
  }
  return found;
}

void unpack(std::string_view record, const View& view, const Behaviour& behaviour, std::int64_t now,
            std::vector<ColumnBuilder>& columns, Counts& counts) {
  std::string_view history, recent;
  if (!newest(record, view.span, history)) history = {};
  if (!newest(record, behaviour.recent, recent)) recent = {};
  const std::vector<Event> events = merged(events_of(history), events_of(recent));
  const std::size_t found = behaviour.read(events, now, columns);
  ++(found != 0 ? counts.hits : events.empty() ? counts.misses : counts.expired);
}

}  // namespace store
