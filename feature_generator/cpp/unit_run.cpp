#include "unit_run.h"

#include <algorithm>

namespace fg {
namespace {

constexpr std::int64_t block_rows = 1024;
constexpr std::int64_t most_weight = std::int64_t{1} << 29;  // of one row: values are counted in 32 bits
constexpr std::int64_t block_weight = 8192;  // list items, or 8 bytes of text each: what the inner caches hold

bool once(const Column& column, std::int64_t rows) noexcept { return column.length == 1 && rows != 1; }

// Where the block from `first` on ends. Of a column that stands beside all rows, what is copied for each weighs.
std::int64_t block_end(const Unit& unit, const std::vector<Feature>& features,
                       const std::vector<std::vector<const Column*>>& columns, std::int64_t rows, std::int64_t first,
                       std::int64_t last) {
  std::int64_t end = std::min(last, first + block_rows);
  for (std::size_t f = 0; f < columns.size(); ++f) {
    const Feature& feature = features[static_cast<std::size_t>(unit.features[f])];
    for (std::size_t i = 0; i < columns[f].size(); ++i) {
      const Column& column = *columns[f][i];
      const bool single = once(column, rows);
      if (weight_of(column, single ? 0 : first, single ? 1 : first + 1) > most_weight)
        throw std::invalid_argument("a row holds more than 4 GiB of text, or half a billion items");
      if (single && feature.operation != nullptr && !feature.inputs[i].reading.sequence) continue;
      const auto weight = [&] {
        return single ? weight_of(column, 0, 1) * (end - first) : weight_of(column, first, end);
      };
      while (end - first > 1 && weight() > block_weight) end = first + (end - first) / 2;
    }
  }
  return end;
}

// Room for what `rows` rows will need, judging by the first `done` of them: growing step by step moves the pages.
void reserve(Output& output, std::int64_t done, std::int64_t rows) {
  constexpr double most = 1 << 27;  // the first rows may be exceptional: then growing is the lesser harm
  const double ratio = 1.03 * static_cast<double>(rows) / static_cast<double>(done);
  const auto extend = [&](auto& slab) {
    if (!slab.empty())
      slab.reserve(static_cast<std::size_t>(std::min(static_cast<double>(slab.size()) * ratio + 64, most)));
  };
  extend(output.ids);
  extend(output.numbers);
  extend(output.weights);
  extend(output.doubles);
  extend(output.value_ends);
  extend(output.element_ends);
  extend(output.text);
  extend(output.text_ends);
}

void note(const Feature& feature, int number, const Fault& fault, std::int64_t row, std::vector<Bad>& bad) {
  bad.push_back({row, number, feature.inputs[fault.input].column, fault.reason, fault.beside});
}

// Zeros for `count` elements.
const std::uint32_t* zeros(Workspace& space, std::size_t count) {
  if (space.zeros.size() < count) {
    space.zeros.resize(count);
    std::fill_n(space.zeros.data(), count, 0U);
  }
  return space.zeros.data();
}

class UnitRun {
 public:
  UnitRun(const Unit& unit, const std::vector<Feature>& features,
          const std::vector<std::vector<const Column*>>& columns, std::int64_t rows, Workspace& space, Stretch& stretch)
      : unit_(unit), features_(features), columns_(columns), rows_(rows), space_(space), stretch_(stretch) {
    std::size_t inputs = 0;
    for (const auto& of_feature : columns) inputs += of_feature.size();
    while (space.inputs.size() < inputs) space.inputs.push_back(std::make_unique<Workspace::PerInput>());
  }

  void plain(std::int64_t first, std::int64_t last, const std::vector<DenseTarget>& targets) {
    const Feature& leading = feature_at(0);
    for (std::size_t i = 0; i < leading.inputs.size(); ++i) read_plain(*columns_[0][i], leading, i, first, last);
    for (std::size_t f = 0; f < unit_.features.size(); ++f) {
      const Feature& feature = feature_at(f);
      Cells& cells = compute(f, 0, static_cast<std::size_t>(last - first));
      write(feature, cells, stretch_.outputs[f], targets[f], first);
      for (const Fault& fault : cells.faults)
        note(feature, unit_.features[f], fault, first + element_of(cells, fault), stretch_.bad);
    }
  }

