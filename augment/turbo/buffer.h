//go:build cgo

// Memory of the painter that grows and is reused.
#ifndef RESSLT_BUFFER_H
#define RESSLT_BUFFER_H

#include <stddef.h>
#include <stdint.h>

// buffer is memory that grows and is reused; its contents do not survive growth.
typedef struct {
	uint8_t *p; // 64-byte aligned
	size_t cap;
} buffer;

// reserve makes room for n bytes; 0 without memory.
int reserve(buffer *b, size_t n);
void release(buffer *b);

#endif
