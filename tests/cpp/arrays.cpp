#include "arrays.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

namespace test {
namespace {

using fg::Plain;
using Cells = std::vector<const Plain*>;
using Texts = Layout::Texts;

bool is_null(const Plain* cell) { return cell == nullptr || cell->is<std::monostate>(); }

// Cells in front of and behind those asked for: some of the same.
Cells padded(const Cells& cells, std::int64_t before) {
  Cells all;
  const auto pad = [&] {
    for (std::int64_t i = 0; i < before; ++i)
      all.push_back(cells.empty() ? nullptr : cells[static_cast<std::size_t>(i) % cells.size()]);
  };
  pad();
  all.insert(all.end(), cells.begin(), cells.end());
  pad();
  return all;
}

// Adds a copy, exactly as large; a buffer of nothing is null.
void add(Node& node, const void* data, std::size_t bytes) {
  if (bytes == 0) return node.buffers.push_back(nullptr);
  node.owned.emplace_back(new char[bytes]);
  std::memcpy(node.owned.back().get(), data, bytes);
  node.buffers.push_back(node.owned.back().get());
}

template <class T>
void add(Node& node, const std::vector<T>& values) {
  add(node, values.data(), values.size() * sizeof(T));
}

void set_bit(std::vector<std::uint8_t>& bits, std::size_t i) {
  bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1U << (i % 8));
}

void add_valid(Node& node, const Cells& cells) {
  std::vector<std::uint8_t> bits((cells.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (!is_null(cells[i])) set_bit(bits, i);
  }
  const bool any = std::any_of(cells.begin(), cells.end(), is_null);
  node.array.null_count = any ? -1 : 0;  // not counted, or known to be none
  any ? add(node, bits) : node.buffers.push_back(nullptr);
}

void add_ends(Node& node, const std::vector<std::int64_t>& ends, bool large) {
  large ? add(node, ends) : add(node, std::vector<std::int32_t>(ends.begin(), ends.end()));
}

void add_booleans(Node& node, const Cells& cells) {
  node.format = "b";
  std::vector<std::uint8_t> bits((cells.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (is_null(cells[i]) || cells[i]->flag()) set_bit(bits, i);
  }
  add(node, bits);
}

template <class T>
void add_numbers(Node& node, const char* format, const Cells& cells) {
  node.format = format;
  std::vector<T> values;
  for (const Plain* cell : cells) {
    if (is_null(cell)) values.push_back(T(77));  // whatever stands under a null must not matter
    else values.push_back(cell->is<std::int64_t>() ? static_cast<T>(cell->integer()) : static_cast<T>(cell->number()));
  }
  add(node, values);
}

void add_texts(Node& node, const Cells& cells, const Layout& layout) {
  std::string bytes;
  std::vector<std::int64_t> ends = {0};
  std::vector<char> views(16 * cells.size(), 0);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string text = !is_null(cells[i]) ? cells[i]->text() : layout.hidden ? "hidden;1\x1d" : "";
    char* const view = views.data() + 16 * i;
    const auto size = static_cast<std::int32_t>(text.size());
    std::memcpy(view, &size, 4);
    std::memcpy(view + 4, text.data(), size > 12 ? 4 : text.size());
    const std::int32_t place[2] = {0, static_cast<std::int32_t>(bytes.size())};
    if (size > 12) std::memcpy(view + 8, place, 8);
    bytes += text;
    ends.push_back(static_cast<std::int64_t>(bytes.size()));
  }
  node.format = layout.texts == Texts::view ? "vu" : layout.texts == Texts::large ? "U" : "u";
  layout.texts == Texts::view ? add(node, views) : add_ends(node, ends, layout.texts == Texts::large);
  add(node, bytes.data(), bytes.size());
}

std::unique_ptr<Node> build(const std::string& type, const Cells& asked, const Layout& layout);

// The items of lists one after the other; a null list may cover one.
Cells items_of(Node& node, const Cells& cells, const Layout& layout, bool large) {
  Cells items;
  std::vector<std::int64_t> ends = {0};
  for (const Plain* cell : cells) {
    if (!is_null(cell)) {
      for (const Plain& item : cell->list()) items.push_back(&item);
    } else if (layout.hidden && !items.empty()) {
      items.push_back(items.front());
    }
    ends.push_back(static_cast<std::int64_t>(items.size()));
  }
  add_ends(node, ends, large);
  return items;
}

std::unique_ptr<Node> entries_of(const std::string& types, const Cells& items, const Layout& layout) {
  const std::size_t comma = types.find(',');
  Cells keys, values;
  for (const Plain* item : padded(items, layout.before)) {
    keys.push_back(item == nullptr ? nullptr : &item->list()[0]);
    values.push_back(item == nullptr ? nullptr : &item->list()[1]);
  }
  Layout whole = layout;  // here the record of key and value starts inside its children
  whole.before = 0;
  auto entries = std::make_unique<Node>();
  entries->format = "+s";
  entries->array.length = static_cast<std::int64_t>(items.size());
  entries->array.offset = layout.before;
  entries->buffers.push_back(nullptr);
  entries->children.push_back(build(types.substr(0, comma), keys, whole));
  entries->children.push_back(build(types.substr(comma + 1), values, whole));
  return entries;
}

// Indices into a dictionary of a null and of every cell: nothing asks its entries to differ.
void add_dictionary(Node& node, const std::string& type, const Cells& cells, const Layout& layout) {
  node.format = "s";
  Cells entries = {nullptr};
  std::vector<std::int16_t> indices;
  std::map<const Plain*, std::int16_t> known;
  for (const Plain* cell : cells) {
    const auto [at, added] = known.emplace(cell, static_cast<std::int16_t>(entries.size()));
    if (added) entries.push_back(cell);
    indices.push_back(is_null(cell) ? std::int16_t{0} : at->second);
  }
  if (entries.size() > 32767) throw std::invalid_argument("too many cells for a dictionary of 16 bits");
  add(node, indices);
  Layout plain = layout;
  plain.dictionary = false;
  plain.before = 0;
  node.dictionary = build(type, entries, plain);
}

void add_values(Node& node, const std::string& type, const Cells& cells, const Layout& layout) {
  if (type == "bool") return add_booleans(node, cells);
  if (type == "string") return add_texts(node, cells, layout);
  if (type == "int8") return add_numbers<std::int8_t>(node, "c", cells);
  if (type == "int16") return add_numbers<std::int16_t>(node, "s", cells);
  if (type == "int32") return add_numbers<std::int32_t>(node, "i", cells);
  if (type == "int64") return add_numbers<std::int64_t>(node, "l", cells);
  if (type == "uint8") return add_numbers<std::uint8_t>(node, "C", cells);
  if (type == "uint16") return add_numbers<std::uint16_t>(node, "S", cells);
  if (type == "uint32") return add_numbers<std::uint32_t>(node, "I", cells);
  if (type == "uint64") return add_numbers<std::uint64_t>(node, "L", cells);
  if (type == "float") return add_numbers<float>(node, "f", cells);
  if (type == "double") return add_numbers<double>(node, "g", cells);
  throw std::invalid_argument("no type '" + type + "'");
}

std::unique_ptr<Node> build(const std::string& type, const Cells& asked, const Layout& layout) {
  auto node = std::make_unique<Node>();
  const Cells cells = padded(asked, layout.before);
  node->array.length = static_cast<std::int64_t>(asked.size());
  node->array.offset = layout.before;
  if (type == "null") {
    node->format = "n";
    return node;
  }
  add_valid(*node, cells);
  const std::size_t opening = type.find('<');
  if (opening == std::string::npos) {
    layout.dictionary ? add_dictionary(*node, type, cells, layout) : add_values(*node, type, cells, layout);
    return node;
  }
  const std::string inner = type.substr(opening + 1, type.size() - opening - 2);
  const bool map = type.substr(0, opening) == "map", large = !map && layout.texts == Texts::large;
  const Cells items = items_of(*node, cells, layout, large);
  node->format = map ? "+m" : large ? "+L" : "+l";
  node->children.push_back(map ? entries_of(inner, items, layout) : build(inner, items, layout));
  return node;
}

// Lets the structures of a tree point to each other, which do not move any more.
void link(Node& node) {
  for (const auto& child : node.children) {
    link(*child);
    node.schemas.push_back(&child->schema);
    node.arrays.push_back(&child->array);
  }
  node.schema.format = node.format.c_str();
  node.schema.name = "";
  node.schema.n_children = node.array.n_children = static_cast<std::int64_t>(node.children.size());
  node.schema.children = node.schemas.data();
  node.array.children = node.arrays.data();
  node.array.n_buffers = static_cast<std::int64_t>(node.buffers.size());
  node.array.buffers = node.buffers.data();
  if (node.dictionary == nullptr) return;
  link(*node.dictionary);
  node.schema.dictionary = &node.dictionary->schema;
  node.array.dictionary = &node.dictionary->array;
}

}  // namespace

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {Texts::small, false, false, 0}, {Texts::small, false, true, 3}, {Texts::large, false, false, 9},
      {Texts::view, false, true, 1},   {Texts::small, true, false, 0}, {Texts::large, true, true, 5},
  };
  return all;
}

Array::Array(const std::string& type, const Plain::List& cells, const Layout& layout) {
  Cells pointers;
  for (const Plain& cell : cells) pointers.push_back(&cell);
  node_ = build(type, pointers, layout);
  link(*node_);
}

}  // namespace test
