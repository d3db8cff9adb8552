#include "json_rows.h"

#include <cstring>
#include <unordered_map>

#include "number_text.h"

namespace fg {
namespace {

constexpr int deepest = 8;  // lists inside of lists
constexpr std::size_t most_columns = 4096;

bool is_digit(char c) noexcept { return static_cast<unsigned char>(c - '0') < 10; }

// Appends a code point as UTF-8.
void append_utf8(std::uint32_t code, std::string& out) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

// Reads forward through text. Methods return false where it is not as expected.
class Reader {
 public:
  explicit Reader(std::string_view text) : begin_(text.data()), p_(begin_), end_(begin_ + text.size()) {}

  // Goes to the value of a key of the object that the text is.
  bool find(std::string_view key) {
    if (!take('{')) return false;
    do {
      std::string_view found;
      if (!take('"') || !plain_text(found) || !take(':')) return false;
      if (found == key) return true;
      if (!skip_value()) return false;
    } while (take(','));
    return false;
  }

  bool read_list(JsonRows& made) {
    space();
    made.begin = at();
    if (!take('[')) return false;
    do {
      if (!read_row(made)) return false;
      ++made.rows;
    } while (take(','));
    if (!take(']')) return false;
    made.end = at();
    made.ascii = !high_;
    for (ColumnBuilder& column : made.columns) {
      column.pad(made.rows);
      if (column.spoiled()) return false;
    }
    return true;
  }

 private:
  std::size_t at() const noexcept { return static_cast<std::size_t>(p_ - begin_); }
  void space() noexcept {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\t' || *p_ == '\r')) ++p_;
  }
  bool take(char c) noexcept {
    space();
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }
  bool take_word(const char* word, std::size_t size) noexcept {
    if (static_cast<std::size_t>(end_ - p_) < size || std::memcmp(p_, word, size) != 0) return false;
    p_ += size;
    return true;
  }

  // Goes to the byte that ends a run of plain ones inside of a text.
  void run() noexcept {
    unsigned char seen = 0;
    for (; p_ != end_ && *p_ != '"' && *p_ != '\\' && static_cast<unsigned char>(*p_) >= 0x20; ++p_)
      seen |= static_cast<unsigned char>(*p_);
    high_ |= seen >= 0x80;
  }
  // A text without escapes, behind its opening quote.
  bool plain_text(std::string_view& text) noexcept {
    const char* const first = p_;
    run();
    if (p_ == end_ || *p_ != '"') return false;
    text = {first, static_cast<std::size_t>(p_ - first)};
    ++p_;
    return true;
  }
  // Any text, behind its opening quote.
  bool any_text(std::string_view& text) {
    const char* const first = p_;
    if (plain_text(text)) return true;
    decoded_.assign(first, p_);
    while (p_ != end_ && *p_ == '\\') {
      if (!unescape()) return false;
      const char* const next = p_;
      run();
      decoded_.append(next, p_);
    }
    if (p_ == end_ || *p_ != '"') return false;
    ++p_;
    text = decoded_;
    return true;
  }
  bool unescape() {
    if (end_ - ++p_ < 1) return false;
    switch (*p_++) {
      case '"': decoded_.push_back('"'); return true;
      case '\\': decoded_.push_back('\\'); return true;
      case '/': decoded_.push_back('/'); return true;
      case 'b': decoded_.push_back('\b'); return true;
      case 'f': decoded_.push_back('\f'); return true;
      case 'n': decoded_.push_back('\n'); return true;
      case 'r': decoded_.push_back('\r'); return true;
      case 't': decoded_.push_back('\t'); return true;
      case 'u': break;
      default: return false;
    }
    std::uint32_t code = 0, low = 0;
    if (!hex(code) || (code >= 0xDC00 && code < 0xE000)) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      if (!take_word("\\u", 2) || !hex(low) || low < 0xDC00 || low >= 0xE000) return false;
      code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
    }
    append_utf8(code, decoded_);
    return true;
  }
  bool hex(std::uint32_t& code) noexcept {
    if (end_ - p_ < 4) return false;
    for (int i = 0; i < 4; ++i, ++p_) {
      const auto lower = static_cast<unsigned char>(*p_ | 0x20);
      if (is_digit(*p_)) code = code << 4 | static_cast<std::uint32_t>(*p_ - '0');
      else if (lower >= 'a' && lower <= 'f') code = code << 4 | static_cast<std::uint32_t>(lower - 'a' + 10);
      else return false;
    }
    return true;
  }

