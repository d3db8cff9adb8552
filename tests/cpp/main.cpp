// Runs the tests whose names contain the first argument; all without one.
#include <cstring>

#include "check.h"

int main(int count, char** arguments) {
  int failures = 0, done = 0;
  for (const test::Test& test : test::tests()) {
    if (count > 1 && test.name.find(arguments[1]) == std::string::npos) continue;
    ++done;
    try {
      test.run();
    } catch (const std::exception& error) {
      ++failures;
      std::printf("FAILED %s\n  %s\n", test.name.c_str(), error.what());
    }
  }
  std::printf("%d tests, %d failed\n", done, failures);
  return failures != 0 || done == 0 ? 1 : 0;
}
