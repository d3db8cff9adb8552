// `bool_mask`: the values whose place in a second list is true.
#include <algorithm>

#include "../number_text.h"
#include "operations.h"

namespace fg {
namespace {

bool is_word(const Text& text, const char* word, std::size_t size) noexcept {
  if (text.size != size) return false;
  for (std::size_t i = 0; i < size; ++i) {
    const char c = text.data[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != word[i]) return false;
  }
  return true;
}

class Mask final : public Operation {
 public:
  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("a mask needs values and a mask");
  }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch*, Cells& out) const override {
    const Cells& values = *in[0].cells;
    out.clear_like(values);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    const bool carried = !out.faults.empty();
    for (std::size_t e = 0; e < elements; ++e) {
      if ((spoiled.empty() || spoiled[e] == 0) && !in[0].missing(e) && !in[1].missing(e)) keep(in, e, out);
      close_element(out);
    }
    if (carried)
      std::stable_sort(out.faults.begin(), out.faults.end(),
                       [](const Fault& a, const Fault& b) { return a.at < b.at; });
  }

 private:
  static void keep(const std::vector<Operand>& in, std::size_t e, Cells& out) {
    const std::uint32_t begin = in[0].begin(e), size = in[0].end(e) - begin;
    const std::uint32_t mask = in[1].begin(e), masks = in[1].end(e) - mask;
    if (size != masks)
      return fail(out, e, 1, "has " + std::to_string(masks) + " values for " + std::to_string(size) + " to mask");
    const Cells& cells = *in[1].cells;
    for (std::uint32_t i = 0; i < size; ++i) {  // all are looked at before any is kept
      bool on = false;
      if (!read(cells, mask + i, on)) {
        std::string shown_value =
            cells.form == Form::text ? quoted(cells.texts[mask + i]) : shown(cells.numbers[mask + i]);
        return fail(out, e, 1, std::move(shown_value) + " is neither true nor false");
      }
    }
    for (std::uint32_t i = 0; i < size; ++i) {
      bool on = false;
      read(cells, mask + i, on);
      if (on) copy_values(*in[0].cells, begin + i, begin + i + 1, out);
    }
  }

  // true, false, or a number, of which all but 0 are true. False where it is none of them.
  static bool read(const Cells& cells, std::uint32_t v, bool& on) noexcept {
    if (cells.form == Form::integer) {
      on = cells.integers[v] != 0;
      return true;
    }
    if (cells.form == Form::number) {
      on = cells.numbers[v] != 0;
      return cells.numbers[v] == cells.numbers[v];
    }
    const Text& text = cells.texts[v];
    on = is_word(text, "true", 4);
    if (on || is_word(text, "false", 5)) return true;
    double number = 0;
    if (!parse_number(text.data, text.size, number)) return false;
    on = number != 0;
    return true;
  }
};

}  // namespace

std::unique_ptr<Operation> make_mask(const Parameters&) { return std::make_unique<Mask>(); }

}  // namespace fg
