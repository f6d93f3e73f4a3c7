package packing

import "resslt/ingest"

// chained is the Recoder that what a Recoder here makes goes on to.
type chained struct {
	then ingest.Recoder // nil: none
}

// chain makes the Recoder of then, if that is not nil.
func chain(then func() (ingest.Recoder, error)) (c chained, err error) {
	if then != nil {
		c.then, err = then()
	}
	return c, err
}

// pass gives on what was made of a file, or the file itself where that is nil.
func (c chained) pass(name string, made, file []byte) (ingest.Recoded, error) {
	if made == nil {
		made = file
	}
	if c.then != nil {
		return c.then.Recode(name, made)
	}
	return ingest.Recoded{Data: made, Size: int64(len(made))}, nil
}

// Close is an ingest.Recoder's.
func (c chained) Close() error {
	if c.then != nil {
		return c.then.Close()
	}
	return nil
}

// opaque writes pixels of three channels as ones of four, as far as there are any.
func opaque(dst, rgb []byte) {
	for ; len(rgb) >= 3; dst, rgb = dst[4:], rgb[3:] {
		copy(dst, rgb[:3])
		dst[3] = 255
	}
}
