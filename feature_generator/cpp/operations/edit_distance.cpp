// `EditDistance`: the fewest insertions, deletions and replacements that turn one text into another.
#include <algorithm>

#include "operations.h"

namespace fg {
namespace {

struct EditScratch final : Operation::Scratch {
  Slab<std::uint32_t> first, second, row;
};

// The bytes of a text, or its characters: what is no UTF-8 counts byte by byte.
void units(const Text& text, bool bytes, Slab<std::uint32_t>& out) {
  out.clear();
  out.reserve(text.size);
  for (std::size_t i = 0; i < text.size; ++i) {
    const auto byte = static_cast<unsigned char>(text.data[i]);
    const std::size_t more = bytes || byte < 0xc0 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    std::uint32_t unit = byte;
    for (std::size_t k = 0; k < more && i + 1 < text.size; ++k)
      unit = unit << 8 | static_cast<unsigned char>(text.data[++i]);
    out.push(unit);
  }
}

std::uint32_t distance(const Slab<std::uint32_t>& first, const Slab<std::uint32_t>& second, Slab<std::uint32_t>& row) {
  const std::uint32_t* a = first.data();
  const std::uint32_t* b = second.data();
  std::size_t n = first.size(), m = second.size();
  for (; n > 0 && m > 0 && a[0] == b[0]; ++a, ++b, --n, --m) {}
  for (; n > 0 && m > 0 && a[n - 1] == b[m - 1]; --n, --m) {}
  if (n < m) {
    std::swap(a, b);
    std::swap(n, m);
  }
  row.resize(m + 1);  // distances from the first i units of a to the first j of b
  for (std::size_t j = 0; j <= m; ++j) row[j] = static_cast<std::uint32_t>(j);
  for (std::size_t i = 1; i <= n; ++i) {
    std::uint32_t diagonal = row[0];
    row[0] = static_cast<std::uint32_t>(i);
    for (std::size_t j = 1; j <= m; ++j) {
      const std::uint32_t above = row[j];
      row[j] = std::min(std::min(above, row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U));
      diagonal = above;
    }
  }
  return row[m];
}

class EditDistance final : public Operation {
 public:
  explicit EditDistance(bool bytes) : bytes_(bytes) {}

  void check(std::size_t inputs) const override {
    if (inputs != 2) throw std::invalid_argument("an edit distance needs two texts");
  }

  std::unique_ptr<Scratch> scratch() const override { return std::make_unique<EditScratch>(); }

  void run(const std::vector<Operand>& in, std::size_t elements, Scratch* memory, Cells& out) const override {
    auto& scratch = static_cast<EditScratch&>(*memory);
    for (std::uint16_t k = 0; k < 2; ++k) to_text(*in[k].cells, k);
    Slab<std::uint8_t> spoiled;
    carry_faults(in, elements, out, spoiled);
    out.form = Form::integer;
    std::uint32_t split[] = {0, 0};  // 1 + the element whose units are at hand
    Slab<std::uint32_t>* const pieces[] = {&scratch.first, &scratch.second};
    for (std::size_t e = 0; e < elements; ++e) {
      const bool good = spoiled.empty() || spoiled[e] == 0;
      if (good && !in[0].missing(e) && !in[1].missing(e)) {
        for (std::size_t k = 0; k < 2; ++k) {
          const std::uint32_t element = in[k].element(e);
          if (split[k] == element + 1) continue;
          split[k] = element + 1;
          units(in[k].cells->texts[in[k].begin(e)], bytes_, *pieces[k]);
        }
        out.integers.push(distance(scratch.first, scratch.second, scratch.row));
      }
      close_element(out);
    }
  }

 private:
  bool bytes_;
};

}  // namespace

std::unique_ptr<Operation> make_edit_distance(const Parameters& parameters) {
  const std::string& encoding = parameters.text("encoding");
  if (encoding != "latin" && encoding != "utf-8") throw std::invalid_argument("unknown encoding '" + encoding + "'");
  return std::make_unique<EditDistance>(encoding == "latin");
}

}  // namespace fg
