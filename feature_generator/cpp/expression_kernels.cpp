#include "expression_kernels.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace fg {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double pi = 3.14159265358979323846;
constexpr double earth_radius_km = 6371.0;
constexpr double two_63 = 9223372036854775808.0;

// One loop per operation: the compiler turns those without a call into vector instructions.
template <double (*f)(double)>
void each1(const double* const* x, std::size_t n, double* __restrict out) {
  const double* const a = x[0];
  for (std::size_t i = 0; i < n; ++i) out[i] = f(a[i]);
}
template <double (*f)(double, double)>
void each2(const double* const* x, std::size_t n, double* __restrict out) {
  const double *const a = x[0], *const b = x[1];
  for (std::size_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
}

inline double truth(bool value) { return value ? 1.0 : 0.0; }

inline double add(double a, double b) { return a + b; }
inline double subtract(double a, double b) { return a - b; }
inline double multiply(double a, double b) { return a * b; }
inline double divide(double a, double b) { return a / b; }
inline double power(double a, double b) { return std::pow(a, b); }
inline double mod(double a, double b) { return std::fmod(a, b); }
inline double negate(double a) { return -a; }
inline double negation(double a) { return truth(a == 0); }
inline double either(double a, double b) { return truth((a != 0) | (b != 0)); }
inline double both(double a, double b) { return truth((a != 0) & (b != 0)); }
inline double less(double a, double b) { return truth(a < b); }
inline double less_equal(double a, double b) { return truth(a <= b); }
inline double greater(double a, double b) { return truth(a > b); }
inline double greater_equal(double a, double b) { return truth(a >= b); }
inline double equal(double a, double b) { return truth(a == b); }
inline double unequal(double a, double b) { return truth(a != b); }
inline double smaller(double a, double b) { return ((a < b) | (a != a)) ? a : b; }
inline double larger(double a, double b) { return ((a > b) | (a != a)) ? a : b; }
inline double isnan(double a) { return truth(a != a); }
inline double sign(double a) { return a > 0 ? 1.0 : a < 0 ? -1.0 : a != a ? a : 0.0; }
inline double sigmoid(double a) { return 1.0 / (1.0 + std::exp(-a)); }

inline double sin(double a) { return std::sin(a); }
inline double cos(double a) { return std::cos(a); }
inline double tan(double a) { return std::tan(a); }
inline double asin(double a) { return std::asin(a); }
inline double acos(double a) { return std::acos(a); }
inline double atan(double a) { return std::atan(a); }
inline double sinh(double a) { return std::sinh(a); }
inline double cosh(double a) { return std::cosh(a); }
inline double tanh(double a) { return std::tanh(a); }
inline double asinh(double a) { return std::asinh(a); }
inline double acosh(double a) { return std::acosh(a); }
inline double atanh(double a) { return std::atanh(a); }
inline double log2(double a) { return std::log2(a); }
inline double log10(double a) { return std::log10(a); }
inline double ln(double a) { return std::log(a); }
inline double exp(double a) { return std::exp(a); }
inline double sqrt(double a) { return std::sqrt(a); }
inline double abs(double a) { return std::fabs(a); }
inline double rint(double a) { return std::rint(a); }
inline double floor(double a) { return std::floor(a); }
inline double ceil(double a) { return std::ceil(a); }
inline double trunc(double a) { return std::trunc(a); }
inline double round(double a) { return std::round(a); }

inline bool fits(double a) { return a >= -two_63 && a < two_63; }
inline double bit_or(double a, double b) {
  if (!fits(a) || !fits(b)) return nan;
  return static_cast<double>(static_cast<std::int64_t>(a) | static_cast<std::int64_t>(b));
}
inline double bit_and(double a, double b) {
  if (!fits(a) || !fits(b)) return nan;
  return static_cast<double>(static_cast<std::int64_t>(a) & static_cast<std::int64_t>(b));
}

// To so many decimals; negative digits are tens, hundreds ..
inline double roundp(double a, double digits) {
  if (digits != digits || a != a) return nan;
  const double whole = std::trunc(digits);
  if (whole > 308) return a;
  if (whole < -308) return std::copysign(0.0, a);
  const double scale = std::pow(10.0, std::fabs(whole));
  if (whole < 0) return std::round(a / scale) * scale;
  const double scaled = a * scale;
  return std::isfinite(scaled) ? std::round(scaled) / scale : a;
}

// Great-circle distance in km of two points in degrees.
void haversine(const double* const* x, std::size_t n, double* __restrict out) {
  const double *const lng1 = x[0], *const lat1 = x[1], *const lng2 = x[2], *const lat2 = x[3];
  constexpr double degree = pi / 180.0;
  for (std::size_t i = 0; i < n; ++i) {
    const double v = std::sin((lat2[i] - lat1[i]) * degree * 0.5);
    const double u = std::sin((lng2[i] - lng1[i]) * degree * 0.5);
    const double root = std::sqrt(v * v + std::cos(lat1[i] * degree) * std::cos(lat2[i] * degree) * (u * u));
    out[i] = 2.0 * earth_radius_km * std::asin(root > 1.0 ? 1.0 : root);
  }
}

void select(const double* const* x, std::size_t n, double* __restrict out) {
  const double *const test = x[0], *const yes = x[1], *const no = x[2];
  for (std::size_t i = 0; i < n; ++i) out[i] = test[i] != 0 ? yes[i] : no[i];
}

// Sums run from the first value to the last: another order would round differently.
double sum(const double* v, std::size_t n) {
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += v[i];
  return total;
}
double product_of(const double* v, const double* w, std::size_t n) {
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += v[i] * w[i];
  return total;
}
double mean(const double* v, std::size_t n) { return sum(v, n) / static_cast<double>(n); }
double spread(const double* v, std::size_t n) {
  const double middle = mean(v, n);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += (v[i] - middle) * (v[i] - middle);
  return total;
}

double len(const double* const*, std::size_t n) { return static_cast<double>(n); }
double squared_norm(const double* const* x, std::size_t n) { return product_of(x[0], x[0], n); }
double l2_norm(const double* const* x, std::size_t n) { return std::sqrt(product_of(x[0], x[0], n)); }
double dot(const double* const* x, std::size_t n) { return product_of(x[0], x[1], n); }
double euclid_dist(const double* const* x, std::size_t n) {
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) total += (x[0][i] - x[1][i]) * (x[0][i] - x[1][i]);
  return std::sqrt(total);
}
double corr(const double* const* x, std::size_t n) {
  const double *const v = x[0], *const w = x[1];
  const double mean_v = mean(v, n), mean_w = mean(w, n);
  double together = 0;
  for (std::size_t i = 0; i < n; ++i) together += (v[i] - mean_v) * (w[i] - mean_w);
  return together / (std::sqrt(spread(v, n)) * std::sqrt(spread(w, n)));
}
double variance(const double* const* x, std::size_t n) { return spread(x[0], n) / static_cast<double>(n); }
double std_dev(const double* const* x, std::size_t n) { return std::sqrt(variance(x, n)); }
double pop_variance(const double* const* x, std::size_t n) { return spread(x[0], n) / (static_cast<double>(n) - 1.0); }
double pop_std_dev(const double* const* x, std::size_t n) { return std::sqrt(pop_variance(x, n)); }
double reduce_min(const double* const* x, std::size_t n) {
  double best = x[0][0];
  for (std::size_t i = 1; i < n; ++i) best = smaller(best, x[0][i]);
  return best;
}
double reduce_max(const double* const* x, std::size_t n) {
  double best = x[0][0];
  for (std::size_t i = 1; i < n; ++i) best = larger(best, x[0][i]);
  return best;
}
double reduce_sum(const double* const* x, std::size_t n) { return sum(x[0], n); }
double reduce_mean(const double* const* x, std::size_t n) { return mean(x[0], n); }
double reduce_prod(const double* const* x, std::size_t n) {
  double total = 1;
  for (std::size_t i = 0; i < n; ++i) total *= x[0][i];
  return total;
}

