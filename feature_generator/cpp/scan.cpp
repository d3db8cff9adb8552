#include "scan.h"

namespace fg {

void find_byte(const char* p, std::size_t n, char byte, Slab<std::uint32_t>& positions) {
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    std::uint64_t bits = bytes_equal(p + i, byte);
    std::uint32_t* out = positions.grow(64);
    const std::uint32_t* const start = out;
    for (; bits != 0; bits &= bits - 1)
      *out++ = static_cast<std::uint32_t>(i) + static_cast<std::uint32_t>(__builtin_ctzll(bits));
    positions.set_size(positions.size() + static_cast<std::size_t>(out - start));
  }
  for (; i < n; ++i) {
    if (p[i] == byte) positions.push(static_cast<std::uint32_t>(i));
  }
}

}  // namespace fg
