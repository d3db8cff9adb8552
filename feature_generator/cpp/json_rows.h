// A list of flat objects in JSON text, read straight into columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "column_builder.h"

namespace fg {

struct JsonRows {
  std::size_t begin = 0, end = 0;  // where the list stands in the text
  std::int64_t rows = 0;
  std::vector<std::string> names;  // in the order in which they first come
  std::vector<ColumnBuilder> columns;
  bool ascii = true;  // else whether the list is UTF-8 is not known
};

// The list that stands under `key` in the object that the text is. Nothing where it is not there, has no rows, or holds
// what a general reader has to judge: anything that is no JSON, a key twice, objects in the place of values, values of
// several types, numbers that 64 bits do not hold. What comes behind the list is not looked at.
std::optional<JsonRows> read_json_rows(std::string_view text, std::string_view key);

}  // namespace fg
