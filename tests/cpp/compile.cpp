#include "compile.h"

#include "check.h"
#include "plain_file.h"

namespace {

// A plan over one column `x`, from what plain_file.h reads.
std::unique_ptr<fg::Plan> plan(const std::string& feature, const std::string& unit = "") {
  const fg::Plain units = test::parse_plain("[{s8:features[{" + feature + "}]" + unit + "}]");
  return fg::compile_plan({"x"}, units.list());
}

const std::string input = "s6:inputs[{s6:columni0;}]";
const std::string hash = "s4:sink{s11:discretizers4:hashs4:sizei10;}";

}  // namespace

TEST(a_plan_of_plain_data) {
  const auto made = plan(input + hash);
  CHECK_EQUAL(made->features().size(), std::size_t{1});
  CHECK_EQUAL(made->features()[0].sink.size, std::int64_t{10});
  CHECK(made->features()[0].emitted);
  CHECK_EQUAL(made->units().size(), std::size_t{1});
}

TEST(data_that_is_no_plan) {
  CHECK_THROWS(plan(input), "lacks 'sink'");
  CHECK_THROWS(plan(hash), "lacks 'inputs'");
  CHECK_THROWS(plan("s6:inputs[]" + hash), "wrong number of inputs");
  CHECK_THROWS(plan("s6:inputs[{s6:columni1;}]" + hash), "a column or an earlier feature");
  CHECK_THROWS(plan("s6:inputs[{s7:featurei0;}]" + hash), "a column or an earlier feature");
  CHECK_THROWS(plan(input + "s4:sink{s11:discretizers4:hash}"), "a hash needs buckets");
  CHECK_THROWS(plan(input + "s4:sink{s11:discretizers10:vocabulary}"), "no words");
  CHECK_THROWS(plan(input + "s4:sink{s11:discretizers3:odd}"), "unknown 'odd'");
  CHECK_THROWS(plan(input + "s8:operators3:odd" + hash), "there is no operation 'odd'");
  CHECK_THROWS(plan("s6:inputs[{s6:columni0;s9:separators2:::}]" + hash), "must be one byte");
  CHECK_THROWS(plan(input + hash, "s8:sequencet"), "a unit is some features or one sequence");
  CHECK_THROWS(plan(input + hash + "s7:vectorst"), "value_dim must be positive");
  CHECK_THROWS(plan("s6:inputst" + hash), "needs a list");
}
