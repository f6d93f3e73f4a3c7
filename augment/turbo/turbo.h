//go:build cgo

// The C side of the engine: what Go calls, and the painter behind it.
#ifndef RESSLT_TURBO_H
#define RESSLT_TURBO_H

#include <stddef.h>
#include <stdint.h>

// Results. The painter's message says more, in one line, for all but TURBO_OK.
enum turbo_status {
	TURBO_OK = 0,
	TURBO_CORRUPT,     // the sample's bytes are at fault
	TURBO_UNSUPPORTED, // a JPEG of a kind that is not read
	TURBO_TOO_LARGE,   // more scans than any honest file has
	TURBO_NO_MEMORY,
	TURBO_MISMATCH, // a box outside of the picture
};

// The tiers of one architecture are in order: a CPU that has one has those
// before it.
enum turbo_tier { TURBO_SCALAR, TURBO_AVX2, TURBO_AVXVNNI, TURBO_AVX512, TURBO_NEON };

// turbo_step is augment.Step: the kind's number and its arguments.
typedef struct {
	uint8_t kind;
	int32_t arg[7];
} turbo_step;

// turbo_crop says what a view is cut from: of box_w × box_h source pixels, resized to
// out_w × out_h, the size × size whose first is (left, top). (x, y, w, h) is the part of
// the picture that this reads (augment.Plan.Source).
typedef struct {
	int32_t x, y, w, h;
	int32_t box_w, box_h, out_w, out_h;
	int32_t left, top, size;
	int32_t bicubic, vertical_first;
} turbo_crop;

typedef struct turbo_painter turbo_painter;

// turbo_has_tier says whether this CPU and build can run a tier.
int turbo_has_tier(int tier);

// turbo_new makes a painter with the kernels of a tier that the CPU has, or
// NULL without memory. turbo_free takes NULL too.
turbo_painter *turbo_new(int tier);
void turbo_free(turbo_painter *p);
const char *turbo_message(const turbo_painter *p);

// turbo_open reads the header of the JPEG at data. data is not kept.
int turbo_open(turbo_painter *p, const uint8_t *data, size_t n, int32_t *w, int32_t *h);

// turbo_decode decodes the box (x, y, w, h) of the JPEG that was opened last:
// data and n are the same bytes again.
int turbo_decode(turbo_painter *p, const uint8_t *data, size_t n, int32_t x, int32_t y, int32_t w, int32_t h);

// turbo_open_packed and turbo_decode_packed are the same for a packed JPEG: the pixels
// are those of the JPEG.
int turbo_open_packed(turbo_painter *p, const uint8_t *data, size_t n, int32_t *w, int32_t *h);
int turbo_decode_packed(turbo_painter *p, const uint8_t *data, size_t n, int32_t x, int32_t y, int32_t w, int32_t h);

// turbo_pack packs a JPEG of at most max_pixels, all but the skeleton: *size bytes at turbo_packed, which belong to
// the painter, until its next call. TURBO_NO_MEMORY is a fault; every other status but
// TURBO_OK means that it must stay a JPEG, for the reason that the message gives.
int turbo_pack(turbo_painter *p, const uint8_t *data, size_t n, int64_t max_pixels, size_t *size);
const uint8_t *turbo_packed(const turbo_painter *p);

// turbo_same says whether two painters decoded the same box to the same pixels.
int turbo_same(const turbo_painter *a, const turbo_painter *b);

// turbo_load takes the box (x, y, w, h) of a decoded picture instead: pixels are
// channels (3 or 1) bytes, rows stride bytes apart, pix its first.
int turbo_load(turbo_painter *p, const uint8_t *pix, size_t stride, int32_t channels, int32_t x, int32_t y, int32_t w, int32_t h);

// turbo_paint makes the view (size,size,3) at dst and applies the steps. Its part of the
// picture must lie in that of the last turbo_decode or turbo_load.
int turbo_paint(turbo_painter *p, const turbo_crop *crop, const turbo_step *steps, int32_t nsteps, uint8_t *dst);

// What a painter accounts for: the coefficients of the filters, the passes of the resizing,
// and the steps, by the numbers of their kinds.
enum { TURBO_COST_FILTERS, TURBO_COST_ACROSS, TURBO_COST_DOWN, TURBO_COST_STEP, TURBO_COSTS = TURBO_COST_STEP + 17 };

typedef struct {
	int64_t calls, ns;
} turbo_cost;

// turbo_start_profile has p account for the CPU time of turbo_paint from now on; without
// memory it accounts for nothing. turbo_costs is what it has spent.
void turbo_start_profile(turbo_painter *p);
void turbo_costs(const turbo_painter *p, turbo_cost costs[TURBO_COSTS]);

// turbo_thread_time is the CPU time of this thread, in nanoseconds.
int64_t turbo_thread_time(void);

#endif
