#include "arrow_column.h"

#include <stdexcept>
#include <string_view>

namespace fg {
namespace {

Type type_of(const ArrowSchema& schema) {
  const std::string_view format(schema.format);
  if (format == "n") return Type::null;
  if (format == "b") return Type::boolean;
  if (format == "c") return Type::i8;
  if (format == "s") return Type::i16;
  if (format == "i" || format == "tdD" || format == "tts" || format == "ttm") return Type::i32;
  if (format == "l") return Type::i64;
  if (format == "C") return Type::u8;
  if (format == "S") return Type::u16;
  if (format == "I") return Type::u32;
  if (format == "L") return Type::u64;
  if (format == "f") return Type::f32;
  if (format == "g") return Type::f64;
  if (format == "u" || format == "z") return Type::text32;
  if (format == "U" || format == "Z") return Type::text64;
  if (format == "vu" || format == "vz") return Type::text_view;
  if (format == "+l") return Type::list32;
  if (format == "+L") return Type::list64;
  if (format == "+m") return Type::map;
  if (format == "+s") return Type::record;
  if (format.substr(0, 2) == "ts" || format.substr(0, 2) == "tD" || format == "tdm" || format == "ttu" ||
      format == "ttn")
    return Type::i64;
  throw std::invalid_argument("an Arrow type that no feature reads (format '" + std::string(format) + "')");
}

}  // namespace

Column view_column(const ArrowSchema& schema, const ArrowArray& array, std::int64_t parent_offset) {
  Column column;
  column.length = array.length;
  column.offset = array.offset + parent_offset;
  column.type = type_of(schema);
  if (column.type == Type::null) return column;
  if (array.n_buffers > 0 && array.null_count != 0) column.valid = static_cast<const std::uint8_t*>(array.buffers[0]);
  if (schema.dictionary != nullptr) {
    column.index = column.type;
    column.type = Type::dictionary;
    column.data = array.buffers[1];
    column.children.push_back(view_column(*schema.dictionary, *array.dictionary));
    return column;
  }
  switch (column.type) {
    case Type::text32:
    case Type::text64:
      column.offsets = array.buffers[1];
      column.data = array.buffers[2];
      break;
    case Type::text_view:
      column.data = array.buffers[1];
      column.buffers = array.buffers + 2;
      break;
    case Type::list32:
    case Type::list64:
      column.offsets = array.buffers[1];
      column.children.push_back(view_column(*schema.children[0], *array.children[0]));
      break;
    case Type::map: {
      column.offsets = array.buffers[1];
      const ArrowSchema& entry = *schema.children[0];
      const ArrowArray& entries = *array.children[0];
      for (int i = 0; i < 2; ++i)
        column.children.push_back(view_column(*entry.children[i], *entries.children[i], entries.offset));
      break;
    }
    case Type::record:
      for (std::int64_t i = 0; i < schema.n_children; ++i) {
        column.names.emplace_back(schema.children[i]->name);
        column.children.push_back(view_column(*schema.children[i], *array.children[i], column.offset));
      }
      break;
    default: column.data = array.buffers[1];
  }
  return column;
}

}  // namespace fg
