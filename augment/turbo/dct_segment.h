//go:build cgo

// unpack of dct.h, of which each tier's file has the parts: big_values, all_values and
// unpack_block. It includes this after them.

static int unpack(dct_segment *s, const uint8_t *p, const uint8_t *end, int32_t blocks, int32_t from, int32_t to) {
	segment_streams t;
	if (!parse_segment(s, &t, p, end, blocks))
		return 0;
	const uint8_t *escape = big_values(s, &t);
	if (escape == NULL)
		return 0;
	all_values(s, &t);
	int16_t *c = s->coef;
	for (int32_t b = from; b < to; b++, c += 64)
		unpack_block(c, s->value + s->first[b], s->mask[b], s->dc[b]);
	return add_wide_values(s, &t, escape, from, to);
}
