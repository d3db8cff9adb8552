// The codec of online stores: records and rows that are cut, or hold wrong lengths and counts, are told and read no
// byte too many.
#include <cstring>
#include <limits>
#include <memory>

#include "check.h"
#include "easyrec/store/cpp/record.h"
#include "easyrec/store/cpp/row.h"
#include "easyrec/store/cpp/sequence.h"

namespace {

using store::ColumnBuilder;
using store::ValueType;

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                       most = std::numeric_limits<std::int64_t>::max();

std::vector<ValueType> types_of(const std::vector<const char*>& texts) {
  std::vector<ValueType> made;
  for (const char* const text : texts) made.push_back(store::parse_type(text));
  return made;
}

template <class T>
void add(ColumnBuilder& to, T value) {
  to.add(reinterpret_cast<const char*>(&value), sizeof value);
}

void add_text(ColumnBuilder& to, const std::string& text) { to.add(text.data(), text.size()); }

// Columns as a taker sees them, until it lets go of them.
class Taken {
 public:
  explicit Taken(std::vector<ColumnBuilder>&& columns) {
    std::vector<std::string> names(columns.size(), "c");
    store::release_record(std::move(columns), names, 1, schema_, array_);
    view = fg::view_column(schema_, array_);
  }
  ~Taken() {
    if (array_.release != nullptr) array_.release(&array_);
    if (schema_.release != nullptr) schema_.release(&schema_);
  }
  fg::Column view;

 private:
  ArrowSchema schema_{};
  ArrowArray array_{};
};

const std::vector<const char*> written = {"bool",
                                          "int32",
                                          "float",
                                          "timestamp",
                                          "string",
                                          "array<string>",
                                          "array<array<float>>",
                                          "map<string, double>",
                                          "vector<3>",
                                          "steps<int64>",
                                          "steps<string>",
                                          "decay<60>"};

// A row of all kinds of fields. Steps are made of maps, which hold times and values too, and vectors of arrays.
std::string row_of(std::int64_t time, std::uint16_t schema = 1) {
  const std::vector<ValueType> types = types_of(written);
  std::vector<const char*> as_columns = written;
  as_columns[9] = "map<int64, int64>", as_columns[10] = "map<int64, string>", as_columns[11] = "map<int64, double>";
  as_columns[8] = "array<float>";
  std::vector<ColumnBuilder> columns;
  for (const ValueType& type : types_of(as_columns)) columns.emplace_back(type);
  add(columns[0], char{1});
  add(columns[1], std::int32_t{-5});
  columns[2].add_null();
  add(columns[3], std::int64_t{77});
  add_text(columns[4], "a text");
  add_text(columns[5].items(), "one");
  columns[5].items().add_null();
  add_text(columns[5].items(), "");
  columns[5].close();
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < i; ++j) add(columns[6].items().items(), 0.5F);
    columns[6].items().close();
  }
  columns[6].close();
  add_text(columns[7].keys(), "key");
  add(columns[7].items(), 1.5);
  columns[7].close();
  for (int i = 0; i < 3; ++i) add(columns[8].items(), static_cast<float>(i));
  columns[8].close();
  for (std::int64_t at = 10; at < 40; at += 10) {
    add(columns[9].keys(), at), add(columns[9].items(), at * 2);
    add(columns[10].keys(), at), add_text(columns[10].items(), "since " + std::to_string(at));
  }
  columns[9].close();
  columns[10].close();
  add(columns[11].keys(), std::int64_t{20}), add(columns[11].items(), 8.0);
  columns[11].close();
  const Taken taken(std::move(columns));
  std::string bytes;
  std::vector<std::int64_t> ends;
  store::pack(types, taken.view.children, &time, schema, 1, bytes, ends);
  CHECK_EQUAL(ends.back(), static_cast<std::int64_t>(bytes.size()));
  return bytes;
}

store::View view_of() {
  store::View view{{0, {1}}, 0, {}, {}};
  store::Layout layout{1, types_of(written), {}, {}};
  for (std::int32_t c = 0; c < static_cast<std::int32_t>(written.size()); ++c) {
    layout.columns.push_back(c);
    view.columns.push_back(c);
  }
  view.layouts.push_back(layout);
  return view;
}

// Of exactly as many bytes, so that one more is seen.
std::unique_ptr<char[]> tight(std::string_view bytes) {
  std::unique_ptr<char[]> made(new char[bytes.size()]);
  if (!bytes.empty()) std::memcpy(made.get(), bytes.data(), bytes.size());
  return made;
}

// Whether it is read; then all columns have a row, which is looked at to its last byte.
template <class Work>
bool is_read(std::string_view bytes, Work&& work) {
  const auto held = tight(bytes);
  try {
    work(std::string_view(held.get(), bytes.size()));
    return true;
  } catch (const std::invalid_argument&) { return false; }
}

