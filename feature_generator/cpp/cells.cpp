#include "cells.h"

#include <algorithm>
#include <cmath>

#include "number_text.h"

namespace fg {
std::string quoted(const Text& text) {
  constexpr std::size_t most = 40;
  if (text.size <= most) return "'" + std::string(text.data, text.size) + "'";
  std::size_t cut = most;
  while (cut > 0 && (static_cast<unsigned char>(text.data[cut]) & 0xc0) == 0x80) --cut;  // not inside a character
  return "'" + std::string(text.data, cut) + "...'";
}

std::string shown(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[32];
  return std::string(buffer, write_number(value, buffer));
}

void copy_values(const Cells& cells, std::uint32_t begin, std::uint32_t end, Cells& out) {
  if (cells.form == Form::text) out.texts.append(cells.texts.data() + begin, end - begin);
  if (cells.form == Form::integer) out.integers.append(cells.integers.data() + begin, end - begin);
  if (cells.form == Form::number) out.numbers.append(cells.numbers.data() + begin, end - begin);
  if (cells.weighted) out.weights.append(cells.weights.data() + begin, end - begin);
  if (!cells.paired || begin == end) return;
  const Cells& from = *cells.seconds;
  Cells& to = *out.seconds;
  const std::uint32_t first = from.begin_of(begin), base = static_cast<std::uint32_t>(to.values());
  copy_values(from, first, from.ends[end - 1], to);
  for (std::uint32_t i = begin; i < end; ++i) to.ends.push(base + from.ends[i] - first);
  if (from.broken.empty()) return;
  for (std::uint32_t v = first; v < from.ends[end - 1]; ++v) {
    if (const std::string* const problem = problem_of(from, v)) reject(to, base + v - first, 0, *problem);
  }
}

void copy_cells(const Cells& cells, Cells& out) {
  out.clear_like(cells);
  copy_values(cells, 0, static_cast<std::uint32_t>(cells.values()), out);
  out.ends.append(cells.ends.data(), cells.ends.size());
  out.broken.append(cells.broken.data(), cells.broken.size());
  out.faults = cells.faults;
}

std::uint32_t element_of(const Cells& cells, std::uint32_t value) noexcept {
  const std::uint32_t* first = cells.ends.data();
  return static_cast<std::uint32_t>(std::upper_bound(first, first + cells.ends.size(), value) - first);
}

const std::string* problem_of(const Cells& cells, std::uint32_t value) noexcept {
  if (cells.broken.empty()) return nullptr;
  for (const Fault& fault : cells.faults) {
    if (fault.of_value && fault.at == value) return &fault.reason;
  }
  return nullptr;
}

void reject(Cells& cells, std::uint32_t value, std::uint16_t input, std::string reason) {
  cells.broken.push(value);
  cells.faults.push_back({value, true, input, std::move(reason)});
}

void to_text(Cells& cells, std::uint16_t input) {
  if (cells.form == Form::text) return;
  const std::size_t n = cells.values();
  cells.texts.resize(n);
  if (cells.form == Form::integer) {
    for (std::size_t done = 0; done < n;) {
      const std::size_t part = std::min<std::size_t>(n - done, 2048);
      char* const room = cells.arena.room(part * 20);
      char* out = room;
      for (std::size_t i = done; i < done + part; ++i) {
        const std::size_t size = write_integer(cells.integers[i], out);
        cells.texts[i] = {out, size};
        out += size;
      }
      cells.arena.keep(static_cast<std::size_t>(out - room));
      done += part;
    }
  } else {
    for (std::size_t i = 0; i < n; ++i) {
      const double value = cells.numbers[i];
      char* const out = cells.arena.room(32);
      std::size_t size = 0;
      if (std::isfinite(value)) {
        size = cells.narrow ? write_number(static_cast<float>(value), out) : write_number(value, out);
      } else {
        reject(cells, static_cast<std::uint32_t>(i), input, shown(value) + " is not a finite number");
      }
      cells.texts[i] = {out, size};
      cells.arena.keep(size);
    }
  }
  cells.form = Form::text;
}

void to_integers(Cells& cells, std::uint16_t input) {
  if (cells.form == Form::integer) return;
  const std::size_t n = cells.values();
  cells.integers.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t value = 0;
    if (cells.form == Form::text) {
      const Text& text = cells.texts[i];
      if (!parse_integer(text.data, text.size, value)) {
        value = 0;
        reject(cells, static_cast<std::uint32_t>(i), input, quoted(text) + " is not a whole number");
      }
    } else {
      const double number = cells.numbers[i];
      if (number == std::trunc(number) && std::fabs(number) < 9223372036854775808.0) {
        value = static_cast<std::int64_t>(number);
      } else {
        reject(cells, static_cast<std::uint32_t>(i), input, shown(number) + " is not a whole number");
      }
    }
    cells.integers[i] = value;
  }
  cells.form = Form::integer;
}

void to_numbers(Cells& cells, std::uint16_t input) {
  const std::size_t n = cells.values();
  if (cells.form == Form::integer) {
    cells.numbers.resize(n);
    for (std::size_t i = 0; i < n; ++i) cells.numbers[i] = static_cast<double>(cells.integers[i]);
  } else if (cells.form == Form::text) {
    cells.numbers.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const Text& text = cells.texts[i];
      if (!parse_number(text.data, text.size, cells.numbers[i])) {
        cells.numbers[i] = 0;
        reject(cells, static_cast<std::uint32_t>(i), input, quoted(text) + " is not a number");
      }
    }
  } else {
    double sum = 0;  // x * 0 is 0 for every finite x and nan for the others
    for (std::size_t i = 0; i < n; ++i) sum += cells.numbers[i] * 0.0;
    if (sum != 0) {
      for (std::size_t i = 0; i < n; ++i) {
        if (std::isfinite(cells.numbers[i])) continue;
        reject(cells, static_cast<std::uint32_t>(i), input, shown(cells.numbers[i]) + " is not a finite number");
        cells.numbers[i] = 0;
      }
    }
  }
  cells.form = Form::number;
}

void repeat(const Cells& cells, const std::uint32_t* counts, Cells& out) {
  out.clear_like(cells);
  std::size_t next_broken = 0, next_fault = 0;
  for (std::size_t e = 0; e < cells.elements(); ++e) {
    const std::uint32_t begin = cells.begin_of(e), end = cells.ends[e];
    const std::size_t first_broken = next_broken;
    while (next_broken < cells.broken.size() && cells.broken[next_broken] < end) ++next_broken;
    for (std::uint32_t copy = 0; copy < counts[e]; ++copy) {
      const auto at = static_cast<std::uint32_t>(out.values());
      if (copy == 0) {  // a fault is told once, whatever the number of copies
        for (; next_fault < cells.faults.size() && element_of(cells, cells.faults[next_fault]) == e; ++next_fault) {
          out.faults.push_back(cells.faults[next_fault]);
          Fault& fault = out.faults.back();
          fault.at = fault.of_value ? at + fault.at - begin : static_cast<std::uint32_t>(out.elements());
        }
      }
      copy_values(cells, begin, end, out);
      for (std::size_t b = first_broken; b < next_broken; ++b) out.broken.push(at + cells.broken[b] - begin);
      out.ends.push(at + end - begin);
    }
    while (next_fault < cells.faults.size() && element_of(cells, cells.faults[next_fault]) == e) ++next_fault;
  }
}

}  // namespace fg
