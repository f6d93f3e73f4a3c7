// Package cli is what resslt's programs share where they meet the user: signals, exit codes,
// the one line that an error prints, progress, the local cache's flags, and what the process
// knows of its machine.
//
//	os.Exit(cli.Main(root))        // signals; 0 done, 1 failed, 2 wrong use, 130 interrupted
//	line := cli.Periodically(w)    // a line of progress every few seconds
//	cli.PeakRSS(), cli.CPUTime()   // what the process has used
package cli
