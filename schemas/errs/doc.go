// Package errs is the one error type of resslt, and the sentinels that its errors wrap: what was
// being done, to what, why it failed, and a hint, on one line.
package errs
