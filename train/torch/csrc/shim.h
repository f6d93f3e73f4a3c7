/* shim.h: the C ABI between Go (package torch) and libtorch (libresslt_torch.so).
 *
 * The shim exports one symbol, resslt_torch_api, which returns a table of
 * functions. Go opens the file at run time, so that building needs no libtorch.
 * Everything that libtorch can do is reached by name through find and invoke,
 * so that adding an op changes neither this file nor RS_ABI.
 *
 * Errors: a function that can fail returns NULL, or a message that the caller
 * frees with free_message. The message's first byte is its kind (RS_KIND_*),
 * the text follows; it is one line of at most RS_MESSAGE_MAX bytes. No C++
 * exception crosses. Results go to out-pointers, untouched when it fails.
 *
 * Arguments: one flat array of 64-bit words without pointers into Go memory.
 * Each argument is a header word, tag | count << 8, then its payload.
 */
#ifndef RESSLT_TORCH_SHIM_H
#define RESSLT_TORCH_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RS_ABI changes when anything in this file changes its meaning. */
#define RS_ABI 1

#define RS_MESSAGE_MAX 1000

/* Kinds of failure, the first byte of a message. */
#define RS_KIND_MISMATCH 'M'    /* shapes, types or values that do not fit */
#define RS_KIND_USAGE 'W'       /* outside torch.Do, nil or freed tensor */
#define RS_KIND_UNSUPPORTED 'U' /* this libtorch or device cannot do it */
#define RS_KIND_TOO_LARGE 'T'   /* out of memory, of host or device */
#define RS_KIND_DEVICE 'D'      /* a GPU, its driver or a library of it failed */
#define RS_KIND_LOST 'L'        /* another process of the group is gone or silent */

/* Tags of arguments, and in parentheses their payload. */
enum {
  RS_NONE = 0,    /* ()                     absent optional */
  RS_TENSOR = 1,  /* (handle)               RS_NIL and RS_FREED are refused */
  RS_INT = 2,     /* (int64)                int, SymInt, ScalarType, MemoryFormat */
  RS_DOUBLE = 3,  /* (float64 bits)         float */
  RS_BOOL = 4,    /* (0 or 1)               bool */
  RS_SCALAR = 5,  /* (float64 bits)         Scalar: integral values become ints */
  RS_INTS = 6,    /* (count int64s)         int[] */
  RS_DOUBLES = 7, /* (count float64s)       float[] */
  RS_SCALARS = 8, /* (count float64s)       Scalar[] */
  RS_TENSORS = 9, /* (count handles)        Tensor[] */
  RS_STRING = 10, /* (length, bytes packed into ceil(length/8) = count words) */
  RS_DEVICE = 11  /* (type << 8 | index+1)  Device; index -1 is the current one */
};

/* Handles are addresses of at::Tensor objects that the shim allocated. */
#define RS_NIL 0   /* a nil *Tensor in Go */
#define RS_FREED 1 /* a *Tensor whose tensor is freed */

#define RS_INLINE_RESULTS 6

/* rs_result holds what a call returned: n words in v, or, where n is greater
 * than RS_INLINE_RESULTS, at the address more, to be freed with free_words.
 * A word is a tensor handle (owned by the caller, freed with release), an
 * int64, a float64's bits or a bool, as the schema says. */
typedef struct {
  int64_t n;
  uint64_t v[RS_INLINE_RESULTS];
  uint64_t more;
} rs_result;

typedef struct {
  int32_t abi;  /* RS_ABI of the shim; first, so that any version can be asked */
  int32_t size; /* sizeof(rs_api) of the shim */

  /* find looks up an op ("aten::add", "Tensor") or a function of the shim
   * itself ("resslt::backward", ""). args is the comma-joined names of the
   * arguments the caller will pass; an op whose first arguments are named
   * differently, or whose others have no default, is refused. */
  char *(*find)(const char *name, const char *overload, const char *args, uint64_t *op);

  /* invoke calls op. data is raw bytes in or out for the few functions that
   * take them, else NULL. Refused on a thread that has not entered. */
  char *(*invoke)(uint64_t op, const uint64_t *words, int64_t nwords, void *data, int64_t ndata, rs_result *out);

  /* release frees tensors; RS_NIL and RS_FREED are skipped. Any thread. */
  void (*release)(const uint64_t *handles, int64_t n);

  /* live is the number of tensor handles not yet released. */
  int64_t (*live)(void);

  /* enter and leave mark the calling thread as the one that runs torch.Do;
   * inside is 1 on it, else 0. enter resets grad mode and autocast. */
  void (*enter)(void);
  void (*leave)(void);
  int32_t (*inside)(void);

  void (*free_message)(char *);
  void (*free_words)(uint64_t);
} rs_api;

/* resslt_torch_api is the one exported symbol. The table lives for ever. */
typedef const rs_api *(*rs_api_fn)(void);

#ifdef __cplusplus
}
#endif
#endif
