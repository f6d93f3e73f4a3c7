//go:build cgo

// Decoding a box of a packed JPEG: the pixels that jpeg.c gives for the JPEG itself. It
// goes MCU row by MCU row: unpack the segments that the box needs, transform their blocks
// into bands of samples, then upsample and convert each row of pixels whose samples are
// all there.

#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "painter.h"

static int fail(turbo_painter *p, int status, const char *message) {
	snprintf(p->message, sizeof p->message, "%s", message);
	p->dct.header.n = 0;
	return status;
}

int turbo_open_packed(turbo_painter *p, const uint8_t *data, size_t n, int32_t *w, int32_t *h) {
	int other;
	p->w = p->h = 0;
	const char *wrong = dct_parse(&p->dct.header, data, n, &other);
	if (wrong != NULL)
		return fail(p, other ? TURBO_UNSUPPORTED : TURBO_CORRUPT, wrong);
	*w = p->dct.header.width;
	*h = p->dct.header.height;
	return TURBO_OK;
}

void free_dct(dct_decoder *d) {
	free(d->segment);
	d->segment = NULL;
	release(&d->bands);
}

// range is from ≤ i < to.
typedef struct {
	int32_t from, to;
} range;

// band holds the samples of one component that are needed of two MCU rows: sample row r is
// at the (r mod rows)'th row of it.
typedef struct {
	const dct_component *c;
	range columns, lines; // samples that the box needs
	range blocks;         // that hold these columns
	int32_t rows;         // of samples in the band: two MCU rows' worth
	size_t stride;
	uint8_t *samples; // of the first block's first column; MARGIN bytes are before each row and after it
	uint8_t *line;    // a row upsampled
} band;

// MARGIN is room beside a row, for neighbours and for vectors: kernels read and write up to
// 64 bytes more than they are asked to, idct seven blocks.
enum { MARGIN = 64 };

static int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t max32(int32_t a, int32_t b) { return a > b ? a : b; }

// needed is which of n samples the pixels [from, from+n) need, if each makes `step` of them,
// and if the neighbours take part.
static range needed(int32_t from, int32_t pixels, int32_t step, int neighbours, int32_t n) {
	range r = {from / step, (from + pixels - 1) / step + 1};
	if (neighbours)
		r = (range){max32(r.from - 1, 0), min32(r.to + 1, n)};
	return r;
}

// set_bands lays out the bands of all components for a box; 0 without memory.
static int set_bands(dct_decoder *d, band bands[DCT_PARTS], int32_t x, int32_t y, int32_t w, int32_t h) {
	const dct_header *header = &d->header;
	size_t total = 0;
	for (int32_t i = 0; i < header->components; i++) {
		const dct_component *c = &header->part[i];
		const enum dct_upsampling u = c->upsampling;
		band *s = &bands[i];
		*s = (band){.c = c};
		s->columns = needed(x, w, c->hx, u == DCT_H2V1 || u == DCT_H2V2, c->width);
		s->lines = needed(y, h, c->vx, u == DCT_H1V2 || u == DCT_H2V2, c->height);
		s->blocks = (range){s->columns.from / 8, (s->columns.to - 1) / 8 + 1};
		s->rows = 16 * c->v;
		s->stride = (8 * (size_t)(s->blocks.to - s->blocks.from) + 2 * MARGIN + 63) & ~(size_t)63;
		total += s->stride * (size_t)(s->rows + 1);
		total += ((size_t)w + 8 + 2 * MARGIN + 63) & ~(size_t)63;
	}
	// The sums of a row of chroma.
	total += 2 * ((size_t)w + 2 * MARGIN);
	if (!reserve(&d->bands, total))
		return 0;
	uint8_t *p = d->bands.p;
	for (int32_t i = 0; i < header->components; i++) {
		band *s = &bands[i];
		s->samples = p + MARGIN;
		p += s->stride * (size_t)(s->rows + 1);
		s->line = p + MARGIN;
		p += ((size_t)w + 8 + 2 * MARGIN + 63) & ~(size_t)63;
	}
	return 1;
}

