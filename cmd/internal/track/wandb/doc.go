// Package wandb tracks a run as Weights & Biases' own client does offline, without it: in the
// run's folder it writes
//
//	wandb/offline-run-20261130_101500-3f9a1c2b/run-3f9a1c2b.wandb    the run's records
//	wandb/offline-run-20261130_101500-3f9a1c2b/files/                report.html, summary.json, recipe.yaml
//
// which `wandb sync OUT/wandb/offline-run-*` uploads, from this machine or another. Nothing here
// speaks with a server. WANDB_PROJECT ("resslt" by default) and WANDB_ENTITY name the project, as
// for W&B's client.
//
// # The file
//
// After seven bytes that name the format it is a log as LevelDB has it: blocks of 32 KiB, in
// which a record is one fragment or several, each with a CRC-32 (of the fragment's type and
// bytes, not masked), length and type. A record is a Record of W&B's wandb_internal.proto, numbered
// from 1. records.go has the messages and fields that are used.
//
//	header · run (config, tags, commit) · metric definitions · history … · summary · files · exit · footer
//
// A row of history has a number of its own (_step), for W&B drops rows that come out of order,
// and scores come after the steps that they are of. The curves are drawn over trainer/global_step, as
// of PyTorch Lightning's runs.
//
// # Sessions
//
// A resumed run goes on in the same file: what a killed session left of a record is cut off, and
// so is the exit of a session that had ended.
package wandb
