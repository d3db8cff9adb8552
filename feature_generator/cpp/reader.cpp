#include "reader.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "number_text.h"
#include "scan.h"

namespace fg {

Text text_at(const Column& column, std::int64_t row) noexcept {
  switch (column.type) {
    case Type::text32: {
      const auto* at = column.starts<std::int32_t>() + row;
      return {static_cast<const char*>(column.data) + at[0], static_cast<std::size_t>(at[1] - at[0])};
    }
    case Type::text64: {
      const auto* at = column.starts<std::int64_t>() + row;
      return {static_cast<const char*>(column.data) + at[0], static_cast<std::size_t>(at[1] - at[0])};
    }
    case Type::text_view: {
      const char* view = static_cast<const char*>(column.data) + 16 * (row + column.offset);
      std::int32_t part[4];
      std::memcpy(part, view, 16);
      const auto size = static_cast<std::size_t>(part[0]);
      if (size <= 12) return {view + 4, size};
      return {static_cast<const char*>(column.buffers[part[2]]) + part[3], size};
    }
    default: return {nullptr, 0};
  }
}

namespace {

template <class T>
std::int64_t index_as(const Column& column, std::int64_t row) noexcept {
  return static_cast<std::int64_t>(column.values<T>()[row]);
}

}  // namespace

std::int64_t entry_at(const Column& column, std::int64_t row) noexcept {
  switch (column.index) {
    case Type::i8: return index_as<std::int8_t>(column, row);
    case Type::i16: return index_as<std::int16_t>(column, row);
    case Type::i32: return index_as<std::int32_t>(column, row);
    case Type::u8: return index_as<std::uint8_t>(column, row);
    case Type::u16: return index_as<std::uint16_t>(column, row);
    case Type::u32: return index_as<std::uint32_t>(column, row);
    default: return index_as<std::int64_t>(column, row);
  }
}

namespace {

// Nothing may have no address.
bool holds(const char* p, std::size_t n, char byte) noexcept { return n != 0 && std::memchr(p, byte, n) != nullptr; }

void push_pair(Cells& cells, Text text, const Reading& reading);

// One value of an element that is text. Splits `key:weight` where values are weighted, and pairs.
void push_value(Cells& cells, Text text, const Reading& reading) {
  if (text.size == 0) return;
  if (reading.pairs != nullptr) return push_pair(cells, text, reading);
  if (reading.weighted) {
    double weight = 1;
    for (std::size_t i = text.size; i-- > 0;) {
      if (text.data[i] != ':') continue;
      const bool good =
          parse_number(text.data + i + 1, text.size - i - 1, weight) && std::fabs(weight) <= largest_float;
      if (!good) {
        weight = 1;
        reject(cells, static_cast<std::uint32_t>(cells.texts.size()), reading.input,
               quoted(text) + " has no number behind its ':'");
      }
      text.size = i;
      break;
    }
    cells.weights.push(static_cast<float>(weight));
  }
  cells.texts.push(text);
}

void push_split(Cells& cells, Text text, const Reading& reading) {
  const char *p = text.data, *const end = p + text.size;
  while (p != end) {
    const auto* cut = static_cast<const char*>(std::memchr(p, reading.separator, static_cast<std::size_t>(end - p)));
    const char* const stop = cut != nullptr ? cut : end;
    push_value(cells, {p, static_cast<std::size_t>(stop - p)}, reading);
    if (cut == nullptr) break;
    p = cut + 1;
  }
}

void push(Cells& cells, Text text, const Reading& reading) {
  reading.split ? push_split(cells, text, reading) : push_value(cells, text, reading);
}

// A key, and what stands behind the sign as an element of its own. Without a sign the key has nothing.
void push_pair(Cells& cells, Text text, const Reading& reading) {
  const char* sign = nullptr;
  if (reading.assign_last) {
    for (const char* p = text.data + text.size; p != text.data && sign == nullptr;) {
      if (*--p == reading.assign) sign = p;
    }
  } else {
    sign = static_cast<const char*>(std::memchr(text.data, reading.assign, text.size));
  }
  Cells& seconds = *cells.seconds;
  if (sign != nullptr) {
    const auto size = static_cast<std::size_t>(sign - text.data);
    const Text second{sign + 1, text.size - size - 1};
    push(seconds, second, seconds.folded != Folded::no ? *reading.pairs->folded : *reading.pairs);
    text.size = size;
  }
  close_element(seconds);
  cells.texts.push(text);
}

// Text rows whose bytes lie one after the other: one scan of the block tells whether anything must be split.
template <class Offset>
void read_text(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, bool split,
               Cells& cells) {
  const auto rows = static_cast<std::size_t>(last - first);
  const Offset* const at = column.starts<Offset>() + first;
  const char* const data = static_cast<const char*>(column.data);
  split = split && holds(data + at[0], static_cast<std::size_t>(at[rows] - at[0]), reading.separator);
  if (split || reading.weighted || reading.pairs != nullptr) {
    for (std::size_t r = 0; r < rows; ++r) {
      const Text text{data + at[r], static_cast<std::size_t>(at[r + 1] - at[r])};
      if (text.size != 0 && !column.is_null(first + static_cast<std::int64_t>(r)))
        split ? push_split(cells, text, reading) : push_value(cells, text, reading);
      close_element(cells);
    }
    return;
  }
  Text* text = cells.texts.grow(rows);
  std::uint32_t* end = cells.ends.grow(rows);
  auto count = static_cast<std::uint32_t>(cells.texts.size());
  const std::uint32_t before = count;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto size = static_cast<std::size_t>(at[r + 1] - at[r]);
    const bool present =
        size != 0 && !(column.valid != nullptr && column.is_null(first + static_cast<std::int64_t>(r)));
    text[count - before] = {data + at[r], size};
    count += present;
    end[r] = count;
  }
  cells.texts.set_size(count);
  cells.ends.set_size(cells.ends.size() + rows);
}

template <class T>
void read_integers(const Column& column, std::int64_t first, std::int64_t last, std::uint16_t input, Cells& cells) {
  const auto rows = static_cast<std::size_t>(last - first);
  const T* const from = column.values<T>() + first;
  std::int64_t* const to = cells.integers.grow(rows);
  std::uint32_t* const end = cells.ends.grow(rows);
  auto count = static_cast<std::uint32_t>(cells.integers.size());
  const std::uint32_t before = count;
  if (column.valid == nullptr) {
    for (std::size_t r = 0; r < rows; ++r) to[r] = static_cast<std::int64_t>(from[r]);
    for (std::size_t r = 0; r < rows; ++r) end[r] = before + static_cast<std::uint32_t>(r) + 1;
    count += static_cast<std::uint32_t>(rows);
  } else {
    for (std::size_t r = 0; r < rows; ++r) {
      to[count - before] = static_cast<std::int64_t>(from[r]);
      count += !column.is_null(first + static_cast<std::int64_t>(r));
      end[r] = count;
    }
  }
  cells.integers.set_size(count);
  cells.ends.set_size(cells.ends.size() + rows);
  if (std::is_same_v<T, std::uint64_t>) {
    for (std::uint32_t v = before; v < count; ++v) {
      if (cells.integers[v] < 0) reject(cells, v, input, "a number beyond 63 bits");
    }
  }
}

template <class T>
void read_numbers(const Column& column, std::int64_t first, std::int64_t last, Cells& cells) {
  const auto rows = static_cast<std::size_t>(last - first);
  const T* const from = column.values<T>() + first;
  double* const to = cells.numbers.grow(rows);
  std::uint32_t* const end = cells.ends.grow(rows);
  auto count = static_cast<std::uint32_t>(cells.numbers.size());
  const std::uint32_t before = count;
  for (std::size_t r = 0; r < rows; ++r) {
    to[count - before] = static_cast<double>(from[r]);
    count += !(column.valid != nullptr && column.is_null(first + static_cast<std::int64_t>(r)));
    end[r] = count;
  }
  cells.numbers.set_size(count);
  cells.ends.set_size(cells.ends.size() + rows);
}

void read_flat(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, bool split,
               Cells& cells);

void read_booleans(const Column& column, std::int64_t first, std::int64_t last, Cells& cells) {
  const auto* bits = static_cast<const std::uint8_t*>(column.data);
  for (std::int64_t r = first; r < last; ++r) {
    const std::int64_t i = r + column.offset;
    if (!column.is_null(r)) cells.integers.push(bits[i >> 3] >> (i & 7) & 1);
    close_element(cells);
  }
}

void read_dictionary(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, bool split,
                     Cells& cells) {
  const Column& entries = column.children[0];
  for (std::int64_t r = first; r < last; ++r) {
    const std::int64_t entry = column.is_null(r) ? -1 : entry_at(column, r);
    if (entry < 0 || entry >= entries.length) {
      close_element(cells);
    } else if (entries.is_text()) {
      if (!entries.is_null(entry))
        split ? push_split(cells, text_at(entries, entry), reading)
              : push_value(cells, text_at(entries, entry), reading);
      close_element(cells);
    } else {
      read_flat(entries, entry, entry + 1, reading, split, cells);
    }
  }
}

// The column of plain values under lists and dictionaries, and the keys of a map.
const Column& leaf_of(const Column& column) noexcept {
  return column.children.empty() ? column : leaf_of(column.children[0]);
}

Form form_of(const Column& column) noexcept {
  const Column& leaf = leaf_of(column);
  return leaf.is_integer() ? Form::integer : leaf.is_float() ? Form::number : Form::text;
}

// The map under lists and dictionaries; null where there is none.
const Column* map_under(const Column& column) noexcept {
  if (column.type == Type::map) return &column;
  return column.children.empty() || column.type == Type::record ? nullptr : map_under(column.children[0]);
}

// What the rows of a column hold, be they written out or entries of a dictionary.
const Column& entries_of(const Column& column) noexcept {
  return column.type == Type::dictionary ? column.children[0] : column;
}

// Whether pairs of this column stay folded in their text: those of a map have nothing to unfold.
bool stays_folded(const Column& column, const Reading& reading) noexcept {
  return reading.folded != nullptr && map_under(column) == nullptr && form_of(column) == Form::text;
}

void begin_reading(const Column& column, const Reading& reading, Cells& cells) {
  if (stays_folded(column, reading)) {
    begin_reading(column, *reading.folded, cells);
    cells.folded = entries_of(column).is_list() ? Folded::one : Folded::many;  // the items of a list do not split
    return;
  }
  cells.form = form_of(column);
  cells.weighted = reading.weighted;
  cells.narrow = leaf_of(column).type == Type::f32;
  if (reading.pairs == nullptr) return;
  static const Column text = [] {
    Column column;
    column.type = Type::text32;
    return column;
  }();
  const Column* const map = map_under(column);
  begin_reading(map != nullptr ? map->children[1] : text, *reading.pairs, cells.pair());
}

// One element a row of a column without inner structure. `split` false: a row is one value whatever it holds.
void read_scalars(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, bool split,
                  Cells& cells) {
  switch (column.type) {
    case Type::null:
      for (std::int64_t r = first; r < last; ++r) close_element(cells);
      return;
    case Type::boolean: return read_booleans(column, first, last, cells);
    case Type::i8: return read_integers<std::int8_t>(column, first, last, reading.input, cells);
    case Type::i16: return read_integers<std::int16_t>(column, first, last, reading.input, cells);
    case Type::i32: return read_integers<std::int32_t>(column, first, last, reading.input, cells);
    case Type::i64: return read_integers<std::int64_t>(column, first, last, reading.input, cells);
    case Type::u8: return read_integers<std::uint8_t>(column, first, last, reading.input, cells);
    case Type::u16: return read_integers<std::uint16_t>(column, first, last, reading.input, cells);
    case Type::u32: return read_integers<std::uint32_t>(column, first, last, reading.input, cells);
    case Type::u64: return read_integers<std::uint64_t>(column, first, last, reading.input, cells);
    case Type::f32: return read_numbers<float>(column, first, last, cells);
    case Type::f64: return read_numbers<double>(column, first, last, cells);
    case Type::text32: return read_text<std::int32_t>(column, first, last, reading, split, cells);
    case Type::text64: return read_text<std::int64_t>(column, first, last, reading, split, cells);
    case Type::text_view:
      for (std::int64_t r = first; r < last; ++r) {
        if (!column.is_null(r))
          split ? push_split(cells, text_at(column, r), reading) : push_value(cells, text_at(column, r), reading);
        close_element(cells);
      }
      return;
    case Type::dictionary: return read_dictionary(column, first, last, reading, split, cells);
    default: return;
  }
}

// A null list may cover items all the same; then its rows must be read one by one.
bool nulls_hide_items(const Column& column, std::int64_t first, std::int64_t last) noexcept {
  if (column.valid == nullptr) return false;
  for (std::int64_t r = first; r < last; ++r) {
    if (column.is_null(r) && column.start(r + 1) != column.start(r)) return true;
  }
  return false;
}

// Appends the weights of those entries first .. last of a map whose keys are values: key_ends[i] is where the values
// up to and with key i end, `before` where they began.
void append_map_weights(const Column& values, std::int64_t first, std::int64_t last, const std::uint32_t* key_ends,
                        std::uint32_t before, const Reading& reading, Cells& cells) {
  Cells weights;
  weights.form = form_of(values);
  read_scalars(values, first, last, {}, false, weights);
  to_numbers(weights, reading.input);
  std::size_t fault = 0;
  for (std::size_t i = 0; i < weights.elements(); ++i) {
    const bool is_value = key_ends[i] != (i == 0 ? before : key_ends[i - 1]);
    const auto value = static_cast<std::uint32_t>(cells.weights.size());
    const bool missing = weights.ends[i] == weights.begin_of(i);
    double weight = missing ? 1.0 : weights.numbers[weights.begin_of(i)];
    bool broken = false;
    for (; fault < weights.faults.size() && element_of(weights, weights.faults[fault]) == i; ++fault) {
      if (is_value) reject(cells, value, reading.input, "weight " + weights.faults[fault].reason);
      broken = true;
    }
    if (!is_value) continue;
    if (!broken && std::fabs(weight) > largest_float) {
      reject(cells, value, reading.input, "weight " + shown(weight) + " does not fit a float32");
      weight = 1.0;
    }
    cells.weights.push(static_cast<float>(weight));
  }
}

// Appends what belongs to those keys first .. last of a map that are values: key_ends as above.
void read_seconds(const Column& values, std::int64_t first, std::int64_t last, const std::uint32_t* key_ends,
                  std::uint32_t before, const Reading& given, Cells& seconds) {
  const Reading& reading = seconds.folded != Folded::no ? *given.folded : given;
  const auto entries = static_cast<std::size_t>(last - first);
  if (entries != 0 && key_ends[entries - 1] - before == entries)
    return read_flat(values, first, last, reading, reading.split, seconds);
  for (std::size_t i = 0; i < entries; ++i) {
    if (key_ends[i] == (i == 0 ? before : key_ends[i - 1])) continue;
    const auto at = first + static_cast<std::int64_t>(i);
    read_flat(values, at, at + 1, reading, reading.split, seconds);
  }
}

// Rows of items: each row's items become the values of one element.
void read_items(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells) {
  if (column.type == Type::map || nulls_hide_items(column, first, last)) {
    for (std::int64_t r = first; r < last; ++r) {
      const std::size_t elements = cells.ends.size();
      if (!column.is_null(r)) {
        const std::int64_t from = column.start(r), to = column.start(r + 1);
        Reading plain = reading;
        if (column.type == Type::map) {
          plain.weighted = false;
          plain.pairs = nullptr;
        }
        const auto before = static_cast<std::uint32_t>(cells.values());
        read_scalars(column.children[0], from, to, plain, false, cells);
        if (column.type == Type::map && reading.weighted)
          append_map_weights(column.children[1], from, to, cells.ends.data() + elements, before, reading, cells);
        if (column.type == Type::map && reading.pairs != nullptr)
          read_seconds(column.children[1], from, to, cells.ends.data() + elements, before, *reading.pairs,
                       *cells.seconds);
        cells.ends.set_size(elements);
      }
      close_element(cells);
    }
    return;
  }
  if (first == last) return;
  const std::size_t elements = cells.ends.size();
  const auto rows = static_cast<std::size_t>(last - first);
  const std::int64_t from = column.start(first), to = column.start(last);
  const auto before = static_cast<std::uint32_t>(cells.values());
  read_scalars(column.children[0], from, to, reading, false, cells);
  // The items were read one element each; now the rows take their place.
  const std::uint32_t* const ends = cells.ends.data() + elements;
  Slab<std::uint32_t> row_ends;
  row_ends.resize(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::int64_t stop = column.start(first + static_cast<std::int64_t>(r) + 1) - from;
    row_ends[r] = stop == 0 ? before : ends[stop - 1];
  }
  cells.ends.set_size(elements);
  cells.ends.append(row_ends.data(), rows);
}

void read_flat(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, bool split,
               Cells& cells) {
  if (column.is_list() || column.type == Type::map) {
    read_items(column, first, last, reading, cells);
  } else {
    read_scalars(column, first, last, reading, split, cells);
  }
}

// What a column without weights or pairs lacks: weights of 1, and nothing behind the keys.
void fill(const Reading& reading, Cells& cells) {
  while (reading.weighted && cells.weights.size() < cells.values()) cells.weights.push(1.0F);
  if (reading.pairs == nullptr || cells.folded != Folded::no) return;
  while (cells.seconds->elements() < cells.values()) close_element(*cells.seconds);
  fill(*reading.pairs, *cells.seconds);
}

template <class Offset>
void split_sequences(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells,
                     Slab<std::uint32_t>& counts) {
  const Offset* const at = column.starts<Offset>();
  const char* const data = static_cast<const char*>(column.data);
  const Offset base = at[first];
  const auto bytes = static_cast<std::size_t>(at[last] - base);
  const bool inner =
      reading.weighted || reading.pairs != nullptr || (reading.split && holds(data + base, bytes, reading.separator));
  Slab<std::uint32_t> cuts;
  find_byte(data + base, bytes, reading.delim, cuts);
  std::size_t cut = 0;
  const std::size_t most = cuts.size() + static_cast<std::size_t>(last - first);
  cells.ends.grow(most);
  cells.texts.grow(most);
  for (std::int64_t r = first; r < last; ++r) {
    const auto begin = static_cast<std::uint32_t>(at[r] - base), end = static_cast<std::uint32_t>(at[r + 1] - base);
    const std::size_t first_cut = cut;
    if (begin == end || column.is_null(r)) {
      while (cut < cuts.size() && cuts[cut] < end) ++cut;
      counts.push(0);
      continue;
    }
    std::uint32_t start = begin;
    if (inner) {
      for (;; ++cut) {
        const std::uint32_t stop = cut < cuts.size() && cuts[cut] < end ? cuts[cut] : end;
        push(cells, {data + base + start, stop - start}, reading);
        close_element(cells);
        if (stop == end) break;
        start = stop + 1;
      }
    } else {
      Text* const texts = cells.texts.data();
      std::uint32_t* const ends = cells.ends.data();
      auto value = static_cast<std::uint32_t>(cells.texts.size());
      std::size_t element = cells.ends.size();
      for (;; ++cut) {
        const std::uint32_t stop = cut < cuts.size() && cuts[cut] < end ? cuts[cut] : end;
        texts[value] = {data + base + start, stop - start};
        value += stop != start;
        ends[element++] = value;
        if (stop == end) break;
        start = stop + 1;
      }
      cells.texts.set_size(value);
      cells.ends.set_size(element);
    }
    counts.push(static_cast<std::uint32_t>(cut - first_cut + 1));
  }
}

void split_sequence(Text text, const Reading& reading, Cells& cells, Slab<std::uint32_t>& counts) {
  std::uint32_t count = 0;
  const char *p = text.data, *const end = p + text.size;
  while (text.size != 0) {
    const auto* cut = static_cast<const char*>(std::memchr(p, reading.delim, static_cast<std::size_t>(end - p)));
    const char* const stop = cut != nullptr ? cut : end;
    push(cells, {p, static_cast<std::size_t>(stop - p)}, reading);
    close_element(cells);
    ++count;
    if (cut == nullptr) break;
    p = cut + 1;
  }
  counts.push(count);
}

// How many elements a row of a sequence has.
std::uint32_t count_elements(const Column& column, std::int64_t row, char delim) noexcept {
  if (column.is_null(row)) return 0;
  if (column.type == Type::dictionary) {
    const Column& entries = column.children[0];
    const std::int64_t at = entry_at(column, row);
    return at < 0 || at >= entries.length ? 0 : count_elements(entries, at, delim);
  }
  if (column.is_list()) return static_cast<std::uint32_t>(column.start(row + 1) - column.start(row));
  if (!column.is_text()) return 1;
  const Text text = text_at(column, row);
  return text.size == 0 ? 0 : static_cast<std::uint32_t>(std::count(text.data, text.data + text.size, delim) + 1);
}

// The elements of rows [first, last), all of them empty.
void count_sequences(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells,
                     Slab<std::uint32_t>& counts) {
  for (std::int64_t r = first; r < last; ++r) {
    const std::uint32_t count = count_elements(column, r, reading.delim);
    std::fill_n(cells.ends.grow(count), count, 0U);
    cells.ends.set_size(cells.ends.size() + count);
    counts.push(count);
  }
}

// The elements of rows [first, last) of a sequence.
void read_elements(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells,
                   Slab<std::uint32_t>& counts) {
  if (column.type == Type::text32) {
    split_sequences<std::int32_t>(column, first, last, reading, cells, counts);
  } else if (column.type == Type::text64) {
    split_sequences<std::int64_t>(column, first, last, reading, cells, counts);
  } else if (column.is_list()) {
    const Column& items = column.children[0];
    if (nulls_hide_items(column, first, last)) {
      for (std::int64_t r = first; r < last; ++r) {
        const std::int64_t from = column.start(r), to = column.is_null(r) ? from : column.start(r + 1);
        read_flat(items, from, to, reading, reading.split, cells);
        counts.push(static_cast<std::uint32_t>(to - from));
      }
    } else if (first != last) {
      read_flat(items, column.start(first), column.start(last), reading, reading.split, cells);
      for (std::int64_t r = first; r < last; ++r)
        counts.push(static_cast<std::uint32_t>(column.start(r + 1) - column.start(r)));
    }
  } else {
    for (std::int64_t r = first; r < last; ++r) {
      const Column* text = &column;
      std::int64_t at = column.is_null(r) ? -1 : r;
      if (column.type == Type::dictionary && at >= 0) {
        text = &column.children[0];
        at = entry_at(column, r);
        if (at >= text->length || (at >= 0 && text->is_null(at))) at = -1;
      }
      if (at < 0) {
        counts.push(0);
      } else if (text->is_text()) {
        split_sequence(text_at(*text, at), reading, cells, counts);
      } else if (text->is_list()) {
        read_elements(*text, at, at + 1, reading, cells, counts);
      } else {  // a plain number is a sequence of one element
        read_flat(*text, at, at + 1, reading, reading.split, cells);
        counts.push(1);
      }
    }
  }
}

}  // namespace

