// The cross of several inputs: all combinations of their values, joined by "_".
#pragma once

#include "cells.h"

namespace fg {

// out's element e = the products of the inputs' elements e, the first input slowest. All inputs hold text and as many
// elements. An element that is missing in any input is missing in `out`; so is one with a broken value, whose fault
// stays. `first_only` keeps the first combination.
void product(Cells* const* inputs, std::size_t count, bool first_only, Cells& out);

}  // namespace fg
