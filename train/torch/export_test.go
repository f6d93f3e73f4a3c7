package torch

// LoseDevice runs fn after a failure of the kind that a lost GPU's is, as an op would
// report it, and gives what Do makes of that failure.
func LoseDevice(inCapture bool, fn func()) error {
	capturing = inCapture
	err := Do(func() error { fail("aten::add", "DCUDA error: unspecified launch failure"); return nil })
	capturing = false
	fn()
	deviceLost.Store(false)
	return err
}

// WaitAsked are the variables that waitPassively leaves alone.
var WaitAsked = waitAsked
