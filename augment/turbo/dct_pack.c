//go:build cgo

// Packing: a JPEG's quantised coefficients, read by libjpeg, in the form that dct_decode.c
// reads.

#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "painter.h"

// A block's bytes, at most: half for the length of its mask, 8 for that, 3 for DC, and for
// each of 63 coefficients two bits, a nibble and two bytes.
enum { BLOCK_BYTES = 1 + 8 + 3 + 63 * 3 };

// streams are the parts of a segment while it is made. Bits and nibbles have a byte each,
// until they are joined; there is room for whole words of them.
typedef struct {
	uint8_t length[DCT_SEGMENT + 8], mask[DCT_SEGMENT * 8 + 8], delta[DCT_SEGMENT], dc[DCT_SEGMENT * 2];
	int16_t value[DCT_MAX_AC];
	uint8_t sign[DCT_MAX_AC + 8], is_big[DCT_MAX_AC + 8], nibble[DCT_MAX_AC + 8], escape[DCT_MAX_AC + 1], wide[DCT_MAX_AC];
} streams;

// zigzag_bits[r][m] is for row r of a block, of whose coefficients m says which are not
// zero, the bits of these in a mask of the zigzag, DC being bit 0.
typedef uint64_t zigzag_table[8][256];

static void set_zigzag(zigzag_table t) {
	uint8_t place[64];
	for (int i = 0; i < 64; i++)
		place[dct_natural[i]] = (uint8_t)i;
	for (int r = 0; r < 8; r++) {
		for (int m = 0; m < 256; m++) {
			uint64_t bits = 0;
			for (int i = 0; i < 8; i++)
				bits |= (uint64_t)(m >> i & 1) << place[8 * r + i];
			t[r][m] = bits;
		}
	}
}

// gather is the lowest bits of eight bytes that are 0 or 1, as one byte.
static uint8_t gather(const uint8_t *p) {
	uint64_t bytes;
	memcpy(&bytes, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	bytes = __builtin_bswap64(bytes);
#endif
	return (uint8_t)(bytes * 0x0102040810204080 >> 56);
}

// mask_of is the mask of a block's AC coefficients that are not zero.
static uint64_t mask_of(const zigzag_table t, const int16_t *c) {
	uint64_t mask = 0;
#ifdef __SSE2__
	const __m128i *rows = (const __m128i *)(const void *)c;
	const __m128i zero = _mm_setzero_si128();
	for (int r = 0; r < 8; r += 2) {
		const __m128i two = _mm_packs_epi16(_mm_loadu_si128(rows + r), _mm_loadu_si128(rows + r + 1));
		const unsigned not_zero = ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(two, zero));
		mask |= t[r][not_zero & 255] | t[r + 1][not_zero >> 8 & 255];
	}
#else
	for (int r = 0; r < 8; r++) {
		uint8_t not_zero[8];
		for (int i = 0; i < 8; i++)
			not_zero[i] = c[8 * r + i] != 0;
		mask |= t[r][gather(not_zero)];
	}
#endif
	return mask >> 1;
}

static uint8_t *put(uint8_t *out, const uint8_t *from, int32_t n) {
	memcpy(out, from, (size_t)n);
	return out + n;
}

static uint8_t *put_bits(uint8_t *out, const uint8_t *bits, int32_t n) {
	for (int32_t i = 0; i < n; i += 8)
		*out++ = gather(bits + i);
	return out;
}

static uint8_t *put_nibbles(uint8_t *out, const uint8_t *nibbles, int32_t n) {
	for (int32_t i = 0; i < n; i += 2)
		*out++ = (uint8_t)(nibbles[i] | nibbles[i + 1] << 4);
	return out;
}

