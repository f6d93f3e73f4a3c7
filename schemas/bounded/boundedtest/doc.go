// Package boundedtest checks in fuzz targets and tests that what reads untrusted bytes
// allocates within bounds.
package boundedtest
