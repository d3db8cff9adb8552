#include "fingerprint.h"

#include <charconv>
#include <cstring>

#include "reader.h"

namespace fg {
namespace {

void mark(Printer& printer, Mark what) noexcept { printer.word(static_cast<std::uint64_t>(what)); }

template <class T>
void whole(Printer& printer, const Column& column, std::int64_t row) noexcept {
  mark(printer, Mark::integer);
  printer.word(static_cast<std::uint64_t>(static_cast<std::int64_t>(column.values<T>()[row])));
}

void print_value(Printer& printer, const Column& column, std::int64_t row) {
  if (column.is_null(row)) return mark(printer, Mark::absent);
  switch (column.type) {
    case Type::null: return mark(printer, Mark::absent);
    case Type::boolean: {
      const std::int64_t i = row + column.offset;
      const bool set = (static_cast<const std::uint8_t*>(column.data)[i >> 3] >> (i & 7) & 1) != 0;
      return mark(printer, set ? Mark::yes : Mark::no);
    }
    case Type::i8: return whole<std::int8_t>(printer, column, row);
    case Type::i16: return whole<std::int16_t>(printer, column, row);
    case Type::i32: return whole<std::int32_t>(printer, column, row);
    case Type::i64: return whole<std::int64_t>(printer, column, row);
    case Type::u8: return whole<std::uint8_t>(printer, column, row);
    case Type::u16: return whole<std::uint16_t>(printer, column, row);
    case Type::u32: return whole<std::uint32_t>(printer, column, row);
    case Type::u64:  // beyond 2^63 it is another number than the negative one of the same bits
      printer.word(static_cast<std::uint64_t>(Mark::integer) | std::uint64_t{column.values<std::int64_t>()[row] < 0}
                                                                   << 8);
      return printer.word(column.values<std::uint64_t>()[row]);
    case Type::f32: {
      std::uint32_t bits;
      std::memcpy(&bits, column.values<float>() + row, sizeof bits);
      mark(printer, Mark::narrow);
      return printer.word(bits);
    }
    case Type::f64: {
      std::uint64_t bits;
      std::memcpy(&bits, column.values<double>() + row, sizeof bits);
      mark(printer, Mark::number);
      return printer.word(bits);
    }
    case Type::text32:
    case Type::text64:
    case Type::text_view: {
      const Text text = text_at(column, row);
      mark(printer, Mark::text);
      return printer.text(text.data, text.size);
    }
    case Type::list32:
    case Type::list64:
    case Type::map: {
      const std::int64_t first = column.start(row), last = column.start(row + 1);
      mark(printer, Mark::list);
      printer.word(static_cast<std::uint64_t>(last - first));
      for (std::int64_t i = first; i < last; ++i) {
        for (const Column& child : column.children) print_value(printer, child, i);
      }
      return;
    }
    case Type::record:
      mark(printer, Mark::object);
      for (const Column& child : column.children) print_value(printer, child, row);
      return;
    case Type::dictionary: return print_value(printer, column.children[0], entry_at(column, row));
  }
}

template <class T>
Print number_key(const Column& column, std::int64_t row, const Print& key) noexcept {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, column.values<T>()[row]).ptr;
  return print_key(text, static_cast<std::size_t>(end - text), key);
}

}  // namespace

void print_rows(const std::vector<Column>& columns, std::int64_t n, const Print& key, Print* prints) {
  for (std::int64_t row = 0; row < n; ++row) {
    Printer printer(key);
    for (const Column& column : columns) print_value(printer, column, row);
    prints[row] = printer.print();
  }
}

std::int64_t print_keys(const Column& column, const Print& key, Print* prints) {
  for (std::int64_t row = 0; row < column.length; ++row) {
    const bool coded = column.type == Type::dictionary;
    if (column.is_null(row)) return row;
    const Column& held = coded ? column.children[0] : column;
    const std::int64_t at = coded ? entry_at(column, row) : row;
    if (held.is_null(at)) return row;
    switch (held.type) {
      case Type::i8: prints[row] = number_key<std::int8_t>(held, at, key); break;
      case Type::i16: prints[row] = number_key<std::int16_t>(held, at, key); break;
      case Type::i32: prints[row] = number_key<std::int32_t>(held, at, key); break;
      case Type::i64: prints[row] = number_key<std::int64_t>(held, at, key); break;
      case Type::u8: prints[row] = number_key<std::uint8_t>(held, at, key); break;
      case Type::u16: prints[row] = number_key<std::uint16_t>(held, at, key); break;
      case Type::u32: prints[row] = number_key<std::uint32_t>(held, at, key); break;
      case Type::u64: prints[row] = number_key<std::uint64_t>(held, at, key); break;
      case Type::text32:
      case Type::text64:
      case Type::text_view: {
        const Text text = text_at(held, at);
        if (text.size == 0) return row;
        prints[row] = print_key(text.data, text.size, key);
        break;
      }
      default: return row;
    }
  }
  return -1;
}

Print print_key(const char* bytes, std::size_t size, const Print& key) noexcept {
  Printer printer(key);
  printer.text(bytes, size);
  return printer.print();
}

}  // namespace fg
