package errstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Want ends the test unless err matches kind, says all the texts and is one line.
func Want(t testing.TB, err, kind error, texts ...string) {
	t.Helper()
	if why := Differs(err, kind, texts...); why != "" {
		t.Fatal(why)
	}
}

// Differs says how err is not as Want wants it, "" if it is.
func Differs(err, kind error, texts ...string) string {
	if !errors.Is(err, kind) {
		return fmt.Sprintf("error %v, want %v", err, kind)
	}
	if err == nil {
		return ""
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			return fmt.Sprintf("error %q does not say %q", err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		return fmt.Sprintf("error of several lines: %q", err)
	}
	if n := strings.Count(err.Error(), "(hint: "); n > 1 {
		return fmt.Sprintf("error with %d hints: %q", n, err)
	}
	return ""
}
