//go:build ignore

// Packed JPEGs against libjpeg and against malice. asan.sh builds it with sanitizers.
//
//   dctfuzz kinds N [SEED]     N JPEGs of random kinds (size, sampling, quality, colour space,
//                              progressive, restarts; wild coefficients), packed;
//                              random boxes by every tier must be libjpeg's pixels
//   dctfuzz damage N [SEED]    N packs with damaged bytes: every tier says the same, with equal pixels
//   dctfuzz files N [SEED]     N JPEGs with damaged bytes, packed where they can be: libjpeg's pixels
//
// The last line printed says how many there were of what.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../painter.h"

enum { SIDE = 96, MOST_TIERS = 4 };

static uint64_t state;
static int32_t side = SIDE; // of pictures, at most

static uint32_t any(void) { // SplitMix64
	uint64_t z = (state += 0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return (uint32_t)((z ^ z >> 31) >> 16);
}

static int32_t below(int32_t n) { return (int32_t)(any() % (uint32_t)n); }

static turbo_painter *painters[MOST_TIERS], *reference;
static int tiers;

static void die(const char *what, long i) {
	fprintf(stderr, "case %ld: %s\n", i, what);
	exit(1);
}

// picture fills n samples with noise, gradients or a mixture of them.
static void picture(uint8_t *px, int32_t w, int32_t h, int32_t channels) {
	const int32_t kind = below(4), dx = below(7) - 3, dy = below(7) - 3, base = below(256);
	for (int32_t y = 0; y < h; y++) {
		for (int32_t x = 0; x < w; x++) {
			for (int32_t c = 0; c < channels; c++) {
				const uint32_t r = any() >> 8;
				const int32_t flat = base + dx * x + dy * y + 40 * c;
				*px++ = (uint8_t)(kind == 0   ? (int32_t)(r & 255)
				                  : kind == 1 ? flat
				                  : kind == 2 ? 255 * (int32_t)(r & 1)
				                              : flat + (int32_t)(r & 15));
			}
		}
	}
}

static void say_nothing(j_common_ptr c, int level) { (void)c, (void)level; }

// wild replaces some coefficients of a JPEG by any that can be written, and steps of its
// quantisation tables by any.
static size_t wild(uint8_t **jpeg, size_t n) {
	struct jpeg_decompress_struct d;
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	uint8_t *out = NULL;
	unsigned long size = 0;
	d.err = c.err = jpeg_std_error(&errors);
	errors.emit_message = say_nothing;
	jpeg_create_decompress(&d);
	jpeg_create_compress(&c);
	jpeg_mem_src(&d, *jpeg, n);
	jpeg_mem_dest(&c, &out, &size);
	jpeg_read_header(&d, TRUE);
	jvirt_barray_ptr *coefficients = jpeg_read_coefficients(&d);
	const int32_t most = 1 << below(11), often = 1 + below(64), large = below(2) ? 255 : 1 + below(32767);
	for (int32_t i = 0; i < NUM_QUANT_TBLS; i++) {
		for (int32_t j = 0; j < 64 && d.quant_tbl_ptrs[i] != NULL && below(2); j++)
			d.quant_tbl_ptrs[i]->quantval[j] = (UINT16)(1 + below(large));
	}
	for (int32_t i = 0; i < d.num_components; i++) {
		const jpeg_component_info *k = &d.comp_info[i];
		memcpy(k->quant_table->quantval, d.quant_tbl_ptrs[k->quant_tbl_no]->quantval, sizeof k->quant_table->quantval);
		for (JDIMENSION y = 0; y < k->height_in_blocks; y++) {
			JBLOCKROW row = d.mem->access_virt_barray((j_common_ptr)&d, coefficients[i], y, 1, TRUE)[0];
			for (JDIMENSION x = 0; x < k->width_in_blocks; x++) {
				for (int32_t j = 0; j < 64; j++) {
					if (below(often) == 0)
						row[x][j] = (JCOEF)(below(2 * most - 1) - most + 1);
				}
			}
		}
	}
	jpeg_copy_critical_parameters(&d, &c);
	c.optimize_coding = TRUE;
	jpeg_write_coefficients(&c, coefficients);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	jpeg_destroy_decompress(&d);
	free(*jpeg);
	*jpeg = out;
	return size;
}

// random_jpeg makes a JPEG; the caller frees it.
static size_t random_jpeg(uint8_t **out) {
	static uint8_t px[SIDE * SIDE * 3];
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	const int32_t w = 1 + below(side), h = 1 + below(below(2) ? side : 20), kind = below(8);
	unsigned long n = 0;
	*out = NULL;
	c.err = jpeg_std_error(&errors);
	errors.emit_message = say_nothing;
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, out, &n);
	c.image_width = (JDIMENSION)w;
	c.image_height = (JDIMENSION)h;
	c.input_components = kind == 0 ? 1 : 3;
	c.in_color_space = kind == 0 ? JCS_GRAYSCALE : JCS_RGB;
	picture(px, w, h, c.input_components);
	jpeg_set_defaults(&c);
	if (kind == 1)
		jpeg_set_colorspace(&c, JCS_RGB);
	jpeg_set_quality(&c, 1 + below(100), below(2));
	// Factors that divide the largest, and 10 blocks an MCU at most.
	static const uint8_t factors[][2] = {{1, 1}, {2, 1}, {2, 2}, {2, 2}, {1, 2}, {4, 1}, {4, 2},
	                                     {1, 4}, {2, 4}, {3, 1}, {3, 2}, {1, 3}, {2, 3}, {2, 1}};
	const uint8_t *f = factors[below(sizeof factors / sizeof *factors)];
	for (int32_t i = 0; i < c.num_components; i++) {
		int32_t fh = f[0], fv = f[1];
		if (i > 0 && below(4) != 0)
			fh = fv = 1;
		c.comp_info[i].h_samp_factor = fh;
		c.comp_info[i].v_samp_factor = fv;
	}
	int32_t blocks = 0;
	for (int32_t i = 0; i < c.num_components; i++)
		blocks += c.comp_info[i].h_samp_factor * c.comp_info[i].v_samp_factor;
	if (blocks > 10) {
		for (int32_t i = 1; i < c.num_components; i++)
			c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
	}
	if (below(4) == 0)
		jpeg_simple_progression(&c);
	if (below(4) == 0)
		c.restart_interval = 1 + (unsigned)below(5);
	jpeg_start_compress(&c, TRUE);
	for (int32_t y = 0; y < h; y++) {
		JSAMPROW row = px + (size_t)y * (size_t)w * (size_t)c.input_components;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return below(4) == 0 ? wild(out, n) : n;
}

// pack_of is a copy of exactly the pack's size, so that a sanitizer sees what is read after it.
static uint8_t *pack_of(const uint8_t *jpeg, size_t n, size_t *size) {
	if (turbo_pack(reference, jpeg, n, 1 << 20, size) != TURBO_OK)
		return NULL;
	uint8_t *pack = malloc(*size);
	if (pack != NULL)
		memcpy(pack, turbo_packed(reference), *size);
	return pack;
}

// check compares so many boxes of a pack, by every tier, with libjpeg's; the first is the whole
// picture. It returns how many it compared.
static long check(const uint8_t *pack, size_t size, const uint8_t *jpeg, size_t bytes, int rounds, long i) {
	for (int round = 0; round < rounds; round++) {
		int32_t w, h;
		if (turbo_open(reference, jpeg, bytes, &w, &h) != TURBO_OK)
			die(turbo_message(reference), i);
		const int32_t bw = round == 0 ? w : 1 + below(w), bh = round == 0 ? h : 1 + below(h);
		const int32_t x = below(w - bw + 1), y = below(h - bh + 1);
		if (turbo_decode(reference, jpeg, bytes, x, y, bw, bh) != TURBO_OK)
			die(turbo_message(reference), i);
		for (int t = 0; t < tiers; t++) {
			turbo_painter *p = painters[t];
			if (turbo_open_packed(p, pack, size, &w, &h) != TURBO_OK || turbo_decode_packed(p, pack, size, x, y, bw, bh) != TURBO_OK)
				die(turbo_message(p), i);
			if (!turbo_same(p, reference)) {
				fprintf(stderr, "tier %d, box (%d, %d), %d×%d of %d×%d\n", t, x, y, bw, bh, w, h);
				die("pixels are not libjpeg's", i);
			}
		}
	}
	return (long)rounds * tiers;
}

static void kinds(long n) {
	long boxes = 0, left = 0;
	for (long i = 0; i < n; i++) {
		uint8_t *jpeg;
		size_t size, bytes = random_jpeg(&jpeg);
		uint8_t *pack = pack_of(jpeg, bytes, &size);
		if (pack == NULL) {
			if (strstr(turbo_message(reference), "range") == NULL)
				die(turbo_message(reference), i);
			left++;
		} else {
			boxes += check(pack, size, jpeg, bytes, 6, i);
		}
		free(pack);
		free(jpeg);
	}
	printf("%ld JPEGs, %ld of them left as they are, %ld boxes equal to libjpeg's\n", n, left, boxes);
}

// spoil damages a file, whose header has so many bytes, in one of the ways that bytes are damaged.
static void spoil(uint8_t *pack, size_t size, size_t header) {
	for (int32_t k = 1 + below(below(3) ? 2 : 12); k > 0; k--) {
		const size_t at = below(6) == 0   ? (size_t)below((int32_t)header)
		                  : below(3) == 0 ? size - 1 - any() % (size - header)
		                                  : any() % size;
		switch (below(4)) {
		case 0: pack[at] ^= (uint8_t)(1 << below(8)); break;
		case 1: pack[at] = (uint8_t)any(); break;
		case 2: pack[at] = below(2) ? 0xff : 0; break;
		case 3: pack[at] = (uint8_t)(pack[at] + below(5) - 2); break;
		}
	}
}

static void damage(long n) {
	enum { PACKS = 500 };
	long read = 0, refused = 0, done = 0;
	side = SIDE / 2;
	while (done < n) {
		uint8_t *jpeg;
		size_t size, bytes = random_jpeg(&jpeg);
		uint8_t *pack = pack_of(jpeg, bytes, &size);
		free(jpeg);
		if (pack == NULL)
			continue;
		uint8_t *bad = malloc(size);
		for (int round = 0; bad != NULL && round < PACKS && done < n; round++, done++) {
			memcpy(bad, pack, size);
			spoil(bad, size, DCT_HEADER + 9);
			int32_t w = 0, h = 0;
			int status = turbo_open_packed(painters[0], bad, size, &w, &h);
			if (status != TURBO_OK || w > 4 * SIDE || h > 4 * SIDE) {
				refused++;
				continue;
			}
			const int32_t bw = 1 + below(w), bh = 1 + below(h), x = below(w - bw + 1), y = below(h - bh + 1);
			status = turbo_decode_packed(painters[0], bad, size, x, y, bw, bh);
			read += status == TURBO_OK;
			for (int t = 1; t < tiers; t++) {
				if (turbo_open_packed(painters[t], bad, size, &w, &h) != TURBO_OK)
					die("one tier opens it, another does not", done);
				if (turbo_decode_packed(painters[t], bad, size, x, y, bw, bh) != status)
					die("one tier decodes it, another does not", done);
				if (status == TURBO_OK && !turbo_same(painters[0], painters[t]))
					die("two tiers give different pixels", done);
			}
		}
		free(bad);
		free(pack);
	}
	printf("%ld damaged packs, %ld of them not even opened, %ld decoded alike by %d tiers\n", done, refused, read, tiers);
}

// files packs damaged JPEGs. One that is packed has the pixels that libjpeg makes of it.
static void files(long n) {
	enum { COPIES = 100 };
	long packed = 0, boxes = 0, done = 0;
	side = SIDE / 3;
	while (done < n) {
		uint8_t *jpeg;
		const size_t bytes = random_jpeg(&jpeg);
		for (int round = 0; round < COPIES && done < n; round++, done++) {
			const size_t kept = below(8) == 0 ? 4 + any() % (bytes - 4) : bytes;
			uint8_t *bad = malloc(kept);
			if (bad == NULL)
				die("no memory", done);
			memcpy(bad, jpeg, kept);
			spoil(bad, kept, kept > 1200 ? 600 : kept / 2);
			size_t size;
			uint8_t *pack = pack_of(bad, kept, &size);
			if (pack != NULL) {
				packed++;
				boxes += check(pack, size, bad, kept, 1, done);
			}
			free(pack);
			free(bad);
		}
		free(jpeg);
	}
	printf("%ld damaged JPEGs, %ld of them packed, %ld boxes equal to libjpeg's\n", done, packed, boxes);
}

int main(int argc, char **argv) {
	const long n = argc > 2 ? atol(argv[2]) : 0;
	state = argc > 3 ? (uint64_t)atoll(argv[3]) : 1;
	for (int t = TURBO_SCALAR; t <= TURBO_NEON; t++) {
		if (turbo_has_tier(t))
			painters[tiers++] = turbo_new(t);
	}
	reference = turbo_new(TURBO_SCALAR);
	if (n > 0 && strcmp(argv[1], "kinds") == 0)
		kinds(n);
	else if (n > 0 && strcmp(argv[1], "damage") == 0)
		damage(n);
	else if (n > 0 && strcmp(argv[1], "files") == 0)
		files(n);
	else {
		fprintf(stderr, "usage: dctfuzz kinds|damage|files N [SEED]\n");
		return 2;
	}
	for (int t = 0; t < tiers; t++)
		turbo_free(painters[t]);
	turbo_free(reference);
	return 0;
}
