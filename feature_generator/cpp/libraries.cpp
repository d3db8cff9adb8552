#include "libraries.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <stdexcept>

namespace fg {
namespace {

std::mutex guard;
std::map<std::string, const easyrec_operator*> by_name;
std::map<std::string, std::vector<const easyrec_operator*>> by_path;

std::invalid_argument refusal(const std::string& text) { return std::invalid_argument(text); }

bool complete(const easyrec_operator& one) {
  const auto form = [](std::int32_t value) { return value >= EASYREC_TEXT && value <= EASYREC_NUMBER; };
  return one.fewest_inputs >= 1 && one.fewest_inputs <= one.most_inputs && form(one.form) && form(one.result) &&
         one.create != nullptr && one.run != nullptr && one.destroy != nullptr;
}

std::vector<const easyrec_operator*> operators_of(void* handle, const std::set<std::string>& taken) {
  using Entry = const easyrec_library* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "easyrec_operators"));
  if (entry == nullptr) throw refusal("exports no function easyrec_operators, so it is no library of operators");
  const easyrec_library* const library = entry();
  if (library == nullptr) throw refusal("easyrec_operators() returned nothing");
  if (library->abi != EASYREC_OPERATOR_ABI)
    throw refusal("speaks version " + std::to_string(library->abi) + " of easyrec_operator.h, but this program " +
                  std::to_string(EASYREC_OPERATOR_ABI) + "; compile it with the header of this version");
  if (library->count == 0 || library->operators == nullptr) throw refusal("has no operators");
  std::vector<const easyrec_operator*> found;
  for (std::uint32_t i = 0; i < library->count; ++i) {
    const easyrec_operator& one = library->operators[i];
    if (one.name == nullptr || *one.name == 0) throw refusal("operator " + std::to_string(i) + " has no name");
    const std::string name = one.name;
    if (!complete(one)) throw refusal("operator '" + name + "' lacks a function, or has impossible inputs or forms");
    bool again = taken.count(name) != 0 || by_name.count(name) != 0;
    for (const easyrec_operator* const other : found) again = again || name == other->name;
    if (again) throw refusal("there is an operator '" + name + "' already");
    found.push_back(&one);
  }
  return found;
}

}  // namespace

std::vector<const easyrec_operator*> load_library(const std::string& path, const std::set<std::string>& taken) {
  const std::lock_guard<std::mutex> lock(guard);
  const auto known = by_path.find(path);
  if (known != by_path.end()) return known->second;
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const reason = dlerror();
    throw refusal(std::string("cannot be loaded: ") + (reason != nullptr ? reason : "unknown reason"));
  }
  try {
    std::vector<const easyrec_operator*> found = operators_of(handle, taken);
    for (const easyrec_operator* const one : found) by_name[one->name] = one;
    return by_path[path] = std::move(found);
  } catch (...) {
    dlclose(handle);
    throw;
  }
}

const easyrec_operator& library_operator(const std::string& name) {
  const std::lock_guard<std::mutex> lock(guard);
  const auto found = by_name.find(name);
  if (found == by_name.end()) throw refusal("no loaded library has an operator '" + name + "'");
  return *found->second;
}

Instance::Instance(const easyrec_operator& kind, const std::string& params_json, std::uint32_t inputs) : kind_(kind) {
  char error[512] = "";
  instance_ = kind.create(params_json.c_str(), inputs, error, sizeof error);
  error[sizeof error - 1] = 0;
  if (instance_ == nullptr)
    throw refusal(std::string("operator '") + kind.name +
                  "' refuses: " + (*error != 0 ? error : "it does not say why"));
}

Instance::~Instance() { kind_.destroy(instance_); }

}  // namespace fg
