// Sequences of a key's events: chosen at a time, then one list column for each of their fields.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "column.h"
#include "events.h"
#include "row.h"
#include "value_type.h"

namespace store {

// An event of a name counts in a sequence if its play time is at least `least`.
struct Name {
  std::string name;
  double least = 0.0;
  bool filtered = false;
};

struct Sequence {
  std::vector<Name> names;  // empty: every event counts
  std::uint32_t length = 0;
  std::int64_t ttl = 0;                                    // microseconds; 0: for ever
  bool distinct = false;                                   // of the events of an item the newest alone
  std::int32_t item = -1, name = -1, time = -1, age = -1;  // columns; -1: nobody asks for it
  std::vector<Layout> layouts;                             // of the other fields
  std::vector<std::int32_t> columns;                       // all that belong to the sequence
};

// What is read of the events of a key: those of its history, and those that came since.
struct Behaviour {
  Span recent{};
  std::uint32_t keep = 0;  // events of a name that are looked at
  Kind item = Kind::i64;
  std::vector<std::int32_t> plays;  // by layout, which of its fields is the play time; -1: none
  std::vector<Sequence> sequences;

  // Appends the sequences as they are at a time: of events before it. Says how many events they have.
  std::size_t read(const std::vector<Event>& events, std::int64_t now, std::vector<ColumnBuilder>& columns) const;

 private:
  bool counts(const Event& event, const Sequence& sequence) const;
  double played(std::string_view row, const std::vector<Layout>& layouts) const;
  void put(const Event& event, std::int64_t now, const Sequence& sequence, std::vector<ColumnBuilder>& columns) const;
};

// Appends the sequences of a key to the columns; without events, empty lists.
// Throws std::invalid_argument where the record or an event is damaged, or its schema is not known.
void unpack(std::string_view record, const View& view, const Behaviour& behaviour, std::int64_t now,
            std::vector<ColumnBuilder>& columns, Counts& counts);

}  // namespace store
