// Package nntest helps the tests of train to compare with PyTorch.
//
// Fixtures lie in train/testdata/parity, beside generate.py, which wrote them
// with PyTorch. Weights and inputs are in neither: Formula makes them here as
// fixtures.py's formula does there, from an integer hash of name and index.
//
//	nntest.Torch(t)                              // skips where there is no libtorch
//	fix := nntest.Load(t, "objective")
//	z := nntest.FormulaTensor("student", 1, 0, 8, 16)
//	nntest.Close(t, "loss", loss.Float32s(), fix.Float32s("total"), 1e-5)
//
// Deviations are relative to the greatest magnitude: max|a−b| / max|b|.
package nntest