  void sequences(std::int64_t first, std::int64_t last) {
    const auto rows = static_cast<std::size_t>(last - first);
    const Slab<std::uint32_t>* counts = nullptr;
    bool unequal = false;
    std::size_t slot = 0;
    for (std::size_t f = 0; f < unit_.features.size(); ++f) {
      const Feature& feature = feature_at(f);
      for (std::size_t i = 0; i < feature.inputs.size(); ++i, ++slot) {
        if (!feature.inputs[i].reading.sequence || feature.shared) continue;
        Workspace::PerInput& input = *space_.inputs[slot];
        const Column& column = *columns_[f][i];
        input.read.clear();
        input.counts.clear();
        if (once(column, rows_)) {
          for (std::int64_t r = first; r < last; ++r)
            read_sequences(column, 0, 1, feature.inputs[i].reading, input.read, input.counts);
        } else {
          read_sequences(column, first, last, feature.inputs[i].reading, input.read, input.counts);
        }
        if (counts == nullptr) counts = &input.counts;
        unequal = unequal || std::memcmp(counts->data(), input.counts.data(), rows * sizeof(std::uint32_t)) != 0;
      }
    }
    space_.lengths.clear();
    space_.lengths.append(counts->data(), rows);
    if (unequal) equalize(first, rows);
    space_.kept.resize(rows);
    const bool shape = unequal || reshapes(unit_.rule, space_.lengths.data(), rows);
    if (!shape) std::copy_n(space_.lengths.data(), rows, space_.kept.data());
    slot = 0;
    for (std::size_t f = 0; f < unit_.features.size(); ++f) {
      for (const Input& in : feature_at(f).inputs) {
        Workspace::PerInput& input = *space_.inputs[slot++];
        if (!in.reading.sequence || feature_at(f).shared) continue;
        input.ready = &input.read;
        input.at = nullptr;
        input.beside_all = false;
        if (!shape) continue;
        reshape(unit_.rule, input.read, input.counts.data(), space_.lengths.data(), rows, input.shaped,
                space_.kept.data());
        input.ready = &input.shaped;
      }
    }
    std::size_t elements = 0;
    for (std::size_t r = 0; r < rows; ++r) elements += space_.kept[r];
    space_.rows_at.clear();
    slot = 0;
    for (std::size_t f = 0; f < unit_.features.size(); ++f) {
      const Feature& feature = feature_at(f);
      const std::size_t base = slot;
      for (std::size_t i = 0; i < feature.inputs.size(); ++i, ++slot) {
        if (!feature.inputs[i].reading.sequence && !feature.shared)
          read_beside(*columns_[f][i], feature.inputs[i].reading, first, last, elements, *space_.inputs[slot]);
      }
      Cells& cells = compute(f, base, elements);
      Output& output = stretch_.outputs[f];
      write(feature, cells, output, {}, 0);
      if (output.element_ends.empty()) output.element_ends.push(0);
      std::int64_t* const ends = output.element_ends.grow(rows);
      std::int64_t end = ends[-1];
      for (std::size_t r = 0; r < rows; ++r) ends[r] = end += space_.kept[r];
      output.element_ends.set_size(output.element_ends.size() + rows);
      if (!cells.faults.empty()) note_sequence_faults(f, cells, first);
    }
  }

 private:
  const Feature& feature_at(std::size_t f) const { return features_[static_cast<std::size_t>(unit_.features[f])]; }

  // An input of a plain feature. A column of one row stands beside all rows.
  void read_plain(const Column& column, const Feature& feature, std::size_t i, std::int64_t first, std::int64_t last) {
    Workspace::PerInput& input = *space_.inputs[i];
    const Reading& reading = feature.inputs[i].reading;
    input.read.clear();
    input.ready = &input.read;
    input.at = nullptr;
    input.beside_all = once(column, rows_);
    if (!input.beside_all) {
      read_rows(column, first, last, reading, input.read);
      return;
    }
    read_rows(column, 0, 1, reading, input.read);
    const auto rows = static_cast<std::size_t>(last - first);
    input.at = zeros(space_, rows);
    if (feature.operation != nullptr) return;
    const auto count = static_cast<std::uint32_t>(rows);
    repeat(input.read, &count, input.repeated);
    for (Fault& fault : input.repeated.faults) fault.beside = true;
    input.ready = &input.repeated;
    input.at = nullptr;
  }

  // An input of a sequence feature that has one value a row: it stands beside every element of the row.
  void read_beside(const Column& column, const Reading& reading, std::int64_t first, std::int64_t last,
                   std::size_t elements, Workspace::PerInput& input) {
    input.read.clear();
    input.ready = &input.read;
    input.beside_all = once(column, rows_);
    if (input.beside_all) {
      read_rows(column, 0, 1, reading, input.read);
      input.at = zeros(space_, elements);
      return;
    }
    read_rows(column, first, last, reading, input.read);
    if (space_.rows_at.empty() && elements != 0) {
      std::uint32_t* at = space_.rows_at.grow(elements);
      space_.rows_at.set_size(elements);
      const auto rows = static_cast<std::uint32_t>(last - first);
      for (std::uint32_t r = 0; r < rows; ++r) at = std::fill_n(at, space_.kept[r], r);
    }
    input.at = space_.rows_at.data();
  }

