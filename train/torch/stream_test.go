package torch_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"resslt/schemas/errs"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// On the CPU an event is a time, a stream does nothing, and a graph is its function.
func TestStreamsAndEventsOfTheCPU(t *testing.T) {
	torchtest.Do(t, func() {
		s := torch.NewStream(torch.CPU)
		start, end := torch.NewEvent(torch.CPU, true), torch.NewEvent(torch.CPU, true)
		ran := 0
		start.Record()
		s.Inside(func() { s.With(func() { ran++; time.Sleep(2 * time.Millisecond) }) })
		end.Record()
		end.Wait()
		if took := end.Since(start); ran != 1 || !end.Done() || took < 2*time.Millisecond || took > time.Minute {
			t.Errorf("ran %d times, done %v, took %v", ran, end.Done(), took)
		}
		g, err := torch.NewGraphPool(torch.CPU).Capture(func() { ran++ })
		if err != nil || ran != 1 {
			t.Fatalf("a capture gives %v and runs its function %d times", err, ran-1)
		}
		g.Replay()
		g.Replay()
		if ran != 3 {
			t.Errorf("two replays ran %d times", ran-1)
		}
		for range 2 {
			start.Free()
			end.Free()
			g.Free()
		}
	})
}

// Go and libtorch share a host buffer's memory, outside Do.
func TestHostBufferIsShared(t *testing.T) {
	torchtest.Require(t)
	before := torch.LiveTensors()
	var h *torch.HostBuffer
	torchDo := func(fn func()) {
		t.Helper()
		if err := torch.Do(func() error { fn(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	torchDo(func() { h = torch.NewHostBuffer(5, false) })
	copy(h.Bytes, []byte{1, 2, 3, 4, 5})
	torchDo(func() {
		if got := h.Tensor.Bytes(); !bytes.Equal(got, []byte{1, 2, 3, 4, 5}) {
			t.Errorf("libtorch reads %v", got)
		}
		torch.MulScalar_(h.Tensor, 2)
	})
	if !bytes.Equal(h.Bytes, []byte{2, 4, 6, 8, 10}) {
		t.Errorf("Go reads %v", h.Bytes)
	}
	h.Free()
	if after := torch.LiveTensors(); after != before {
		t.Errorf("%d tensors before, %d after", before, after)
	}
}

// Without a GPU, functions that need one return an error.
func TestGPUsAreRefusedWhereThereAreNone(t *testing.T) {
	torchtest.Require(t)
	info, err := torch.Info()
	if err != nil {
		t.Fatal(err)
	}
	if len(info.CUDA) > 0 {
		t.Skip("there is a GPU here")
	}
	for name, fn := range map[string]func(){
		"stream": func() { torch.NewStream(torch.CUDA(0)) },
		"event":  func() { torch.NewEvent(torch.CUDA(0), true) },
		"pool":   func() { torch.NewGraphPool(torch.CUDA(0)) },
		"memory": func() { torch.CUDAMemoryOf(torch.CUDA(0)) },
	} {
		if err := torch.Do(func() error { fn(); return nil }); !errors.Is(err, errs.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
}
