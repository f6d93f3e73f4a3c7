// Package track has experiment trackers follow a run: Weights & Biases (package wandb) and
// MLflow (package mlflow).
//
// # The folder is the queue
//
// What a tracker shows is in the run's folder already: metrics.jsonl, knn.jsonl, linear.jsonl,
// summary.json. So a Tracker reads those files from where it stopped, on a goroutine of its own,
// and sends what is new. Nothing waits for it, nothing is held in memory for it, and what a
// service that is away has missed is sent when it is back, or by a later session:
//
//	training ──► metrics.jsonl ──► Tracker ──► Service (MLflow's REST interface, W&B's folder)
//	    └── Wake ─────────────────────┘  └──► OUT/track/NAME.json: the run's id there, how far it is
//
//	loop:
//	    wait until the training has written something
//	    begin, where the service has no run yet: recipe, commit, host
//	    send what is new, in parts; after each note how far it came
//	    on a failure that may pass: warn once, wait 1, 2, 4 … 60 s, again
//	    on any other: warn, and leave it
//
// # Invariants
//
//   - No failure of a service, and no time that it takes, ends or slows a run, but for its end:
//     there the last of it is waited for, FinishWait at most.
//   - A resumed run is the same run of the service: its id is in the run's folder. Steps that are
//     trained again have the same values, and are not sent again.
//   - A part may be sent twice, where its answer was lost: a Service has it once, or equal twice.
//
// # One more
//
// One more service: a package that implements Service, and a line in session's table of
// trackers.
package track