// put_values writes S, G, V, E and P of n values.
static uint8_t *put_values(uint8_t *out, int32_t n, streams *s) {
	int32_t bigs = 0, escapes = 0, wides = 0;
	for (int32_t i = 0; i < n; i++) {
		// No branch: the next value's class can't be foretold.
		const int32_t v = s->value[i], negative = v >> 31, magnitude = (v ^ negative) - negative;
		s->sign[i] = (uint8_t)(negative & 1);
		s->is_big[i] = magnitude > 1;
		s->nibble[bigs] = (uint8_t)(magnitude < 17 ? magnitude - 2 : 15);
		bigs += magnitude > 1;
		s->escape[escapes] = (uint8_t)(magnitude - 17);
		escapes += magnitude > 16;
		if (magnitude > 127) {
			s->escape[escapes - 1] = (uint8_t)(128 | magnitude >> 8);
			s->wide[wides++] = (uint8_t)magnitude;
		}
	}
	memset(s->sign + n, 0, 8);
	memset(s->is_big + n, 0, 8);
	s->nibble[bigs] = 0;
	out = put_bits(out, s->sign, n);
	out = put_bits(out, s->is_big, n);
	out = put_nibbles(out, s->nibble, bigs);
	out = put(out, s->escape, escapes);
	return put(out, s->wide, wides);
}

// REACH is how large the sum of a block's dequantised coefficients may be for its samples to
// be the same by every implementation of the IDCT: the first pass makes of it up to 4·1.39
// times as much, and some add two of its results in 16 bits. The coefficients of 8-bit
// samples have a sum below 8·1024 (by Parseval's theorem), and nearly always below this.
enum { REACH = 5900 };

// in_reach says whether a block's samples are sure to be the same everywhere though the sum
// of all is too large: that of two columns which are added to each other decides.
static int in_reach(const int16_t *c, const int32_t quant[64]) {
	for (int i = 0; i < 4; i++) {
		uint64_t sum = 0;
		for (int j = i; j < 64; j += 4)
			sum += (uint64_t)(c[j] < 0 ? -c[j] : c[j]) * (uint64_t)quant[j];
		if (sum > REACH)
			return 0;
	}
	return 1;
}

// put_segment writes a segment of so many blocks; the result is its end, or NULL where their
// coefficients are out of reach.
static uint8_t *put_segment(uint8_t *out, const int16_t (*block)[64], int32_t blocks, const int32_t quant[64], const zigzag_table t,
                            streams *s) {
	int32_t masks = 0, dcs = 0, values = 0, dc = 0;
	for (int32_t b = 0; b < blocks; b++) {
		const int16_t *c = block[b];
		const uint64_t mask = mask_of(t, c);
		const int32_t n = mask == 0 ? 0 : (71 - __builtin_clzll(mask)) / 8;
		s->length[b] = (uint8_t)n;
		for (int i = 0; i < 8; i++)
			s->mask[masks + i] = (uint8_t)(mask >> 8 * i);
		masks += n;
		const int32_t d = c[0] - dc;
		dc = c[0];
		s->delta[b] = (uint8_t)(d >= -127 && d <= 127 ? d : -128);
		if (d < -127 || d > 127) {
			s->dc[dcs++] = (uint8_t)dc;
			s->dc[dcs++] = (uint8_t)((uint32_t)dc >> 8);
		}
		uint64_t sum = (uint64_t)(dc < 0 ? -dc : dc) * (uint64_t)quant[0];
		for (uint64_t m = mask; m != 0; m &= m - 1) {
			const int at = dct_natural[1 + __builtin_ctzll(m)];
			const int32_t v = c[at], negative = v >> 31; // no branch: signs can't be foretold
			s->value[values++] = (int16_t)v;
			sum += (uint64_t)((v ^ negative) - negative) * (uint64_t)quant[at];
		}
		if (sum > REACH && !in_reach(c, quant))
			return NULL;
	}
	s->length[blocks] = 0;
	out = put_nibbles(out, s->length, blocks);
	out = put(out, s->mask, masks);
	out = put(out, s->delta, blocks);
	out = put(out, s->dc, dcs);
	return put_values(out, values, s);
}

// dct_packer is what packing takes, and the pack that was made last.
struct dct_packer {
	zigzag_table table;
	streams streams;
	dct_header header;
	int32_t quant[DCT_PARTS][64]; // 0 … 65535
	jvirt_barray_ptr *coefficients;
	uint8_t *pack; // with room for cap bytes, of which n are made
	size_t n, cap;
};

void free_packer(struct dct_packer *k) {
	if (k != NULL)
		free(k->pack);
	free(k);
}

