//go:build cgo

// Where a painter's time goes.

#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "painter.h"

int64_t turbo_thread_time(void) {
	struct timespec t;
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0)
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void turbo_start_profile(turbo_painter *p) {
	free(p->costs);
	p->costs = calloc(TURBO_COSTS, sizeof *p->costs);
}

void turbo_costs(const turbo_painter *p, turbo_cost costs[TURBO_COSTS]) {
	if (p->costs != NULL)
		memcpy(costs, p->costs, TURBO_COSTS * sizeof *costs);
}

int64_t begin(const turbo_painter *p) { return p->costs != NULL ? turbo_thread_time() : 0; }

int64_t charge(turbo_painter *p, int work, int64_t began) {
	if (p->costs == NULL)
		return 0;
	const int64_t now = turbo_thread_time();
	p->costs[work].calls++;
	p->costs[work].ns += now - began;
	return now;
}
