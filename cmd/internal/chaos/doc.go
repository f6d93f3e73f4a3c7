// Package chaos is the fault suite: it runs farms of real processes on the loopback
// address, injects seeded faults, and compares the results. The programs are the ones
// that users run, observed only from outside: by exit code, last line of standard error,
// metrics.jsonl and summary.json. It has a main package, cmd/chaos, because a campaign
// takes flags, prints a table for docs/faults.md and runs for many minutes; this
// package's test is a short campaign.
//
// # Vocabulary
//
//	farm       nats-server, three augmentd, one resslt train; the driver is their service manager
//	kind       a type of fault: kill -9, SIGSTOP, a cut network, … (kinds)
//	moment     the step at which one fault, or several at once, are injected
//	outage     the duration of a fault: until the process runs again, or the network is restored
//	recovery   from the end of the outage to the trainer's next step
//	stall      the longest time without a step that a fault causes
//	storm      a run with many moments
//	scenario   a fault that needs a set-up of its own: a full disk, flipped bits, another engine
//	calm run   a run without faults, which all others must equal
//	guest      a trainer of another run on a farm's broker and workers
//
// # Invariants
//
// A storm is a function of its seed: kinds, victims, steps and outages are drawn before it
// begins (plan). The time within the step depends on the machine, and must not matter.
//
// A run passes if it ends with code 0 and the calm run's digests of student, teacher and
// queue; with every step once in metrics.jsonl and the calm run's losses, so that each
// step saw the same batch; with no digest mismatch, no tombstone and no stack trace in any
// log; and with no sample missed or seen twice, as `resslt record verify` checks by the
// run's recipe log.
//
// Several runs. A storm may have guests, each of another seed and with faults of its own trainer;
// each must equal its own calm run.
//
// Bounded. No process has more than maxResident resident, whatever happens.
//
// No hangs. A trainer that for Options.Quiet makes no step and does not end has hung: all
// programs then dump their goroutines (SIGQUIT), and the run fails.
//
// Nothing is left behind. Children die with the driver (tied); signals go only to
// processes that a farm started, by their id.
//
// # In pseudo-code
//
//	RunStorm:
//	    start broker, workers, trainer
//	    for each moment of plan(seed):
//	        wait until the trainer has done the moment's step
//	        inject the faults; wait for the outage; end it
//	        wait for the next step, and until the steps in flight are trained
//	    wait for the trainer's end
//	    compare with the calm run
package chaos
