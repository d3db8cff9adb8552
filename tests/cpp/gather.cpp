#include "gather.h"

#include <vector>

#include "check.h"

namespace {

using Rows = std::vector<std::int64_t>;

template <class T>
std::vector<T> gathered(const std::vector<T>& from, std::size_t width, std::size_t stride, const Rows& rows) {
  std::vector<T> out(rows.size() * width);
  fg::gather_rows(reinterpret_cast<const char*>(from.data()), stride * sizeof(T), width * sizeof(T), rows.data(),
                  rows.size(), reinterpret_cast<char*>(out.data()));
  return out;
}

}  // namespace

TEST(rows_of_every_width_are_gathered) {
  const std::vector<float> floats = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK_EQUAL(gathered(floats, 1, 1, {9, 0, 0, 5}), std::vector<float>{9, 0, 0, 5});
  CHECK_EQUAL(gathered(floats, 2, 2, {4, 0}), std::vector<float>{8, 9, 0, 1});
  CHECK_EQUAL(gathered(floats, 2, 3, {2, 1}), std::vector<float>{6, 7, 3, 4});
  CHECK_EQUAL(gathered(floats, 3, 3, {}), std::vector<float>{});
  std::vector<float> wide(500 * 40);
  for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = static_cast<float>(i);
  Rows rows;
  for (std::int64_t r = 39; r >= 0; --r) rows.push_back(r);
  const std::vector<float> turned = gathered(wide, 500, 500, rows);
  for (std::size_t i = 0; i < turned.size(); ++i)
    CHECK_EQUAL(turned[i], static_cast<float>((39 - i / 500) * 500 + i % 500));
}

TEST(ragged_rows_are_gathered) {
  const Rows offsets = {0, 2, 2, 5}, rows = {2, 1, 0, 2};
  Rows ends(rows.size() + 1);
  CHECK_EQUAL(fg::gather_ends(offsets.data(), rows.data(), rows.size(), ends.data()), std::int64_t{8});
  CHECK_EQUAL(ends, Rows{0, 3, 3, 5, 8});
  const std::vector<std::int16_t> items = {10, 11, 12, 13, 14};
  std::vector<std::int16_t> out(8);
  fg::gather_items(reinterpret_cast<const char*>(items.data()), 2, offsets.data(), rows.data(), rows.size(),
                   reinterpret_cast<char*>(out.data()));
  CHECK_EQUAL(out, std::vector<std::int16_t>{12, 13, 14, 10, 11, 12, 13, 14});
}

TEST(rows_outside_are_told) {
  const Rows good = {0, 2, 1}, negative = {0, -1}, beyond = {3};
  CHECK(fg::rows_inside(good.data(), good.size(), 3));
  CHECK(!fg::rows_inside(negative.data(), negative.size(), 3));
  CHECK(!fg::rows_inside(beyond.data(), beyond.size(), 3));
  CHECK(fg::rows_inside(nullptr, 0, 0));
}
