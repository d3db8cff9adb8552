// The shape of sequences: which elements of a row survive, and in which order.
#pragma once

#include "cells.h"

namespace fg {

struct SequenceRule {
  std::uint32_t most = 0;     // elements a row may keep; 0 = any number
  bool newest_first = false;  // order of the input; the output is always oldest first
  bool keep_oldest = false;   // which end survives the cut
  bool pad_empty = false;     // an empty row gets one empty element, which becomes the default
};

// Whether the rule changes rows of these lengths at all.
bool reshapes(const SequenceRule& rule, const std::uint32_t* counts, std::size_t rows) noexcept;

// out = what the rule leaves of the rows whose elements `cells` holds. Row r has counts[r] elements, of which the
// first lengths[r] are considered. Writes the new lengths to `kept`.
void reshape(const SequenceRule& rule, const Cells& cells, const std::uint32_t* counts, const std::uint32_t* lengths,
             std::size_t rows, Cells& out, std::uint32_t* kept);

}  // namespace fg
