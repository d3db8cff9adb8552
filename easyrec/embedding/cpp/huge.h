// Memory that is read at random: on large pages, where the system has them, so that an access costs one miss and not
// two.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace embedding {

template <class T>
struct HugePages {
  using value_type = T;
  static constexpr std::size_t kPage = std::size_t{1} << 21;

  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) noexcept {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes < 2 * kPage) return static_cast<T*>(::operator new(bytes));
    void* memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
    if (!memory) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    madvise(memory, (bytes + kPage - 1) / kPage * kPage, MADV_HUGEPAGE);  // a hint: without it pages are small
#endif
    return static_cast<T*>(memory);
  }

  void deallocate(T* memory, std::size_t count) noexcept {
    if (count * sizeof(T) < 2 * kPage) ::operator delete(memory);
    else std::free(memory);
  }

  template <class U>
  bool operator==(const HugePages<U>&) const noexcept {
    return true;
  }
  template <class U>
  bool operator!=(const HugePages<U>&) const noexcept {
    return false;
  }
};

template <class T>
using HugeVector = std::vector<T, HugePages<T>>;

}  // namespace embedding
