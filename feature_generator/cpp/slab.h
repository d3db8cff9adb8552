// Uninitialised growable arrays of plain values, and text that stays where it was put.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "blocks.h"

namespace fg {

// Under the sanitizers memory is as large as asked for and no larger, so that they see every overrun.
#if defined(FG_TIGHT)
inline constexpr bool tight = true;
#else
inline constexpr bool tight = false;
#endif

// An array that never constructs its values; `grow` doubles, so that appending is amortised.
template <class T>
class Slab {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  Slab(Slab&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        room_(std::exchange(other.room_, 0)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  Slab& operator=(Slab&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Slab() {
    if (data_ != nullptr) give_block(data_, bytes_);
  }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  T* end() noexcept { return data_ + size_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  void clear() noexcept { size_ = 0; }
  void set_size(std::size_t size) noexcept { size_ = size; }

  // Room for `more` values behind the present ones; returns where they go.
  T* grow(std::size_t more) {
    const std::size_t need = size_ + more;
    if (need > room_) reserve(tight || need > 2 * room_ ? need : 2 * room_);
    return data_ + size_;
  }
  void reserve(std::size_t room) {
    if (room <= room_) return;
    std::size_t bytes = 0;
    void* const grown = take_block(room * sizeof(T), bytes);
    if (size_ != 0) std::memcpy(grown, static_cast<const void*>(data_), size_ * sizeof(T));
    if (data_ != nullptr) give_block(data_, bytes_);
    data_ = static_cast<T*>(grown);
    bytes_ = bytes;
    room_ = bytes / sizeof(T);
  }
  void resize(std::size_t size) {
    reserve(size);
    size_ = size;
  }
  void push(T value) {
    *grow(1) = value;
    ++size_;
  }
  void append(const T* from, std::size_t n) {
    if (n == 0) return;
    std::memcpy(static_cast<void*>(grow(n)), static_cast<const void*>(from), n * sizeof(T));
    size_ += n;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0, room_ = 0, bytes_ = 0;
};

// Bytes handed out in pieces that never move until `clear`.
class Arena {
 public:
  // Room for n bytes; give back what was not used with `keep`.
  char* room(std::size_t n) {
    if (chunks_.empty() || used_ + n > chunk_size_) next(n);
    return chunks_[chunk_].get() + used_;
  }
  void keep(std::size_t n) noexcept { used_ += n; }
  void clear() noexcept {
    if (chunks_.size() > 1) chunks_.resize(1);
    chunk_ = used_ = 0;
    chunk_size_ = chunks_.empty() ? 0 : first_size_;
  }

 private:
  void next(std::size_t n) {
    const std::size_t size = n > least ? n : least;
    chunks_.emplace_back(new char[size]);
    chunk_ = chunks_.size() - 1;
    if (chunk_ == 0) first_size_ = size;
    chunk_size_ = size;
    used_ = 0;
  }
  static constexpr std::size_t least = tight ? 0 : 64 << 10;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::size_t chunk_ = 0, used_ = 0, chunk_size_ = 0, first_size_ = 0;
};

}  // namespace fg
