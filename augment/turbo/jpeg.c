//go:build cgo

// Decoding: a box of a JPEG by libjpeg-turbo, the same bytes as decoding all of
// it and cutting, from memory that may hold anything.

#include <stdlib.h>
#include <string.h>

#include "painter.h"

// MAX_SCANS bounds the passes over a progressive file. Encoders write 3 to 20;
// a small file with thousands of them would keep a worker busy for minutes.
enum { MAX_SCANS = 100 };

// The JPEG is in memory as a whole: there is nothing to fill.
static void init_source(j_decompress_ptr c) { (void)c; }
static void term_source(j_decompress_ptr c) { (void)c; }

static boolean fill_input_buffer(j_decompress_ptr c) {
	// Where libjpeg's own source would invent an end, the file is cut off.
	ERREXIT(c, JERR_INPUT_EOF);
	return FALSE;
}

static void skip_input_data(j_decompress_ptr c, long n) {
	if (n <= 0)
		return;
	if ((size_t)n > c->src->bytes_in_buffer)
		ERREXIT(c, JERR_INPUT_EOF);
	c->src->next_input_byte += n;
	c->src->bytes_in_buffer -= (size_t)n;
}

static void escape(j_common_ptr c, int status) {
	turbo_painter *p = c->client_data;
	p->status = status;
	c->err->format_message(c, p->message);
	longjmp(p->escape, 1);
}

static void error_exit(j_common_ptr c) {
	int status = TURBO_CORRUPT;
	switch (c->err->msg_code) {
	case JERR_OUT_OF_MEMORY: status = TURBO_NO_MEMORY; break;
	case JERR_BAD_PRECISION:
	case JERR_ARITH_NOTIMPL:
	case JERR_CCIR601_NOTIMPL:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_FRACT_SAMPLE_NOTIMPL:
	case JERR_NOTIMPL:
	case JERR_NOT_COMPILED:
	case JERR_SOF_UNSUPPORTED: status = TURBO_UNSUPPORTED; break;
	}
	escape(c, status);
}

// emit_message gets warnings as level -1. Some are about pixels that libjpeg
// guessed, and those must not be trained on; others are about harmless oddities
// that real files have.
static void emit_message(j_common_ptr c, int level) {
	if (level >= 0)
		return;
	c->err->num_warnings++;
	switch (c->err->msg_code) {
	case JWRN_ADOBE_XFORM:
	case JWRN_BOGUS_ICC:
	case JWRN_EXTRANEOUS_DATA: // bytes between segments
	case JWRN_JFIF_MAJOR:
	case JWRN_TOO_MUCH_DATA: return;
	}
	escape(c, TURBO_CORRUPT);
}

static void output_message(j_common_ptr c) { (void)c; }

static void count_scans(j_common_ptr c) {
	j_decompress_ptr d = (j_decompress_ptr)c;
	if (d->input_scan_number <= MAX_SCANS)
		return;
	turbo_painter *p = c->client_data;
	snprintf(p->message, sizeof p->message, "over %d scans", MAX_SCANS);
	p->status = TURBO_TOO_LARGE;
	longjmp(p->escape, 1);
}

// stop_jpeg frees what libjpeg holds for the file. Its tables go too: a file that
// brings none must not be read with those of the file before it.
void stop_jpeg(turbo_painter *p) {
	if (p->made)
		jpeg_destroy_decompress(&p->jpeg);
	p->made = 0;
}

static int fail(turbo_painter *p, int status, const char *message) {
	snprintf(p->message, sizeof p->message, "%s", message);
	stop_jpeg(p);
	return status;
}

// has_end says whether an end-of-image marker is there after the first from
// bytes. In entropy-coded data 0xff is followed by 0 or a restart marker, so a
// file that was cut off has none, wherever it was cut.
static int has_end(const uint8_t *data, size_t from, size_t n) {
	for (size_t i = n; i >= from + 2; i--) {
		if (data[i - 2] == 0xff && data[i - 1] == 0xd9)
			return 1;
	}
	return 0;
}

int turbo_open(turbo_painter *p, const uint8_t *data, size_t n, int32_t *w, int32_t *h) {
	stop_jpeg(p);
	p->w = p->h = 0;
	p->jpeg.err = jpeg_std_error(&p->errors);
	p->errors.error_exit = error_exit;
	p->errors.emit_message = emit_message;
	p->errors.output_message = output_message;
	p->jpeg.client_data = p;
	if (setjmp(p->escape)) {
		stop_jpeg(p);
		return p->status;
	}
	p->made = 1; // also where create fails half-way: destroy copes with that
	jpeg_create_decompress(&p->jpeg);
	p->progress.progress_monitor = count_scans;
	p->jpeg.progress = &p->progress;
	p->source = (struct jpeg_source_mgr){
		.next_input_byte = data,
		.bytes_in_buffer = n,
		.init_source = init_source,
		.fill_input_buffer = fill_input_buffer,
		.skip_input_data = skip_input_data,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = term_source,
	};
	p->jpeg.src = &p->source;
	jpeg_read_header(&p->jpeg, TRUE);
	p->consumed = n - p->source.bytes_in_buffer;
	p->source.next_input_byte = NULL; // Go's memory: not kept between calls
	p->source.bytes_in_buffer = 0;
	*w = (int32_t)p->jpeg.image_width;
	*h = (int32_t)p->jpeg.image_height;
	if (!has_end(data, p->consumed, n))
		return fail(p, TURBO_CORRUPT, "the file is cut off");
	switch (p->jpeg.jpeg_color_space) {
	case JCS_GRAYSCALE:
	case JCS_RGB:
	case JCS_YCbCr: p->jpeg.out_color_space = JCS_RGB; break;
	case JCS_CMYK:
	case JCS_YCCK: p->jpeg.out_color_space = JCS_CMYK; break;
	default:
		snprintf(p->message, sizeof p->message, "%d colour components of no known meaning", p->jpeg.num_components);
		stop_jpeg(p);
		return TURBO_UNSUPPORTED;
	}
	return TURBO_OK;
}

