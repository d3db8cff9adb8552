// The last stage of a feature: values into ids or numbers, with defaults, into flat buffers.
#pragma once

#include <memory>
#include <vector>

#include "cells.h"
#include "expression.h"
#include "hash.h"
#include "vocabulary.h"

namespace fg {

// `text` and `numbers` keep the values themselves, any number an element: for other features, and for people.
enum class Discretizer : std::uint8_t { none, hash, range, vocabulary, boundaries, text, numbers };
enum class OutOfRange : std::uint8_t { replace, clip, error };

struct Normalizer {
  enum class Method : std::uint8_t { none, log10, affine, expression } method = Method::none;
  double threshold = 0, fallback = 0;            // log10: x > threshold ? log10(x) : fallback
  double shift = 0, scale = 1;                   // affine: (x - shift) / scale
  std::shared_ptr<const Expression> expression;  // of one variable
};

struct SinkRule {
  Discretizer discretizer = Discretizer::hash;
  Hash hash = Hash::murmur64a;
  std::int64_t size = 0;  // ids lie in [0, size)
  OutOfRange out_of_range = OutOfRange::replace;
  std::shared_ptr<const Vocabulary> vocabulary;
  std::int64_t unknown = 0;       // id of a word outside the vocabulary
  std::vector<float> boundaries;  // ascending
  Normalizer normalizer;
  std::uint32_t value_dim = 0;  // numbers per element (vectors); of ids, 1 = the first, 0 = all
  bool weighted = false;
  std::vector<std::int64_t> default_ids;
  std::vector<float> default_numbers;
  std::vector<std::string> default_texts;
};

// Flat buffers of one feature over consecutive blocks.
struct Output {
  Slab<std::int64_t> ids;
  Slab<float> numbers;  // elements x value_dim of a sequence of vectors
  Slab<float> weights;
  Slab<std::int64_t> value_ends;    // 0, then values up to and with each element; unused while `single`
  Slab<std::int64_t> element_ends;  // 0, then elements up to and with each row, of sequences
  Slab<double> doubles;             // of `numbers`
  Slab<char> text;                  // of `text`
  Slab<std::int64_t> text_ends;     // 0, then bytes up to and with each text
  std::int64_t elements = 0;
  bool single = true;  // every element so far has exactly one value
};

// Ids of the values and what the default replaces: appends to `output`. May reject values, which leaves their faults
// in `cells`. `scratch` keeps its memory between blocks.
struct SinkScratch {
  Slab<std::int64_t> ids;
  Slab<float> numbers;
  Slab<std::uint8_t> broken;
  ExpressionScratch expression;
};
void write_ids(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output);
void write_texts(const SinkRule& rule, Cells& cells, Output& output);
// The numbers of every element that are any; what is broken is left out.
void write_numbers(Cells& cells, Output& output);

// Buckets of any number of numbers an element, normalised: appends to `output`.
void write_buckets(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output);

// Vectors of value_dim numbers, normalised; then ids by boundaries into `output`, or the numbers themselves to
// `to`, element e at to + e * stride (appended to `output` where `to` is null).
void write_vectors(const SinkRule& rule, Cells& cells, SinkScratch& scratch, Output& output, float* to,
                   std::size_t stride);

// ids[i] = how many of the `m` ascending boundaries are <= values[i].
void bucketize(const float* values, std::size_t n, const float* boundaries, std::size_t m, std::int64_t* ids) noexcept;

}  // namespace fg
