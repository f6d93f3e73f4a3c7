package schemas

import (
	"fmt"
	"strconv"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// OrderSpec is how the samples of an epoch are ordered.
//
//	global                           one keyed permutation of all samples
//	blocked:shards=8,window=16384    shards in keyed order, eight at a time, mixed within
//	                                 windows of about 16,384 samples: shards are read in
//	                                 long runs
//
// Its String is canonical and is what RunSpec.Order holds.
type OrderSpec struct {
	Blocked bool
	Shards  int // blocked only: shards read side by side
	Window  int // blocked only: samples mixed with one another
}

// Defaults and upper bounds of a blocked order.
const (
	DefaultOrderShards = 8
	DefaultOrderWindow = 16384
	maxOrderShards     = 4096
	maxOrderWindow     = 1 << 24
)

// ParseOrder parses an order; "blocked" alone takes the defaults. Errors wrap
// ErrUsage.
func ParseOrder(s string) (OrderSpec, error) {
	bad := func(why string) (OrderSpec, error) {
		return OrderSpec{}, errs.New("order", s, bounded.Suggest(strings.SplitN(s, ":", 2)[0], []string{"global", "blocked"})+"give global, blocked or blocked:shards=8,window=16384", errs.Because(errs.ErrUsage, why))
	}
	kind, args, given := strings.Cut(s, ":")
	switch {
	case kind == "global" && !given:
		return OrderSpec{}, nil
	case kind != "blocked":
		return bad("there is no such order")
	}
	o := OrderSpec{Blocked: true, Shards: DefaultOrderShards, Window: DefaultOrderWindow}
	if !given {
		return o, nil
	}
	for _, arg := range strings.Split(args, ",") {
		name, value, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(value)
		switch {
		case name != "shards" && name != "window":
			return bad(fmt.Sprintf("it has no parameter %q", name))
		case err != nil || n < 1:
			return bad(fmt.Sprintf("%s is %q, not a number of 1 or more", name, value))
		case name == "shards" && n <= maxOrderShards:
			o.Shards = n
		case name == "window" && n <= maxOrderWindow:
			o.Window = n
		default:
			return bad(fmt.Sprintf("%s is %d, over the %d or %d that shards and window may be", name, n, maxOrderShards, maxOrderWindow))
		}
	}
	return o, nil
}

// String is the canonical form.
func (o OrderSpec) String() string {
	if !o.Blocked {
		return "global"
	}
	return fmt.Sprintf("blocked:shards=%d,window=%d", o.Shards, o.Window)
}
