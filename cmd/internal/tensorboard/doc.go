// Package tensorboard writes a run's scalars as TensorBoard event files, since
// people have TensorBoard open already.
//
// A session of training writes one file, events.out.tfevents.<time>.<host>, of
// records:
//
//	uint64 n · uint32 masked CRC-32C of n · n bytes of an Event · uint32 masked CRC-32C of those
//
// where the Event is TensorFlow's protocol buffer. The first event names the
// format, brain.Event:2. A session that goes on from a checkpoint writes a START
// event of the step that it makes next: TensorBoard then forgets what earlier
// files have from that step on, which are steps that a killed session made after
// its last checkpoint and that are made again.
package tensorboard