static uint32_t u32(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static uint8_t *sample_row(const band *s, int32_t row) { return s->samples + s->stride * (size_t)(row % s->rows); }

// block_row makes the samples of one block row, of which s->blocks are needed; 0 if it is
// corrupt. row is its number in the component, at that in the pack.
static int block_row(dct_decoder *d, const band *s, const int16_t quant[64], const uint8_t *pack, int32_t row, size_t at) {
	const dct_header *h = &d->header;
	const uint8_t *entry = pack + h->offsets + 4 * at;
	const size_t from = u32(entry), to = u32(entry + 4);
	if (from > to || to > h->data_bytes)
		return 0;
	const uint8_t *p = pack + h->data + from, *const end = pack + h->data + to;
	const int32_t segments = (s->c->blocks + DCT_SEGMENT - 1) / DCT_SEGMENT;
	const uint8_t *lengths = p;
	if ((end - p) / 2 < segments - 1)
		return 0;
	p += 2 * (segments - 1);
	uint8_t *dst = sample_row(s, 8 * row);
	for (int32_t i = 0; i < segments; i++, lengths += 2) {
		const int32_t first = i * DCT_SEGMENT, blocks = min32(DCT_SEGMENT, s->c->blocks - first);
		const uint8_t *stop = end;
		if (i < segments - 1) {
			const int32_t length = lengths[0] | lengths[1] << 8;
			if (end - p < length)
				return 0;
			stop = p + length;
		}
		const int32_t a = max32(s->blocks.from - first, 0), b = min32(s->blocks.to - first, blocks);
		if (a < b) {
			if (!d->k->unpack(d->segment, p, stop, blocks, a, b))
				return 0;
			d->k->idct(dst + 8 * (size_t)(first + a - s->blocks.from), s->stride, d->segment->coef, d->segment->mask + a, b - a, quant);
		}
		p = stop;
	}
	return 1;
}

// pad_rows repeats the first and last sample of the picture's rows beside them: the
// neighbours that the upsampling takes there.
static void pad_rows(const band *s, int32_t row) {
	const int32_t from = 8 * s->blocks.from;
	if (s->columns.from != 0 && s->columns.to != s->c->width)
		return;
	for (int32_t i = 0; i < 8; i++) {
		uint8_t *p = sample_row(s, row + i);
		if (s->columns.from == 0)
			p[-1] = p[0];
		if (s->columns.to == s->c->width)
			p[s->columns.to - from] = p[s->columns.to - from - 1];
	}
}

// last_line is the number of the last sample row that pixel row y needs.
static int32_t last_line(const dct_component *c, int32_t y) {
	const int32_t line = y / c->vx;
	if ((c->upsampling == DCT_H1V2 || c->upsampling == DCT_H2V2) && (y & 1))
		return min32(line + 1, c->height - 1);
	return line;
}

static void repeat(uint8_t *out, const uint8_t *in, int32_t step, int32_t n) {
	for (int32_t i = 0; i < n; i++)
		for (int32_t k = 0; k < step; k++)
			*out++ = in[i];
}

// upsampled is the row of one component's samples for the pixels from x of row y.
static const uint8_t *upsampled(const struct dct_kernels *k, const band *s, int32_t x, int32_t y, int32_t w, int16_t *sums) {
	const dct_component *c = s->c;
	const int32_t column = x / c->hx, n = (x + w - 1) / c->hx + 1 - column, line = y / c->vx;
	const int32_t beside = (y & 1) ? min32(line + 1, c->height - 1) : max32(line - 1, 0);
	const uint8_t *near = sample_row(s, line) + (column - 8 * s->blocks.from);
	const uint8_t *far = sample_row(s, beside) + (column - 8 * s->blocks.from);
	switch (c->upsampling) {
	case DCT_FULL: return near;
	case DCT_H2V1: k->h2v1(s->line, near, n); break;
	case DCT_H1V2: k->h1v2(s->line, near, far, n, 1 + (y & 1)); break;
	case DCT_H2V2: k->h2v2(s->line, near, far, n, sums); break;
	case DCT_REPEATED: repeat(s->line, near, c->hx, n); break;
	}
	return s->line + (x - column * c->hx);
}

int turbo_decode_packed(turbo_painter *p, const uint8_t *data, size_t n, int32_t x, int32_t y, int32_t w, int32_t h) {
	dct_decoder *d = &p->dct;
	const dct_header *header = &d->header;
	if (header->n == 0 || n != header->n)
		return fail(p, TURBO_MISMATCH, "decoded without being opened");
	if (x < 0 || y < 0 || w < 1 || h < 1 || x > header->width - w || y > header->height - h)
		return fail(p, TURBO_MISMATCH, "a box outside of the picture");
	void *segment = d->segment;
	if (segment == NULL && posix_memalign(&segment, 64, sizeof *d->segment) == 0)
		d->segment = memset(segment, 0, sizeof *d->segment);
	band bands[DCT_PARTS];
	p->stride = 3 * (size_t)w;
	p->w = p->h = 0;
	if (d->segment == NULL || !set_bands(d, bands, x, y, w, h) || !reserve_picture(p, h))
		return fail(p, TURBO_NO_MEMORY, "no memory for the picture");
	const int32_t parts = header->components;
	const band *last = &bands[parts - 1];
	int16_t *sums = (int16_t *)(void *)(last->line - MARGIN + (((size_t)w + 8 + 2 * MARGIN + 63) & ~(size_t)63));
	int32_t mcu = header->mcus_y, mcu_end = 0;
	for (int32_t i = 0; i < parts; i++) {
		const int32_t lines = 8 * bands[i].c->v;
		mcu = min32(mcu, bands[i].lines.from / lines);
		mcu_end = max32(mcu_end, (bands[i].lines.to - 1) / lines + 1);
	}
	int32_t row = y;
	for (; mcu < mcu_end; mcu++) {
		for (int32_t i = 0; i < parts; i++) {
			const band *s = &bands[i];
			for (int32_t v = 0; v < s->c->v; v++) {
				const int32_t block = mcu * s->c->v + v;
				if (8 * block + 8 <= s->lines.from || 8 * block >= s->lines.to)
					continue;
				const size_t at = (size_t)mcu * (size_t)header->rows + (size_t)(s->c->first_row + v);
				if (!block_row(d, s, header->quant[i], data, block, at))
					return fail(p, TURBO_CORRUPT, "the packed JPEG is damaged");
				if (s->c->upsampling == DCT_H2V1 || s->c->upsampling == DCT_H2V2)
					pad_rows(s, 8 * block);
			}
		}
		for (; row < y + h; row++) {
			const uint8_t *part[DCT_PARTS];
			int ready = 1;
			for (int32_t i = 0; i < parts; i++)
				ready &= last_line(bands[i].c, row) < 8 * bands[i].c->v * (mcu + 1);
			if (!ready)
				break;
			for (int32_t i = 0; i < parts; i++)
				part[i] = upsampled(d->k, &bands[i], x, row, w, sums);
			uint8_t *out = p->pixels.p + (size_t)(row - y) * p->stride;
			if (header->colour == DCT_YCC)
				d->k->ycc(out, part[0], part[1], part[2], w);
			else
				d->k->interleave(out, part[0], part[parts > 1 ? 1 : 0], part[parts - 1], w);
		}
	}
	p->origin = p->pixels.p;
	p->x0 = x, p->y0 = y, p->w = w, p->h = h;
	d->header.n = 0;
	return TURBO_OK;
}
