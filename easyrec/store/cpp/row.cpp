#include "row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace store {
namespace {

constexpr std::uint32_t with_nulls = 0x80000000U;

template <class T>
void put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_fixed(std::string& to, const ValueType& type, const fg::Column& column, std::int64_t row) {
  switch (type.kind) {
    case Kind::boolean: {
      const std::int64_t bit = row + column.offset;
      return put(to, static_cast<char>(static_cast<const std::uint8_t*>(column.data)[bit >> 3] >> (bit & 7) & 1));
    }
    case Kind::i32: return put(to, column.values<std::int32_t>()[row]);
    case Kind::f32: return put(to, column.values<float>()[row]);
    case Kind::f64: return put(to, column.values<double>()[row]);
    case Kind::vector: {
      const fg::Column& numbers = column.children[0];
      const std::int64_t start = column.start(row), stop = column.start(row + 1);
      if (stop - start != type.dim)
        throw std::invalid_argument("row " + std::to_string(row) + " has " + std::to_string(stop - start) +
                                    " numbers, not " + std::to_string(type.dim));
      to.append(reinterpret_cast<const char*>(numbers.values<float>() + start), type.width());
      return;
    }
    default: return put(to, column.values<std::int64_t>()[row]);
  }
}

void put_items(std::string& to, const ValueType& type, const fg::Column& column, std::int64_t start, std::int64_t stop);

void put_varying(std::string& to, const ValueType& type, const fg::Column& column, std::int64_t row) {
  if (type.kind == Kind::text) {
    to.append(text_at(column, row));
    return;
  }
  const std::int64_t start = column.start(row), stop = column.start(row + 1);
  for (std::size_t i = 0; i < type.items.size(); ++i) put_items(to, type.items[i], column.children[i], start, stop);
}

void put_items(std::string& to, const ValueType& type, const fg::Column& column, std::int64_t start,
               std::int64_t stop) {
  bool nulls = false;
  for (std::int64_t i = start; i < stop && !nulls; ++i) nulls = column.is_null(i);
  const auto count = static_cast<std::uint32_t>(stop - start);
  if (stop - start >= with_nulls) throw std::invalid_argument("an array holds at most 2,147,483,647 items");
  put(to, nulls ? count | with_nulls : count);
  if (nulls) {
    const std::size_t at = to.size();
    to.append((count + 7) / 8, '\0');
    for (std::uint32_t i = 0; i < count; ++i)
      if (column.is_null(start + i)) to[at + i / 8] = static_cast<char>(to[at + i / 8] | 1 << i % 8);
  }
  const std::size_t width = type.width();
  if (width != 0) {
    for (std::int64_t i = start; i < stop; ++i) {
      if (column.is_null(i)) to.append(width, '\0');
      else put_fixed(to, type, column, i);
    }
    return;
  }
  const std::size_t lengths = to.size();
  to.append(std::size_t{4} * count, '\0');
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::size_t before = to.size();
    if (!column.is_null(start + i)) put_varying(to, type, column, start + i);
    const auto length = static_cast<std::uint32_t>(to.size() - before);
    std::memcpy(&to[lengths + std::size_t{4} * i], &length, sizeof length);
  }
}