void read_record(std::string_view record, std::int64_t now) {
  const store::View view = view_of();
  std::vector<ColumnBuilder> columns;
  for (const ValueType& type : view.layouts[0].types) columns.emplace_back(store::as_read(type));
  store::Counts counts;
  store::unpack(record, view, now, columns, counts);
  for (const ColumnBuilder& column : columns) CHECK_EQUAL(column.size(), std::int64_t{1});
  std::vector<ColumnBuilder> texts;
  for (const std::size_t c : {std::size_t{4}, std::size_t{10}}) texts.push_back(std::move(columns[c]));
  const Taken taken(std::move(texts));
  for (const fg::Column& column : taken.view.children) {
    if (!column.is_null(0)) CHECK(store::text_at(column, 0).size() <= record.size());
  }
}

// Every prefix, and each byte and each four of them as something else; some are read, none reads outside.
template <class Work>
void hostile(const std::string& whole, Work&& work) {
  CHECK(is_read(whole, work));
  for (std::size_t size = 0; size < whole.size(); ++size) is_read(std::string_view(whole).substr(0, size), work);
  is_read(whole + '\0', work);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int other : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(other);
      is_read(changed, work);
    }
    for (const std::uint32_t huge :
         {0U, 0x7FFFFFFFU, 0x80000000U, 0x80000001U, 0xFFFFFFFFU, 0x20000000U, 0x40000000U}) {
      if (at + sizeof huge > whole.size()) continue;
      std::string changed = whole;
      std::memcpy(&changed[at], &huge, sizeof huge);
      is_read(changed, work);
    }
    for (const std::int64_t far : {least, most, std::int64_t{-1}}) {
      if (at + sizeof far > whole.size()) continue;
      std::string changed = whole;
      std::memcpy(&changed[at], &far, sizeof far);
      is_read(changed, work);
    }
  }
}

}  // namespace

TEST(a_record_of_all_kinds_is_read_whole) {
  const std::string record = store::spliced({}, 0, 1, row_of(5), {});
  for (const std::int64_t now : {least, std::int64_t{0}, std::int64_t{25}, most}) {
    CHECK(is_read(record, [now](std::string_view bytes) { read_record(bytes, now); }));
  }
}

TEST(a_damaged_record_is_told) {
  const std::string record = store::spliced({}, 0, 1, row_of(5), {});
  CHECK(
      !is_read(std::string_view(record).substr(0, record.size() - 1), [](std::string_view b) { read_record(b, 25); }));
  hostile(record, [](std::string_view bytes) { read_record(bytes, 25); });
  hostile(record, [](std::string_view bytes) { read_record(bytes, most); });
}

TEST(damaged_records_are_neither_spliced_nor_swept) {
  const std::string row = row_of(5);
  std::string record = store::spliced({}, 0, 1, row, {});
  record = store::spliced(record, 7, 2, row, {});
  const std::vector<store::Span> keep = {{0, {1}}};
  hostile(record, [&](std::string_view bytes) { store::spliced(bytes, 0, 2, row, keep); });
  hostile(record, [&](std::string_view bytes) { store::swept(bytes, keep); });
  hostile(record, [&](std::string_view bytes) {
    std::string_view found;
    store::newest(bytes, {7, {2}}, found);
  });
}

TEST(damaged_events_are_told) {
  const std::string row = row_of(100), other = row_of(200);
  const std::string item("\x80\0\0\0\0\0\0\1", 8);
  const std::string events = store::packed({{100, "click", item, row}, {200, "buy", item, other}}, 10);
  const std::string record = store::spliced({}, 0, 1, events, {});
  store::View view = view_of();
  store::Behaviour behaviour;
  behaviour.recent = {9, {1}};
  behaviour.keep = 10;
  behaviour.plays = {1};
  store::Sequence sequence;
  sequence.names = {{"click", -100.0, true}, {"buy", 0.0, false}};
  sequence.length = 5;
  sequence.layouts = view.layouts;
  sequence.columns = view.columns;
  const auto wide = static_cast<std::int32_t>(written.size());
  sequence.item = wide, sequence.name = wide + 1, sequence.time = wide + 2, sequence.age = wide + 3;
  for (std::int32_t c = wide; c < wide + 4; ++c) sequence.columns.push_back(c);
  behaviour.sequences = {sequence};
  const auto read = [&](std::int64_t now) {
    return [&, now](std::string_view bytes) {
      std::vector<ColumnBuilder> columns;
      for (const ValueType& type : view.layouts[0].types)
        columns.emplace_back(ValueType{store::Kind::list, 0, {store::as_read(type)}});
      for (const char* const text : {"int64", "string", "int64", "int64"})
        columns.emplace_back(ValueType{store::Kind::list, 0, types_of({text})});
      store::Counts counts;
      store::unpack(bytes, view, behaviour, now, columns, counts);
      for (const ColumnBuilder& column : columns) CHECK_EQUAL(column.size(), std::int64_t{1});
    };
  };
  hostile(record, read(1000));
  hostile(record, read(most));
  hostile(events, [&](std::string_view bytes) { store::merged(bytes, events); });
  hostile(events, [&](std::string_view bytes) { store::merged(events, bytes); });
}
