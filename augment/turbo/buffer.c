//go:build cgo

#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>

#include "buffer.h"

int reserve(buffer *b, size_t n) {
	if (n <= b->cap)
		return 1;
	// Some room to spare: the next sample is of another size.
	size_t cap = (n + n / 4 + 4095) & ~(size_t)4095;
	if (cap < n)
		return 0;
	void *fresh;
	if (posix_memalign(&fresh, 64, cap) != 0)
		return 0;
	free(b->p);
	b->p = fresh;
	b->cap = cap;
	return 1;
}

void release(buffer *b) {
	free(b->p);
	*b = (buffer){0};
}
