// Rows of tables whose hot part lies in memory and whose whole lies in a file.
#pragma once

#include <cstdint>
#include <vector>

#include "huge.h"

namespace embedding {

// One array of the hot part, (slots, width): consecutive columns of a row's record in the file.
struct TierPart {
  float* memory;
  int width;
};

struct TierCounts {
  std::int64_t asked = 0;    // occurrences of rows
  std::int64_t read = 0;     // rows that came from the file
  std::int64_t written = 0;  // rows that went back to it
};

// Which slot of memory a row has. A slot is given away by the clock rule: who was used since the hand passed stays.
class Tier {
 public:
  // Records lie one after another in `file` from its start; it stays the caller's.
  Tier(std::int64_t rows, std::int64_t slots, std::vector<TierPart> parts, int file);

  // Slots of rows, -1 for rows below 0, and a row that is not in the table as it is, for the lookup to refuse. Rows
  // that are not in memory are read. Slots that were taken for `floor` or a later ticket keep their rows. Returns how
  // many slots were missing: then some rows have none (-1). Throws std::system_error.
  std::int64_t take(const std::int64_t* rows, std::int64_t size, std::int64_t* slots, std::uint32_t ticket,
                    std::uint32_t floor, bool changes);

  // Writes all changed rows to the file; they stay in memory.
  void write_back();

  // Forgets what is in memory: the file was changed by someone else.
  void forget();

  TierCounts counts;

 private:
  struct Slot {
    std::int64_t row = -1;
    std::uint32_t ticket = 0;
    bool used = false;
    bool changed = false;
  };
  struct Move {
    std::int64_t row;
    std::int32_t slot;
  };

  std::int32_t free_slot(std::uint32_t floor);
  void read(std::vector<Move>& moves);
  void write(std::vector<Move>& moves);

  HugeVector<std::int32_t> slot_of_;  // by row, -1
  std::vector<Slot> slots_;
  std::vector<TierPart> parts_;
  std::vector<Move> arriving_, leaving_;
  std::vector<float> buffer_;
  std::int64_t width_ = 0;  // floats of a record
  std::size_t hand_ = 0;
  int file_;
};

}  // namespace embedding
