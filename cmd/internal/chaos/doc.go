// Package chaos is the fault suite: it runs farms of real processes on the loopback
// address, hurts them in seeded ways, and compares what they end with. The
// programs are the ones that users run, and are watched from outside alone: by
// exit code, last line of standard error, metrics.jsonl and summary.json. It is a
// package with a main of its own, cmd/chaos, rather than tests: a campaign takes
// flags, prints a table for docs/faults.md and goes on for many minutes; a short
// form of it is this package's test.
//
// # Vocabulary
//
//	farm       nats-server, three augmentd, one resslt train; the driver is their service manager
//	kind       a way to fail: kill -9, SIGSTOP, a cut network, … (kinds)
//	moment     the step at which one fault strikes, or several at once
//	outage     the time that a fault lasts: until the process is started again, the network mended
//	recovery   from the end of the outage to the trainer's next step
//	stall      the longest time without a step that a fault caused
//	storm      a run under many moments
//	scenario   a fault that needs a stage of its own: a full disk, flipped bits, another engine
//	calm run   an undisturbed one, which all others must equal
//
// # Invariants
//
// A storm is a function of its seed: kinds, victims, steps and outages are drawn
// before it begins (plan). When within a step a fault strikes is the machine's
// choice, and must not matter.
//
// A run passes if it ends with code 0, with the calm run's student, teacher and
// queue, digest for digest; with every step once in metrics.jsonl, each with the
// calm run's loss, so that each saw the same batch; with no digest mismatch, no
// tombstone and no stack trace in any log; and with no sample missed or seen twice,
// as `resslt record verify` proves from the run's recipe log.
//
// No hang. A trainer that makes no step and does not end for Options.Quiet has
// hung: all programs then write down their goroutines (SIGQUIT), and the run fails.
//
// Nothing is left. Children die with the driver (tied); signals go to processes
// that a farm started, by their id.
//
// # In pseudo-code
//
//	RunStorm:
//	    start broker, workers, trainer
//	    for each moment of plan(seed):
//	        wait until the trainer has done the moment's step
//	        strike; wait for the outage; undo it
//	        wait for the next step, and until what was under way is trained
//	    wait for the trainer's end
//	    compare with the calm run
package chaos
