/* dl.h: opens the shim and calls through its table. The only C that is built
 * with Go; it includes no libtorch header. */
#ifndef RESSLT_TORCH_DL_H
#define RESSLT_TORCH_DL_H

#include "csrc/shim.h"

/* Codes of rs_open. */
#define RS_OPEN_OK 0
#define RS_OPEN_LOADER 1 /* message: what the loader said */
#define RS_OPEN_SYMBOL 2 /* message: the symbol that is missing */
#define RS_OPEN_ABI 3    /* abi: the number the file has */

/* rs_open loads path. A message is malloc'ed; free it with free. where is the
 * file that the loader chose, malloc'ed, or NULL. */
int rs_open(const char *path, char **message, char **where, int32_t *abi);

char *rs_find(const char *name, const char *overload, const char *args, uint64_t *op);
char *rs_invoke(uint64_t op, const uint64_t *words, int64_t nwords, void *data, int64_t ndata, rs_result *out);
void rs_release(const uint64_t *handles, int64_t n);
int64_t rs_live(void);
void rs_enter(void);
void rs_leave(void);
int32_t rs_inside(void);
void rs_free_message(char *m);
void rs_free_words(uint64_t words);

#endif
