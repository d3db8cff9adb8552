// What is missing in the columns of a batch, or outside of a range: counted, never changed.
#pragma once

#include <cstdint>

#include "arrow_column.h"

namespace fg {

// Nulls and empty texts of a column.
std::int64_t count_absent(const ArrowSchema& schema, const ArrowArray& array) noexcept;

// Whole and floating numbers of a column, or inside its lists or the keys of its maps, that are below 0 or from `size`
// on. -1: it holds something else.
std::int64_t count_outside(const ArrowSchema& schema, const ArrowArray& array, std::int64_t size) noexcept;

}  // namespace fg