// cmyk_row converts inverted CMYK as PIL's cmyk2rgb does: K scales what C, M and
// Y leave.
static void cmyk_row(uint8_t *rgb, const uint8_t *cmyk, uint32_t n) {
	for (uint32_t i = 0; i < n; i++, rgb += 3, cmyk += 4) {
		uint32_t white = cmyk[3];
		for (int c = 0; c < 3; c++) {
			uint32_t t = (255u - cmyk[c]) * white + 128;
			rgb[c] = (uint8_t)(white - (((t >> 8) + t) >> 8));
		}
	}
}

// read_rows reads h rows into the picture, a few at a time as libjpeg gives them.
static void read_rows(turbo_painter *p, int32_t h) {
	struct jpeg_decompress_struct *c = &p->jpeg;
	if (c->out_color_space == JCS_CMYK) {
		JSAMPARRAY line = c->mem->alloc_sarray((j_common_ptr)c, JPOOL_IMAGE, c->output_width * 4, 1);
		for (int32_t y = 0; y < h; y++) {
			if (jpeg_read_scanlines(c, line, 1) != 1)
				ERREXIT(c, JERR_INPUT_EOF);
			cmyk_row(p->pixels.p + (size_t)y * p->stride, line[0], c->output_width);
		}
		return;
	}
	JSAMPROW rows[16];
	for (int32_t y = 0; y < h;) {
		int32_t n = h - y < 16 ? h - y : 16;
		for (int32_t i = 0; i < n; i++)
			rows[i] = p->pixels.p + (size_t)(y + i) * p->stride;
		JDIMENSION got = jpeg_read_scanlines(c, rows, (JDIMENSION)n);
		if (got == 0)
			ERREXIT(c, JERR_INPUT_EOF);
		y += (int32_t)got;
	}
}

int turbo_decode(turbo_painter *p, const uint8_t *data, size_t n, int32_t x, int32_t y, int32_t w, int32_t h) {
	struct jpeg_decompress_struct *c = &p->jpeg;
	if (!p->made || n < p->consumed)
		return fail(p, TURBO_MISMATCH, "decoded without being opened");
	int32_t width = (int32_t)c->image_width, height = (int32_t)c->image_height;
	if (x < 0 || y < 0 || w < 1 || h < 1 || x > width - w || y > height - h)
		return fail(p, TURBO_MISMATCH, "a box outside of the picture");
	p->source.next_input_byte = data + p->consumed;
	p->source.bytes_in_buffer = n - p->consumed;
	if (setjmp(p->escape)) {
		stop_jpeg(p);
		return p->status;
	}
	c->dct_method = JDCT_ISLOW;
	c->do_fancy_upsampling = TRUE;
	c->do_block_smoothing = FALSE; // invents detail in unfinished files
	jpeg_start_decompress(c);
	for (int i = 0; i < c->num_components; i++) {
		// A file of several scans may lack those of a component altogether.
		if (jpeg_has_multiple_scans(c) && c->comp_info[i].quant_table == NULL)
			ERREXIT(c, JERR_INPUT_EOF);
	}
	// Upsampling looks one pixel to either side and takes the borders of the
	// cropped rows for the picture's; and it wants three samples of chroma or
	// more, unless the picture itself has fewer.
	enum { NARROW = 32 };
	int32_t left = x > 0 ? x - 1 : 0;
	int32_t right = x + w < width ? x + w + 1 : width;
	if (right < left + NARROW)
		right = left + NARROW < width ? left + NARROW : width;
	if (left > right - NARROW)
		left = right > NARROW ? right - NARROW : 0;
	JDIMENSION offset = (JDIMENSION)left, columns = (JDIMENSION)(right - left);
	if (columns < c->output_width)
		jpeg_crop_scanline(c, &offset, &columns);
	else
		offset = 0;
	p->stride = (size_t)c->output_width * 3;
	if (!reserve_picture(p, h))
		return fail(p, TURBO_NO_MEMORY, "no memory for the picture");
	if (y > 0 && jpeg_skip_scanlines(c, (JDIMENSION)y) != (JDIMENSION)y)
		ERREXIT(c, JERR_INPUT_EOF);
	read_rows(p, h);
	p->origin = p->pixels.p + 3 * (size_t)(x - (int32_t)offset);
	p->x0 = x, p->y0 = y, p->w = w, p->h = h;
	stop_jpeg(p);
	return TURBO_OK;
}