// Bytes that are read one after another, never beyond their end.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) noexcept : bytes_(bytes) {}
  const char* take(std::size_t count) {
    if (bytes_.size() < count) throw std::invalid_argument("a row is damaged");
    const char* const from = bytes_.data();
    bytes_.remove_prefix(count);
    return from;
  }
  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  bool empty() const noexcept { return bytes_.empty(); }
  std::size_t left() const noexcept { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

void read_items(Cursor& from, ColumnBuilder& into);

void read_varying(std::string_view bytes, ColumnBuilder& into) {
  if (into.type().kind == Kind::text) return into.add(bytes.data(), bytes.size());
  Cursor from(bytes);
  if (into.type().kind == Kind::map) read_items(from, into.keys());
  read_items(from, into.items());
  if (!from.empty() || (into.type().kind == Kind::map && into.keys().size() != into.items().size()))
    throw std::invalid_argument("a row is damaged");
  into.close();
}

void read_items(Cursor& from, ColumnBuilder& into) {
  const auto head = from.get<std::uint32_t>();
  const std::uint32_t count = head & ~with_nulls;
  const char* const nulls = head & with_nulls ? from.take((std::size_t{count} + 7) / 8) : nullptr;
  const std::size_t width = into.type().width();
  const char* const values = from.take((width == 0 ? 4 : width) * count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool null = nulls != nullptr && (nulls[i / 8] >> i % 8 & 1) != 0;
    std::uint32_t length = 0;
    if (width == 0) std::memcpy(&length, values + std::size_t{4} * i, sizeof length);
    const char* const value = width == 0 ? from.take(length) : values + width * i;
    if (null) into.add_null();
    else if (width != 0) into.add(value, width);
    else read_varying({value, length}, into);
  }
}

// Of the values of steps the last one that has begun; null before the first.
void read_step(std::string_view bytes, const ValueType& type, std::int64_t now, ColumnBuilder& into) {
  Cursor from(bytes);
  const auto count = from.get<std::uint32_t>();
  if (count & with_nulls) throw std::invalid_argument("a row is damaged");
  const char* const times = from.take(sizeof(std::int64_t) * count);
  const auto time = [times](std::uint32_t i) {
    std::int64_t value;
    std::memcpy(&value, times + sizeof value * i, sizeof value);
    return value;
  };
  std::uint32_t step = 0;  // the first that has not begun
  for (std::uint32_t stop = count; step < stop;) {
    const std::uint32_t middle = step + (stop - step) / 2;
    if (time(middle) <= now) step = middle + 1;
    else stop = middle;
  }
  const bool decays = type.half_life > 0;
  if (decays) step = std::max<std::uint32_t>(step, count != 0);  // a clock that is behind sees what is there
  const auto head = from.get<std::uint32_t>();
  if ((head & ~with_nulls) != count) throw std::invalid_argument("a row is damaged");
  const char* const nulls = head & with_nulls ? from.take((std::size_t{count} + 7) / 8) : nullptr;
  const std::size_t width = type.items[1].width();
  const char* const values = from.take((width == 0 ? 4 : width) * count);
  if (step == 0) return into.add_null();
  --step;
  if (nulls != nullptr && (nulls[step / 8] >> step % 8 & 1) != 0) return into.add_null();
  if (decays) {
    double value;
    std::memcpy(&value, values + sizeof value * step, sizeof value);
    const auto passed = static_cast<double>(between(std::min(now, time(step)), now));
    value *= std::exp2(-passed / type.half_life);
    return into.add(reinterpret_cast<const char*>(&value), sizeof value);
  }
  if (width != 0) return into.add(values + width * step, width);
  std::uint32_t length = 0;
  for (std::uint32_t i = 0; i <= step; ++i) {
    from.take(length);
    std::memcpy(&length, values + std::size_t{4} * i, sizeof length);
  }
  read_varying({from.take(length), length}, into);
}

}  // namespace

std::size_t layout_of(std::string_view row, const std::vector<Layout>& layouts) {
  if (row.size() < row_head) throw std::invalid_argument("a row is damaged");
  std::uint16_t schema;
  std::memcpy(&schema, row.data(), sizeof schema);
  const auto found =
      std::find_if(layouts.begin(), layouts.end(), [schema](const Layout& one) { return one.schema == schema; });
  if (found == layouts.end()) throw std::invalid_argument("a row has an unknown schema");
  return static_cast<std::size_t>(found - layouts.begin());
}

