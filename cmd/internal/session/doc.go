// Package session runs what `resslt run` and `resslt train` do in one process: it decides
// what is to be done, opens the batches, trains, and finishes with encoder, evaluation,
// summary and report. A verb turns its flags into Options and calls Run.
//
// # States
//
// Each state is a type, and each has what it needs from its beginning:
//
//	Options     what the user asked for
//	Plan        what will be done: recipe, run spec, folder, checkpoint. Nothing is started yet
//	            (--dry-run prints it)
//	leader      the process that trains alone, or rank 0 of several: it holds the folder
//	follower    any other rank: it trains, and writes nothing
//	source      where the batches come from: embedded broker, farm, recording
//	subscriber  who listens to the run's events: recording, audit, metrics, TensorBoard,
//	            the page in a browser, progress, report, trackers, and who scores the encoder
//	train.Result, then finish
//
// # In pseudo-code
//
//	Run(options):
//	    group ← the ranks of the environment, or this process alone
//	    rank 0: lead            others: follow
//
//	lead:
//	    serve metrics; lock OUT; serve page    // what the plan finds there must stay as it is
//	    source ← options;  plan ← options, OUT, source
//	    if the last step is made and the source is complete:
//	        result ← the checkpoint            // an earlier session did not come to its end
//	    else:
//	        connect the source, join the group
//	        result ← train
//	    finish: encoder, evaluation, summary.json, report.html
//
//	train:
//	    source.begin                           // create the run or join it, rank 0 first
//	    open subscribers, stream ← source.open // may fail: nothing in OUT has been touched
//	    set an earlier run's files aside, write recipe.yaml
//	    subscribers start; the gate opens      // from here on they receive batches
//	    train.Run
//
// # Invariants
//
//   - A start that fails touches nothing of an earlier run: its files are set aside when the
//     broker, the data, libtorch and the stream have all been found to work.
//   - The chunks that a stream receives before that wait at the gate.
//   - Once started, a subscriber that only shows things (TensorBoard, scores, page, trackers, report)
//     never ends a run; one that keeps or checks things (recording, audit) does, and so does a
//     score that stop_on waits for.
//   - Nothing here changes a bit of the weights, but that stop_on may end a run after an earlier
//     epoch: it is then, in recipe.yaml and its checkpoint, a run of so many epochs (shorten).
//
// # One more
//
// One more source: a file that implements source, and a case in openSource. One more sink: a
// file with a sink, and its name in sinks.
package session
