#include "column.h"

#include <cstring>
#include <limits>
#include <stdexcept>

namespace store {
namespace {

constexpr std::int64_t nullable = 2;  // the specification's ARROW_FLAG_NULLABLE

struct OwnedSchema {
  std::string name, format;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
};

struct OwnedArray {
  std::vector<std::uint8_t> valid;
  std::vector<char> data;
  std::vector<std::int32_t> ends;
  const void* buffers[3] = {nullptr, nullptr, nullptr};
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
};

template <class Exported, class Owned>
void release(Exported* exported) {
  auto* const owned = static_cast<Owned*>(exported->private_data);
  for (Exported& child : owned->children) {
    if (child.release != nullptr) child.release(&child);
  }
  exported->release = nullptr;
  delete owned;
}

OwnedSchema& own(ArrowSchema& schema, const std::string& name, std::string format, std::size_t children) {
  auto* const owned = new OwnedSchema{name, std::move(format), std::vector<ArrowSchema>(children), {}};
  for (ArrowSchema& child : owned->children) owned->pointers.push_back(&child);
  schema = {owned->format.c_str(),
            owned->name.c_str(),
            nullptr,
            nullable,
            static_cast<std::int64_t>(children),
            owned->pointers.data(),
            nullptr,
            &release<ArrowSchema, OwnedSchema>,
            owned};
  return *owned;
}

OwnedArray& own(ArrowArray& array, std::int64_t length, std::int64_t nulls, std::int64_t buffers,
                std::size_t children) {
  auto* const owned = new OwnedArray;
  owned->children.resize(children);
  for (ArrowArray& child : owned->children) owned->pointers.push_back(&child);
  array = {length,
           nulls,
           0,
           buffers,
           static_cast<std::int64_t>(children),
           owned->buffers,
           owned->pointers.data(),
           nullptr,
           &release<ArrowArray, OwnedArray>,
           owned};
  return *owned;
}

std::string format_of(const ValueType& type) {
  switch (type.kind) {
    case Kind::boolean: return "b";
    case Kind::i32: return "i";
    case Kind::i64: return "l";
    case Kind::f32: return "f";
    case Kind::f64: return "g";
    case Kind::time: return "tsu:UTC";
    case Kind::text: return "u";
    case Kind::list: return "+l";
    case Kind::map: return "+m";
    default: return "+w:" + std::to_string(type.dim);
  }
}

}  // namespace

ColumnBuilder::ColumnBuilder(const ValueType& type) : type_(type) {
  if (type.kind == Kind::text || type.kind == Kind::list || type.kind == Kind::map) ends_.push_back(0);
  for (const ValueType& item : type.items) children_.emplace_back(item);
}

void ColumnBuilder::reserve(std::int64_t rows) {
  const auto n = static_cast<std::size_t>(rows);
  valid_.reserve(n / 8 + 1);
  if (ends_.empty()) data_.reserve(n * type_.width());
  else ends_.reserve(n + 1);
}

void ColumnBuilder::mark(bool valid) {
  const auto bit = static_cast<unsigned>(size_ & 7);
  if (bit == 0) valid_.push_back(0);
  if (valid) valid_.back() = static_cast<std::uint8_t>(valid_.back() | 1U << bit);
  else ++nulls_;
  ++size_;
}

void ColumnBuilder::end(std::size_t at) {
  if (at > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw std::length_error("a column of one answer holds at most 2 GiB");
  ends_.push_back(static_cast<std::int32_t>(at));
}

void ColumnBuilder::add_null() {
  mark(false);
  if (ends_.empty()) data_.resize(data_.size() + type_.width());
  else ends_.push_back(ends_.back());
}

void ColumnBuilder::add(const char* from, std::size_t bytes) {
  mark(true);
  data_.insert(data_.end(), from, from + bytes);
  if (!ends_.empty()) end(data_.size());
}

void ColumnBuilder::close() {
  mark(true);
  end(static_cast<std::size_t>(items().size()));
}

void ColumnBuilder::release_to(const std::string& name, ArrowSchema& schema, ArrowArray& array) && {
  const bool nested = type_.kind == Kind::list || type_.kind == Kind::map || type_.kind == Kind::vector;
  OwnedSchema& described = own(schema, name, format_of(type_), nested ? 1 : 0);
  const std::int64_t buffers = type_.kind == Kind::vector ? 1 : type_.kind == Kind::text ? 3 : 2;
  OwnedArray& owned = own(array, size_, nulls_, buffers, nested ? 1 : 0);
  owned.valid = std::move(valid_);
  if (nulls_ != 0) owned.buffers[0] = owned.valid.data();
  owned.data = std::move(data_);
  owned.ends = std::move(ends_);
  if (type_.kind == Kind::vector) {
    own(described.children[0], "item", "f", 0);
    OwnedArray& numbers = own(owned.children[0], size_ * type_.dim, 0, 2, 0);
    numbers.data = std::move(owned.data);
    numbers.buffers[1] = numbers.data.data();
    return;
  }
  if (type_.kind == Kind::boolean) {
    std::vector<char> bits((owned.data.size() + 7) / 8);
    for (std::size_t i = 0; i < owned.data.size(); ++i)
      bits[i >> 3] = static_cast<char>(bits[i >> 3] | (owned.data[i] != 0) << (i & 7));
    owned.data = std::move(bits);
  }
  owned.buffers[1] = owned.ends.empty() ? static_cast<const void*>(owned.data.data()) : owned.ends.data();
  if (type_.kind == Kind::text) owned.buffers[2] = owned.data.data();
  if (type_.kind == Kind::list) std::move(items()).release_to("item", described.children[0], owned.children[0]);
  if (type_.kind == Kind::map) {
    OwnedSchema& pair = own(described.children[0], "entries", "+s", 2);
    OwnedArray& pairs = own(owned.children[0], items().size(), 0, 1, 2);
    std::move(keys()).release_to("key", pair.children[0], pairs.children[0]);
    std::move(items()).release_to("value", pair.children[1], pairs.children[1]);
    described.children[0].flags = pair.children[0].flags = 0;  // neither a pair nor its key is ever null
  }
}

void release_record(std::vector<ColumnBuilder>&& columns, const std::vector<std::string>& names, std::int64_t rows,
                    ArrowSchema& schema, ArrowArray& array) {
  OwnedSchema& described = own(schema, "", "+s", columns.size());
  OwnedArray& owned = own(array, rows, 0, 1, columns.size());
  for (std::size_t c = 0; c < columns.size(); ++c)
    std::move(columns[c]).release_to(names[c], described.children[c], owned.children[c]);
}

}  // namespace store
