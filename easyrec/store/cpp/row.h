// Rows of a view as packed bytes, and back into columns.
//
// A row: number of its schema (u16), event time (i64 microseconds; the lowest number: none), a bit for each field that
// is null, then the fields in order: values of fixed width, of others (texts, arrays, maps) the end (u32) of their
// bytes in the tail that follows. Items of an array: their number (u32, the highest bit says that some are null, whose
// bits follow), then values of fixed width, or the length (u32) of each and their bytes. A map: its keys, its values.
// Steps: the times since when each value holds (i64 microseconds, ascending), the values; the one that holds is read.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "arrow_column.h"
#include "column.h"
#include "record.h"
#include "value_type.h"

namespace store {

constexpr std::int64_t no_time = std::numeric_limits<std::int64_t>::min();
constexpr std::size_t row_head = 10;

// Microseconds from one time to a later one, however far apart they are.
inline std::uint64_t between(std::int64_t earlier, std::int64_t later) noexcept {
  return static_cast<std::uint64_t>(later) - static_cast<std::uint64_t>(earlier);
}

// Whether a time is more than `ttl` before now.
inline bool is_past(std::int64_t time, std::int64_t now, std::int64_t ttl) noexcept {
  return time < now && between(time, now) > static_cast<std::uint64_t>(ttl);
}

// Packs `rows` rows of columns that have exactly the types; appends each row's end to `ends`.
void pack(const std::vector<ValueType>& types, const std::vector<fg::Column>& columns, const std::int64_t* times,
          std::uint16_t schema, std::int64_t rows, std::string& bytes, std::vector<std::int64_t>& ends);

// A text of a column.
std::string_view text_at(const fg::Column& column, std::int64_t row);

// Fields of a row as they were when it was written.
struct Layout {
  std::uint16_t schema = 0;
  std::vector<ValueType> types;
  std::vector<std::int32_t> columns;  // where a field goes; -1: nobody asks for it
  std::vector<std::int32_t> absent;   // columns that this layout does not have
};

// Which of the layouts a row has. Throws std::invalid_argument where it has none of them.
std::size_t layout_of(std::string_view row, const std::vector<Layout>& layouts);

// Appends the fields of a row as they are at a time to the columns; `inside`: to the items of the columns, which are
// lists.
void read_row(std::string_view row, const Layout& layout, std::int64_t now, std::vector<ColumnBuilder>& columns,
              bool inside);

// What is read of one view.
struct View {
  Span span;
  std::int64_t ttl = 0;  // microseconds; 0: for ever
  std::vector<Layout> layouts;
  std::vector<std::int32_t> columns;  // all that belong to the view
};

struct Counts {
  std::int64_t hits = 0, misses = 0, expired = 0;
};

// Appends the fields of a key to the columns; without a row that counts, nulls.
// Throws std::invalid_argument where the record or a row is damaged, or its schema is not known.
void unpack(std::string_view record, const View& view, std::int64_t now, std::vector<ColumnBuilder>& columns,
            Counts& counts);

}  // namespace store
