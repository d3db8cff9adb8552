#include "flat_batch.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace fg {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::int64_t nullable = 2;  // a flag: as columns are described everywhere else

// What an exported structure keeps alive, and the structures below it.
struct SchemaOwner {
  std::shared_ptr<const FlatLayout> layout;
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;
  std::string format;
};

struct ArrayOwner {
  FlatBatch batch;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;
  const void* buffers[2];
};

template <class Structure, class Owner>
void release(Structure* structure) {
  auto* const owner = static_cast<Owner*>(structure->private_data);
  for (Structure& child : owner->children) {
    if (child.release != nullptr) child.release(&child);
  }
  delete owner;
  structure->release = nullptr;
}

void describe(ArrowSchema& schema, std::unique_ptr<SchemaOwner> owner, const char* name) {
  for (ArrowSchema& child : owner->children) owner->pointers.push_back(&child);
  schema = {owner->format.c_str(),
            name,
            nullptr,
            nullable,
            static_cast<std::int64_t>(owner->children.size()),
            owner->pointers.data(),
            nullptr,
            &release<ArrowSchema, SchemaOwner>,
            owner.get()};
  owner.release();
}

void describe(ArrowArray& array, std::unique_ptr<ArrayOwner> owner, std::int64_t length, std::int64_t num_buffers,
              const void* data) {
  for (ArrowArray& child : owner->children) owner->pointers.push_back(&child);
  owner->buffers[0] = nullptr;
  owner->buffers[1] = data;
  array = {length,
           0,
           0,
           num_buffers,
           static_cast<std::int64_t>(owner->children.size()),
           owner->buffers,
           owner->pointers.data(),
           nullptr,
           &release<ArrowArray, ArrayOwner>,
           owner.get()};
  owner.release();
}

std::unique_ptr<SchemaOwner> schema_owner(const FlatBatch& batch, std::string format, std::size_t children) {
  auto owner = std::make_unique<SchemaOwner>();
  owner->layout = batch.layout;
  owner->format = std::move(format);
  owner->children.resize(children);
  return owner;
}

std::unique_ptr<ArrayOwner> array_owner(const FlatBatch& batch, std::size_t children) {
  std::unique_ptr<ArrayOwner> owner(new ArrayOwner{batch, {}, {}, {}});
  owner->children.resize(children);
  return owner;
}

// No branch in the loop: a number is finite where its exponent is not all ones.
template <class Bits, Bits exponent>
bool finite(const std::byte* data, std::int64_t numbers) noexcept {
  bool good = true;
  for (std::int64_t i = 0; i < numbers; ++i) {
    Bits bits;
    std::memcpy(&bits, data + static_cast<std::size_t>(i) * sizeof(Bits), sizeof(Bits));
    good &= (bits & exponent) != exponent;
  }
  return good;
}

}  // namespace

std::size_t bytes_of(char format) {
  switch (format) {
    case 'c':
    case 'C': return 1;
    case 's':
    case 'S': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'l':
    case 'L':
    case 'g': return 8;
    default: throw std::invalid_argument("a flat column holds numbers");
  }
}

FlatLayout::FlatLayout(std::vector<FlatColumn> given, std::int64_t rows) : columns(std::move(given)), rows(rows) {
  if (rows < 0) throw std::invalid_argument("there cannot be fewer than 0 rows");
  list_ends.resize(columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    FlatColumn& column = columns[i];
    const std::size_t width = bytes_of(column.format);
    if (column.from < 0 || column.list < -1) throw std::invalid_argument("a column cannot begin before the source");
    if (__builtin_mul_overflow(rows, column.list < 0 ? 1 : column.list, &column.numbers) ||
        column.numbers > (std::int64_t{1} << 48))
      throw std::invalid_argument("a column is too long");
    const std::size_t bytes = width * static_cast<std::size_t>(column.numbers);
    source = std::max(source, static_cast<std::size_t>(column.from) + bytes);
    column.at = size;
    size += (bytes + alignment - 1) / alignment * alignment;
    if (column.list < 0) continue;
    longest = std::max(longest, column.list);
    for (std::int64_t r = 0; r <= rows; ++r) list_ends[i].push_back(r * column.list);
  }
}

FlatBatch::FlatBatch(std::shared_ptr<const FlatLayout> given)
    : layout(std::move(given)),
      memory(static_cast<std::byte*>(
                 ::operator new[](std::max<std::size_t>(layout->size, 1), std::align_val_t(alignment))),
             [](std::byte* block) { ::operator delete[](block, std::align_val_t(alignment)); }) {}

bool all_finite(const FlatBatch& batch, std::size_t i) noexcept {
  const FlatColumn& column = batch.layout->columns[i];
  if (column.format == 'f') return finite<std::uint32_t, 0x7f800000u>(batch.column(i), column.numbers);
  if (column.format == 'g') return finite<std::uint64_t, 0x7ff0000000000000u>(batch.column(i), column.numbers);
  return true;
}

bool copy_flat(const std::byte* source, const FlatBatch& batch) noexcept {
  bool good = true;
  for (std::size_t i = 0; i < batch.layout->columns.size(); ++i) {
    const FlatColumn& column = batch.layout->columns[i];
    const std::size_t bytes = bytes_of(column.format) * static_cast<std::size_t>(column.numbers);
    if (bytes != 0) std::memcpy(batch.column(i), source + column.from, bytes);
    good &= all_finite(batch, i);
  }
  return good;
}

void export_flat(const FlatBatch& batch, ArrowSchema& schema, ArrowArray& array) {
  const FlatLayout& layout = *batch.layout;
  auto schemas = schema_owner(batch, "+s", layout.columns.size());
  auto arrays = array_owner(batch, layout.columns.size());
  for (std::size_t i = 0; i < layout.columns.size(); ++i) {
    const FlatColumn& column = layout.columns[i];
    const bool list = column.list >= 0;
    auto schema_of = schema_owner(batch, list ? "+L" : std::string(1, column.format), list ? 1 : 0);
    auto array_of = array_owner(batch, list ? 1 : 0);
    if (list) {
      describe(schema_of->children[0], schema_owner(batch, std::string(1, column.format), 0), "item");
      describe(array_of->children[0], array_owner(batch, 0), column.numbers, 2, batch.column(i));
    }
    describe(schemas->children[i], std::move(schema_of), column.name.c_str());
    describe(arrays->children[i], std::move(array_of), layout.rows, 2,
             list ? static_cast<const void*>(layout.list_ends[i].data()) : batch.column(i));
  }
  describe(schema, std::move(schemas), "");
  describe(array, std::move(arrays), layout.rows, 1, nullptr);
}

}  // namespace fg
