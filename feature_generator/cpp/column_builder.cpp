#include "column_builder.h"

namespace fg {
namespace {

constexpr std::int64_t nullable = 2;  // the specification's ARROW_FLAG_NULLABLE

// What an exported schema or array owns: its release lets go of it and of the children that nobody took.
struct OwnedSchema {
  std::string name;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
};

struct OwnedArray {
  Slab<std::uint8_t> valid, flags;  // bits
  Slab<std::int64_t> integers;
  Slab<double> numbers;
  Slab<char> text;
  Slab<std::int32_t> ends;
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

OwnedSchema& own(ArrowSchema& schema, const std::string& name, const char* format, std::size_t children) {
  auto* const owned = new OwnedSchema{name, std::vector<ArrowSchema>(children), {}};
  for (ArrowSchema& child : owned->children) owned->pointers.push_back(&child);
  schema = {format,
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

OwnedArray& own(ArrowArray& array, std::int64_t length, std::int64_t buffers, std::size_t children) {
  auto* const owned = new OwnedArray;
  owned->children.resize(children);
  for (ArrowArray& child : owned->children) owned->pointers.push_back(&child);
  array = {length,
           0,
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

// A bit for each byte, which is 0 or 1.
Slab<std::uint8_t> packed(const Slab<std::uint8_t>& bytes) {
  Slab<std::uint8_t> bits;
  bits.resize((bytes.size() + 7) / 8);
  if (!bits.empty()) std::memset(bits.data(), 0, bits.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bits[i >> 3] = static_cast<std::uint8_t>(bits[i >> 3] | bytes[i] << (i & 7));
  return bits;
}

const char* format_of(ColumnBuilder::Kind kind) noexcept {
  switch (kind) {
    case ColumnBuilder::Kind::boolean: return "b";
    case ColumnBuilder::Kind::integer: return "l";
    case ColumnBuilder::Kind::number: return "g";
    case ColumnBuilder::Kind::text: return "u";
    case ColumnBuilder::Kind::list: return "+l";
    case ColumnBuilder::Kind::map: return "+m";
    default: return "n";
  }
}

template <class T>
void zeros(Slab<T>& slab, std::size_t count) {
  slab.resize(count);
  if (count != 0) std::memset(static_cast<void*>(slab.data()), 0, count * sizeof(T));
}

}  // namespace

void ColumnBuilder::add_null() {
  if (spoiled()) return;
  if (kind_ == Kind::map) {
    ends_.push(ends_[ends_.size() - 1]);
    ++size_;
    return;
  }
  if (nulls_ == 0) {
    valid_.resize(static_cast<std::size_t>(size_));
    if (size_ != 0) std::memset(valid_.data(), 1, static_cast<std::size_t>(size_));
  }
  valid_.push(0);
  ++nulls_;
  ++size_;
  switch (kind_) {
    case Kind::boolean: return flags_.push(0);
    case Kind::integer: return integers_.push(0);
    case Kind::number: return numbers_.push(0);
    case Kind::text:
    case Kind::list: return ends_.push(ends_[ends_.size() - 1]);
    default: return;
  }
}

void ColumnBuilder::start(Kind kind) {
  kind_ = kind;
  const auto before = static_cast<std::size_t>(size_);  // nulls all
  if (kind == Kind::boolean) return zeros(flags_, before);
  if (kind == Kind::integer) return zeros(integers_, before);
  if (kind == Kind::number) return zeros(numbers_, before);
  zeros(ends_, before + 1);
  if (kind == Kind::text) return;
  items_ = std::make_unique<ColumnBuilder>();
  if (kind == Kind::list) return;
  keys_ = std::make_unique<ColumnBuilder>();
  keys_->start(Kind::text);  // even where no map has any
  nulls_ = 0;
}

void ColumnBuilder::widen() {
  numbers_.resize(integers_.size());
  for (std::size_t i = 0; i < integers_.size(); ++i) {
    if (!exact(integers_[i])) return spoil();
    numbers_[i] = static_cast<double>(integers_[i]);
  }
  kind_ = Kind::number;
}

void ColumnBuilder::release_to(const std::string& name, ArrowSchema& schema, ArrowArray& array) && {
  const std::size_t children = kind_ == Kind::list || kind_ == Kind::map ? 1 : 0;
  const std::int64_t buffers = kind_ == Kind::nothing ? 0 : kind_ == Kind::text ? 3 : 2;
  OwnedSchema& described = own(schema, name, format_of(kind_), children);
  OwnedArray& owned = own(array, size_, buffers, children);
  array.null_count = nulls_;
  if (kind_ == Kind::nothing) return;
  if (nulls_ != 0) owned.valid = packed(valid_);
  owned.buffers[0] = owned.valid.data();
  if (kind_ == Kind::boolean) {
    owned.flags = packed(flags_);
    owned.buffers[1] = owned.flags.data();
  } else if (kind_ == Kind::integer) {
    owned.integers = std::move(integers_);
    owned.buffers[1] = owned.integers.data();
  } else if (kind_ == Kind::number) {
    owned.numbers = std::move(numbers_);
    owned.buffers[1] = owned.numbers.data();
  } else {
    owned.ends = std::move(ends_);
    owned.text = std::move(text_);
    owned.buffers[1] = owned.ends.data();
    owned.buffers[2] = owned.text.data();
  }
  if (kind_ == Kind::list) std::move(*items_).release_to("item", described.children[0], owned.children[0]);
  if (kind_ == Kind::map) release_pairs(described.children[0], owned.children[0]);
}

void ColumnBuilder::release_pairs(ArrowSchema& schema, ArrowArray& array) {
  OwnedSchema& described = own(schema, "entries", "+s", 2);
  OwnedArray& owned = own(array, items_->size(), 1, 2);
  std::move(*keys_).release_to("key", described.children[0], owned.children[0]);
  std::move(*items_).release_to("value", described.children[1], owned.children[1]);
  schema.flags = described.children[0].flags = 0;  // neither a pair nor its key is ever null
}

void release_record(std::vector<ColumnBuilder>&& columns, const std::vector<std::string>& names, std::int64_t rows,
                    ArrowSchema& schema, ArrowArray& array) {
  OwnedSchema& described = own(schema, "", "+s", columns.size());
  OwnedArray& owned = own(array, rows, 1, columns.size());
  for (std::size_t c = 0; c < columns.size(); ++c)
    std::move(columns[c]).release_to(names[c], described.children[c], owned.children[c]);
}

}  // namespace fg