  // Goes behind a value, which somebody else reads.
  bool skip_value() noexcept {
    std::int64_t depth = 0;
    space();
    for (; p_ != end_; ++p_) {
      const char c = *p_;
      if (c == '"') {
        for (++p_; p_ != end_ && *p_ != '"'; ++p_) {
          if (*p_ == '\\' && ++p_ == end_) return false;
        }
        if (p_ == end_) return false;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (--depth < 0) return true;
      } else if (c == ',' && depth == 0) {
        return true;
      }
    }
    return false;
  }

  bool read_row(JsonRows& made) {
    if (!take('{')) return false;
    next_ = 0;
    if (take('}')) return true;
    do {
      ColumnBuilder* const column = column_of_key(made);
      if (column == nullptr || column->size() > made.rows) return false;  // the key was there already
      column->pad(made.rows);
      if (!take(':') || !read_value(*column, 0)) return false;
    } while (take(','));
    return take('}');
  }
  // The column of the key that comes; rows mostly have the same keys in the same order.
  ColumnBuilder* column_of_key(JsonRows& made) {
    if (!take('"')) return nullptr;
    if (next_ < made.names.size()) {
      const std::string& likely = made.names[next_];
      if (static_cast<std::size_t>(end_ - p_) > likely.size() && p_[likely.size()] == '"' &&
          std::memcmp(p_, likely.data(), likely.size()) == 0) {
        p_ += likely.size() + 1;
        return &made.columns[next_++];
      }
    }
    std::string_view key;
    if (!plain_text(key)) return nullptr;
    const auto [place, fresh] = numbers_.try_emplace(std::string(key), made.names.size());
    if (fresh) {
      if (made.names.size() == most_columns) return nullptr;
      made.names.emplace_back(key);
      made.columns.emplace_back();
    }
    next_ = place->second + 1;
    return &made.columns[place->second];
  }

  bool read_value(ColumnBuilder& column, int depth) {
    space();
    if (p_ == end_) return false;
    switch (*p_) {
      case '"': {
        ++p_;
        std::string_view text;
        if (!any_text(text)) return false;
        column.add_text(text.data(), text.size());
        break;
      }
      case 'n':
        if (!take_word("null", 4)) return false;
        column.add_null();
        break;
      case 't':
        if (!take_word("true", 4)) return false;
        column.add_boolean(true);
        break;
      case 'f':
        if (!take_word("false", 5)) return false;
        column.add_boolean(false);
        break;
      case '[': return read_items(column, depth);
      default: return read_number(column);
    }
    return !column.spoiled();
  }
  bool read_items(ColumnBuilder& column, int depth) {
    ++p_;
    ColumnBuilder* const items = depth == deepest ? nullptr : column.open_list();
    if (items == nullptr) return false;
    if (!take(']')) {
      do {
        if (!read_value(*items, depth + 1)) return false;
      } while (take(','));
      if (!take(']')) return false;
    }
    column.close_list();
    return !column.spoiled();
  }
  bool read_number(ColumnBuilder& column) noexcept(false) {
    const char* const first = p_;
    const bool negative = *p_ == '-';
    if (negative) ++p_;
    if (p_ == end_ || !is_digit(*p_)) return false;
    const char* const digits = p_;
    std::int64_t whole = 0;
    for (; p_ != end_ && is_digit(*p_) && p_ - digits < 18; ++p_) whole = whole * 10 + (*p_ - '0');
    while (p_ != end_ && is_digit(*p_)) ++p_;
    const auto count = p_ - digits;
    if (*digits == '0' && count > 1) return false;
    const bool point = p_ != end_ && *p_ == '.';
    if (point && (++p_ == end_ || !digits_follow())) return false;
    const bool power = p_ != end_ && (*p_ == 'e' || *p_ == 'E');
    if (power) {
      if (++p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
      if (!digits_follow()) return false;
    }
    if (point || power) {
      double number = 0.0;
      if (!parse_number(first, static_cast<std::size_t>(p_ - first), number)) return false;
      column.add_number(number);
    } else {
      if (count > 18 || (negative && whole == 0)) return false;
      column.add_integer(negative ? -whole : whole);
    }
    return !column.spoiled();
  }
  bool digits_follow() noexcept {
    const char* const first = p_;
    while (p_ != end_ && is_digit(*p_)) ++p_;
    return p_ != first;
  }

  const char *begin_, *p_, *end_;
  bool high_ = false;     // a text has bytes beyond ASCII
  std::size_t next_ = 0;  // the column that comes next, as far as one can tell
  std::unordered_map<std::string, std::size_t> numbers_;
  std::string decoded_;
};

}  // namespace

std::optional<JsonRows> read_json_rows(std::string_view text, std::string_view key) {
  Reader reader(text);
  JsonRows made;
  if (!reader.find(key) || !reader.read_list(made)) return std::nullopt;
  return made;
}

}  // namespace fg
