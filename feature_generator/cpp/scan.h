// Finding one byte in many.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slab.h"

namespace fg {

// Appends the positions of `byte` among the n bytes at p, ascending. n < 2^32.
void find_byte(const char* p, std::size_t n, char byte, Slab<std::uint32_t>& positions);

}  // namespace fg
