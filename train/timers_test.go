package train

import (
	"testing"
	"time"

	"resslt/train/torch"
)

// Sums are over the spans since the last take, and means over the steps.
func TestTimersAddUp(t *testing.T) {
	tm := &timers{device: torch.CPU}
	tm.add(phaseWait, 6*time.Millisecond)
	for range 2 {
		tm.span(phaseLoss, func() { time.Sleep(3 * time.Millisecond) })
	}
	tm.off = true
	tm.span(phaseStudent, func() {})
	sum := tm.take()
	p := sum.mean(2)
	if p.Wait != 3 || p.Loss < 3 || p.Loss > 3000 || p.Student != 0 {
		t.Errorf("means %+v", p)
	}
	if again := tm.take(); again != (durations{}) {
		t.Errorf("after take there is still %v", again)
	}
	if p := (&durations{}).mean(0); p != (Phases{}) {
		t.Errorf("of no steps: %+v", p)
	}
	if len(PhaseNames) != int(phases) || len(p.Values()) != len(PhaseNames) {
		t.Errorf("%d names, %d values, %d phases", len(PhaseNames), len(p.Values()), phases)
	}
}

// BenchmarkSpan is what timing a phase costs on the CPU.
func BenchmarkSpan(b *testing.B) {
	tm := &timers{device: torch.CPU}
	nothing := func() {}
	for b.Loop() {
		tm.span(phaseLoss, nothing)
	}
}
