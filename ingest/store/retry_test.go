package store

import (
	"context"
	"errors"
	"syscall"
	"testing"
)

// A fault of the cache's disk ends a request's tries, and stays what it is.
func TestCacheFaultIsNotRetried(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	for name, final := range map[string]func(error) bool{"looked for": final, "open": hopeless} {
		tries := 0
		err := s.retry(context.Background(), final, func(context.Context) error {
			tries++
			return progress{diskFault(syscall.ENOSPC)}
		})
		if tries != 1 || !errors.As(err, new(cacheFault)) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %d tries, %v", name, tries, err)
		}
	}
}
