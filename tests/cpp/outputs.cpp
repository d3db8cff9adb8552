#include "outputs.h"

#include <cstring>

namespace test {
namespace {

template <class T>
std::vector<T> copied(const fg::Slab<T>& slab) {
  return {slab.data(), slab.data() + slab.size()};
}

std::vector<std::int64_t> lengths_of(const fg::Slab<std::int64_t>& ends) {
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 1; i < ends.size(); ++i) lengths.push_back(ends[i] - ends[i - 1]);
  return lengths;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace

bool Rows::operator==(const Rows& other) const {
  return ids == other.ids && same_bits(numbers, other.numbers) && same_bits(weights, other.weights) &&
         texts == other.texts && lengths == other.lengths && key_lengths == other.key_lengths;
}

Rows rows_of(const fg::Plan& plan, const fg::Result& result, std::size_t f, std::int64_t rows, std::int64_t place) {
  Rows made;
  bool sequence = false;
  for (const fg::Unit& unit : plan.units()) {
    for (const int member : unit.features) sequence = member == static_cast<int>(f) ? unit.sequence : sequence;
  }
  const fg::Feature& feature = plan.features()[f];
  const auto all = static_cast<std::size_t>(rows);
  if (result.borrowed[f] != nullptr) {
    made.ids.assign(result.borrowed[f], result.borrowed[f] + rows);
    made.lengths.assign(all, 1);
    return made;
  }
  if (place >= 0) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const float* const row = result.dense.values.data() + r * result.dense.width + place;
      made.numbers.insert(made.numbers.end(), row, row + feature.sink.value_dim);
    }
    return made;
  }
  const fg::Output& output = result.outputs[f];
  made.ids = copied(output.ids);
  made.weights = copied(output.weights);
  made.numbers = copied(output.numbers);
  for (std::size_t i = 1; i < output.text_ends.size(); ++i)
    made.texts.emplace_back(output.text.data() + output.text_ends[i - 1],
                            output.text_ends[i] - output.text_ends[i - 1]);
  for (std::size_t i = 0; i < output.doubles.size(); ++i) made.numbers.push_back(static_cast<float>(output.doubles[i]));
  const bool vectors = feature.vectors && feature.sink.discretizer != fg::Discretizer::boundaries;
  std::vector<std::int64_t> values = vectors         ? std::vector<std::int64_t>()
                                     : output.single ? std::vector<std::int64_t>(output.elements, 1)
                                                     : lengths_of(output.value_ends);
  if (feature.exploded) {
    made.lengths = std::move(values);
    made.key_lengths.assign(made.ids.size(), 1);
  } else if (sequence) {
    made.lengths = lengths_of(output.element_ends);
    made.key_lengths = std::move(values);
  } else {
    made.lengths = std::move(values);
  }
  return made;
}

}  // namespace test
