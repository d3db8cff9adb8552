#include "operation.h"

#include <algorithm>

#include "operations/operations.h"

namespace fg {

std::unique_ptr<Operation> make_operation(const std::string& name, const Parameters& parameters) {
  using Make = std::unique_ptr<Operation> (*)(const Parameters&);
  static const std::pair<const char*, Make> known[] = {
      {"bm25", make_bm25},                    //
      {"bool_mask", make_mask},               //
      {"combine", make_combine},              //
      {"edit_distance", make_edit_distance},  //
      {"expr", make_expr},                    //
      {"foreign", make_foreign},              //
      {"kv_dot_product", make_dot},           //
      {"lookup", make_lookup},                //
      {"match", make_match},                  //
      {"overlap", make_overlap},              //
      {"product", make_product},              //
      {"slice", make_slice},                  //
  };
  for (const auto& [known_name, make] : known) {
    if (name == known_name) return make(parameters);
  }
  throw std::invalid_argument("there is no operation '" + name + "'");
}

void carry_faults(const std::vector<Operand>& in, std::size_t elements, Cells& out, Slab<std::uint8_t>& spoiled) {
  spoiled.clear();
  const bool any = std::any_of(in.begin(), in.end(), [](const Operand& operand) {
    return !operand.cells->broken.empty() || !operand.cells->faults.empty();
  });
  if (!any) return;
  spoiled.resize(elements);
  std::fill_n(spoiled.data(), elements, std::uint8_t{0});
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Cells& cells = *in[i].cells;
    if (cells.broken.empty() && cells.faults.empty()) continue;
    std::vector<std::uint8_t> hurt(cells.elements(), 0);
    for (std::size_t b = 0; b < cells.broken.size(); ++b) hurt[element_of(cells, cells.broken[b])] = 1;
    std::vector<std::vector<const Fault*>> told(cells.faults.empty() ? 0 : cells.elements());
    for (const Fault& fault : cells.faults) {
      hurt[element_of(cells, fault)] = 1;
      told[element_of(cells, fault)].push_back(&fault);
    }
    for (std::size_t e = 0; e < elements; ++e) {
      const std::uint32_t at = in[i].element(e);
      spoiled[e] |= hurt[at];
      if (told.empty()) continue;
      for (const Fault* fault : told[at])  // told once, however many elements it stands beside
        out.faults.push_back({static_cast<std::uint32_t>(e), false, static_cast<std::uint16_t>(i), fault->reason,
                              fault->beside || in[i].beside_all});
      told[at].clear();
    }
  }
  std::stable_sort(out.faults.begin(), out.faults.end(), [](const Fault& a, const Fault& b) { return a.at < b.at; });
}

}  // namespace fg
