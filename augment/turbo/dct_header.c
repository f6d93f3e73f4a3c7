//go:build cgo

// The header of a pack: read from bytes that may be anything.

#include <string.h>

#include "dct.h"

const uint8_t dct_magic[8] = {0x89, 'R', 'D', 'C', 'T', '\r', '\n', 0x1a};

const uint8_t dct_natural[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
                                 41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
                                 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

static int32_t ceil_div(int32_t a, int32_t b) { return (a + b - 1) / b; }

static enum dct_upsampling upsampling(const dct_component *c) {
	if (c->hx == 1 && c->vx == 1)
		return DCT_FULL;
	if (c->hx == 1 && c->vx == 2)
		return DCT_H1V2;
	// The filter along the row wants three samples.
	if (c->hx == 2 && c->vx <= 2 && c->width > 2)
		return c->vx == 1 ? DCT_H2V1 : DCT_H2V2;
	return DCT_REPEATED;
}

int dct_geometry(dct_header *h) {
	h->max_h = h->max_v = 1;
	h->rows = 0;
	for (int32_t i = 0; i < h->components; i++) {
		dct_component *c = &h->part[i];
		if (c->h > h->max_h)
			h->max_h = c->h;
		if (c->v > h->max_v)
			h->max_v = c->v;
		c->first_row = h->rows;
		h->rows += c->v;
	}
	h->mcus_x = ceil_div(h->width, 8 * h->max_h);
	h->mcus_y = ceil_div(h->height, 8 * h->max_v);
	for (int32_t i = 0; i < h->components; i++) {
		dct_component *c = &h->part[i];
		if (h->max_h % c->h != 0 || h->max_v % c->v != 0)
			return 0;
		c->hx = h->max_h / c->h;
		c->vx = h->max_v / c->v;
		c->width = ceil_div(h->width, c->hx);
		c->height = ceil_div(h->height, c->vx);
		c->blocks = h->mcus_x * c->h;
		c->upsampling = upsampling(c);
	}
	return 1;
}

static uint32_t u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }

const char *dct_parse(dct_header *h, const uint8_t *pack, size_t n, int *other) {
	*other = 0;
	h->n = 0;
	if (n < DCT_HEADER || memcmp(pack, dct_magic, sizeof dct_magic) != 0)
		return "not a packed JPEG";
	if (pack[8] != DCT_VERSION) {
		*other = 1;
		return "a packed JPEG of another version";
	}
	h->colour = pack[9];
	h->components = pack[10];
	const int32_t tables = pack[11] & 0x7f, wide = pack[11] >> 7;
	h->width = (int32_t)u16(pack + 12);
	h->height = (int32_t)u16(pack + 14);
	h->data_bytes = u32(pack + 16);
	h->skeleton_bytes = u32(pack + 20);
	if (h->colour > DCT_RGB || h->components != (h->colour == DCT_GREY ? 1 : 3) || tables < 1 || tables > h->components)
		return "a packed JPEG with impossible components";
	if (h->width < 1 || h->height < 1 || u32(pack + 24) == 0)
		return "a packed JPEG without pixels";
	const size_t at = DCT_HEADER + 3 * (size_t)h->components, table_bytes = 64 * (size_t)(1 + wide);
	h->offsets = at + table_bytes * (size_t)tables;
	if (n < h->offsets)
		return "the packed JPEG is cut off in its header";
	for (int32_t i = 0; i < h->components; i++) {
		dct_component *c = &h->part[i];
		const uint8_t *p = pack + DCT_HEADER + 3 * i;
		c->h = p[0], c->v = p[1], c->table = p[2];
		if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->table >= tables)
			return "a packed JPEG with an impossible component";
		const uint8_t *q = pack + at + table_bytes * (size_t)c->table;
		for (int32_t k = 0; k < 64; k++) {
			const uint32_t step = wide ? u16(q + 2 * k) : q[k];
			if (step == 0)
				return "a packed JPEG with a zero in a quantisation table";
			h->quant[i][k] = (int16_t)(uint16_t)step;
		}
	}
	if (!dct_geometry(h))
		return "a packed JPEG with odd sampling factors";
	// All of these are below 2^35.
	const uint64_t rows = (uint64_t)h->mcus_y * (uint64_t)h->rows;
	const uint64_t data = h->offsets + 4 * (rows + 1), skeleton = data + h->data_bytes + DCT_SLACK;
	if (n != skeleton + h->skeleton_bytes)
		return "the packed JPEG is cut off, or too long";
	h->data = (size_t)data;
	h->skeleton = (size_t)skeleton;
	if (u32(pack + h->offsets) != 0 || u32(pack + h->data - 4) != h->data_bytes)
		return "a packed JPEG whose rows are not its data";
	h->n = n;
	return NULL;
}
