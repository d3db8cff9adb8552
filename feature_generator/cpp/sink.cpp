#include "sink.h"

#include <algorithm>
#include <cmath>

#include "number_text.h"

namespace fg {
namespace {

// Ends for the elements before the first one that did not hold exactly one value.
void leave_single(Output& output) {
  if (!output.single) return;
  output.single = false;
  const auto n = static_cast<std::size_t>(output.elements);
  output.value_ends.resize(n + 1);
  for (std::size_t i = 0; i <= n; ++i) output.value_ends[i] = static_cast<std::int64_t>(i);
}

void keep_first(Cells& cells) {
  std::uint32_t to = 0, begin = 0;
  Slab<std::uint32_t> moved;  // new place of each value, all ones where it is gone
  moved.resize(cells.values());
  for (std::size_t e = 0; e < cells.elements(); ++e) {
    const std::uint32_t end = cells.ends[e];
    for (std::uint32_t v = begin; v < end; ++v) moved[v] = ~0U;
    if (begin != end) {
      if (cells.form == Form::text) cells.texts[to] = cells.texts[begin];
      if (cells.form == Form::integer) cells.integers[to] = cells.integers[begin];
      if (cells.form == Form::number) cells.numbers[to] = cells.numbers[begin];
      if (cells.weighted) cells.weights[to] = cells.weights[begin];
      moved[begin] = to++;
    }
    begin = end;
    cells.ends[e] = to;
  }
  if (cells.form == Form::text) cells.texts.set_size(to);
  if (cells.form == Form::integer) cells.integers.set_size(to);
  if (cells.form == Form::number) cells.numbers.set_size(to);
  if (cells.weighted) cells.weights.set_size(to);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < cells.broken.size(); ++i) {
    if (moved[cells.broken[i]] != ~0U) cells.broken[kept++] = moved[cells.broken[i]];
  }
  cells.broken.set_size(kept);
  std::vector<Fault> faults;
  for (Fault& fault : cells.faults) {
    if (fault.of_value) fault.at = moved[fault.at];
    if (fault.at != ~0U) faults.push_back(std::move(fault));
  }
  cells.faults = std::move(faults);
}

// The ids of all values, good or not.
void find_ids(const SinkRule& rule, Cells& cells, std::int64_t* ids) {
  const std::size_t n = cells.values();
  if (rule.discretizer == Discretizer::hash && cells.form == Form::integer) {
    hash_integers(cells.integers.data(), n, Modulus(static_cast<std::uint64_t>(rule.size)), ids);
  } else if (rule.discretizer == Discretizer::hash) {
    hash_ids(rule.hash, cells.texts.data(), n, Modulus(static_cast<std::uint64_t>(rule.size)), ids);
  } else if (rule.discretizer == Discretizer::vocabulary) {
    for (std::size_t i = 0; i < n; ++i) ids[i] = rule.vocabulary->find(cells.texts[i], rule.unknown);
  } else {
    const auto size = static_cast<std::uint64_t>(rule.size);
    const std::int64_t* const values = cells.integers.data();
    bool inside = true;
    for (std::size_t i = 0; i < n; ++i) {
      ids[i] = values[i];
      inside &= static_cast<std::uint64_t>(values[i]) < size;
    }
    if (inside) return;
    for (std::size_t i = 0; i < n; ++i) {
      if (static_cast<std::uint64_t>(values[i]) < size) continue;
      const auto value = static_cast<std::uint32_t>(i);
      if (rule.out_of_range == OutOfRange::clip) {
        ids[i] = values[i] < 0 ? 0 : rule.size - 1;
      } else if (rule.out_of_range == OutOfRange::replace) {
        ids[i] = 0;
        cells.broken.push(value);
      } else {
        ids[i] = 0;
        reject(cells, value, 0, std::to_string(values[i]) + " lies outside 0 .. " + std::to_string(rule.size - 1));
      }
    }
  }
}

void append_default(const SinkRule& rule, bool weighted, Output& output) {
  output.ids.append(rule.default_ids.data(), rule.default_ids.size());
  if (!weighted) return;
  for (std::size_t i = 0; i < rule.default_ids.size(); ++i) output.weights.push(1.0F);
}

}  // namespace