void read_rows(const Column& column, std::int64_t first, std::int64_t last, const Reading& reading, Cells& cells) {
  begin_reading(column, reading, cells);
  const Reading& used = cells.folded != Folded::no ? *reading.folded : reading;
  read_flat(column, first, last, used, used.split, cells);
  fill(reading, cells);
}

void read_sequences(const Column& column, std::int64_t first, std::int64_t last, const Reading& given, Cells& cells,
                    Slab<std::uint32_t>& counts) {
  if (given.lengths) return count_sequences(column, first, last, given, cells, counts);
  const Column& rows = entries_of(column);
  begin_reading(rows.is_list() ? rows.children[0] : column, given, cells);
  read_elements(column, first, last, cells.folded != Folded::no ? *given.folded : given, cells, counts);
  fill(given, cells);
}

const char* unreadable(const Column& column, const Reading& reading) noexcept {
  const auto scalar = [](const Column& column) {
    const Type type = entries_of(column).type;
    return type != Type::list32 && type != Type::list64 && type != Type::map && type != Type::record &&
           type != Type::dictionary;
  };
  const auto plain = [&](const Column& column) {
    const Column& c = entries_of(column);
    if (c.type == Type::map) {
      if (!scalar(c.children[0])) return false;
      return reading.weighted ? scalar(c.children[1])
                              : reading.pairs != nullptr && unreadable(c.children[1], *reading.pairs) == nullptr;
    }
    if (c.is_list()) return scalar(c.children[0]);
    return scalar(c);
  };
  const Column& rows = entries_of(column);
  if (reading.sequence) {
    if (rows.is_list() ? reading.lengths || plain(rows.children[0]) : scalar(rows)) return nullptr;
    return "a sequence is delimited text, a list, or a list of lists";
  }
  if (plain(rows)) return nullptr;
  if (rows.type == Type::map)
    return "a map is read by a weighted feature, or one that looks keys up, and its keys and values must be plain";
  return "a plain feature reads text, numbers, or a list of them";
}

std::int64_t weight_of(const Column& column, std::int64_t first, std::int64_t last) noexcept {
  if (first >= last) return 0;
  switch (column.type) {
    case Type::text32: return (column.starts<std::int32_t>()[last] - column.starts<std::int32_t>()[first]) / 8;
    case Type::text64: return (column.starts<std::int64_t>()[last] - column.starts<std::int64_t>()[first]) / 8;
    case Type::list32:
    case Type::list64:
    case Type::map: {
      const std::int64_t from = column.start(first), to = column.start(last);
      return to - from + weight_of(column.children[0], from, to);
    }
    default: return last - first;
  }
}

}  // namespace fg