void read_row(std::string_view row, const Layout& layout, std::int64_t now, std::vector<ColumnBuilder>& columns,
              bool inside) {
  const auto column_of = [&columns, inside](std::int32_t place) -> ColumnBuilder& {
    ColumnBuilder& column = columns[static_cast<std::size_t>(place)];
    return inside ? column.items() : column;
  };
  Cursor from(row);
  from.take(row_head);
  const std::size_t fields = layout.types.size();
  const char* const nulls = from.take((fields + 7) / 8);
  std::size_t fixed = 0;
  for (const ValueType& type : layout.types) fixed += std::max<std::size_t>(type.width(), type.width() ? 0 : 4);
  const char* value = from.take(fixed);
  const std::size_t tail_size = from.left();
  const char* const tail = from.take(tail_size);
  std::uint32_t start = 0;
  for (std::size_t f = 0; f < fields; ++f) {
    const ValueType& type = layout.types[f];
    const std::size_t width = type.width();
    std::string_view bytes(value, width);
    if (width == 0) {
      std::uint32_t stop;
      std::memcpy(&stop, value, sizeof stop);
      if (stop < start || stop > tail_size) throw std::invalid_argument("a row is damaged");
      bytes = {tail + start, stop - start};
      start = stop;
    }
    value += width == 0 ? 4 : width;
    if (layout.columns[f] < 0) continue;
    ColumnBuilder& column = column_of(layout.columns[f]);
    if (nulls[f / 8] >> f % 8 & 1) column.add_null();
    else if (width != 0) column.add(bytes.data(), width);
    else if (type.kind == Kind::steps) read_step(bytes, type, now, column);
    else read_varying(bytes, column);
  }
  for (const std::int32_t column : layout.absent) column_of(column).add_null();
}

std::string_view text_at(const fg::Column& column, std::int64_t row) {
  const auto* const characters = static_cast<const char*>(column.data);
  if (column.type == fg::Type::text64) {
    const auto* const ends = column.starts<std::int64_t>();
    return {characters + ends[row], static_cast<std::size_t>(ends[row + 1] - ends[row])};
  }
  const auto* const ends = column.starts<std::int32_t>();
  return {characters + ends[row], static_cast<std::size_t>(ends[row + 1] - ends[row])};
}

void pack(const std::vector<ValueType>& types, const std::vector<fg::Column>& columns, const std::int64_t* times,
          std::uint16_t schema, std::int64_t rows, std::string& bytes, std::vector<std::int64_t>& ends) {
  std::string tail;
  for (std::int64_t row = 0; row < rows; ++row) {
    tail.clear();
    put(bytes, schema);
    put(bytes, times == nullptr ? no_time : times[row]);
    const std::size_t nulls = bytes.size();
    bytes.append((types.size() + 7) / 8, '\0');
    for (std::size_t f = 0; f < types.size(); ++f) {
      const std::size_t width = types[f].width();
      const bool null = columns[f].is_null(row);
      if (null) bytes[nulls + f / 8] = static_cast<char>(bytes[nulls + f / 8] | 1 << f % 8);
      if (width != 0) {
        if (null) bytes.append(width, '\0');
        else put_fixed(bytes, types[f], columns[f], row);
        continue;
      }
      if (!null) put_varying(tail, types[f], columns[f], row);
      if (tail.size() >= with_nulls) throw std::invalid_argument("a row holds at most 2 GiB");
      put(bytes, static_cast<std::uint32_t>(tail.size()));
    }
    bytes.append(tail);
    ends.push_back(static_cast<std::int64_t>(bytes.size()));
  }
}

void unpack(std::string_view record, const View& view, std::int64_t now, std::vector<ColumnBuilder>& columns,
            Counts& counts) {
  std::string_view row;
  bool there = newest(record, view.span, row);
  if (there && view.ttl > 0) {
    if (row.size() < row_head) throw std::invalid_argument("a row is damaged");
    std::int64_t time;
    std::memcpy(&time, row.data() + sizeof(std::uint16_t), sizeof time);
    if (time != no_time && is_past(time, now, view.ttl)) {
      ++counts.expired;
      there = false;
    } else {
      ++counts.hits;
    }
  } else {
    ++(there ? counts.hits : counts.misses);
  }
  if (there) return read_row(row, view.layouts[layout_of(row, view.layouts)], now, columns, false);
  for (const std::int32_t column : view.columns) columns[static_cast<std::size_t>(column)].add_null();
}

}  // namespace store
