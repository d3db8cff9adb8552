/* Operators of `custom` features in any language that speaks C: a shared library with one exported function.
 *
 *     cc -std=c99 -O2 -shared -fPIC -I<folder of this header> operators.c -o operators.so
 *
 * Who loads it says so on the command line (--operators operators.so) or in Python (load_operators("operators.so")).
 * The library runs inside the process: nothing can catch a crash in it.
 */
#ifndef EASYREC_OPERATOR_H
#define EASYREC_OPERATOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows whenever anything below changes; a library is only loaded by a version that has the same number. */
#define EASYREC_OPERATOR_ABI 1

/* What the values of an input or of a result are. */
enum { EASYREC_TEXT = 0, EASYREC_INTEGER = 1, EASYREC_NUMBER = 2 };

/* UTF-8 bytes, not ended by a zero. */
typedef struct {
  const char* data;
  size_t size;
} easyrec_text;

/* One input: elements, each with any number of values. Element e of the result is computed from element at[e] of the
 * input (from e itself where `at` is null), which has the values from easyrec_begin to easyrec_end; none: missing. */
typedef struct {
  const uint32_t* at;
  const uint32_t* ends;
  const easyrec_text* texts; /* the array that the operator's form names; the others are null */
  const int64_t* integers;
  const double* numbers;
} easyrec_input;

static inline uint32_t easyrec_begin(const easyrec_input* input, uint32_t e) {
  const uint32_t at = input->at != NULL ? input->at[e] : e;
  return at == 0 ? 0 : input->ends[at - 1];
}

static inline uint32_t easyrec_end(const easyrec_input* input, uint32_t e) {
  return input->ends[input->at != NULL ? input->at[e] : e];
}

/* Where results go. The elements are made in their order: append the values of one, or none, then call `end`. Values
 * are of the operator's `result`; text is copied. */
typedef struct easyrec_output easyrec_output;
struct easyrec_output {
  void* host;
  void (*text)(easyrec_output* out, const char* data, size_t size);
  void (*integer)(easyrec_output* out, int64_t value);
  void (*number)(easyrec_output* out, double value);
  /* The present element gets no value and its row is bad, for this reason; still call `end`. */
  void (*bad)(easyrec_output* out, uint32_t input, const char* reason);
  void (*end)(easyrec_output* out);
};

typedef struct {
  const char* name; /* operator_name in configs */
  uint32_t fewest_inputs, most_inputs;
  int32_t form;      /* EASYREC_*: what all inputs are turned into; what cannot be is a bad value of its row */
  int32_t result;    /* EASYREC_*: what the values of the result are */
  int32_t reentrant; /* 0: an instance is never run by two threads at a time */
  /* An instance for a feature. `params_json`: its operator_params, a JSON object. Returns null after writing what is
   * wrong, ended by a zero, into `error`, which holds `room` bytes. */
  void* (*create)(const char* params_json, uint32_t inputs, char* error, size_t room);
  /* Makes `elements` elements. The result of an element must depend on its own values alone: blocks are cut anywhere.
   * Returns 0, or anything else after writing what went wrong into `error`. */
  int32_t (*run)(void* instance, const easyrec_input* inputs, uint32_t count, uint32_t elements, easyrec_output* out,
                 char* error, size_t room);
  void (*destroy)(void* instance);
} easyrec_operator;

typedef struct {
  uint32_t abi; /* EASYREC_OPERATOR_ABI */
  uint32_t count;
  const easyrec_operator* operators; /* must stay where they are */
} easyrec_library;

#if defined(_WIN32)
#define EASYREC_EXPORT __declspec(dllexport)
#else
#define EASYREC_EXPORT __attribute__((visibility("default")))
#endif

/* The one function that a library exports. */
EASYREC_EXPORT const easyrec_library* easyrec_operators(void);

#ifdef __cplusplus
}
#endif

#endif
