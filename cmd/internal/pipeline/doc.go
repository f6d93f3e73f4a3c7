// Package pipeline is the wiring that resslt and augmentd share: it connects ingest,
// augment and batcher, which do not know one another.
//
//	recipe ── Spec ──► schemas.RunSpec        what the batches depend on
//	RunInfo ── OpenSource ──► produce.Source  a run for a worker: its order, and makers that read, draw and render
//	data URI ── OpenImages ──► eval.Source     un-augmented images for probes and features
//	source ── NewViews ──► eval.Views          crops and flips, others in every epoch, for classifiers
package pipeline
