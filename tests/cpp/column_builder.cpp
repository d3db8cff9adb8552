#include "column_builder.h"

#include <cmath>
#include <limits>

#include "check.h"

namespace {

using fg::ColumnBuilder;

// A record as a taker sees it, until it lets go of it.
class Taken {
 public:
  explicit Taken(std::vector<ColumnBuilder>&& columns, std::int64_t rows) {
    std::vector<std::string> names;
    for (std::size_t c = 0; c < columns.size(); ++c) names.push_back("c" + std::to_string(c));
    fg::release_record(std::move(columns), names, rows, schema, array);
    view = fg::view_column(schema, array);
  }
  explicit Taken(ColumnBuilder&& column) : Taken(alone(std::move(column)), column.size()) {}
  ~Taken() {
    if (array.release != nullptr) array.release(&array);
    if (schema.release != nullptr) schema.release(&schema);
  }
  const fg::Column& column() const { return view.children[0]; }

  ArrowSchema schema{};
  ArrowArray array{};
  fg::Column view;

 private:
  static std::vector<ColumnBuilder> alone(ColumnBuilder&& column) {
    std::vector<ColumnBuilder> columns;
    columns.push_back(std::move(column));
    return columns;
  }
};

std::string text_at(const fg::Column& column, std::int64_t row) {
  const auto* const ends = column.starts<std::int32_t>();
  return std::string(static_cast<const char*>(column.data) + ends[row],
                     static_cast<std::size_t>(ends[row + 1] - ends[row]));
}

}  // namespace

TEST(a_column_takes_its_type_from_the_first_value_behind_nulls) {
  ColumnBuilder built;
  built.pad(9);
  built.add_integer(-7);
  built.add_null();
  built.add_integer(std::numeric_limits<std::int64_t>::max());
  const Taken taken(std::move(built));
  const fg::Column& column = taken.column();
  CHECK(column.type == fg::Type::i64);
  CHECK_EQUAL(column.length, 12);
  CHECK_EQUAL(taken.array.children[0]->null_count, 10);
  for (std::int64_t row = 0; row < 12; ++row) CHECK_EQUAL(column.is_null(row), row != 9 && row != 11);
  CHECK_EQUAL(column.values<std::int64_t>()[9], -7);
  CHECK_EQUAL(column.values<std::int64_t>()[11], std::numeric_limits<std::int64_t>::max());
}

TEST(whole_numbers_beside_others_are_numbers) {
  ColumnBuilder built;
  built.add_null();
  built.add_integer(3);
  built.add_number(0.5);
  built.add_integer(-4);
  const Taken taken(std::move(built));
  const fg::Column& column = taken.column();
  CHECK(column.type == fg::Type::f64);
  CHECK(column.is_null(0));
  CHECK_EQUAL(column.values<double>()[1], 3.0);
  CHECK_EQUAL(column.values<double>()[2], 0.5);
  CHECK_EQUAL(column.values<double>()[3], -4.0);
}

TEST(what_has_no_common_type_spoils_a_column) {
  constexpr std::int64_t large = std::int64_t{1} << 53;
  const auto spoiled = [](auto... adds) {
    ColumnBuilder built;
    (adds(built), ...);
    return built.spoiled();
  };
  const auto integer = [](ColumnBuilder& b) { b.add_integer(1); };
  const auto huge = [](ColumnBuilder& b) { b.add_integer(large); };
  const auto number = [](ColumnBuilder& b) { b.add_number(1.5); };
  const auto boolean = [](ColumnBuilder& b) { b.add_boolean(true); };
  const auto text = [](ColumnBuilder& b) { b.add_text("x", 1); };
  const auto none = [](ColumnBuilder& b) { b.add_null(); };
  const auto list = [](ColumnBuilder& b) {
    if (b.open_list() != nullptr) b.close_list();
  };
  const auto map = [](ColumnBuilder& b) {
    if (b.open_map().keys != nullptr) b.close_map();
  };
  const auto broken_list = [](ColumnBuilder& b) {
    ColumnBuilder* const items = b.open_list();
    items->add_integer(1);
    items->add_text("x", 1);
    b.close_list();
  };
  CHECK(!spoiled(integer, none, number, integer));
  CHECK(!spoiled(huge, integer));
  CHECK(spoiled(huge, number));
  CHECK(spoiled(number, huge));
  CHECK(spoiled(integer, boolean));
  CHECK(spoiled(boolean, number));
  CHECK(spoiled(text, integer));
  CHECK(spoiled(integer, text));
  CHECK(spoiled(list, text));
  CHECK(spoiled(none, text, list));
  CHECK(spoiled(broken_list));
  CHECK(spoiled(map, list));
  CHECK(spoiled(list, map));
  CHECK(spoiled(text, integer, text, list, none, boolean, number));
}

