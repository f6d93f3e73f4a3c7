//go:build cgo

// The painter and what its files share.
#ifndef RESSLT_PAINTER_H
#define RESSLT_PAINTER_H

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "buffer.h"
#include "coefficients.h"
#include "dct.h"
#include "kernels.h"
#include "turbo.h"

#ifndef LIBJPEG_TURBO_VERSION
#error "this is not libjpeg-turbo's jpeglib.h: install libjpeg62-turbo-dev (Debian), libjpeg-turbo-devel (Fedora) or jpeg-turbo (Homebrew)"
#endif

struct turbo_painter {
	struct jpeg_decompress_struct jpeg;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	jmp_buf escape;  // where libjpeg's errors go, valid within one call from Go
	int status;      // of the error that jumped
	int made;        // jpeg_create_decompress has run
	size_t consumed; // bytes read when turbo_open returned
	char message[JMSG_LENGTH_MAX + 64];

	dct_decoder dct;           // for packed JPEGs
	struct dct_packer *packer; // made when first needed

	// The picture: box (x0, y0, w, h) of the sample is there; pixel (x, y) of
	// the sample is at pixels.p + (y-y0)·stride + 3·(x-x0). There are PAD bytes
	// or more after the last pixel, for kernels that load whole vectors.
	buffer pixels;
	size_t stride;
	const uint8_t *origin; // of pixel (x0, y0), within pixels
	int32_t x0, y0, w, h;

	const struct kernels *k;
	axis across, down;
	buffer weights; // double (taps), while the coefficients of an axis are computed
	buffer strip;   // of across
	buffer mid;     // between the passes, and between the passes of the blur
	buffer scratch; // a copy of a view
	blur_kernel blur;
	turbo_cost *costs; // TURBO_COSTS of them, or NULL: not accounted for
};

#define PAD 128

void free_dct(dct_decoder *d);
void free_packer(struct dct_packer *p);

// stop_jpeg ends what turbo_open began.
void stop_jpeg(turbo_painter *p);

// reserve_picture makes room for h rows of p->stride bytes; 0 without memory.
int reserve_picture(turbo_painter *p, int32_t h);

// begin and charge account for the CPU time between them, if p does. charge is the next
// work's beginning.
int64_t begin(const turbo_painter *p);
int64_t charge(turbo_painter *p, int work, int64_t began);

#endif
