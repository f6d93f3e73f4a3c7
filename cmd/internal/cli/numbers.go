package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"resslt/schemas/errs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// leastDuration is the shortest time that a flag takes: less than a network's hiccup would end
// what is at work.
const leastDuration = time.Second

// mayBeZero marks flags for which 0 has a meaning though it is not their default.
const mayBeZero = "resslt-may-be-zero"

// MayBeZero has flags take 0, too.
func MayBeZero(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := fs.Lookup(name)
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[mayBeZero] = nil
	}
}

// checkNumbers refuses numbers and times that can mean nothing: a flag takes what is above 0,
// and 0 where that is its default; a time is a second or more.
func checkNumbers(c *cobra.Command) error {
	var bad []error
	c.Flags().Visit(func(f *pflag.Flag) {
		if hint := lacking(f); hint != "" {
			bad = append(bad, errs.New("", c.CommandPath()+" --"+f.Name+" "+f.Value.String(), hint, errs.ErrUsage))
		}
	})
	return errors.Join(bad...)
}

// lacking is what to give in place of a flag's value, "" where that can be.
func lacking(f *pflag.Flag) string {
	value, least, unit := parseNumber(f.Value.Type(), f.Value.String())
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return "give a number"
	}
	standard, _, _ := parseNumber(f.Value.Type(), f.DefValue)
	_, zero := f.Annotations[mayBeZero]
	zero = zero || standard == 0
	switch {
	case unit == "", value >= least && value > 0, value == 0 && zero:
		return ""
	case zero:
		return fmt.Sprintf("give %s or more, or 0", unit)
	}
	return fmt.Sprintf("give %s or more", unit)
}

// parseNumber gives a flag's value and the least that is above 0, in words, too; "" for what is
// no number.
func parseNumber(kind, text string) (value, least float64, words string) {
	switch kind {
	case "int", "int32", "int64":
		n, _ := strconv.ParseInt(text, 10, 64) // the flag has parsed it
		return float64(n), 1, "1"
	case "float32", "float64":
		x, _ := strconv.ParseFloat(text, 64)
		return x, 0, "a number above 0"
	case "duration":
		d, _ := time.ParseDuration(text)
		return float64(d), float64(leastDuration), leastDuration.String()
	}
	return 0, 0, ""
}