static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); }
static void put32(uint8_t *p, uint32_t v) { put16(p, v), put16(p + 2, v >> 16); }

// refuse says why the JPEG must stay one.
static int refuse(turbo_painter *p, const char *why) {
	snprintf(p->message, sizeof p->message, "%s", why);
	return TURBO_UNSUPPORTED;
}

// room makes sure that n bytes more can be written.
static int room(struct dct_packer *k, size_t n) {
	if (k->cap - k->n >= n)
		return 1;
	const size_t cap = 2 * k->cap + n + 65536;
	uint8_t *fresh = realloc(k->pack, cap);
	if (fresh == NULL)
		return 0;
	k->pack = fresh;
	k->cap = cap;
	return 1;
}

// unread is refuse for a file that libjpeg did not read, by the kind of its error: reasons are
// counted, so that they have no numbers in them.
static int unread(turbo_painter *p, int status) {
	switch (status) {
	case TURBO_CORRUPT: refuse(p, "it is damaged"); break;
	case TURBO_UNSUPPORTED: refuse(p, "it is of a kind that libjpeg does not read"); break;
	case TURBO_TOO_LARGE: refuse(p, "it has too many scans"); break;
	}
	return status;
}

static int no_memory(turbo_painter *p) {
	snprintf(p->message, sizeof p->message, "no memory for packing");
	return TURBO_NO_MEMORY;
}

// put_header writes everything before the coefficients, but for the row offsets.
static int put_header(turbo_painter *p, size_t jpeg_bytes) {
	struct dct_packer *k = p->packer;
	const struct jpeg_decompress_struct *c = &p->jpeg;
	dct_header *h = &k->header;
	h->width = (int32_t)c->image_width;
	h->height = (int32_t)c->image_height;
	h->components = c->num_components;
	const JQUANT_TBL *table[DCT_PARTS];
	int32_t tables = 0, wide = 0;
	for (int32_t i = 0; i < h->components; i++) {
		const jpeg_component_info *from = &c->comp_info[i];
		dct_component *to = &h->part[i];
		to->h = from->h_samp_factor;
		to->v = from->v_samp_factor;
		if (from->quant_table == NULL)
			return refuse(p, "it lacks a component's quantisation table");
		for (int32_t j = 0; j < 64; j++) {
			k->quant[i][j] = from->quant_table->quantval[j];
			if (k->quant[i][j] == 0)
				return refuse(p, "it has a zero in a quantisation table");
			wide |= k->quant[i][j] > 255;
		}
		for (to->table = 0; to->table < tables; to->table++) {
			if (memcmp(table[to->table]->quantval, from->quant_table->quantval, sizeof table[0]->quantval) == 0)
				break;
		}
		if (to->table == tables)
			table[tables++] = from->quant_table;
	}
	if (!dct_geometry(h))
		return refuse(p, "its sampling factors are odd");
	const size_t rows = (size_t)h->mcus_y * (size_t)h->rows;
	k->n = 0;
	if (!room(k, 1024 + 4 * (rows + 1)))
		return no_memory(p);
	uint8_t *out = k->pack;
	memcpy(out, dct_magic, 8);
	out[8] = DCT_VERSION;
	out[9] = (uint8_t)h->colour;
	out[10] = (uint8_t)h->components;
	out[11] = (uint8_t)(tables | wide << 7);
	put16(out + 12, (uint32_t)h->width);
	put16(out + 14, (uint32_t)h->height);
	put32(out + 20, 0);
	put32(out + 24, (uint32_t)jpeg_bytes);
	out += DCT_HEADER;
	for (int32_t i = 0; i < h->components; i++) {
		*out++ = (uint8_t)h->part[i].h;
		*out++ = (uint8_t)h->part[i].v;
		*out++ = (uint8_t)h->part[i].table;
	}
	for (int32_t i = 0; i < tables; i++) {
		for (int32_t j = 0; j < 64; j++) {
			*out++ = (uint8_t)table[i]->quantval[j];
			if (wide)
				*out++ = (uint8_t)(table[i]->quantval[j] >> 8);
		}
	}
	h->offsets = (size_t)(out - k->pack);
	h->data = k->n = h->offsets + 4 * (rows + 1);
	return TURBO_OK;
}

