// Large blocks of memory that are used again instead of going back to the system: fresh pages must be cleared by the
// kernel, which costs about as much as computing what goes into them.
#pragma once

#include <cstddef>

namespace fg {

// At least `bytes` bytes, uninitialised; `room` tells how many. Throws std::bad_alloc.
void* take_block(std::size_t bytes, std::size_t& room);

// Gives back what take_block gave. Keeps at most 256 MiB for later.
void give_block(void* block, std::size_t room) noexcept;

}  // namespace fg
