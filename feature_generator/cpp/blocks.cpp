#include "blocks.h"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fg {
namespace {

constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t least = std::size_t{1} << 20;  // smaller blocks are the allocator's business
constexpr std::size_t most_kept = std::size_t{256} << 20;
constexpr int slots = 64;

struct Kept {
  void* block;
  std::size_t room;
};

// Never destroyed: arrays may be freed after everything else. The lock is only ever tried, so that a process forked
// while another thread held it does without the store instead of waiting for ever.
std::mutex guard;
Kept kept[slots];
int count = 0;
std::size_t total = 0;

// Sizes grow in eighths, so that blocks of about the same size can stand in for each other.
std::size_t rounded(std::size_t bytes) noexcept {
  std::size_t step = huge_page;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* take_block(std::size_t bytes, std::size_t& room) {
  if (bytes < least) {
    room = bytes;
    void* const block = std::malloc(bytes == 0 ? 1 : bytes);
    if (block == nullptr) throw std::bad_alloc();
    return block;
  }
  if (bytes > (SIZE_MAX >> 2)) throw std::bad_alloc();
  room = rounded(bytes);
  if (guard.try_lock()) {
    const std::lock_guard<std::mutex> lock(guard, std::adopt_lock);
    for (int i = count - 1; i >= 0; --i) {
      if (kept[i].room < room || kept[i].room > room + room / 4) continue;
      void* const block = kept[i].block;
      room = kept[i].room;
      total -= room;
      kept[i] = kept[--count];
      return block;
    }
  }
  void* const block = std::aligned_alloc(huge_page, room);
  if (block == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  (void)madvise(block, room, MADV_HUGEPAGE);  // a wish, not a need
#endif
  return block;
}

void give_block(void* block, std::size_t room) noexcept {
  if (room >= least && room <= most_kept && guard.try_lock()) {
    const std::lock_guard<std::mutex> lock(guard, std::adopt_lock);
    while (count > 0 && (count == slots || total + room > most_kept)) {  // the oldest goes
      std::free(kept[0].block);
      total -= kept[0].room;
      --count;
      for (int i = 0; i < count; ++i) kept[i] = kept[i + 1];
    }
    kept[count++] = {block, room};
    total += room;
    return;
  }
  std::free(block);
}

}  // namespace fg
