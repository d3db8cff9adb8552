#include "compile.h"

#include <limits>
#include <unordered_map>

namespace fg {
namespace {

bool flag(const Plain& map, const char* key, bool otherwise) {
  const Plain* const value = map.find(key);
  return value != nullptr ? value->flag() : otherwise;
}

std::int64_t integer(const Plain& map, const char* key, std::int64_t otherwise) {
  const Plain* const value = map.find(key);
  return value != nullptr ? value->integer() : otherwise;
}

std::uint32_t count(const Plain& map, const char* key) {
  const std::int64_t value = integer(map, key, 0);
  if (value < 0 || value > std::numeric_limits<std::uint32_t>::max())
    throw std::invalid_argument(std::string(key) + " must fit 32 bits");
  return static_cast<std::uint32_t>(value);
}

std::string text(const Plain& map, const char* key, const char* otherwise) {
  const Plain* const value = map.find(key);
  return value != nullptr ? value->text() : otherwise;
}

char one_byte(const Plain& map, const char* key, char otherwise) {
  const Plain* const value = map.find(key);
  if (value == nullptr) return otherwise;
  if (value->text().size() != 1) throw std::invalid_argument(std::string(key) + " must be one byte");
  return value->text()[0];
}

template <class T>
T as(const Plain& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value.text();
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return value.integer();
  } else {
    return static_cast<T>(value.number());
  }
}

// The list `key`; none is an empty one.
template <class T>
std::vector<T> list(const Plain& map, const char* key) {
  std::vector<T> values;
  const Plain* const found = map.find(key);
  if (found == nullptr) return values;
  values.reserve(found->list().size());
  for (const Plain& value : found->list()) values.push_back(as<T>(value));
  return values;
}

template <class T>
T one_of(const std::unordered_map<std::string, T>& known, const std::string& name) {
  const auto found = known.find(name);
  if (found == known.end()) throw std::invalid_argument("a plan holds an unknown '" + name + "'");
  return found->second;
}

Parameters parameters_of(const Plain::Map& map) {
  Parameters parameters;
  for (const auto& [name, value] : map) {
    if (value.is<bool>()) {
      parameters.set(name, value.flag());
    } else if (value.is<std::int64_t>()) {
      parameters.set(name, value.integer());
    } else if (value.is<double>()) {
      parameters.set(name, value.number());
    } else if (value.is<std::string>()) {
      parameters.set(name, value.text());
    } else {
      const Plain::List& items = value.list();
      if (!items.empty() && items[0].is<std::string>()) {
        std::vector<std::string> texts;
        for (const Plain& item : items) texts.push_back(item.text());
        parameters.set(name, std::move(texts));
      } else {
        std::vector<double> numbers;
        for (const Plain& item : items) numbers.push_back(item.number());
        parameters.set(name, std::move(numbers));
      }
    }
  }
  return parameters;
}

Normalizer normalizer_of(const Plain& map) {
  Normalizer normalizer;
  const std::string method = text(map, "method", "none");
  if (method == "log10") {
    normalizer.method = Normalizer::Method::log10;
    normalizer.threshold = map.at("threshold").number();
    normalizer.fallback = map.at("default").number();
  } else if (method == "affine") {
    normalizer.method = Normalizer::Method::affine;
    normalizer.shift = map.at("shift").number();
    normalizer.scale = map.at("scale").number();
  } else if (method == "expression") {
    normalizer.method = Normalizer::Method::expression;
    normalizer.expression = std::make_shared<const Expression>(parameters_of(map.map()));
    if (normalizer.expression->inputs() != 1) throw std::invalid_argument("a normalizer has one variable");
  }
  return normalizer;
}

SinkRule sink_of(const Plain& map) {
  static const std::unordered_map<std::string, Discretizer> kinds = {{"none", Discretizer::none},
                                                                     {"hash", Discretizer::hash},
                                                                     {"range", Discretizer::range},
                                                                     {"vocabulary", Discretizer::vocabulary},
                                                                     {"boundaries", Discretizer::boundaries},
                                                                     {"text", Discretizer::text},
                                                                     {"numbers", Discretizer::numbers}};
  static const std::unordered_map<std::string, OutOfRange> outside = {
      {"default", OutOfRange::replace}, {"clip", OutOfRange::clip}, {"error", OutOfRange::error}};
  static const std::unordered_map<std::string, Hash> hashes = {{"murmur64a", Hash::murmur64a},
                                                               {"farmhash", Hash::farmhash}};
  SinkRule rule;
  rule.discretizer = one_of(kinds, map.at("discretizer").text());
  rule.hash = one_of(hashes, text(map, "hash", "murmur64a"));
  rule.size = integer(map, "size", 0);
  rule.out_of_range = one_of(outside, text(map, "out_of_range", "default"));
  rule.unknown = integer(map, "unknown", 0);
  rule.boundaries = list<float>(map, "boundaries");
  rule.value_dim = count(map, "value_dim");
  rule.weighted = flag(map, "weighted", false);
  rule.default_ids = list<std::int64_t>(map, "default_ids");
  rule.default_numbers = list<float>(map, "default_numbers");
  rule.default_texts = list<std::string>(map, "default_texts");
  if (map.find("words") != nullptr) {
    const auto words = list<std::string>(map, "words");
    const auto ids = list<std::int64_t>(map, "word_ids");
    if (words.size() != ids.size()) throw std::invalid_argument("every word has one id");
    rule.vocabulary = std::make_shared<Vocabulary>(words, ids);
  }
  if (const Plain* const normalizer = map.find("normalizer"); normalizer != nullptr)
    rule.normalizer = normalizer_of(*normalizer);
  if (rule.discretizer == Discretizer::hash && rule.size < 1) throw std::invalid_argument("a hash needs buckets");
  if (rule.discretizer == Discretizer::vocabulary && rule.vocabulary == nullptr)
    throw std::invalid_argument("no words");
  return rule;
}

Input input_of(const Plain& map, std::size_t columns, std::size_t before) {
  Input input;
  const std::int64_t column = integer(map, "column", -1), feature = integer(map, "feature", -1);
  if (column >= static_cast<std::int64_t>(columns) || feature >= static_cast<std::int64_t>(before) ||
      (column < 0) == (feature < 0)) {
    throw std::invalid_argument("an input must be a column or an earlier feature");
  }
  input.column = static_cast<int>(column);
  input.feature = static_cast<int>(feature);
  input.reading = compile_reading(map);
  return input;
}

Feature feature_of(const Plain& map, std::size_t columns, std::size_t before) {
  Feature feature;
  const std::string name = text(map, "operator", "copy");
  const Plain* const given = map.find("parameters");
  const Parameters parameters = given != nullptr ? parameters_of(given->map()) : Parameters();
  if (name == "call") {
    feature.operation = map.at("call").code()(parameters);
  } else if (name != "copy") {
    feature.operation = make_operation(name, parameters);
  }
  feature.sink = sink_of(map.at("sink"));
  feature.vectors = flag(map, "vectors", false);
  feature.exploded = flag(map, "exploded", false);
  feature.emitted = flag(map, "emitted", true);
  feature.shared = flag(map, "shared", false);
  for (const Plain& input : map.at("inputs").list()) feature.inputs.push_back(input_of(input, columns, before));
  if (feature.inputs.empty() || (feature.operation == nullptr && feature.inputs.size() != 1))
    throw std::invalid_argument("wrong number of inputs");
  if (feature.operation != nullptr) feature.operation->check(feature.inputs.size());
  if (feature.vectors && feature.sink.value_dim < 1 && feature.sink.discretizer != Discretizer::boundaries)
    throw std::invalid_argument("value_dim must be positive");
  if (!feature.sink.default_numbers.empty() && feature.sink.default_numbers.size() != feature.sink.value_dim)
    throw std::invalid_argument("a default must have value_dim numbers");
  return feature;
}

}  // namespace

