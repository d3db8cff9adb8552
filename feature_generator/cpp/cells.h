// What passes between the stages of a feature: elements, each with any number of values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "slab.h"

namespace fg {

// UTF-8 bytes owned by someone else.
struct Text {
  const char* data;
  std::size_t size;
};

enum class Form : std::uint8_t { text, integer, number };

// Whether the values are pairs in text that nobody has taken apart yet: several in a value, or one.
enum class Folded : std::uint8_t { no, many, one };

// A value that broke a rule: reported with its row and the column it came from.
struct Fault {
  std::uint32_t at;  // the value, or the element where no value is left to point to
  bool of_value;
  std::uint16_t input;
  std::string reason;
  bool beside = false;  // of what stands beside all rows: every block finds it again, the batch tells it once
};

// Elements of one block. An element is a row of a plain feature, or one step of a sequence; it holds the values
// ends[e-1] .. ends[e] of the array that `form` names. An element without values is missing.
struct Cells {
  Form form = Form::text;
  bool weighted = false;
  bool narrow = false;  // the numbers were float32: their text is shorter
  Folded folded = Folded::no;
  Slab<std::uint32_t> ends;
  Slab<Text> texts;
  Slab<std::int64_t> integers;
  Slab<double> numbers;
  Slab<float> weights;         // one per value where `weighted`
  Slab<std::uint32_t> broken;  // values that the feature's default replaces
  std::vector<Fault> faults;
  // Of pairs, where the values are keys: element i is what belongs to key i, and may be missing.
  bool paired = false;
  std::unique_ptr<Cells> seconds;
  Arena arena;  // text made here: numbers as text, joined text

  std::size_t elements() const noexcept { return ends.size(); }
  std::uint32_t begin_of(std::size_t element) const noexcept { return element == 0 ? 0 : ends[element - 1]; }
  std::size_t values() const noexcept {
    return form == Form::text ? texts.size() : form == Form::integer ? integers.size() : numbers.size();
  }
  // Every element holds exactly one value. The ends ascend, so that comparing all of them is a cheap scan.
  bool single() const noexcept {
    if (values() != elements()) return false;
    std::uint32_t off = 0;
    for (std::size_t e = 0; e < ends.size(); ++e) off |= ends[e] ^ static_cast<std::uint32_t>(e + 1);
    return off == 0;
  }
  // No values, but of the same kind as those of `other`.
  void clear_like(const Cells& other) {
    clear();
    form = other.form;
    weighted = other.weighted;
    narrow = other.narrow;
    folded = other.folded;
    if (other.paired) pair().clear_like(*other.seconds);
  }
  // Makes the values keys of pairs.
  Cells& pair() {
    paired = true;
    if (seconds == nullptr) seconds = std::make_unique<Cells>();
    return *seconds;
  }
  void clear() noexcept {
    form = Form::text;
    weighted = narrow = paired = false;
    folded = Folded::no;
    if (seconds != nullptr) seconds->clear();
    ends.clear();
    texts.clear();
    integers.clear();
    numbers.clear();
    weights.clear();
    broken.clear();
    faults.clear();
    arena.clear();
  }
};

// The element that holds value `value`.
std::uint32_t element_of(const Cells& cells, std::uint32_t value) noexcept;

// The value as a message shows it: in quotes, cut after 40 bytes.
std::string quoted(const Text& text);
std::string shown(double value);

// The element that a fault lies in.
inline std::uint32_t element_of(const Cells& cells, const Fault& fault) noexcept {
  return fault.of_value ? element_of(cells, fault.at) : fault.at;
}

// Why a value is broken; null where it is good.
const std::string* problem_of(const Cells& cells, std::uint32_t value) noexcept;

// Marks a value as broken and says why.
void reject(Cells& cells, std::uint32_t value, std::uint16_t input, std::string reason);

// Turns the values into text, integers or doubles. What cannot be turned is rejected. `input` names the column.
void to_text(Cells& cells, std::uint16_t input);
void to_integers(Cells& cells, std::uint16_t input);
void to_numbers(Cells& cells, std::uint16_t input);

// Closes an element of `cells`: it holds the values that came since the last one.
inline void close_element(Cells& cells) { cells.ends.push(static_cast<std::uint32_t>(cells.values())); }

// Appends values [begin, end) of `cells`, with what belongs to them, to those of `out`, which has the same form.
void copy_values(const Cells& cells, std::uint32_t begin, std::uint32_t end, Cells& out);

// out = `cells`. The text still belongs to `cells`, which must outlive `out`.
void copy_cells(const Cells& cells, Cells& out);

// out = the elements of `cells`, element e repeated counts[e] times; the broken values stay broken.
// The text still belongs to `cells`, which must outlive `out`. Faults must ascend.
void repeat(const Cells& cells, const std::uint32_t* counts, Cells& out);

}  // namespace fg
