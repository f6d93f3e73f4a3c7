// Package nntest helps the tests of train to compare results with PyTorch's.
//
// The fixtures are in train/testdata/parity, with generate.py, which wrote them with
// PyTorch. They contain neither weights nor inputs: Formula makes these from an integer
// hash of name and index, as formula in fixtures.py does.
//
//	nntest.Torch(t)                              // skips the test without libtorch
//	fix := nntest.Load(t, "objective")
//	z := nntest.FormulaTensor("student", 1, 0, 8, 16)
//	nntest.Stored(t, "loss", loss.Float64s(), fix.Float32s("total"))
//
// Bounds follow from the arithmetic, never from measurements on a machine:
//
//   - float64 and a fixture: the fixture's own rounding to fp32 (Stored).
//   - fp32 and other kernels: an error, relative to the same computation in float64, of at
//     most Factor times that of a second fp32 program on the same machine (Reference).
//   - a few roundings, counted by hand: so many Units (Close).
//   - gradients through ReLUs: only where no ReLU's input can change sign (Kinks).
//   - bf16: the effect of rounding only the weights to bf16, in float64.
//
// Mutations checks that each comparison detects a fault.
//
// Deviations are relative to the largest magnitude, max|a−b| / max|b|, those of a
// Reference to the length, ‖a−b‖ / ‖b‖.
package nntest
