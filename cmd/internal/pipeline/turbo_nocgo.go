//go:build !cgo

package pipeline

// EngineTier is "": without C there is no engine that has tiers.
func EngineTier(string) string { return "" }
