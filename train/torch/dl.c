#define _GNU_SOURCE
#include "dl.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* api is set once, under Go's open lock, before any other function is called. */
static const rs_api *api;

int rs_open(const char *path, char **message, char **where, int32_t *abi) {
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    const char *reason = dlerror();
    *message = strdup(reason ? reason : "no reason given");
    return RS_OPEN_LOADER;
  }
  void *symbol = dlsym(lib, "resslt_torch_api");
  if (!symbol) {
    *message = strdup("resslt_torch_api");
    dlclose(lib);
    return RS_OPEN_SYMBOL;
  }
  const rs_api *table = ((rs_api_fn)symbol)();
  *abi = table->abi;
  if (table->abi != RS_ABI || table->size != (int32_t)sizeof(rs_api)) {
    dlclose(lib);
    return RS_OPEN_ABI;
  }
  Dl_info info;
  if (dladdr(symbol, &info) && info.dli_fname) *where = strdup(info.dli_fname);
  api = table;
  return RS_OPEN_OK;
}

char *rs_find(const char *name, const char *overload, const char *args, uint64_t *op) { return api->find(name, overload, args, op); }
char *rs_invoke(uint64_t op, const uint64_t *words, int64_t nwords, void *data, int64_t ndata, rs_result *out) {
  return api->invoke(op, words, nwords, data, ndata, out);
}
void rs_release(const uint64_t *handles, int64_t n) { api->release(handles, n); }
int64_t rs_live(void) { return api->live(); }
void rs_enter(void) { api->enter(); }
void rs_leave(void) { api->leave(); }
int32_t rs_inside(void) { return api->inside(); }
void rs_free_message(char *m) { api->free_message(m); }
void rs_free_words(uint64_t words) { api->free_words(words); }

/* tune_malloc keeps freed activations in the heap. By default glibc maps every block of
 * some megabytes again, and the page faults cost more than a channels-last convolution.
 * It also makes all threads share one heap: a thread's own heap comes in pieces of
 * 64 MB, which are returned when empty, and costs 10,000 page faults and more for each
 * step of ResNet-18. It runs before main because a thread that has a heap keeps it. */
#ifdef __GLIBC__
__attribute__((constructor)) static void tune_malloc(void) {
  enum { gigabyte = 1 << 30 };
  mallopt(M_MMAP_THRESHOLD, gigabyte);
  mallopt(M_TRIM_THRESHOLD, gigabyte);
  mallopt(M_ARENA_MAX, 1);
}
#endif
