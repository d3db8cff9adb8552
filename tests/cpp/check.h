// Tests of kernels: TEST(name) { CHECK(...); }, in any file; main.cpp runs them all.
#pragma once

#include <cstdio>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {

struct Test {
  std::string name;
  std::function<void()> run;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Registration {
  Registration(const char* name, void (*run)()) { tests().push_back({name, run}); }
};

// The first check that fails ends its test.
class FailedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <class T>
void show(std::ostream& out, const T& value) {
  out << value;
}
template <class T>
void show(std::ostream& out, const std::vector<T>& values) {
  out << "[";
  for (std::size_t i = 0; i < values.size(); ++i) out << (i == 0 ? "" : ", ") << values[i];
  out << "]";
}

[[noreturn]] inline void failed(const char* file, int line, const std::string& what) {
  throw FailedError(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

template <class A, class B>
void check_equal(const char* file, int line, const char* what, const A& got, const B& expected) {
  if (got == expected) return;
  std::ostringstream text;
  text.precision(17);
  text << what << " is ";
  show(text, got);
  text << ", not ";
  show(text, expected);
  failed(file, line, text.str());
}

template <class Work>
void check_throws(const char* file, int line, const Work& work, const std::string& part) {
  try {
    work();
  } catch (const std::invalid_argument& error) {
    if (std::string(error.what()).find(part) == std::string::npos)
      failed(file, line, std::string("the error says '") + error.what() + "', not '" + part + "'");
    return;
  }
  failed(file, line, "no error said '" + part + "'");
}

}  // namespace test

#define TEST(name)                                                        \
  static void test_##name();                                              \
  static const test::Registration registered_##name(#name, &test_##name); \
  static void test_##name()
#define CHECK(condition) \
  if (!(condition)) test::failed(__FILE__, __LINE__, #condition)
#define CHECK_EQUAL(got, ...) test::check_equal(__FILE__, __LINE__, #got, got, __VA_ARGS__)
#define CHECK_THROWS(expression, part) test::check_throws(__FILE__, __LINE__, [&] { (void)(expression); }, part)
