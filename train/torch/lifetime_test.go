package torch_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

func TestScopesFreeWhatTheyDoNotReturn(t *testing.T) {
	torchtest.Require(t)
	base := torch.LiveTensors()
	live := func() int64 { return torch.LiveTensors() - base }
	var kept *torch.Tensor
	err := torch.Do(func() error {
		a := torch.FromFloat32([]float32{1, 2, 3}, 3)
		if live() != 1 {
			t.Errorf("after one tensor: live %d", live())
		}
		b := torch.Scope(func() *torch.Tensor {
			inner := torch.Scope(func() *torch.Tensor { return torch.Add(a, a, 1) })
			torch.Mul(inner, inner)
			return torch.MulScalar(inner, 2)
		})
		if live() != 2 {
			t.Errorf("after a scope with one result: live %d, want 2", live())
		}
		pair := torch.ScopeN(func() []*torch.Tensor {
			torch.Neg(b)
			return []*torch.Tensor{torch.Neg(b), a, nil}
		})
		if live() != 3 {
			t.Errorf("after ScopeN: live %d, want 3", live())
		}
		torch.ScopeDo(func() {
			kept = torch.Neg(pair[0]).Keep()
			kept.Keep()
			torch.Neg(kept)
		})
		if live() != 4 {
			t.Errorf("after ScopeDo with one kept: live %d, want 4", live())
		}
		pair[0].Free()
		pair[0].Free()
		if live() != 3 {
			t.Errorf("after Free: live %d, want 3", live())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if live() != 1 {
		t.Fatalf("after Do: live %d, want the kept one", live())
	}
	var values []float32
	if err := torch.Do(func() error { values = kept.Float32s(); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []float32{4, 8, 12}; fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("kept tensor holds %v in the next Do, want %v", values, want)
	}
	kept.Free()
	if live() != 0 {
		t.Errorf("after freeing the kept one: live %d", live())
	}
}

func TestFailureFreesEverythingAndIsOneLine(t *testing.T) {
	torchtest.Require(t)
	before := torch.LiveTensors()
	var freed *torch.Tensor
	cases := []struct {
		name     string
		fn       func()
		sentinel error
		parts    []string
	}{
		{"shapes", func() {
			torch.Mm(torch.Zeros([]int64{2, 3}, torch.Float32, torch.CPU), torch.Zeros([]int64{2, 3}, torch.Float32, torch.CPU))
		}, errs.ErrMismatch, []string{"aten::mm", "2x3"}},
		{"in nested scopes", func() {
			torch.ScopeDo(func() {
				torch.ScopeDo(func() { torch.Reshape(torch.Zeros([]int64{4}, torch.Float32, torch.CPU), []int64{3}) })
			})
		}, errs.ErrMismatch, []string{"aten::reshape", "shape '[3]' is invalid"}},
		{"nil", func() { torch.Neg(nil) }, errs.ErrUsage, []string{"aten::neg", "argument self is nil"}},
		{"nil in a list", func() { torch.Cat([]*torch.Tensor{nil}, 0) }, errs.ErrUsage, []string{"tensors[0] is nil"}},
		{"freed by its scope", func() {
			torch.ScopeDo(func() { freed = torch.Zeros([]int64{1}, torch.Float32, torch.CPU) })
			torch.Neg(freed)
		}, errs.ErrUsage, []string{"argument self is a freed tensor"}},
		{"freed by hand", func() {
			a := torch.Zeros([]int64{1}, torch.Float32, torch.CPU)
			a.Free()
			a.Shape()
		}, errs.ErrUsage, []string{"freed tensor"}},
		{"not implemented", func() {
			torch.Hardswish(torch.Zeros([]int64{1}, torch.Int64, torch.CPU))
		}, errs.ErrUnsupported, []string{"hardswish"}},
		{"memory", func() { torch.Empty([]int64{1 << 50}, torch.Float32, torch.CPU) }, errs.ErrTooLarge, []string{"memory"}},
		{"data too short", func() { torch.FromFloat32([]float32{1, 2}, 3) }, errs.ErrMismatch, []string{"12 bytes", "8 bytes"}},
		{"shape overflows", func() { torch.FromFloat32(nil, 1<<40, 1<<40) }, errs.ErrMismatch, []string{"too large"}},
		{"no single value", func() { torch.Zeros([]int64{2}, torch.Float32, torch.CPU).Item() }, errs.ErrMismatch, []string{"2 elements"}},
		{"write of another size", func() { torch.Zeros([]int64{2}, torch.Float32, torch.CPU).CopyFrom(make([]byte, 9)) }, errs.ErrMismatch, []string{"9 bytes"}},
		{"no such dimension", func() { torch.Zeros([]int64{2}, torch.Float32, torch.CPU).Size(1) }, errs.ErrUsage, []string{"[2]"}},
		{"backward without a graph", func() { torch.Zeros(nil, torch.Float32, torch.CPU).Backward() }, errs.ErrMismatch, []string{"resslt::backward", "grad"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := torch.Do(func() error { c.fn(); return nil })
			if !errors.Is(err, c.sentinel) {
				t.Fatalf("error %v, want %v", err, c.sentinel)
			}
			var typed *errs.Error
			if !errors.As(err, &typed) {
				t.Errorf("error is %T, want *errs.Error", err)
			}
			text := err.Error()
			for _, part := range c.parts {
				if !strings.Contains(text, part) {
					t.Errorf("%q does not say %q", text, part)
				}
			}
			if strings.Contains(text, "\n") || len(text) > 1300 || strings.Contains(text, "frame #") {
				t.Errorf("not one short line: %q", text)
			}
			if after := torch.LiveTensors(); after != before {
				t.Errorf("live tensors: %d before, %d after", before, after)
			}
		})
	}
}

func TestOutsideDo(t *testing.T) {
	torchtest.Require(t)
	var kept *torch.Tensor
	torchtest.Do(t, func() {}) // the device thread exists, and is not this one
	if err := torch.Do(func() error {
		kept = torch.Zeros([]int64{1}, torch.Float32, torch.CPU).Keep()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	defer kept.Free()
	for name, fn := range map[string]func(){
		"op":       func() { torch.Neg(kept) },
		"creation": func() { torch.FromFloat32([]float32{1}, 1) },
		"scope":    func() { torch.ScopeDo(func() {}) },
		"method":   func() { kept.Shape() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				err, ok := recover().(error)
				if !ok || !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "outside torch.Do") {
					t.Errorf("panic value %v, want an error that names torch.Do", err)
				}
			}()
			fn()
		})
	}
}

func TestDoPassesPanicsErrorsAndGoexitOn(t *testing.T) {
	torchtest.Require(t)
	mine := errors.New("mine")
	if err := torch.Do(func() error { return mine }); err != mine {
		t.Errorf("Do returned %v, want fn's own error", err)
	}
	func() {
		defer func() {
			p, ok := recover().(*torch.Panic)
			if !ok || p.Value != "other" || !strings.Contains(string(p.Stack), "panicsWithOther") {
				t.Errorf("recovered %v, want the panic of fn and its stack", p)
			}
		}()
		_ = torch.Do(panicsWithOther)
	}()
	// FailNow and SkipNow leave a test by runtime.Goexit.
	t.Run("goexit", func(t *testing.T) {
		_ = torch.Do(func() error {
			torch.Zeros([]int64{1}, torch.Float32, torch.CPU)
			t.SkipNow()
			return nil
		})
		t.Error("Do returned after SkipNow")
	})
	torchtest.Do(t, func() { torch.Zeros([]int64{1}, torch.Float32, torch.CPU) })
}

func panicsWithOther() error { panic("other") }

func TestNestedDoRunsInline(t *testing.T) {
	torchtest.Do(t, func() {
		torch.NoGrad(func() {
			a := torch.FromFloat32([]float32{1}, 1).SetRequiresGrad(true)
			inner := torch.Do(func() error {
				if torch.MulScalar(a, 2).RequiresGrad() {
					t.Error("a nested Do left NoGrad")
				}
				torch.Reshape(a, []int64{7})
				return nil
			})
			if !errors.Is(inner, errs.ErrMismatch) {
				t.Errorf("nested Do returned %v", inner)
			}
			if a.Item() != 1 {
				t.Error("the outer tensor did not outlive the nested Do")
			}
		})
	})
}

// TestNoGradFromManyGoroutines: grad mode belongs to an OS thread, so a goroutine
// that moves between threads would lose it.
func TestNoGradFromManyGoroutines(t *testing.T) {
	torchtest.Require(t)
	before := torch.LiveTensors()
	var wg sync.WaitGroup
	failures := make(chan error, 8)
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				err := torch.Do(func() error {
					a := torch.FromFloat32([]float32{float32(g)}, 1).SetRequiresGrad(true)
					if !torch.MulScalar(a, 2).RequiresGrad() {
						return errors.New("grad mode was off at entry")
					}
					var err error
					torch.NoGrad(func() {
						if torch.MulScalar(a, 2).RequiresGrad() {
							err = errors.New("NoGrad was lost")
						}
						torch.NoGrad(func() {})
						if torch.MulScalar(a, 2).RequiresGrad() {
							err = errors.New("NoGrad was not restored")
						}
						if g%2 == 0 {
							torch.Reshape(a, []int64{5}) // fails: the mode must not outlive the Do
						}
					})
					return err
				})
				if err != nil && !errors.Is(err, errs.ErrMismatch) {
					failures <- err
					return
				}
			}
		}()
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if after := torch.LiveTensors(); after != before {
		t.Errorf("live tensors: %d before, %d after", before, after)
	}
}

// TestStepsHoldLiveTensorsConstant trains a small convolutional net: the count
// after each step is the same, and the loss falls.
func TestStepsHoldLiveTensorsConstant(t *testing.T) {
	torchtest.Do(t, func() {
		r := rand.New(rand.NewPCG(3, 0))
		param := func(shape ...int64) *torch.Tensor { return normals(r, 0, 0.2, shape...).SetRequiresGrad(true) }
		w1, w2 := param(4, 3, 3, 3), param(5, 4)
		params := []*torch.Tensor{w1, w2}
		x := normals(r, 0, 1, 8, 3, 6, 6)
		y := torch.FromInt64([]int64{0, 1, 2, 3, 4, 0, 1, 2}, 8)
		var first, last float64
		var live int64
		for step := range 100 {
			torch.ScopeDo(func() {
				loss := torch.Scope(func() *torch.Tensor {
					h := torch.Relu_(torch.Conv2d(x, w1, nil, []int64{1, 1}, []int64{1, 1}, []int64{1, 1}, 1))
					h = torch.Flatten(torch.AdaptiveAvgPool2d(h, []int64{1, 1}), 1, -1)
					return torch.CrossEntropyLoss(torch.Linear(h, w2, nil), y, nil, 1, -100, 0)
				})
				loss.Backward()
				last = loss.Item()
				torch.NoGrad(func() {
					grads := []*torch.Tensor{w1.Grad(), w2.Grad()}
					torch.ForeachAddList_(params, grads, -0.5)
					for _, p := range params {
						p.SetGrad(nil)
					}
				})
			})
			switch n := torch.LiveTensors(); {
			case step == 0:
				first, live = last, n
			case n != live:
				t.Fatalf("step %d: %d live tensors, %d after the first", step, n, live)
			}
		}
		if !(last < 0.8*first) || math.IsNaN(last) {
			t.Errorf("loss went from %g to %g", first, last)
		}
	})
}

// TestLostDeviceIsNotAsked: after a GPU's failure nothing is freed, because libtorch's
// deleters would call the device; a refused capture is not such a failure.
func TestLostDeviceIsNotAsked(t *testing.T) {
	torchtest.Require(t)
	for _, inCapture := range []bool{false, true} {
		var kept *torch.Tensor
		do := func(fn func()) {
			if err := torch.Do(func() error { fn(); return nil }); err != nil {
				t.Error(err)
			}
		}
		do(func() { kept = torch.Zeros([]int64{3}, torch.Float32, torch.CPU).Keep() })
		before := torch.LiveTensors()
		err := torch.LoseDevice(inCapture, func() {
			do(func() { torch.AddScalar(kept, 1, 1) }) // in a scope
			kept.Free()
			if !kept.Freed() {
				t.Error("a tensor is in use after Free")
			}
		})
		if !errors.Is(err, errs.ErrUnavailable) || !strings.Contains(err.Error(), "nvidia-smi") {
			t.Errorf("got %v", err)
		}
		want := before + 1
		if inCapture {
			want = before - 1
		}
		if after := torch.LiveTensors(); after != want {
			t.Errorf("in a capture %v: %d tensors before, %d after, want %d", inCapture, before, after, want)
		}
	}
}
