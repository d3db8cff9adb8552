// Plain data from a file, as plain_file.py writes it.
#pragma once

#include <string>

#include "plain.h"

namespace test {

// Reads `n`, `t`, `f`, `i<decimal>;`, `d<hexadecimal>;`, `s<bytes>:<text>`, `[...]` and `{<text><value>...}`. Numbers
// and bytes survive exactly. Throws std::runtime_error where it is something else.
fg::Plain read_plain(const std::string& path);
fg::Plain parse_plain(const std::string& text);

}  // namespace test
