// Arrow rows into cells: splitting, lists, maps, dictionaries, nulls.
#pragma once

#include <memory>

#include "arrow_column.h"
#include "cells.h"

namespace fg {

// How one input of a feature is read.
struct Reading {
  char separator = '\x1d';                // between the values of an element
  char delim = ';';                       // between the elements of a sequence
  bool sequence = false;                  // a row holds elements, not values
  bool split = true;                      // the separator splits text; else text is one value
  bool weighted = false;                  // values are key:weight, the weight behind the last ':'
  char assign = ':';                      // of pairs: between a key and what belongs to it
  bool assign_last = false;               // of pairs: the last `assign` counts, else the first
  std::shared_ptr<const Reading> pairs;   // values are pairs; how what belongs to a key is read
  std::shared_ptr<const Reading> folded;  // pairs in text stay as they are, read so: what needs a few looks for them
  std::uint16_t input = 0;                // for faults
  bool lengths = false;                   // of a sequence only the number of its elements counts: they stay empty
};

// The text in row `row` of a column of such.
Text text_at(const Column& column, std::int64_t row) noexcept;

// Which entry of its dictionary row `row` points to.
std::int64_t entry_at(const Column& column, std::int64_t row) noexcept;

// Appends rows [first, last) of a plain column to `cells`, one element a row. Values that are empty or null are left
// out.
void read_rows(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells);

// Appends the elements of sequence rows [first, last), and to `counts` how many each row has.
void read_sequences(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells,
                    Slab<std::uint32_t>& counts);

// Whether a column can be read so; else says what it would have to be.
const char* unreadable(const Column& column, const Reading& reading) noexcept;

// Bytes of text and number of list items under rows [first, last): what a block of them costs to hold.
std::int64_t weight_of(const Column& column, std::int64_t first, std::int64_t last) noexcept;

}  // namespace fg