void bucketize(const float* values, std::size_t n, const float* boundaries, std::size_t m, std::int64_t* ids) noexcept {
  if (m <= 16) {  // few: compare with all of them, edge by edge, so that many values are compared at once
    constexpr std::size_t part = 512;
    std::int32_t counts[part];
    for (std::size_t done = 0; done < n; done += part) {
      const std::size_t size = std::min(part, n - done);
      const float* const at = values + done;
      std::fill_n(counts, size, 0);
      for (std::size_t k = 0; k < m; ++k) {
        const float edge = boundaries[k];
        for (std::size_t i = 0; i < size; ++i) counts[i] += edge <= at[i];
      }
      for (std::size_t i = 0; i < size; ++i) ids[done + i] = counts[i];
    }
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {  // many: halve without a branch
    const float* base = boundaries;
    std::size_t left = m;
    while (left > 1) {
      const std::size_t half = left / 2;
      base = base[half] <= values[i] ? base + half : base;
      left -= half;
    }
    ids[i] = base - boundaries + (*base <= values[i]);
  }
}

void write_ids(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output) {
  const bool whole =
      rule.discretizer == Discretizer::hash && rule.hash == Hash::murmur64a && cells.form == Form::integer;
  if (rule.discretizer == Discretizer::range || rule.discretizer == Discretizer::boundaries) {
    to_integers(cells, 0);
  } else if (!whole) {  // whole numbers are hashed as their text without writing it
    to_text(cells, 0);
  }
  bool single = cells.single();
  if (rule.value_dim == 1 && !single && cells.values() != 0) {
    keep_first(cells);
    single = cells.single();
  }
  const std::size_t n = cells.values(), elements = cells.elements();
  const bool weighted = rule.weighted;
  if (single && cells.broken.empty()) {
    std::int64_t* const to = output.ids.grow(n);
    find_ids(rule, cells, to);
    if (cells.broken.empty()) {
      output.ids.set_size(output.ids.size() + n);
      if (weighted) output.weights.append(cells.weights.data(), n);
      if (!output.single) {
        std::int64_t* const ends = output.value_ends.grow(elements);
        const std::int64_t base = static_cast<std::int64_t>(output.ids.size() - n);
        for (std::size_t e = 0; e < elements; ++e) ends[e] = base + static_cast<std::int64_t>(e) + 1;
        output.value_ends.set_size(output.value_ends.size() + elements);
      }
      output.elements += static_cast<std::int64_t>(elements);
      return;
    }
    scratch.ids.clear();
    scratch.ids.append(to, n);
  } else {
    scratch.ids.resize(n);
    find_ids(rule, cells, scratch.ids.data());
  }
  leave_single(output);
  const std::int64_t* const ids = scratch.ids.data();
  output.value_ends.grow(elements);
  if (cells.broken.empty()) {
    // Stretches of present elements are one copy each; only a missing element interrupts.
    std::uint32_t done = 0, begin = 0;
    for (std::size_t e = 0; e < elements; ++e) {
      const std::uint32_t end = cells.ends[e];
      if (begin == end && !rule.default_ids.empty()) {
        output.ids.append(ids + done, begin - done);
        if (weighted) output.weights.append(cells.weights.data() + done, begin - done);
        done = begin;
        append_default(rule, weighted, output);
      }
      output.value_ends.push(static_cast<std::int64_t>(output.ids.size() + end - done));
      begin = end;
    }
    output.ids.append(ids + done, n - done);
    if (weighted) output.weights.append(cells.weights.data() + done, n - done);
  } else {
    scratch.broken.resize(n);
    std::fill_n(scratch.broken.data(), n, std::uint8_t{0});
    for (std::size_t i = 0; i < cells.broken.size(); ++i) scratch.broken[cells.broken[i]] = 1;
    std::uint32_t v = 0;
    for (std::size_t e = 0; e < elements; ++e) {
      if (v == cells.ends[e]) append_default(rule, weighted, output);
      for (; v < cells.ends[e]; ++v) {
        if (scratch.broken[v] != 0) {
          append_default(rule, weighted, output);
        } else {
          output.ids.push(ids[v]);
          if (weighted) output.weights.push(cells.weights[v]);
        }
      }
      output.value_ends.push(static_cast<std::int64_t>(output.ids.size()));
    }
  }
  output.elements += static_cast<std::int64_t>(elements);
}

void write_texts(const SinkRule& rule, Cells& cells, Output& output) {
  to_text(cells, 0);
  if (rule.value_dim == 1) keep_first(cells);
  leave_single(output);
  const auto put = [&](const char* p, std::size_t n) {
    output.text.append(p, n);
    output.text_ends.push(static_cast<std::int64_t>(output.text.size()));
  };
  std::size_t broken = 0;
  std::sort(cells.broken.data(), cells.broken.end());
  const auto put_default = [&] {
    for (const std::string& text : rule.default_texts) put(text.data(), text.size());
  };
  for (std::size_t e = 0; e < cells.elements(); ++e) {
    if (cells.begin_of(e) == cells.ends[e]) put_default();
    for (std::uint32_t v = cells.begin_of(e); v < cells.ends[e]; ++v) {
      if (broken < cells.broken.size() && cells.broken[broken] == v) {
        while (broken < cells.broken.size() && cells.broken[broken] == v) ++broken;
        put_default();
      } else {
        put(cells.texts[v].data, cells.texts[v].size);
      }
    }
    output.value_ends.push(static_cast<std::int64_t>(output.text_ends.size()) - 1);
  }
  output.elements += static_cast<std::int64_t>(cells.elements());
}

void write_numbers(Cells& cells, Output& output) {
  to_numbers(cells, 0);
  leave_single(output);
  std::sort(cells.broken.data(), cells.broken.end());
  const std::uint32_t *broken = cells.broken.data(), *const last = cells.broken.end();
  std::uint32_t v = 0;
  for (std::size_t e = 0; e < cells.elements(); ++e) {
    for (; v < cells.ends[e]; ++v) {
      const bool bad = broken != last && *broken == v;
      while (broken != last && *broken == v) ++broken;
      if (!bad) output.doubles.push(cells.numbers[v]);
    }
    output.value_ends.push(static_cast<std::int64_t>(output.doubles.size()));
  }
  output.elements += static_cast<std::int64_t>(cells.elements());
}

namespace {

// What an expression leaves without a value becomes the default: no fault of the data.
void normalize_by_expression(const Expression& expression, Cells& cells, ExpressionScratch& scratch) {
  const std::size_t n = cells.values();
  double* const values = cells.numbers.data();
  const ExpressionInput input{values, nullptr, nullptr};
  expression.run_single(&input, n, scratch, values);
  for (std::size_t i = 0; i < n; ++i) {
    if (std::fabs(values[i]) <= largest_float) continue;
    values[i] = 0;
    cells.broken.push(static_cast<std::uint32_t>(i));
  }
}

void normalize(const Normalizer& rule, Cells& cells, SinkScratch& scratch) {
  double* const values = cells.numbers.data();
  const std::size_t n = cells.values();
  if (rule.method == Normalizer::Method::log10) {
    for (std::size_t i = 0; i < n; ++i) values[i] = values[i] > rule.threshold ? std::log10(values[i]) : rule.fallback;
  } else if (rule.method == Normalizer::Method::affine) {
    for (std::size_t i = 0; i < n; ++i) values[i] = (values[i] - rule.shift) / rule.scale;
  } else if (rule.method == Normalizer::Method::expression) {
    normalize_by_expression(*rule.expression, cells, scratch.expression);
  }
}

// Numbers that a float32 cannot hold are rejected.
void check_range(Cells& cells) {
  const double* const values = cells.numbers.data();
  const std::size_t n = cells.values();
  bool good = true;
  for (std::size_t i = 0; i < n; ++i) good &= std::fabs(values[i]) <= largest_float;
  if (good) return;
  for (std::size_t i = 0; i < n; ++i) {
    if (!(std::fabs(values[i]) <= largest_float))
      reject(cells, static_cast<std::uint32_t>(i), 0, shown(values[i]) + " does not fit a float32");
  }
}

}  // namespace

void write_buckets(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output) {
  to_numbers(cells, 0);
  normalize(rule.normalizer, cells, scratch);
  check_range(cells);
  const std::size_t n = cells.values();
  scratch.numbers.resize(n);
  for (std::size_t i = 0; i < n; ++i) scratch.numbers[i] = static_cast<float>(cells.numbers[i]);
  cells.integers.resize(n);
  bucketize(scratch.numbers.data(), n, rule.boundaries.data(), rule.boundaries.size(), cells.integers.data());
  cells.form = Form::integer;
  write_ids(rule, cells, scratch, output);
}

void write_vectors(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output, float* to,
                   std::size_t stride) {
  to_numbers(cells, 0);
  normalize(rule.normalizer, cells, scratch);
  check_range(cells);
  const std::size_t elements = cells.elements(), dim = rule.value_dim;
  const bool buckets = rule.discretizer == Discretizer::boundaries;
  const bool single = dim == 1 && cells.broken.empty() && cells.single();

  // The elements' vectors side by side. An element without one takes the default, which may be none for ids.
  scratch.numbers.resize(elements * dim);
  float* const vectors = scratch.numbers.data();
  scratch.broken.clear();
  if (single) {
    for (std::size_t e = 0; e < elements; ++e) vectors[e] = static_cast<float>(cells.numbers[e]);
  } else {
    scratch.broken.resize(elements);
    std::fill_n(scratch.broken.data(), elements, std::uint8_t{0});
    for (std::size_t i = 0; i < cells.broken.size(); ++i) scratch.broken[element_of(cells, cells.broken[i])] = 1;
    for (std::size_t e = 0; e < elements; ++e) {
      const std::uint32_t begin = cells.begin_of(e), count = cells.ends[e] - begin;
      if (count != 0 && count != dim && scratch.broken[e] == 0) {
        cells.faults.push_back({static_cast<std::uint32_t>(e), false, 0,
                                "has " + std::to_string(count) + " values, but value_dim is " + std::to_string(dim)});
      }
      if (count != dim) scratch.broken[e] = 1;
      for (std::size_t k = 0; k < dim; ++k) {
        vectors[e * dim + k] = scratch.broken[e] == 0         ? static_cast<float>(cells.numbers[begin + k])
                               : rule.default_numbers.empty() ? 0.0F
                                                              : rule.default_numbers[k];
      }
    }
  }
  if (buckets) {
    const bool gaps = !single && rule.default_numbers.empty() &&
                      std::find(scratch.broken.data(), scratch.broken.end(), 1) != scratch.broken.end();
    if (gaps || dim != 1) leave_single(output);
    std::int64_t* const ids = output.ids.grow(elements * dim);
    bucketize(vectors, elements * dim, rule.boundaries.data(), rule.boundaries.size(), ids);
    std::size_t kept = 0;
    const auto base = static_cast<std::int64_t>(output.ids.size());
    std::int64_t* const ends = output.single ? nullptr : output.value_ends.grow(elements);
    if (ends != nullptr) {
      for (std::size_t e = 0; e < elements; ++e) {
        if (!gaps || scratch.broken[e] == 0) {
          if (gaps) std::copy_n(ids + e * dim, dim, ids + kept);
          kept += dim;
        }
        ends[e] = base + static_cast<std::int64_t>(kept);
      }
      output.value_ends.set_size(output.value_ends.size() + elements);
    } else {
      kept = elements;
    }
    output.ids.set_size(output.ids.size() + kept);
  } else {
    if (to == nullptr) {
      to = output.numbers.grow(elements * dim);
      stride = dim;
      output.numbers.set_size(output.numbers.size() + elements * dim);
    }
    if (stride == dim) {
      std::copy_n(vectors, elements * dim, to);
    } else {
      for (std::size_t e = 0; e < elements; ++e) {
        for (std::size_t k = 0; k < dim; ++k) to[e * stride + k] = vectors[e * dim + k];
      }
    }
  }
  output.elements += static_cast<std::int64_t>(elements);
}

}  // namespace fg