Reading compile_reading(const Plain& map) {
  Reading reading;
  reading.separator = one_byte(map, "separator", '\x1d');
  reading.delim = one_byte(map, "delim", ';');
  reading.assign = one_byte(map, "assign", ':');
  reading.assign_last = flag(map, "assign_last", false);
  reading.split = flag(map, "split", true);
  reading.sequence = flag(map, "sequence", false);
  reading.weighted = flag(map, "weighted", false);
  reading.lengths = flag(map, "lengths", false);
  if (const Plain* const pairs = map.find("pairs"); pairs != nullptr)
    reading.pairs = std::make_shared<const Reading>(compile_reading(*pairs));
  if (flag(map, "folded", false)) {
    auto whole = std::make_shared<Reading>(reading);
    whole->pairs = nullptr;
    whole->split = false;
    reading.folded = std::move(whole);
  }
  if (reading.pairs != nullptr && reading.weighted) throw std::invalid_argument("pairs have no weights");
  return reading;
}

std::unique_ptr<Plan> compile_plan(std::vector<std::string> columns, const Plain::List& units) {
  std::vector<Feature> features;
  std::vector<Unit> compiled;
  for (const Plain& map : units) {
    Unit unit;
    unit.level = static_cast<int>(integer(map, "level", 0));
    unit.sequence = flag(map, "sequence", false);
    unit.shortest = flag(map, "shortest", false);
    unit.rule.most = count(map, "most");
    unit.rule.newest_first = flag(map, "newest_first", false);
    unit.rule.keep_oldest = flag(map, "keep_oldest", false);
    unit.rule.pad_empty = flag(map, "pad_empty", false);
    const std::size_t before = features.size();
    bool any = !unit.sequence;
    for (const Plain& feature : map.at("features").list()) {
      unit.features.push_back(static_cast<int>(features.size()));
      features.push_back(feature_of(feature, columns.size(), before));
      for (const Input& input : features.back().inputs) any = any || input.reading.sequence;
      const bool first = features.size() == before + 1;
      if (features.back().shared ? first : !first && !unit.sequence)
        throw std::invalid_argument("plain features of one unit share their values");
    }
    if (unit.features.empty() || !any) throw std::invalid_argument("a unit is some features or one sequence");
    compiled.push_back(std::move(unit));
  }
  return std::make_unique<Plan>(std::move(features), std::move(compiled), std::move(columns));
}

}  // namespace fg