// put_row writes a block row, row by its number in the component.
static int put_row(turbo_painter *p, int32_t component, int32_t row) {
	struct dct_packer *k = p->packer;
	const dct_component *c = &k->header.part[component];
	const int32_t segments = (c->blocks + DCT_SEGMENT - 1) / DCT_SEGMENT;
	if (!room(k, (size_t)c->blocks * BLOCK_BYTES + 2 * (size_t)segments + DCT_SLACK))
		return no_memory(p);
	JBLOCKARRAY lines = p->jpeg.mem->access_virt_barray((j_common_ptr)&p->jpeg, k->coefficients[component], (JDIMENSION)row, 1, FALSE);
	const int16_t (*blocks)[64] = (const int16_t (*)[64])lines[0];
	uint8_t *const lengths = k->pack + k->n, *out = lengths + 2 * (segments - 1);
	for (int32_t i = 0; i < segments; i++) {
		const int32_t first = i * DCT_SEGMENT, n = c->blocks - first < DCT_SEGMENT ? c->blocks - first : DCT_SEGMENT;
		uint8_t *end = put_segment(out, blocks + first, n, k->quant[component], k->table, &k->streams);
		if (end == NULL)
			return refuse(p, "its coefficients are out of the range of pictures");
		if (i < segments - 1)
			put16(lengths + 2 * i, (uint32_t)(end - out));
		out = end;
	}
	k->n = (size_t)(out - k->pack);
	return TURBO_OK;
}

// Not inlined, so that no variable of it lives across the setjmp.
__attribute__((noinline)) static int put_rows(turbo_painter *p) {
	struct dct_packer *k = p->packer;
	const dct_header *h = &k->header;
	size_t entry = h->offsets;
	for (int32_t mcu = 0; mcu < h->mcus_y; mcu++) {
		for (int32_t i = 0; i < h->components; i++) {
			for (int32_t v = 0; v < h->part[i].v; v++, entry += 4) {
				put32(k->pack + entry, (uint32_t)(k->n - h->data));
				const int status = put_row(p, i, mcu * h->part[i].v + v);
				if (status != TURBO_OK)
					return status;
				if (k->n - h->data > UINT32_MAX)
					return refuse(p, "it is too large");
			}
		}
	}
	put32(k->pack + entry, (uint32_t)(k->n - h->data));
	put32(k->pack + 16, (uint32_t)(k->n - h->data));
	memset(k->pack + k->n, 0, DCT_SLACK); // put_row left room
	k->n += DCT_SLACK;
	return TURBO_OK;
}

int turbo_pack(turbo_painter *p, const uint8_t *data, size_t n, int64_t max_pixels, size_t *size) {
	int32_t w, h;
	if (n > UINT32_MAX)
		return refuse(p, "it is too large");
	int status = turbo_open(p, data, n, &w, &h);
	if (status != TURBO_OK)
		return unread(p, status);
	if ((int64_t)w * h > max_pixels)
		return refuse(p, "it has too many pixels");
	if (p->packer == NULL) {
		p->packer = calloc(1, sizeof *p->packer);
		if (p->packer == NULL)
			return no_memory(p);
		set_zigzag(p->packer->table);
	}
	struct dct_packer *k = p->packer;
	switch (p->jpeg.jpeg_color_space) {
	case JCS_GRAYSCALE: k->header.colour = DCT_GREY; break;
	case JCS_YCbCr: k->header.colour = DCT_YCC; break;
	case JCS_RGB: k->header.colour = DCT_RGB; break;
	default: return refuse(p, "it is CMYK");
	}
	p->source.next_input_byte = data + p->consumed;
	p->source.bytes_in_buffer = n - p->consumed;
	if (setjmp(p->escape)) {
		stop_jpeg(p);
		return unread(p, p->status);
	}
	k->coefficients = jpeg_read_coefficients(&p->jpeg);
	status = put_header(p, n);
	if (status == TURBO_OK)
		status = put_rows(p);
	stop_jpeg(p);
	*size = k->n;
	return status;
}

const uint8_t *turbo_packed(const turbo_painter *p) { return p->packer->pack; }