TEST(texts_and_lists_keep_their_bounds) {
  std::vector<ColumnBuilder> columns(4);
  columns[0].add_text("a\0b", 3);
  columns[0].add_text("", 0);
  columns[0].add_null();
  for (const int count : {2, 0}) {
    ColumnBuilder* const items = columns[1].open_list();
    for (int i = 0; i < count; ++i) {
      ColumnBuilder* const inner = items->open_list();
      inner->add_boolean(i == 0);
      inner->add_null();
      items->close_list();
    }
    columns[1].close_list();
  }
  columns[1].add_null();
  columns[2].pad(3);
  columns[3].add_boolean(true);
  columns[3].pad(3);
  const Taken taken(std::move(columns), 3);
  const auto& [texts, lists, nulls, flags] =
      std::tie(taken.view.children[0], taken.view.children[1], taken.view.children[2], taken.view.children[3]);
  CHECK_EQUAL(text_at(texts, 0), std::string("a\0b", 3));
  CHECK_EQUAL(text_at(texts, 1), std::string());
  CHECK(!texts.is_null(1) && texts.is_null(2));
  CHECK(lists.type == fg::Type::list32);
  CHECK_EQUAL(lists.start(1), 2);
  CHECK_EQUAL(lists.start(3), 2);
  CHECK(lists.is_null(2));
  const fg::Column& inner = lists.children[0];
  CHECK_EQUAL(inner.start(2), 4);
  CHECK_EQUAL(static_cast<int>(*static_cast<const std::uint8_t*>(inner.children[0].data)), 1);
  CHECK(inner.children[0].is_null(1) && !inner.children[0].is_null(2));
  CHECK(nulls.type == fg::Type::null);
  CHECK_EQUAL(nulls.length, 3);
  CHECK(flags.type == fg::Type::boolean && flags.is_null(2));
}

TEST(what_is_missing_among_maps_is_an_empty_map) {
  ColumnBuilder built;
  built.add_null();
  for (const int count : {2, 0}) {
    const ColumnBuilder::Pairs pairs = built.open_map();
    for (int i = 0; i < count; ++i) {
      pairs.keys->add_text(i == 0 ? "a" : "b", 1);
      if (i == 0) pairs.items->add_integer(4);
      if (i != 0) pairs.items->add_null();
    }
    built.close_map();
  }
  built.add_null();
  const Taken taken(std::move(built));
  const fg::Column& column = taken.column();
  CHECK(column.type == fg::Type::map);
  CHECK_EQUAL(taken.array.children[0]->null_count, 0);
  CHECK_EQUAL(column.length, 4);
  for (std::int64_t row = 0; row < 4; ++row) CHECK(!column.is_null(row));
  for (std::int64_t row = 0; row < 5; ++row) CHECK_EQUAL(column.start(row), row < 2 ? 0 : 2);
  CHECK_EQUAL(text_at(column.children[0], 1), std::string("b"));
  CHECK_EQUAL(column.children[1].values<std::int64_t>()[0], 4);
  CHECK(column.children[1].is_null(1));
  CHECK_EQUAL(taken.schema.children[0]->children[0]->flags, 0);  // not nullable
}

TEST(a_map_whose_keys_or_items_have_no_type_has_none) {
  for (const bool keys : {true, false}) {
    ColumnBuilder built;
    const ColumnBuilder::Pairs pairs = built.open_map();
    (keys ? pairs.keys : pairs.items)->spoil();
    built.close_map();
    CHECK(built.spoiled());
  }
}

TEST(a_child_that_was_taken_outlives_its_record) {
  std::vector<ColumnBuilder> columns(2);
  columns[0].add_integer(5);
  columns[1].open_list()->add_text("long enough to lie in memory of its own", 39);
  columns[1].close_list();
  ArrowArray child{};
  ArrowSchema described{};
  {
    Taken taken(std::move(columns), 1);
    child = *taken.array.children[1];
    taken.array.children[1]->release = nullptr;  // so the specification says that it is taken
    described = *taken.schema.children[1];
    taken.schema.children[1]->release = nullptr;
  }
  CHECK_EQUAL(text_at(fg::view_column(described, child).children[0], 0),
              std::string("long enough to lie in memory of its own"));
  child.release(&child);
  described.release(&described);
  CHECK(child.release == nullptr);
}
