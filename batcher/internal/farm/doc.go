// Package farm runs workers in tests.
package farm