constexpr ExpressionKernel kernels[] = {
    {"add", 2, each2<add>, nullptr},
    {"subtract", 2, each2<subtract>, nullptr},
    {"multiply", 2, each2<multiply>, nullptr},
    {"divide", 2, each2<divide>, nullptr},
    {"power", 2, each2<power>, nullptr},
    {"mod", 2, each2<mod>, nullptr},
    {"negate", 1, each1<negate>, nullptr},
    {"not", 1, each1<negation>, nullptr},
    {"or", 2, each2<either>, nullptr},
    {"and", 2, each2<both>, nullptr},
    {"bit_or", 2, each2<bit_or>, nullptr},
    {"bit_and", 2, each2<bit_and>, nullptr},
    {"less", 2, each2<less>, nullptr},
    {"less_equal", 2, each2<less_equal>, nullptr},
    {"greater", 2, each2<greater>, nullptr},
    {"greater_equal", 2, each2<greater_equal>, nullptr},
    {"equal", 2, each2<equal>, nullptr},
    {"unequal", 2, each2<unequal>, nullptr},
    {"min", 2, each2<smaller>, nullptr},
    {"max", 2, each2<larger>, nullptr},
    {"select", 3, select, nullptr},
    {"isnan", 1, each1<isnan>, nullptr},
    {"sin", 1, each1<sin>, nullptr},
    {"cos", 1, each1<cos>, nullptr},
    {"tan", 1, each1<tan>, nullptr},
    {"asin", 1, each1<asin>, nullptr},
    {"acos", 1, each1<acos>, nullptr},
    {"atan", 1, each1<atan>, nullptr},
    {"sinh", 1, each1<sinh>, nullptr},
    {"cosh", 1, each1<cosh>, nullptr},
    {"tanh", 1, each1<tanh>, nullptr},
    {"asinh", 1, each1<asinh>, nullptr},
    {"acosh", 1, each1<acosh>, nullptr},
    {"atanh", 1, each1<atanh>, nullptr},
    {"log2", 1, each1<log2>, nullptr},
    {"log10", 1, each1<log10>, nullptr},
    {"ln", 1, each1<ln>, nullptr},
    {"exp", 1, each1<exp>, nullptr},
    {"sqrt", 1, each1<sqrt>, nullptr},
    {"sign", 1, each1<sign>, nullptr},
    {"abs", 1, each1<abs>, nullptr},
    {"rint", 1, each1<rint>, nullptr},
    {"floor", 1, each1<floor>, nullptr},
    {"ceil", 1, each1<ceil>, nullptr},
    {"trunc", 1, each1<trunc>, nullptr},
    {"round", 1, each1<round>, nullptr},
    {"roundp", 2, each2<roundp>, nullptr},
    {"sigmoid", 1, each1<sigmoid>, nullptr},
    {"haversine", 4, haversine, nullptr},
    {"len", 1, nullptr, len},
    {"squared_norm", 1, nullptr, squared_norm},
    {"l2_norm", 1, nullptr, l2_norm},
    {"dot", 2, nullptr, dot},
    {"euclid_dist", 2, nullptr, euclid_dist},
    {"corr", 2, nullptr, corr},
    {"variance", 1, nullptr, variance},
    {"std_dev", 1, nullptr, std_dev},
    {"pop_variance", 1, nullptr, pop_variance},
    {"pop_std_dev", 1, nullptr, pop_std_dev},
    {"reduce_min", 1, nullptr, reduce_min},
    {"reduce_max", 1, nullptr, reduce_max},
    {"reduce_sum", 1, nullptr, reduce_sum},
    {"reduce_mean", 1, nullptr, reduce_mean},
    {"reduce_prod", 1, nullptr, reduce_prod},
};

}  // namespace

const ExpressionKernel* find_kernel(const std::string& name) noexcept {
  for (const ExpressionKernel& kernel : kernels)
    if (name == kernel.name) return &kernel;
  return nullptr;
}

bool is_select(const ExpressionKernel& kernel) noexcept { return kernel.each == &select; }

}  // namespace fg
