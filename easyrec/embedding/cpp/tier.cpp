#include "tier.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 16;        // entries of the index that are fetched before they are read
constexpr std::int64_t kGap = 1 << 12;     // bytes between two records that are read along rather than passed over
constexpr std::int64_t kAtOnce = 1 << 18;  // most bytes of one read or write

void whole(bool reads, int file, char* data, std::int64_t size, std::int64_t offset) {
  while (size > 0) {
    const ssize_t done = reads ? ::pread(file, data, static_cast<std::size_t>(size), offset)
                               : ::pwrite(file, data, static_cast<std::size_t>(size), offset);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) throw std::system_error(errno, std::generic_category());
    if (done == 0) throw std::system_error(EIO, std::generic_category());  // the file is shorter than it was made
    data += done, offset += done, size -= done;
  }
}

}  // namespace

Tier::Tier(std::int64_t rows, std::int64_t slots, std::vector<TierPart> parts, int file)
    : slot_of_(static_cast<std::size_t>(rows), -1),
      slots_(static_cast<std::size_t>(slots)),
      parts_(std::move(parts)),
      file_(file) {
  for (const TierPart& part : parts_) width_ += part.width;
}

std::int32_t Tier::free_slot(std::uint32_t floor) {
  // The hand passes every slot once to see who was used, and once more to take one.
  for (std::size_t passed = 0; passed < 2 * slots_.size(); ++passed) {
    const std::size_t at = hand_;
    hand_ = hand_ + 1 == slots_.size() ? 0 : hand_ + 1;
    Slot& slot = slots_[at];
    if (slot.row < 0) return static_cast<std::int32_t>(at);
    if (slot.ticket >= floor) continue;
    if (slot.used) slot.used = false;
    else return static_cast<std::int32_t>(at);
  }
  return -1;
}

std::int64_t Tier::take(const std::int64_t* rows, std::int64_t size, std::int64_t* slots, std::uint32_t ticket,
                        std::uint32_t floor, bool changes) {
  const auto inside = [&](std::int64_t row) { return static_cast<std::uint64_t>(row) < slot_of_.size(); };
  std::int64_t missing = 0;
  arriving_.clear();
  leaving_.clear();
  for (std::int64_t i = 0; i < size; ++i) {
    if (i + kAhead < size && inside(rows[i + kAhead]))
      __builtin_prefetch(&slot_of_[static_cast<std::size_t>(rows[i + kAhead])]);
    const std::int64_t row = rows[i];
    if (!inside(row)) {
      slots[i] = row;
      continue;
    }
    ++counts.asked;
    std::int32_t& at = slot_of_[static_cast<std::size_t>(row)];
    if (at < 0) {
      at = free_slot(floor);
      if (at < 0) {
        slots[i] = -1;
        ++missing;
        continue;
      }
      Slot& slot = slots_[static_cast<std::size_t>(at)];
      if (slot.row >= 0) {
        slot_of_[static_cast<std::size_t>(slot.row)] = -1;
        if (slot.changed) leaving_.push_back({slot.row, at});
      }
      slot = {row, ticket, false, false};
      arriving_.push_back({row, at});
    }
    Slot& slot = slots_[static_cast<std::size_t>(at)];
    slot.ticket = std::max(slot.ticket, ticket);
    slot.used = true;
    slot.changed |= changes;
    slots[i] = at;
  }
  write(leaving_);  // before their slots are filled
  read(arriving_);
  return missing;
}

void Tier::read(std::vector<Move>& moves) {
  std::sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.row < b.row; });
  counts.read += static_cast<std::int64_t>(moves.size());
  const std::int64_t bytes = width_ * static_cast<std::int64_t>(sizeof(float));
  for (std::size_t begin = 0, end; begin < moves.size(); begin = end) {
    const std::int64_t first = moves[begin].row;
    for (end = begin + 1; end < moves.size(); ++end)
      if ((moves[end].row - moves[end - 1].row - 1) * bytes > kGap || (moves[end].row - first + 1) * bytes > kAtOnce)
        break;
    const std::int64_t span = moves[end - 1].row - first + 1;
    if (buffer_.size() < static_cast<std::size_t>(span * width_))
      buffer_.resize(static_cast<std::size_t>(span * width_));
    whole(true, file_, reinterpret_cast<char*>(buffer_.data()), span * bytes, first * bytes);
    for (std::size_t i = begin; i < end; ++i) {
      const float* from = buffer_.data() + (moves[i].row - first) * width_;
      for (const TierPart& part : parts_) {
        std::memcpy(part.memory + std::int64_t{moves[i].slot} * part.width, from,
                    sizeof(float) * static_cast<std::size_t>(part.width));
        from += part.width;
      }
    }
  }
}

void Tier::write(std::vector<Move>& moves) {
  std::sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.row < b.row; });
  counts.written += static_cast<std::int64_t>(moves.size());
  const std::int64_t bytes = width_ * static_cast<std::int64_t>(sizeof(float));
  for (std::size_t begin = 0, end; begin < moves.size(); begin = end) {
    const std::int64_t first = moves[begin].row;
    for (end = begin + 1; end < moves.size(); ++end)
      if (moves[end].row != moves[end - 1].row + 1 || (moves[end].row - first + 1) * bytes > kAtOnce) break;
    const std::int64_t span = moves[end - 1].row - first + 1;
    if (buffer_.size() < static_cast<std::size_t>(span * width_))
      buffer_.resize(static_cast<std::size_t>(span * width_));
    float* to = buffer_.data();
    for (std::size_t i = begin; i < end; ++i) {
      for (const TierPart& part : parts_) {
        std::memcpy(to, part.memory + std::int64_t{moves[i].slot} * part.width,
                    sizeof(float) * static_cast<std::size_t>(part.width));
        to += part.width;
      }
    }
    whole(false, file_, reinterpret_cast<char*>(buffer_.data()), span * bytes, first * bytes);
  }
}

void Tier::write_back() {
  std::vector<Move> moves;
  for (std::size_t at = 0; at < slots_.size(); ++at) {
    if (!slots_[at].changed) continue;
    moves.push_back({slots_[at].row, static_cast<std::int32_t>(at)});
  }
  write(moves);
  for (Slot& slot : slots_) slot.changed = false;
}

void Tier::forget() {
  for (Slot& slot : slots_) {
    if (slot.row >= 0) slot_of_[static_cast<std::size_t>(slot.row)] = -1;
    slot = {};
  }
  hand_ = 0;
}

}  // namespace embedding
