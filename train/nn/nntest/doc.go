// Package nntest helps the tests of train to compare with PyTorch.
//
// Fixtures lie in train/testdata/parity, beside generate.py, which wrote them
// with PyTorch. Weights and inputs are in neither: Formula makes them here as
// fixtures.py's formula does there, from an integer hash of name and index.
//
//	nntest.Torch(t)                              // skips where there is no libtorch
//	fix := nntest.Load(t, "objective")
//	z := nntest.FormulaTensor("student", 1, 0, 8, 16)
//	nntest.Stored(t, "loss", loss.Float64s(), fix.Float32s("total"))
//
// Bounds come from the arithmetic, none from what a machine happened to show:
//
//   - float64 against a fixture: the fixture's own rounding to fp32 (Stored).
//   - fp32 and other kernels: against the same computation in float64, and at most Factor
//     times as far from it as a second fp32 program is here (Reference).
//   - a few roundings by hand: so many Units (Close).
//   - gradients through ReLUs: where no ReLU can change sides (Kinks).
//   - bf16: against what rounding the weights alone to bf16 does in float64.
//
// Mutations holds that each of them sees a fault.
//
// Deviations are relative to the greatest magnitude, max|a−b| / max|b|, those of a
// Reference to the length, ‖a−b‖ / ‖b‖.
package nntest
