// Package tensorboard writes a run's scalars as TensorBoard event files.
//
// A training session writes one file, events.out.tfevents.<time>.<host>, of TFRecords:
//
//	uint64 n · uint32 masked CRC-32C of n · n bytes of an Event · uint32 masked CRC-32C of those
//
// where the Event is TensorFlow's protocol buffer. The first event names the format,
// brain.Event:2. A session that resumes from a checkpoint writes a START event with its
// first step: TensorBoard then drops what earlier files have from that step on, which are
// the steps that a killed session made after its last checkpoint and that run again.
package tensorboard
