// Arrow arrays of any physical layout, built by hand: each buffer is exactly as large as it must be, so that a
// sanitizer sees a read beyond it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_column.h"
#include "plain.h"

namespace test {

// How the same cells are laid out.
struct Layout {
  enum class Texts : std::uint8_t { small, large, view } texts = Texts::small;
  bool dictionary = false;  // plain values are indices into a dictionary
  bool hidden = false;      // null texts and lists cover bytes and items all the same
  std::int64_t before = 0;  // cells in front of the first one, and as many behind the last, at every level
};

// The layouts that tests go through.
const std::vector<Layout>& layouts();

// One array of a tree of arrays, with its schema and its memory.
struct Node {
  ArrowSchema schema{};
  ArrowArray array{};
  std::string format;
  std::vector<std::unique_ptr<Node>> children;
  std::unique_ptr<Node> dictionary;
  std::vector<std::unique_ptr<char[]>> owned;
  std::vector<const void*> buffers;
  std::vector<ArrowSchema*> schemas;
  std::vector<ArrowArray*> arrays;
};

class Array {
 public:
  // `type`: null, bool, int8 .. uint64, float, double, string, list<T> or map<K,V>. A cell is what `type` holds: a list
  // is a list, a map is a list of lists [key, value].
  Array(const std::string& type, const fg::Plain::List& cells, const Layout& layout);
  fg::Column column() const { return fg::view_column(node_->schema, node_->array); }

 private:
  std::unique_ptr<Node> node_;
};

}  // namespace test