  // Rows whose sequences differ in length are cut to the shortest, and told unless that is what was asked for.
  void equalize(std::int64_t first, std::size_t rows) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t shortest = ~0U;
      std::size_t slot = 0, odd_feature = 0, odd_input = 0;
      bool equal = true;
      for (std::size_t f = 0; f < unit_.features.size(); ++f) {
        const Feature& feature = feature_at(f);
        for (std::size_t i = 0; i < feature.inputs.size(); ++i, ++slot) {
          if (!feature.inputs[i].reading.sequence || feature.shared) continue;
          const std::uint32_t count = space_.inputs[slot]->counts[r];
          if (count != space_.lengths[r] && equal) {
            equal = false;
            odd_feature = f;
            odd_input = i;
            odd_count_ = count;
          }
          shortest = std::min(shortest, count);
        }
      }
      if (!equal && !unit_.shortest) {
        const Feature& odd = feature_at(odd_feature);
        stretch_.bad.push_back(
            {first + static_cast<std::int64_t>(r), unit_.features[odd_feature], odd.inputs[odd_input].column,
             "has " + std::to_string(odd_count_) + " elements, but the sequence's first column has " +
                 std::to_string(space_.lengths[r])});
      }
      space_.lengths[r] = shortest;
    }
  }

  // The values of feature f of the unit, whose inputs are those from `base` on. The stage behind spoils them, so that a
  // feature which shares them gets a copy made before.
  Cells& compute(std::size_t f, std::size_t base, std::size_t elements) {
    const bool copied = f + 1 < unit_.features.size() && feature_at(f + 1).shared;
    if (feature_at(f).shared) {
      std::swap(space_.spare, space_.taken);
      if (copied) copy_cells(space_.taken, space_.spare);
      return space_.taken;
    }
    Cells& cells = fresh(feature_at(f), base, elements);
    if (copied) copy_cells(cells, space_.spare);
    return cells;
  }

  Cells& fresh(const Feature& feature, std::size_t base, std::size_t elements) {
    if (feature.operation == nullptr) return *space_.inputs[base]->ready;
    operands_.clear();
    for (std::size_t i = 0; i < feature.inputs.size(); ++i) {
      const Workspace::PerInput& input = *space_.inputs[base + i];
      operands_.push_back({input.ready, input.at, input.beside_all});
    }
    const Operation& operation = *feature.operation;
    const auto [scratch, added] = space_.scratches.try_emplace(&operation);
    if (added) scratch->second = operation.scratch();
    space_.computed.clear();
    operation.run(operands_, elements, scratch->second.get(), space_.computed);
    return space_.computed;
  }

  void write(const Feature& feature, Cells& cells, Output& output, const DenseTarget& target, std::int64_t first) {
    if (feature.sink.discretizer == Discretizer::numbers) {
      write_numbers(cells, output);
    } else if (feature.vectors && feature.sink.value_dim == 0) {
      write_buckets(feature.sink, cells, space_.sink, output);
    } else if (feature.vectors) {
      float* const to = target.to == nullptr ? nullptr : target.to + static_cast<std::size_t>(first) * target.stride;
      write_vectors(feature.sink, cells, space_.sink, output, to, target.stride);
    } else if (feature.sink.discretizer == Discretizer::text) {
      if (output.text_ends.empty()) output.text_ends.push(0);
      write_texts(feature.sink, cells, output);
    } else {
      write_ids(feature.sink, cells, space_.sink, output);
    }
  }

  void note_sequence_faults(std::size_t f, const Cells& cells, std::int64_t first) {
    for (const Fault& fault : cells.faults) {
      const std::uint32_t element = element_of(cells, fault);
      std::uint32_t row = 0;
      for (std::uint32_t end = space_.kept[0]; end <= element; end += space_.kept[++row]) {}
      note(feature_at(f), unit_.features[f], fault, first + row, stretch_.bad);
    }
  }

  const Unit& unit_;
  const std::vector<Feature>& features_;
  const std::vector<std::vector<const Column*>>& columns_;
  std::int64_t rows_;
  Workspace& space_;
  Stretch& stretch_;
  std::vector<Operand> operands_;
  std::uint32_t odd_count_ = 0;
};

}  // namespace

void run_unit(const Unit& unit, const std::vector<Feature>& features,
              const std::vector<std::vector<const Column*>>& columns, std::int64_t rows, std::int64_t first,
              std::int64_t last, const std::vector<DenseTarget>& targets, Workspace& space, Stretch& stretch) {
  stretch.outputs = std::vector<Output>(unit.features.size());
  UnitRun run(unit, features, columns, rows, space, stretch);
  if (unit.sequence) {
    for (Output& output : stretch.outputs) output.element_ends.push(0);
  }
  bool reserved = false;
  for (std::int64_t at = first; at < last;) {
    const std::int64_t end = block_end(unit, features, columns, rows, at, last);
    if (at != first && !reserved) {
      for (Output& output : stretch.outputs) reserve(output, at - first, (first == 0 ? rows : last) - first);
      reserved = true;
    }
    if (unit.sequence) {
      run.sequences(at, end);
    } else {
      run.plain(at, end, targets);
    }
    at = end;
  }
}

}  // namespace fg
